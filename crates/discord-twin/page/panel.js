// The side panel: what the simulated Proxmox cluster really is at this moment (read every second
// while visible, past gantry and its caches) and buttons that make trouble in it.

import { bytes, el } from "./markdown.js";

const EVERY_MS = 1000;
const PATIENCE_MS = 4000;
const TASKS_SHOWN = 12;

/** The next answer that gets lost after the action was carried out. */
const LOSE = [
  ["delete a container", "DELETE /nodes/*/lxc/*"], ["create a container", "POST /nodes/*/lxc"],
  ["shut down a container", "POST /nodes/*/lxc/*/status/shutdown"], ["stop a container", "POST /nodes/*/lxc/*/status/stop"],
  ["start a container", "POST /nodes/*/lxc/*/status/start"], ["delete a VM", "DELETE /nodes/*/qemu/*"],
  ["shut down a VM", "POST /nodes/*/qemu/*/status/shutdown"], ["start a VM", "POST /nodes/*/qemu/*/status/start"],
];
const TASKS = ["*", "vzcreate", "vzdestroy", "vzstart", "vzshutdown", "vzstop", "qmstart", "qmshutdown", "qmstop", "qmdestroy"];
const FAILS = "command failed: exit code 1";

/** One trouble in people's words. */
function describe(trouble) {
  const times = trouble.times ?? trouble.left;
  const count = times > 1 ? ` (${times} times)` : "";
  const lost = LOSE.find(([, match]) => match === trouble.match)?.[0] ?? trouble.match;
  const task = trouble.task === "*" || !trouble.task ? "task" : trouble.task;
  switch (trouble.kind) {
    case "node_down": return `${trouble.node} is down`;
    case "node_silent": return `${trouble.node} accepts connections, never answers`;
    case "answer_lost": return `Answer lost after: ${lost}${count}`;
    case "request_lost": return `Request lost before: ${lost}${count}`;
    case "hang": return `${lost} hangs${trouble.ms ? ` for ${trouble.ms} ms` : ""}${count}`;
    case "error": return `${lost} answers ${trouble.status}${trouble.reason ? ` ${trouble.reason}` : ""}${count}`;
    case "truncate": return `Answer cut short: ${lost}${count}`;
    case "task_fails": return `Next ${task} fails: ${trouble.exitstatus ?? FAILS}${count}`;
    case "task_warns": return `Next ${task} ends with warnings${count}`;
    case "task_slow": return `Every ${task} takes ${trouble.seconds} s`;
    case "no_quorum": return "The cluster has no quorum";
    case "locked": return `Guest ${trouble.vmid} is locked (${trouble.lock})`;
    case "fill_storage": return `${trouble.storage} on ${trouble.node} is ${trouble.percent} % full`;
    default: return trouble.kind;
  }
}

const percent = (part, whole) => (whole > 0 ? Math.min(100, Math.round((100 * part) / whole)) : 0);
const seconds = (count) => (count < 60 ? `${count} s` : count < 3600 ? `${Math.floor(count / 60)} min ${count % 60} s` : `${Math.floor(count / 3600)} h ${Math.floor((count % 3600) / 60)} min`);

function bar(label, share, title) {
  const level = share >= 90 ? "high" : share >= 75 ? "mid" : "";
  const fill = el("span", { class: `fill ${level}` });
  fill.style.width = `${share}%`;
  return el("div", { class: "meter", title }, el("span", { class: "meter-name" }, label), el("span", { class: "track", role: "meter", "aria-label": label, "aria-valuenow": String(share), "aria-valuemin": "0", "aria-valuemax": "100" }, fill), el("span", { class: "meter-value" }, `${share} %`));
}

