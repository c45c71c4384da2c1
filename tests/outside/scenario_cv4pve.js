// cv4pve-api-javascript against the Proxmox twin: reads, a container's life, tasks, status codes and reason phrases.
// The client never verifies certificates; that is its own choice.
"use strict";
const { PveClient } = require("@corsinvest/cv4pve-api-javascript");
const { TWIN, check, equal, run } = require("./checks.js");

const TEMPLATE = "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst";
const TASK_LIMIT = 30_000;

const { hostname, port } = new URL(TWIN.endpoints[0]);

function client(token) {
  const api = new PveClient(hostname, Number(port));
  api.logEnabled = false;
  if (token) api.apiToken = token;
  return api;
}

function answered(claim, result, statusCode, reasonPhrase) {
  equal(claim, [result.statusCode, result.reasonPhrase], [statusCode, reasonPhrase]);
  return result.response;
}

run(async () => {
  const api = client(`${TWIN.token_id}=${TWIN.token_secret}`);

  async function done(claim, result) {
    answered(`${claim} is accepted`, result, 200, "OK");
    const upid = result.response.data;
    check(`${claim} finishes in time`, await api.waitForTaskToFinish(upid, 100, TASK_LIMIT), upid);
    equal(`${claim} went well`, await api.getExitStatusTask(upid), "OK");
    return upid;
  }

  // Reads, through the generated methods.
  const version = await api.version.version();
  answered("version", version, 200, "OK");
  check("version of the 9.1 line", version.response.data.version.startsWith("9.1"), version.response);
  check("success is seen", version.isSuccessStatusCode && !version.responseInError);
  const kinds = new Set((await api.cluster.resources.resources()).response.data.map((entry) => entry.type));
  check("cluster resources", ["node", "lxc", "qemu", "storage"].every((kind) => kinds.has(kind)), kinds);
  const nodes = (await api.nodes.index()).response.data;
  check("nodes are online", nodes.length === 5 && nodes.every((node) => node.status === "online"), nodes);

  // A container's life. Bodies are JSON, booleans become 0 and 1.
  const vmid = Number((await api.cluster.nextid.nextid()).response.data);
  const created = await api.create("/nodes/pve2/lxc", {
    vmid, ostemplate: TEMPLATE, hostname: "from-cv4pve", storage: "local-lvm", rootfs: "local-lvm:4",
    memory: 512, cores: 1, unprivileged: true, net0: "name=eth0,bridge=vmbr0,ip=dhcp",
  });
  const upid = await done("create", created);
  equal("UPID names the task", upid.split(":").filter((_, n) => [1, 5, 6, 7].includes(n)),
    ["pve2", "vzcreate", String(vmid), TWIN.token_id]);
  const container = api.nodes.get("pve2").lxc.get(vmid);
  await done("start", await container.status.start.vmStart());
  const current = (await container.status.current.vmStatus()).response.data;
  equal("runs", [current.status, current.name], ["running", "from-cv4pve"]);

  // Configuration with digest.
  const path = `/nodes/pve2/lxc/${vmid}`;
  const config = (await container.config.vmConfig()).response.data;
  equal("config read", [config.hostname, config.cores, config.unprivileged], ["from-cv4pve", 1, 1]);
  const written = answered("config write", await api.set(`${path}/config`, { cores: 2, onboot: true, digest: config.digest }), 200, "OK");
  equal("config write answers null", written, { data: null });
  const after = (await container.config.vmConfig()).response.data;
  equal("config written", [after.cores, after.onboot], [2, 1]);
  answered("stale digest", await api.set(`${path}/config`, { cores: 3, digest: config.digest }), 500,
    "detected modified configuration - file changed by other user? Try again.");

  // Errors.
  const bad = await api.set(`${path}/config`, { cores: "many" });
  const body = answered("bad parameter", bad, 400, "Parameter verification failed.");
  check("bad parameter is named", bad.responseInError && Object.keys(body.errors).join() === "cores", body);
  const absent = answered("absent guest", await api.get("/nodes/pve2/lxc/999/config"), 500,
    "Configuration file 'nodes/pve2/lxc/999.conf' does not exist");
  equal("body of a 500", absent, { data: null, message: "Configuration file 'nodes/pve2/lxc/999.conf' does not exist\n" });
  answered("unknown path", await api.get("/nope"), 501, "Method 'GET /nope' not implemented");
  answered("locked guest", await api.set("/nodes/pve4/lxc/117/config", { cores: 1 }), 500, "CT is locked (backup)");

  // A ticket, and a separated token without rights of its own.
  const root = client();
  check("ticket login", await root.login("root", TWIN.root_password, "pam"));
  const user = TWIN.token_id.split("!")[0];
  const bare = answered("token made with a ticket",
    await root.create(`/access/users/${user}/token/bare`, { privsep: true }), 200, "OK").data;
  answered("403 names path and privilege",
    await client(`${bare["full-tokenid"]}=${bare.value}`).create(`${path}/status/stop`), 403,
    `Permission check failed (/vms/${vmid}, VM.PowerMgmt)`);
  check("wrong password is refused", (await client().login("root", "wrong", "pam")) === false);

  // The end.
  answered("a running container is not destroyed", await container.destroyVm(), 500,
    `unable to destroy CT ${vmid} - container is running`);
  await done("stop", await container.status.stop.vmStop());
  await done("delete", await api.delete(path, { purge: 1 }));
  answered("gone", await container.status.current.vmStatus(), 500,
    `Configuration file 'nodes/pve2/lxc/${vmid}.conf' does not exist`);
  const changes = await (await fetch(`${TWIN.control_url}/control/changes`)).json();
  equal("each action was carried out once",
    changes.filter((one) => one.vmid === vmid && one.what !== "config").map((one) => one.what),
    ["create", "start", "stop", "destroy"]);
});
