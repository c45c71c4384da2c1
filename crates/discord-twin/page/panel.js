// What stands beside the conversation: personas, channels, members; and the cluster panel – what the
// simulated Proxmox cluster really is at this moment (read every second while visible, past gantry
// and its caches) with buttons that make trouble in it.

import { bytes, div, el, span } from "./markdown.js";

// ---- columns ------------------------------------------------------------------------------

/** The switch of who one is. What these three take comes from app.js: its state, names, actions. */
export function drawPersonas({ state, become }) {
  const box = document.getElementById("personas");
  if (box.dataset.of !== state.people.map((one) => one.id).join()) {
    box.dataset.of = state.people.map((one) => one.id).join();
    const move = (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const at = state.people.findIndex((one) => one.key === state.persona.key);
      become(state.people[(at + step + state.people.length) % state.people.length]);
      box.querySelector("[aria-checked=true]").focus();
    };
    box.replaceChildren(...state.people.map((one) => el("button", {
      type: "button", role: "radio", title: `Act as ${one.name} (${one.part})`, data: { testid: `persona-${one.key}`, key: one.key },
      on: { click: () => become(one), keydown: move },
    }, span("clip", one.name), one.part && one.part !== one.name ? span("part", one.part) : null)));
  }
  for (const button of box.children) {
    const on = button.dataset.key === state.persona?.key;
    button.setAttribute("aria-checked", String(on));
    button.tabIndex = on ? 0 : -1;
  }
}

/** Categories, channels and threads of the guild. */
export function drawChannels({ state, unread, openChannel }) {
  const all = [...(state.guild?.channels ?? [])].sort((a, b) => a.position - b.position);
  const line = (channel) => {
    const thread = channel.type >= 10 && channel.type <= 12;
    const open = [0, 5].includes(channel.type) || thread;
    const mark = thread ? "└" : channel.type === 2 ? "♪" : channel.type === 15 ? "≡" : "#";
    const look = ["channel", thread && "thread", unread.has(channel.id) && "unread"].filter(Boolean).join(" ");
    const current = channel.id === state.channel?.id ? "page" : null;
    const props = { type: "button", class: look, disabled: !open, title: channel.name, "aria-current": current };
    return el("li", {}, el("button", { ...props, on: { click: () => openChannel(channel.id) } },
      el("span", { class: "hash", "aria-hidden": "true" }, mark), span("clip", channel.name)));
  };
  const out = [];
  const under = (parent) => {
    const shown = (one) => one.type !== 4 && (!one.archived || one.id === state.channel?.id);
    for (const channel of all.filter((one) => (one.parent_id ?? null) === parent && shown(one))) {
      out.push(line(channel));
      under(channel.id);
    }
  };
  under(null);
  for (const category of all.filter((channel) => channel.type === 4)) {
    out.push(el("li", { class: "category" }, category.name));
    under(category.id);
  }
  document.getElementById("channels").replaceChildren(...out);
}

