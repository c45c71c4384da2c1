"""proxmoxer against the Proxmox twin: reads, a container's life, tasks, digests, the error forms. TLS is verified
with the twin's own authority, as a careful user of the client would."""

import time

import requests
from proxmoxer import ProxmoxAPI, ResourceException
from proxmoxer.core import AuthenticationError
from proxmoxer.tools import Tasks

from checks import TWIN, broke, check, end, equal

TEMPLATE = "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst"
TASK_LIMIT = 30  # seconds one task may take


def refused(claim, call, status, reason):
    """The claim that a call ends with this status and this reason phrase; gives the error back."""
    try:
        answer = call()
    except ResourceException as error:
        equal(claim, (error.status_code, error.content), (status, reason))
        return error
    check(claim, False, f"it answered {answer!r}")
    return None


def done(api, claim, upid):
    """Waits for a task with the client's own tool and claims that it went well."""
    status = Tasks.blocking_status(api, upid, timeout=TASK_LIMIT, polling_interval=0.1)
    equal(claim, status and (status["status"], status["exitstatus"]), ("stopped", "OK"))
    return status


def changes():
    """What the twin really carried out."""
    return requests.get(f"{TWIN['control_url']}/control/changes", timeout=5).json()


def scenario():
    host = TWIN["endpoints"][0].removeprefix("https://")
    user, token = TWIN["token_id"].split("!")
    api = ProxmoxAPI(
        host, user=user, token_name=token, token_value=TWIN["token_secret"], verify_ssl=TWIN["ca_file"]
    )

    # Reads.
    version = api.version.get()
    check("version", version["version"].startswith("9.1") and version["release"] == "9.1", version)
    resources = api.cluster.resources.get()
    kinds = {entry["type"] for entry in resources}
    check("cluster resources", {"node", "lxc", "qemu", "storage"} <= kinds, kinds)
    machines = api.cluster.resources.get(type="vm")
    check("cluster resources of one type", {m["type"] for m in machines} == {"lxc", "qemu"}, machines[:2])
    nodes = {node["node"]: node for node in api.nodes.get()}
    check("nodes are online", len(nodes) == 5 and all(n["status"] == "online" for n in nodes.values()), nodes)
    check("template is there", any(v["volid"] == TEMPLATE for v in api.nodes("pve1").storage("local").content.get()))

    # A container's life.
    vmid = int(api.cluster.nextid.get())
    node = api.nodes("pve1")
    upid = node.lxc.create(
        vmid=vmid, ostemplate=TEMPLATE, hostname="from-proxmoxer", storage="local-lvm", rootfs="local-lvm:4",
        memory=512, cores=1, unprivileged=1, net0="name=eth0,bridge=vmbr0,ip=dhcp", tags="outside;python",
    )
    parts = Tasks.decode_upid(upid)
    equal("UPID names the task", (parts["node"], parts["type"], parts["id"], parts["user"]),
          ("pve1", "vzcreate", str(vmid), user))
    done(api, "create", upid)
    log = Tasks.decode_log(node.tasks(upid).log.get())
    check("task log ends with its result", log.rstrip().endswith("TASK OK"), log)
    container = node.lxc(vmid)
    equal("created stopped", container.status.current.get()["status"], "stopped")
    done(api, "start", container.status.start.post())
    current = container.status.current.get()
    equal("runs", (current["status"], current["name"]), ("running", "from-proxmoxer"))

    # Configuration with digest.
    config = container.config.get()
    equal("config read", (config["hostname"], config["cores"], config["tags"]),
          ("from-proxmoxer", 1, "outside;python"))
    check("config write answers null", container.config.put(cores=2, digest=config["digest"]) is None)
    equal("config written", container.config.get()["cores"], 2)
    refused("stale digest", lambda: container.config.put(cores=3, digest=config["digest"]), 500,
            "detected modified configuration - file changed by other user? Try again.")
    equal("stale digest changed nothing", container.config.get()["cores"], 2)
    container.config.put(delete="tags")
    check("key removed", "tags" not in container.config.get())

    # Errors.
    error = refused("400 names the parameter", lambda: container.config.put(cores="many"), 400,
                    "Parameter verification failed.")
    check("400 errors map", error and set(error.errors) == {"cores"}, error and error.errors)
    error = refused("unknown parameter", lambda: api.version.get(foo=1), 400, "Parameter verification failed.")
    check("unknown parameter named", error and "foo" in error.errors, error and error.errors)
    refused("absent guest", lambda: node.lxc(999).config.get(), 500,
            "Configuration file 'nodes/pve1/lxc/999.conf' does not exist")
    refused("taken VMID", lambda: node.lxc.create(vmid=vmid, ostemplate=TEMPLATE, storage="local-lvm"), 500,
            f"CT {vmid} already exists on node 'pve1'")
    refused("unknown path", api.nope.get, 501, "Method 'GET /nope' not implemented")
    locked = api.nodes("pve4").lxc(117)
    refused("locked guest", lambda: locked.config.put(cores=1), 500, "CT is locked (backup)")
    stuck = Tasks.blocking_status(api, locked.status.stop.post(), TASK_LIMIT, 0.1)
    equal("power actions on a locked guest fail in their task", stuck["exitstatus"], "CT is locked (backup)")

    # A ticket, with the token forgery protection, and a separated token without rights of its own.
    root = ProxmoxAPI(host, user="root@pam", password=TWIN["root_password"], verify_ssl=TWIN["ca_file"])
    equal("ticket login", root.version.get()["version"], version["version"])
    bare = root.access.users(user).token("bare").post(privsep=1)
    equal("token made with a ticket", bare["full-tokenid"], f"{user}!bare")
    separated = ProxmoxAPI(
        host, user=user, token_name="bare", token_value=bare["value"], verify_ssl=TWIN["ca_file"]
    )
    equal("a separated token sees no guests", separated.cluster.resources.get(type="vm"), [])
    refused("403 names path and privilege", separated.nodes("pve1").lxc(vmid).status.stop.post, 403,
            f"Permission check failed (/vms/{vmid}, VM.PowerMgmt)")
    root.access.users(user).token("bare").delete()
    began = time.monotonic()
    refused("401 of a token that is gone", separated.version.get, 401, "Authentication failed!")
    check("a 401 takes 3 s", 2.8 <= time.monotonic() - began <= 4.9, time.monotonic() - began)
    try:
        ProxmoxAPI(host, user="root@pam", password="wrong", verify_ssl=TWIN["ca_file"])
        check("wrong password", False, "it was let in")
    except AuthenticationError as error:
        check("wrong password", "code: 401" in str(error), str(error))

    # The end of the container.
    refused("a running container is not destroyed", container.delete, 500,
            f"unable to destroy CT {vmid} - container is running")
    done(api, "stop", container.status.stop.post())
    equal("stopped", container.status.current.get()["status"], "stopped")
    done(api, "delete", container.delete(purge=1))
    refused("gone", container.config.get, 500, f"Configuration file 'nodes/pve1/lxc/{vmid}.conf' does not exist")
    check("gone from the cluster's list", vmid not in {m["vmid"] for m in api.cluster.resources.get(type="vm")})
    did = [change["what"] for change in changes() if change["vmid"] == vmid and change["what"] != "config"]
    equal("each action was carried out once", did, ["create", "start", "stop", "destroy"])

    # One task that fails, as the client sees it.
    requests.post(f"{TWIN['control_url']}/control/trouble", timeout=5, json={
        "kind": "task_fails", "task": "vzstart", "exitstatus": "startup for container '119' failed", "times": 1,
    }).raise_for_status()
    failing = Tasks.blocking_status(api, api.nodes("pve5").lxc(119).status.start.post(), TASK_LIMIT, 0.1)
    equal("a failed task says why", failing["exitstatus"], "startup for container '119' failed")
    equal("after a failed start it is stopped", api.nodes("pve5").lxc(119).status.current.get()["status"], "stopped")

    # 595: a node that is down, asked through another.
    requests.post(f"{TWIN['control_url']}/control/trouble", timeout=5,
                  json={"kind": "node_down", "node": "pve3"}).raise_for_status()
    refused("node down", api.nodes("pve3").status.get, 595, "Network is unreachable")


try:
    scenario()
except Exception as error:  # noqa: BLE001 - whatever it is, it is this scenario's failure
    broke(error)
end()