/** Starts the panel inside `root`; `close` shuts the drawer. Returns {setOpen, setUrl}. */
export function startPanel(root, { close }) {
  let base = null;
  let open = false;
  let timer = 0;
  let seen = null; // the last state read
  let failed = null;
  let allTasks = false;
  const drawn = new Map(); // section → signature of what it shows

  const note = el("p", { class: "panel-note", role: "status" });
  const sections = Object.fromEntries(["summary", "active", "nodes", "guests", "tasks"].map((name) => [name, el("section", { class: `panel-${name}`, data: { testid: `panel-${name}` } })]));
  const make = troubleForm();
  root.append(
    el("header", { class: "bar" }, el("h2", {}, "Simulated cluster"), el("button", { class: "icon", type: "button", "aria-label": "Close the cluster panel", on: { click: close } }, "✕")),
    el("div", { class: "panel-scroll", tabindex: "-1" }, sections.summary, note, sections.active, sections.nodes, make.node, sections.guests, sections.tasks));

  async function call(path, options = {}) {
    const answer = await fetch(`${base}${path}`, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS), ...options });
    const data = await answer.json().catch(() => null);
    if (!answer.ok) throw new Error(data?.error ?? `The cluster simulator answered ${answer.status}.`);
    return data;
  }
  const post = (path, body) => act(() => call(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) }));
  const drop = (path) => act(() => call(path, { method: "DELETE" }));

  async function act(work) {
    make.say("");
    try { await work(); } catch (problem) { make.say(problem.name === "TimeoutError" ? "The cluster simulator took too long." : problem.message); }
    await read();
  }

  async function read() {
    if (!base) return draw();
    try {
      seen = await call("/control/state");
      failed = null;
    } catch (problem) {
      failed = problem instanceof TypeError ? "The cluster simulator does not answer." : problem.message;
    }
    draw();
  }

  function loop() {
    clearTimeout(timer);
    if (!open) return;
    const next = () => { if (open) timer = setTimeout(loop, EVERY_MS); };
    if (document.visibilityState === "visible") read().finally(next); else next();
  }

  // -- drawing: a section is rebuilt only when what it shows has changed -------------------

  function section(name, value, build) {
    const signature = JSON.stringify(value);
    if (drawn.get(name) === signature) return;
    drawn.set(name, signature);
    sections[name].replaceChildren(...build().filter(Boolean));
  }

  function draw() {
    note.textContent = !base ? "No simulated cluster is attached to this server." : failed ?? (seen ? "" : "Reading the cluster…");
    root.classList.toggle("stale", Boolean(failed));
    make.node.hidden = !seen;
    if (!seen) return;
    const { cluster = {}, nodes = [], guests = [], storages = [], tasks = [], trouble = [] } = seen;
    const up = nodes.filter((node) => node.status === "online").length;
    const running = guests.filter((guest) => guest.status === "running").length;
    section("summary", [cluster, up, nodes.length, running, guests.length], () => [
      el("div", { class: "summary-name" }, el("b", { class: "clip" }, cluster.name ?? "cluster"), cluster.version ? el("span", { class: "dim" }, `PVE ${cluster.version}`) : null, el("span", { class: `pill ${cluster.quorate ? "good" : "bad"}` }, cluster.quorate ? "quorate" : "no quorum")),
      el("div", { class: "dim" }, `${up} of ${nodes.length} nodes online · ${running} of ${guests.length} guests running`)]);
    section("active", trouble, () => trouble.length === 0 ? [] : [el("h3", {}, "Active trouble"), el("ul", { class: "active" }, trouble.map((one) => el("li", { data: { testid: "trouble", kind: one.kind } }, el("span", {}, describe(one)),
      el("button", { class: "btn small secondary", type: "button", "aria-label": `End: ${describe(one)}`, on: { click: () => drop(`/control/trouble/${encodeURIComponent(one.id)}`) } }, "End"))))]);
    section("nodes", [nodes, storages], () => [el("h3", {}, "Nodes"), ...nodes.map((node) => nodeCard(node, storages.filter((one) => one.node === node.name)))]);
    section("guests", guests.map(({ vmid, name, type, node, status, lock, tags, pool, template }) => [vmid, name, type, node, status, lock, tags, pool, template]), () => [el("h3", {}, "Guests"), ...guestGroups(nodes, guests)]);
    section("tasks", [tasks, allTasks, Math.floor(Date.now() / 1000) * Number(tasks.some((task) => !task.endtime))], () => taskList(tasks));
    make.update(nodes, guests, storages, trouble);
  }

  function nodeCard(node, storages) {
    const online = node.status === "online";
    const share = (part, whole) => percent(part ?? 0, whole ?? 0);
    const troubles = (node.trouble ?? []).map((one) => (typeof one === "string" ? one : one.kind)).join(", ").replaceAll("_", " ");
    return el("div", { class: `node${online ? "" : " off"}`, data: { testid: "node", node: node.name, status: node.status } },
      el("div", { class: "node-head" }, el("span", { class: `dot ${online ? (troubles ? "amber" : "green") : "red"}`, "aria-hidden": "true" }), el("b", { class: "clip", title: node.name }, node.name), el("span", { class: "dim clip" }, troubles || (online ? `up ${seconds(node.uptime ?? 0)}` : node.status))),
      bar("CPU", online ? Math.round((node.cpu ?? 0) * 100) : 0, `${node.maxcpu} cores`),
      bar("Mem", online ? share(node.mem, node.maxmem) : 0, `${bytes(node.mem)} of ${bytes(node.maxmem)}`),
      bar("Disk", online ? share(node.disk, node.maxdisk) : 0, `${bytes(node.disk)} of ${bytes(node.maxdisk)}`),
      el("div", { class: "stores" }, storages.map((one) => {
        const used = percent(one.used, one.total);
        return el("span", { class: `tag${used >= 90 ? " full" : ""}`, title: `${one.storage} (${one.type}): ${bytes(one.used)} of ${bytes(one.total)}` }, `${one.storage} ${used} %`);
      })));
  }

  function guestGroups(nodes, guests) {
    const names = [...new Set([...nodes.map((node) => node.name), ...guests.map((guest) => guest.node)])];
    return names.map((name) => {
      const here = guests.filter((guest) => guest.node === name).sort((a, b) => a.vmid - b.vmid);
      const rows = here.map((guest) => {
        const tags = Array.isArray(guest.tags) ? guest.tags : String(guest.tags ?? "").split(/[;,\s]+/).filter(Boolean);
        return el("li", { class: "guest", data: { testid: "guest", vmid: String(guest.vmid), name: guest.name, status: guest.status }, title: `${guest.name} · ${guest.type} ${guest.vmid} · ${guest.status}${guest.pool ? ` · pool ${guest.pool}` : ""}` },
          el("span", { class: `dot ${{ running: "green", paused: "amber", suspended: "amber" }[guest.status] ?? "grey"}`, role: "img", "aria-label": guest.status }),
          el("span", { class: "vmid" }, String(guest.vmid)), el("span", { class: "clip grow" }, guest.name),
          guest.lock ? el("span", { class: "tag lock" }, `lock: ${guest.lock}`) : null, guest.template ? el("span", { class: "tag" }, "template") : null,
          tags.slice(0, 3).map((tag) => el("span", { class: "tag" }, tag)), tags.length > 3 ? el("span", { class: "tag", title: tags.join(", ") }, `+${tags.length - 3}`) : null,
          el("span", { class: "kind" }, guest.type === "qemu" ? "VM" : "CT"));
      });
      return el("div", { class: "guests" }, el("h4", {}, name, el("span", { class: "dim" }, ` ${here.length}`)), here.length > 0 ? el("ul", {}, rows) : el("p", { class: "dim" }, "no guests"));
    });
  }

  function taskList(tasks) {
    const shown = allTasks ? tasks : tasks.slice(0, TASKS_SHOWN);
    const rows = shown.map((task) => {
      const done = Boolean(task.endtime);
      const state = !done ? "running" : task.exitstatus === "OK" ? "good" : /^WARNINGS/.test(task.exitstatus ?? "") ? "warned" : "bad";
      const took = Math.max(0, (task.endtime ?? Math.floor(Date.now() / 1000)) - task.starttime);
      return el("li", { class: `task ${state}`, title: task.upid, data: { testid: "task", type: task.type, state } },
        el("div", { class: "task-head" }, el("b", {}, task.type), el("span", { class: "clip grow" }, [task.id, task.node].filter(Boolean).join(" · ")), el("span", { class: "dim" }, seconds(took))),
        el("div", { class: "task-end" }, done ? task.exitstatus : "running…", el("span", { class: "dim" }, ` ${task.user}`)));
    });
    const more = tasks.length > TASKS_SHOWN ? el("button", { class: "as-link", type: "button", on: { click: () => { allTasks = !allTasks; draw(); } } }, allTasks ? "Show fewer" : `Show all ${tasks.length}`) : null;
    return [el("h3", {}, "Tasks"), rows.length > 0 ? el("ul", {}, rows) : el("p", { class: "dim" }, "Nothing has run yet."), more];
  }

  // -- making trouble ----------------------------------------------------------------------

  function troubleForm() {
    const error = el("p", { class: "problem", role: "alert" });
    const pick = (label, options = []) => {
      const node = el("select", { "aria-label": label, data: { pick: label } });
      const set = (list) => {
        const key = JSON.stringify(list);
        if (node.dataset.key === key) return;
        node.dataset.key = key;
        const { value } = node;
        node.replaceChildren(...list.map(([text, id]) => el("option", { value: id }, text)));
        if (list.some(([, id]) => id === value)) node.value = value;
      };
      set(options);
      return { node, set, get: () => node.value };
    };
    const node = pick("Node");
    const answer = pick("Answer to lose", LOSE);
    const task = pick("Task type", TASKS.map((type) => [type === "*" ? "any task" : type, type]));
    const storage = pick("Storage");
    const guest = pick("Guest");
    const button = (kind, text, run, style = "secondary") => el("button", { class: `btn small ${style}`, type: "button", data: { testid: `trouble-${kind}` }, on: { click: run } }, text);
    const trouble = (body) => post("/control/trouble", body);
    const line = (label, control, ...buttons) => el("div", { class: "make-line" }, el("span", { class: "make-label" }, label), control, el("div", { class: "make-buttons" }, buttons));
    const bringBack = () => act(async () => {
      for (const one of seen.trouble ?? []) {
        if (/^node_/.test(one.kind) && one.node === node.get()) await call(`/control/trouble/${encodeURIComponent(one.id)}`, { method: "DELETE" });
      }
    });
    const fill = () => { const [where, name] = storage.get().split("/"); trouble({ kind: "fill_storage", node: where, storage: name, percent: 97 }); };
    const world = (action) => () => post("/control/guests", { action, vmid: Number(guest.get()) });
    const box = el("section", { class: "make" }, el("h3", {}, "Make trouble"),
      line("Node", node.node, button("node_down", "Take down", () => trouble({ kind: "node_down", node: node.get() })), button("node_silent", "Make silent", () => trouble({ kind: "node_silent", node: node.get() })), button("node_back", "Bring back", bringBack)),
      line("Answer", answer.node, button("answer_lost", "Lose the next one", () => trouble({ kind: "answer_lost", match: answer.get(), times: 1 }))),
      line("Task", task.node, button("task_fails", "Next one fails", () => trouble({ kind: "task_fails", task: task.get(), exitstatus: FAILS, times: 1 })), button("task_slow", "Slow (20 s)", () => trouble({ kind: "task_slow", task: task.get(), seconds: 20 }))),
      line("Storage", storage.node, button("fill_storage", "Fill to 97 %", fill)),
      line("Guest", guest.node, button("locked", "Lock", () => trouble({ kind: "locked", vmid: Number(guest.get()), lock: "backup" })), button("guest_start", "Start", world("start")), button("guest_stop", "Stop", world("stop")), button("guest_destroy", "Destroy", world("destroy"))),
      line("Cluster", el("span"), button("no_quorum", "No quorum", () => trouble({ kind: "no_quorum" })), button("end", "End all trouble", () => drop("/control/trouble"), "success")),
      el("p", { class: "dim" }, "Start, Stop and Destroy change the guest behind gantry's back."), error);
    return {
      node: box,
      say: (text) => { error.textContent = text; },
      update(nodes, guests, storages) {
        node.set(nodes.map((one) => [one.name, one.name]));
        guest.set([...guests].sort((a, b) => a.vmid - b.vmid).map((one) => [`${one.vmid} ${one.name}`, String(one.vmid)]));
        storage.set(storages.map((one) => [`${one.node}/${one.storage}`, `${one.node}/${one.storage}`]));
      },
    };
  }

  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && loop());
  draw();
  return {
    setOpen(on) { open = on; loop(); },
    setUrl(url) {
      const next = url ? url.replace(/\/(control(\/state)?)?\/?$/, "") : null;
      if (next === base) return;
      base = next;
      seen = null;
      drawn.clear();
      loop();
      draw();
    },
  };
}