/** Members by their highest role; the bot goes to the end while it is offline. */
export function drawMembers({ state, members, rank, shownName, avatar, named, closeMembers }) {
  const online = (one) => !one.user.bot || one.user.id !== state.control.application?.bot?.id || state.control.bot_online;
  const groups = new Map();
  const sorted = [...members()].sort((a, b) => (rank(b)?.position ?? -1) - (rank(a)?.position ?? -1) || shownName(a).localeCompare(shownName(b)));
  for (const one of sorted) {
    const key = online(one) ? rank(one)?.name ?? "Online" : "Offline";
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  const offline = groups.get("Offline");
  groups.delete("Offline");
  if (offline) groups.set("Offline", offline);
  const row = (one) => {
    const [look, word] = online(one) ? ["green", "online"] : ["grey", "offline"];
    const data = { testid: "member", name: one.user.username, online: String(online(one)) };
    return el("li", { class: `member ${word}`, data },
      span("with-dot", avatar(one.user), el("span", { class: `dot ${look}`, role: "img", "aria-label": word })),
      named(one.user.id, shownName(one), "clip"),
      one.user.bot ? span("app-tag", "APP") : null, one.user.id === state.persona?.id ? span("dim", "you") : null);
  };
  const shut = { click: closeMembers };
  const close = el("button", { class: "icon close-drawer", type: "button", "aria-label": "Close members", on: shut }, "✕");
  document.getElementById("members").replaceChildren(el("header", { class: "bar only-drawer" }, el("h2", {}, "Members"), close),
    ...[...groups].flatMap(([name, list]) => [el("h3", { class: "group" }, `${name} — ${list.length}`), el("ul", {}, list.map(row))]));
}

// ---- the cluster panel --------------------------------------------------------------------

const EVERY_MS = 1000;
const PATIENCE_MS = 4000;
const TASKS_SHOWN = 5;
const NEARLY_FULL = 75; // per cent; emptier storages are only in the node's tooltip

/** The next answer that gets lost after the action was carried out. */
const LOSE = [
  ["delete a container", "DELETE /nodes/*/lxc/*"], ["create a container", "POST /nodes/*/lxc"],
  ["shut down a container", "POST /nodes/*/lxc/*/status/shutdown"], ["stop a container", "POST /nodes/*/lxc/*/status/stop"],
  ["start a container", "POST /nodes/*/lxc/*/status/start"], ["delete a VM", "DELETE /nodes/*/qemu/*"],
  ["shut down a VM", "POST /nodes/*/qemu/*/status/shutdown"], ["start a VM", "POST /nodes/*/qemu/*/status/start"],
];
const TASKS = ["*", "vzcreate", "vzdestroy", "vzstart", "vzshutdown", "vzstop", "qmstart", "qmshutdown", "qmstop", "qmdestroy",
  "srvreload", "reloadnetworkall", "download", "ociregistrypull", "move_volume"];
const DOT = { running: "green", paused: "amber", suspended: "amber" };
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
    case "network_broken": return `${trouble.node} has cut itself off the network`;
    case "answer_lost": return `Answer lost after: ${lost}${count}`;
    case "request_lost": return `Request lost before: ${lost}${count}`;
    case "hang": return `${lost} hangs${trouble.ms ? ` for ${trouble.ms} ms` : ""}${count}`;
    case "error": return `${lost} answers ${trouble.status}${trouble.reason ? ` ${trouble.reason}` : ""}${count}`;
    case "truncate": return `Answer cut short: ${lost}${count}`;
    case "task_fails": return `Next ${task} fails: ${trouble.exitstatus ?? FAILS}${count}`;
    case "task_warns": return `Next ${task} ends with warnings${count}`;
    case "task_slow": return `Every ${task} takes ${trouble.seconds} s longer`;
    case "no_quorum": return "The cluster has no quorum";
    case "locked": return `Guest ${trouble.vmid} is locked (${trouble.lock})`;
    case "fill_storage": return `${trouble.storage} on ${trouble.node} is ${trouble.percent} % full`;
    default: return trouble.kind;
  }
}

const percent = (part, whole) => (whole > 0 ? Math.min(100, Math.round((100 * part) / whole)) : 0);
function seconds(count) {
  const [minutes, hours, days] = [60, 3600, 86400].map((size) => Math.floor(count / size));
  if (count < 60) return `${count} s`;
  if (count < 3600) return `${minutes} min ${count % 60} s`;
  return days < 2 ? `${hours} h ${minutes % 60} min` : `${days} days ${hours % 24} h`;
}

function bar(label, share, title) {
  const level = share >= 90 ? "high" : share >= 75 ? "mid" : "";
  const fill = span(`fill ${level}`);
  fill.style.width = `${share}%`;
  const scale = { role: "meter", "aria-label": label, "aria-valuenow": String(share), "aria-valuemin": "0", "aria-valuemax": "100" };
  return el("div", { class: "meter", title }, span("", label), el("span", { class: "track", ...scale }, fill), span("meter-value", `${share} %`));
}

/** Starts the panel inside `root`; `close` shuts the drawer. Returns {setOpen, setUrl}. */
export function startPanel(root, { close }) {
  let base = null;
  let dns = null; // where the simulated name server says its records
  let names = null; // the records last read
  let open = false;
  let timer = 0;
  let seen = null; // the last state read
  let failed = null;
  let allTasks = false;
  const drawn = new Map(); // section → signature of what it shows

  const note = el("p", { class: "panel-note", role: "status" });
  const sections = {};
  for (const name of ["summary", "active", "nodes", "networks", "names", "images", "guests", "tasks"]) sections[name] = el("section", { data: { testid: `panel-${name}` } });
  const make = troubleForm();
  root.append(
    el("header", { class: "bar" }, el("h2", {}, "Simulated cluster"),
      el("button", { class: "icon", type: "button", "aria-label": "Close the cluster panel", on: { click: close } }, "✕")),
    div("panel-scroll", sections.summary, note, sections.active, sections.nodes, sections.tasks, make.node, sections.networks, sections.names, sections.images, sections.guests));

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
      names = dns ? await readNames() : null;
      failed = null;
    } catch (problem) {
      failed = problem instanceof TypeError ? "The cluster simulator does not answer." : problem.message;
    }
    draw();
  }

  /** Records of the name server; null while it does not answer, which is its own trouble and not the cluster's. */
  async function readNames() {
    try {
      const answer = await fetch(dns, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
      return answer.ok ? await answer.json() : null;
    } catch { return null; }
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
      div("summary-name", el("b", { class: "clip" }, cluster.name ?? "cluster"),
        cluster.version ? span("dim", `PVE ${cluster.version}`) : null,
        cluster.quorate ? span("pill good", "quorate") : span("pill bad", "no quorum")),
      div("dim", `${up} of ${nodes.length} nodes online · ${running} of ${guests.length} guests running`)]);
    section("active", trouble, () => (trouble.length === 0 ? [] : [el("h3", {}, "Active trouble"), el("ul", { class: "active" }, trouble.map(troubleLine))]));
    const storesOf = (node) => storages.filter((one) => one.node === node.name);
    section("nodes", [nodes, storages], () => [el("h3", {}, "Nodes"), ...nodes.map((node) => nodeCard(node, storesOf(node)))]);
    const steady = guests.map((guest) => [guest.vmid, guest.name, guest.type, guest.node, guest.status, guest.lock, guest.tags, guest.pool, guest.template, guest.healthy, guest.image]);
    const { networks = [], vnets = [], images = [] } = seen;
    section("networks", [networks, vnets], () => [el("h3", {}, "Networks"), ...networkList(networks, vnets)]);
    section("names", [dns, names], () => (dns ? [el("h3", {}, "DNS records"), ...nameList(names)] : []));
    section("images", images, () => [el("h3", {}, "Images"), imageList(images)]);
    section("guests", steady, () => [el("h3", {}, "Guests"), ...guestGroups(nodes, guests)]);
    const ticking = tasks.some((task) => !task.endtime) ? Math.floor(Date.now() / 1000) : 0;
    section("tasks", [tasks, allTasks, ticking], () => taskList(tasks));
    make.update(nodes, guests, storages, trouble);
  }

  function troubleLine(one) {
    const end = { click: () => drop(`/control/trouble/${encodeURIComponent(one.id)}`) };
    const button = el("button", { class: "btn small secondary", type: "button", "aria-label": `End: ${describe(one)}`, on: end }, "End");
    return el("li", { data: { testid: "trouble", kind: one.kind } }, span("", describe(one)), button);
  }

  function nodeCard(node, storages) {
    const online = node.status === "online";
    const share = (part, whole) => percent(part ?? 0, whole ?? 0);
    const troubles = (node.trouble ?? []).map((one) => (typeof one === "string" ? one : one.kind)).join(", ").replaceAll("_", " ");
    const look = !online ? "red" : troubles ? "amber" : "green";
    const used = (one) => percent(one.used, one.total);
    const full = storages.filter((one) => used(one) >= NEARLY_FULL);
    const title = storages.map((one) => `${one.storage}: ${bytes(one.used)} of ${bytes(one.total)} (${used(one)} %)`).join("\n");
    return el("div", { title, class: `node${online ? "" : " off"}`, data: { testid: "node", node: node.name, status: node.status } },
      div("node-head", el("span", { class: `dot ${look}`, "aria-hidden": "true" }), el("b", { class: "clip", title: node.name }, node.name),
        span("dim clip", troubles || (online ? `up ${seconds(node.uptime ?? 0)}` : node.status))),
      el("div", { class: "meters" },
        bar("CPU", online ? Math.round((node.cpu ?? 0) * 100) : 0, `${node.maxcpu} cores`),
        bar("Mem", online ? share(node.mem, node.maxmem) : 0, `${bytes(node.mem)} of ${bytes(node.maxmem)}`),
        bar("Disk", online ? share(node.disk, node.maxdisk) : 0, `${bytes(node.disk)} of ${bytes(node.maxdisk)}`)),
      full.length > 0 ? div("stores", full.map((one) => span(used(one) >= 90 ? "tag full" : "tag", `${one.storage} ${used(one)} %`))) : null);
  }

  function guestGroups(nodes, guests) {
    const names = [...new Set([...nodes.map((node) => node.name), ...guests.map((guest) => guest.node)])];
    return names.map((name) => {
      const here = guests.filter((guest) => guest.node === name).sort((a, b) => a.vmid - b.vmid);
      const rows = here.map((guest) => {
        const tags = Array.isArray(guest.tags) ? guest.tags : String(guest.tags ?? "").split(/[;,\s]+/).filter(Boolean);
        const room = guest.lock || (guest.healthy === false && guest.status === "running") ? 0 : 3; // its name comes first
        const data = { testid: "guest", vmid: String(guest.vmid), name: guest.name, status: guest.status };
        const title = [guest.name, `${guest.type} ${guest.vmid}`, guest.status, guest.pool && `pool ${guest.pool}`, guest.image].filter(Boolean).join(" · ");
        return el("li", { class: "guest", data, title },
          el("span", { class: `dot ${DOT[guest.status] ?? "grey"}`, role: "img", "aria-label": guest.status }),
          span("vmid", String(guest.vmid)), span("clip grow", guest.name),
          guest.healthy === false && guest.status === "running" ? span("tag lock", "unhealthy") : null,
          guest.lock ? span("tag lock", `lock: ${guest.lock}`) : null, guest.template && !tags.includes("template") ? span("tag", "template") : null,
          tags.slice(0, room).map((tag) => span("tag", tag)),
          tags.length > room ? el("span", { class: "tag", title: tags.join(", ") }, `+${tags.length - room}`) : null,
          span("kind", guest.type === "qemu" ? "VM" : "CT"));
      });
      const list = here.length > 0 ? el("ul", {}, rows) : el("p", { class: "dim" }, "no guests");
      return div("guests", el("h4", {}, name, span("dim", ` ${here.length}`)), list);
    });
  }

  /** Bridges and vnets; what waits for a reload or an apply is marked. */
  function networkList(networks, vnets) {
    const line = (name, where, detail, staged) => el("li", { class: "guest", title: detail, data: { testid: "network", name, node: where, staged: staged ?? "" } },
      el("span", { class: `dot ${staged === "new" ? "grey" : staged ? "amber" : "green"}`, "aria-hidden": "true" }),
      span("clip grow", name), span("dim clip", where), staged ? span("tag lock", staged) : null);
    const bridges = networks.filter((one) => one.options.type === "bridge" || one.staged);
    const detail = (one) => Object.entries(one.options).map(([key, value]) => `${key}: ${value}`).join("\n");
    const rows = [
      ...bridges.map((one) => line(one.iface, one.node, detail(one), one.staged)),
      ...vnets.map((one) => line(one.vnet, `zone ${one.zone}`, one.alias ?? "", one.state)),
    ];
    return [rows.length > 0 ? el("ul", {}, rows) : el("p", { class: "dim" }, "no bridges")];
  }

  /** Records of the name server: name, kind, content. What gantry claims as its own is one line a service. */
  function nameList(records) {
    if (!records) return [el("p", { class: "dim" }, "The name server does not answer.")];
    const claims = records.filter((one) => one.kind === "TXT" && one.name.startsWith("_gantry."));
    const claim = (name) => claims.filter((one) => one.name === name).map((one) => one.content).join("\n");
    const rows = records.filter((one) => !claims.includes(one)).map((one) => {
      const name = one.name.replace(/\.$/, "");
      const content = one.content.replace(/\.$/, "");
      const data = { testid: "record", name, kind: one.kind, content };
      return el("li", { class: "record", data, title: `${name} ${one.ttl} ${one.kind} ${content}` },
        span("record-kind", one.kind), span("clip grow", name), span("clip dim", content));
    });
    for (const name of new Set(claims.map((one) => one.name))) {
      const owner = /owner=([^,"]+)/.exec(claim(name))?.[1];
      rows.push(el("li", { class: "record", title: claim(name), data: { testid: "claim", name } },
        span("record-kind", "TXT"), span("clip grow", name.replace(/\.$/, "")), span("clip dim", owner ? `of ${owner}` : "")));
    }
    return [rows.length > 0 ? el("ul", {}, rows) : el("p", { class: "dim" }, "none")];
  }

  /** Templates, OCI images and ISO files, with where they came from. */
  function imageList(images) {
    const rows = images.map((one) => el("li", { class: "guest", title: `${one.volid}\n${one.digest ?? ""}`, data: { testid: "image", volid: one.volid, node: one.node ?? "" } },
      span("clip grow", one.reference?.replace(/^[^/]*[.:][^/]*\//, "") ?? one.volid.split("/").pop()), span("dim clip", one.node ?? "shared"),
      one.unhealthy ? span("tag lock", "never healthy") : null, span("kind", bytes(one.bytes))));
    return rows.length > 0 ? el("ul", {}, rows) : el("p", { class: "dim" }, "none");
  }

  function taskList(tasks) {
    const shown = allTasks ? tasks : tasks.slice(0, TASKS_SHOWN);
    const rows = shown.map((task) => {
      const done = Boolean(task.endtime);
      const state = !done ? "running" : task.exitstatus === "OK" ? "good" : /^WARNINGS/.test(task.exitstatus ?? "") ? "warned" : "bad";
      const took = Math.max(0, (task.endtime ?? Math.floor(Date.now() / 1000)) - task.starttime);
      const where = [task.id, task.node].filter(Boolean).join(" · ");
      return el("li", { class: `task ${state}`, title: task.upid, data: { testid: "task", type: task.type, state } },
        div("task-head", el("b", {}, task.type), span("clip grow", where), span("dim", seconds(took))),
        div("task-end", done ? task.exitstatus : "running…", span("dim", ` ${task.user}`)));
    });
    const flip = { click: () => { allTasks = !allTasks; draw(); } };
    const more = tasks.length > TASKS_SHOWN && el("button", { class: "as-link", type: "button", on: flip }, allTasks ? "Show fewer" : `Show all ${tasks.length}`);
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
    const button = (kind, text, run, style = "secondary") =>
      el("button", { class: `btn small ${style}`, type: "button", data: { testid: `trouble-${kind}` }, on: { click: run } }, text);
    const trouble = (body) => post("/control/trouble", body);
    const line = (label, control, ...buttons) => div("make-line", span("make-label", label), div("make-what", control, buttons));
    const bringBack = () => act(async () => {
      for (const one of seen.trouble ?? []) {
        if (/^node_/.test(one.kind) && one.node === node.get()) await call(`/control/trouble/${encodeURIComponent(one.id)}`, { method: "DELETE" });
      }
    });
    const fill = () => {
      const [where, name] = storage.get().split("/");
      trouble({ kind: "fill_storage", node: where, storage: name, percent: 97 });
    };
    const drift = () => {
      const one = (seen.guests ?? []).find((each) => String(each.vmid) === guest.get());
      if (one) post("/control/guests", { action: "set", vmid: one.vmid, config: { memory: String(Math.round(one.maxmem / 2 ** 20) * 2) } });
    };
    const world = (action) => () => post("/control/guests", { action, vmid: Number(guest.get()) });
    const backup = (exit) => () => {
      const one = (seen.guests ?? []).find((each) => String(each.vmid) === guest.get());
      if (one) post("/control/ran", { kind: "vzdump", id: String(one.vmid), node: one.node, exit });
    };
    const calm = () => act(async () => {
      const [where, name] = storage.get().split("/");
      for (const one of seen.trouble ?? []) {
        if (one.kind === "fill_storage" && one.node === where && one.storage === name) await call(`/control/trouble/${encodeURIComponent(one.id)}`, { method: "DELETE" });
      }
    });
    const box = el("section", { class: "make" }, el("h3", {}, "Make trouble"),
      line("Node", node.node, button("node_down", "Take down", () => trouble({ kind: "node_down", node: node.get() })),
        button("node_silent", "Make silent", () => trouble({ kind: "node_silent", node: node.get() })),
        button("node_back", "Bring back", bringBack)),
      line("Answer", answer.node, button("answer_lost", "Lose the next one", () => trouble({ kind: "answer_lost", match: answer.get(), times: 1 }))),
      line("Task", task.node,
        button("task_fails", "Next one fails", () => trouble({ kind: "task_fails", task: task.get(), exitstatus: FAILS, times: 1 })),
        button("task_slow", "20 s longer", () => trouble({ kind: "task_slow", task: task.get(), seconds: 20 }))),
      line("Storage", storage.node, button("fill_storage", "Fill to 97 %", fill), button("fill_end", "Make room", calm)),
      line("Guest", guest.node,
        button("locked", "Lock", () => trouble({ kind: "locked", vmid: Number(guest.get()), lock: "backup" })),
        button("guest_start", "Start", world("start")), button("guest_stop", "Stop", world("stop")),
        button("backup_fails", "Backup fails", backup(FAILS)), button("backup_ok", "Backup succeeds", backup("OK")),
        button("guest_memory", "Double its memory", drift), button("guest_destroy", "Destroy", world("destroy"))),
      line("Cluster", null, button("no_quorum", "No quorum", () => trouble({ kind: "no_quorum" })),
        button("end", "End all trouble", () => drop("/control/trouble"), "success")),
      el("p", { class: "dim" }, "Start, Stop, Double its memory and Destroy change the guest behind gantry's back."), error);
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
    setUrl(url, dnsUrl) {
      dns = dnsUrl ?? null;
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
