// The demo page: a small chat client over the twin's control API. It holds no truth of its own –
// every event only says "read again", and what is drawn is what the last read returned.
//
// Hooks for tests (data-testid): messages, message (with data-message-id, data-author, data-thinking), embed, select,
// select-list, dismiss, composer, composer-error, suggestions, persona-<admin|operator|viewer>, modal, modal-submit,
// modal-cancel, modal-error, member, banner-<bot|stream|read>, panel-toggle, panel, node, guest, task, trouble, trouble-<kind>.
// `?as=operator` chooses the persona, `?panel=1` opens the cluster panel, `?channel=alerts` a channel.

import { attachments, component, div, el, embed, markdown, span, stamp, tick } from "./markdown.js";
import { openModal, startComposer } from "./composer.js";
import { drawChannels, drawMembers, drawPersonas, startPanel } from "./panel.js";

const PERSONAS = [["admin", "ada"], ["operator", "olga"], ["viewer", "vic"]];
const ANSWER_MS = 10_000; // the twin answers interactions within 3 s; beyond this the server is gone
const GROUP_MS = 7 * 60_000; // messages of one author this close together share one header
const EVENTS = ["message_create", "message_update", "message_delete", "interaction_failed", "bot_online", "bot_offline", "commands_changed"];
const TRY = ["/help", "/guest list", "/pod create", "/cluster status"]; // hints in an empty channel
const DISMISSED = "gantry.dismissed";
const $ = (id) => document.getElementById(id);
const params = new URLSearchParams(location.search);

const state = { control: null, guild: null, channel: null, people: [], persona: null, commands: [] };
const nodes = new Map(); // message id → its list item
const notes = new Map(); // message id → what went wrong with the last press on it
const busy = new Map(); // message id → custom_id being sent
const pending = new Map(); // local id → a command not answered yet, or one that failed
const unread = new Set(); // channels with something new
const dismissed = new Set(JSON.parse(sessionStorage.getItem(DISMISSED) ?? "[]"));
const last = { key: "", list: [], ids: new Set(), failed: null };

// ---- reading ------------------------------------------------------------------------------

/** One call to the control API. Errors become one sentence for the person. */
async function api(path, { method, body, signal } = {}) {
  const limit = AbortSignal.timeout(ANSWER_MS);
  let answer;
  try {
    answer = await fetch(path, {
      method: method ?? (body ? "POST" : "GET"), cache: "no-store",
      headers: body ? { "content-type": "application/json" } : {}, body: body ? JSON.stringify(body) : undefined,
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
  } catch (problem) {
    if (problem.name === "TimeoutError") throw new Error("The demo server took too long to answer.");
    throw new Error("The demo server does not answer. Is it still running?");
  }
  const data = await answer.json().catch(() => null);
  if (!answer.ok) throw new Error(data?.error ?? `The demo server answered ${answer.status}.`);
  return data;
}

/** Runs `work` at most once at a time; calls in between make it run once more. */
function coalesced(work) {
  let running = null;
  let again = false;
  const start = async () => {
    do { again = false; await work(); } while (again);
    running = null;
  };
  return () => { again = true; return (running ??= start()); };
}

const readState = coalesced(async () => {
  try {
    const control = await api("/control/state");
    state.control = control;
    state.guild = control.guilds.find((guild) => guild.id === state.guild?.id) ?? control.guilds[0] ?? null;
    state.channel = textChannels().find((channel) => channel.id === state.channel?.id) ?? textChannels().find((channel) => channel.name === params.get("channel")) ?? textChannels()[0] ?? null;
    state.people = findPeople();
    const wanted = params.get("as") ?? localStorage.getItem("gantry.as") ?? "admin";
    state.persona = state.people.find((one) => one.key === wanted) ?? state.people[0] ?? null;
    panel.setUrl(control.panel_url, control.dns_url);
    drawFrame();
  } catch (problem) {
    last.failed = problem.message;
    drawMessages();
  }
});

const readMessages = coalesced(async () => {
  const { channel, persona } = state;
  if (!channel || !persona) return drawMessages();
  const key = `${channel.id}/${persona.id}`;
  try {
    const answer = await api(`/control/channels/${channel.id}/messages?as=${persona.id}&limit=100`);
    if (key !== `${state.channel?.id}/${state.persona?.id}`) return;
    const fresh = last.key === key ? answer.filter((message) => !last.ids.has(message.id)) : [];
    Object.assign(last, { key, list: answer, ids: new Set(answer.map((message) => message.id)), failed: null });
    for (const message of fresh) announce(message);
    drawMessages(fresh.length);
  } catch (problem) {
    last.failed = problem.message;
    drawMessages();
  }
});

const readCommands = coalesced(async () => {
  if (!state.guild || !state.persona) return;
  try {
    state.commands = await api(`/control/commands?guild=${state.guild.id}&as=${state.persona.id}`);
    composer.setCommands(state.commands);
    drawIntro();
  } catch { /* the next event or reconnect reads again; the server checks every command anyway */ }
});

const readAll = async () => { await readState(); await Promise.all([readMessages(), readCommands()]); };

let source = null;
function listen(delay = 500) {
  source = new EventSource("/control/events");
  source.onopen = () => { delay = 500; setBanner("stream", null); readAll(); };
  source.onerror = () => {
    setBanner("stream", "Lost the connection to the demo server – reconnecting…", "warn");
    if (source.readyState !== EventSource.CLOSED) return; // the browser retries by itself
    setTimeout(() => listen(Math.min(delay * 2, 5000)), delay);
  };
  const handle = (event) => {
    const data = JSON.parse(event.data);
    if (/^message_|^interaction_failed/.test(data.type)) {
      if (data.channel_id === state.channel?.id) readMessages();
      else if (data.type === "message_create") { unread.add(data.channel_id); drawChannels(desk); }
    } else if (/^bot_/.test(data.type)) { readState(); readCommands(); }
    else if (data.type === "commands_changed") readCommands();
    else if (data.type !== "modal_open") readAll();
  };
  source.onmessage = handle;
  for (const name of EVENTS) source.addEventListener(name, handle); // the same, should they be named events
}

// ---- names --------------------------------------------------------------------------------

const members = () => state.guild?.members ?? [];
const member = (id) => members().find((one) => one.user.id === id);
const shownName = (one) => one?.nick ?? one?.user.global_name ?? one?.user.username;
const channelOf = (id) => state.guild?.channels.find((channel) => channel.id === id);
/** In the order of the list, threads last: the first one is where a visitor starts. */
function textChannels() {
  const place = (one) => [one.type >= 10 ? 1 : 0, channelOf(one.parent_id)?.position ?? -1, one.position];
  return (state.guild?.channels ?? []).filter((channel) => [0, 5, 10, 11, 12].includes(channel.type)).sort((a, b) => {
    const [x, y] = [place(a), place(b)];
    return x[0] - y[0] || x[1] - y[1] || x[2] - y[2];
  });
}
const role = (id) => state.guild?.roles.find((one) => one.id === id);
const rank = (one) => one.roles.map(role).filter(Boolean).sort((a, b) => b.position - a.position)[0];
const botName = () => shownName(member(state.control?.application?.bot?.id)) ?? state.control?.application?.bot?.username ?? "gantry";

const names = {
  user: (id) => shownName(member(id)),
  role: (id) => role(id)?.name,
  channel: (id) => channelOf(id)?.name,
  onCommand: (text) => composer.fill(`${text} `),
};

/** The demo members one can act as: by their role's name, by their own, else every human there is. */
function findPeople() {
  const humans = members().filter((one) => !one.user.bot);
  const words = (one) => `${one.user.username} ${shownName(one)}`.toLowerCase();
  const found = PERSONAS.map(([key, first]) => {
    const one = humans.find((human) => words(human).includes(key) || words(human).split(/[\s_.-]/).includes(first))
      ?? humans.find((human) => human.roles.some((id) => role(id)?.name.toLowerCase() === key));
    return one && { key, id: one.user.id, name: shownName(one).replace(/\s*\(.*\)$/, ""), part: key, member: one };
  }).filter(Boolean);
  if (found.length > 0) return found;
  return humans.slice(0, 6).map((one) => (
    { key: one.user.username, id: one.user.id, name: shownName(one), part: rank(one)?.name ?? "", member: one }));
}

function hue(text) {
  let hash = 7;
  for (const letter of text) hash = (hash * 31 + letter.codePointAt(0)) % 360;
  return hash;
}

function avatar(user, size = "") {
  const node = el("span", { class: `avatar ${size}`, "aria-hidden": "true" }, [...(user.global_name ?? user.username ?? "?")][0].toUpperCase());
  const tint = nameColour(user.id);
  node.style.setProperty("--tint", tint ? `color-mix(in srgb, ${tint} 55%, #141822)` : `hsl(${hue(user.id + user.username)} 42% 38%)`);
  if (user.id === state.control?.application?.bot?.id) node.classList.add("is-bot");
  return node;
}

function nameColour(id) {
  const tint = member(id)?.roles.map(role).filter((one) => one?.color).sort((a, b) => b.position - a.position)[0]?.color;
  return tint ? `#${tint.toString(16).padStart(6, "0")}` : null;
}

function named(id, text, className) {
  const node = el("span", { class: className, title: text }, text);
  const tint = nameColour(id);
  if (tint) node.style.color = tint;
  return node;
}

// ---- frame ----------------------------------------------------------------------------------

function drawFrame() {
  const { control, guild, channel, persona } = state;
  $("servers").replaceChildren(...control.guilds.map((one) => el("li", {}, el("button", {
    type: "button", class: "server", title: one.name, "aria-label": one.name, "aria-current": one.id === guild?.id ? "true" : null,
    on: { click: () => { state.guild = one; state.channel = null; readAll(); } },
  }, one.icon_text ?? one.name.slice(0, 2)))));
  $("guild-name").textContent = guild?.name ?? "No server";
  $("guild-name").title = guild?.name ?? "";
  $("channel-name").textContent = channel?.name ?? "no channel";
  $("channel-name").title = channel?.name ?? "";
  $("topic").textContent = $("topic").title = channel?.topic ?? "";
  document.title = channel ? `#${channel.name} · ${guild.name}` : "gantry demo";
  setBanner("bot", control.bot_online ? null : `${botName()} is offline — restarting?`, "bad");
  if (channel) composer.setHint(`Message #${channel.name} – type / for commands`);
  const nameplate = persona && div("me-text", el("div", { class: "clip", title: persona.name }, persona.name), div("dim", persona.part));
  $("me").replaceChildren(...(persona ? [avatar(persona.member.user), nameplate] : []));
  drawPersonas(desk);
  drawChannels(desk);
  drawMembers(desk);
  drawMessages();
}

function become(one) {
  if (one.key === state.persona?.key) return;
  state.persona = one;
  localStorage.setItem("gantry.as", one.key);
  setParam("as", one.key);
  notes.clear();
  pending.clear();
  drawFrame();
  readMessages();
  readCommands();
}

function setParam(key, value) {
  if (value === null) params.delete(key); else params.set(key, value);
  const query = params.toString();
  window.history.replaceState(null, "", query ? `?${query}` : location.pathname);
}

function openChannel(id) {
  const channel = textChannels().find((one) => one.id === id);
  if (!channel) return;
  state.channel = channel;
  unread.delete(id);
  notes.clear();
  pending.clear();
  setDrawer("channels", false);
  drawFrame();
  readMessages();
}

// ---- messages -----------------------------------------------------------------------------

const scroller = $("scroller");
let stuck = true; // the reader is at the bottom and wants to stay there
let putAt = 0; // where we last scrolled to: above it, the reader has moved since
let fresh = 0; // messages that came while the reader was further up

function atBottom() { return scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 48; }
function toBottom() { scroller.scrollTop = scroller.scrollHeight; putAt = scroller.scrollTop; stuck = true; fresh = 0; drawJump(); }
/** Notices that the reader scrolled up even when the scroll event is still to come. */
function notice() { if (scroller.scrollTop < putAt - 2 && !atBottom()) stuck = false; }
function follow() { notice(); if (stuck) toBottom(); }
function drawJump() {
  $("jump").hidden = stuck;
  $("jump").textContent = fresh > 0 ? `${fresh} new message${fresh > 1 ? "s" : ""} ↓` : "Jump to the latest ↓";
  $("jump").classList.toggle("has-new", fresh > 0);
}

function announce(message) {
  if (message.author.id === state.persona?.id) return;
  const first = message.embeds?.[0];
  const said = [message.content, first?.title, first?.description].filter(Boolean).join(". ");
  $("live").textContent = `${message.author.username}: ${said.slice(0, 240)}`;
}

function drawMessages(added = 0) {
  const { channel, persona } = state;
  const ready = last.key === `${channel?.id}/${persona?.id}`;
  setBanner("read", banners.has("stream") ? null : last.failed, "warn");
  if (!ready) {
    nodes.clear();
    $("intro").hidden = true;
    $("messages").replaceChildren(...(last.failed ? [] : [72, 46, 88, 60].map(skeleton)));
    scroller.setAttribute("aria-busy", "true");
    stuck = true;
    putAt = 0;
    return;
  }
  scroller.removeAttribute("aria-busy");
  const known = new Set(last.list.map((message) => message.twin?.interaction?.id));
  const local = [...pending.values()].filter((message) => !known.has(message.twin.interaction.id));
  const shown = [...last.list.filter((message) => !dismissed.has(message.id)), ...local];
  const wanted = [];
  let previous = null;
  for (const message of shown) {
    const day = new Date(message.timestamp).toDateString();
    if (previous && day !== new Date(previous.timestamp).toDateString()) {
      wanted.push(keep(`day ${day}`, "", (node) => {
        node.className = "day";
        node.replaceChildren(span("", stamp(new Date(message.timestamp).setHours(12), "D")));
      }));
      previous = null;
    }
    const compact = Boolean(previous) && follows(previous, message);
    const sign = JSON.stringify([message, compact, notes.get(message.id), busy.get(message.id), state.control?.bot_online]);
    wanted.push(keep(message.id, sign, (node) => fillMessage(node, message, compact)));
    previous = message;
  }
  const list = $("messages");
  const ids = new Set(wanted.map((node) => node.dataset.key));
  notice();
  for (const node of [...list.children]) if (!ids.has(node.dataset.key) || nodes.get(node.dataset.key) !== node) { node.remove(); }
  for (const key of nodes.keys()) if (!ids.has(key)) nodes.delete(key);
  wanted.forEach((node, index) => list.children[index] !== node && list.insertBefore(node, list.children[index] ?? null));
  drawIntro();
  if (stuck) toBottom();
  else { fresh += added; drawJump(); }
}

function keep(key, sign, fill) {
  let node = nodes.get(key);
  if (!node) nodes.set(key, (node = el("div", { data: { key } })));
  if (node.sign !== sign) {
    const focus = node.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
    fill(node);
    node.sign = sign;
    if (focus) [...node.querySelectorAll("[data-focus]")].find((one) => one.dataset.focus === focus)?.focus({ preventScroll: true });
  }
  return node;
}

function follows(before, message) {
  const headed = message.twin?.interaction?.name || message.referenced_message || message.twin?.ephemeral_for || before.twin?.ephemeral_for;
  return !headed && before.author.id === message.author.id && new Date(message.timestamp) - new Date(before.timestamp) < GROUP_MS;
}

function skeleton(width) {
  const bar = (className, size) => { const node = span(className); node.style.width = size; return node; };
  const text = div("", bar("bone", "22%"), bar("bone", `${width}%`), bar("bone", `${width / 2}%`));
  return el("div", { class: "skeleton", "aria-hidden": "true" }, span("bone round"), text);
}

/** The small line above a message: who caused it. */
function used(user, word, what) {
  return div("used", avatar(user, "tiny"), named(user.id, names.user(user.id) ?? user.username, "used-name"), ` ${word} `, what);
}

function fillMessage(node, message, compact) {
  const twin = message.twin ?? {};
  const { author } = message;
  node.className = `message${compact ? " compact" : ""}${twin.ephemeral_for ? " ephemeral" : ""}${twin.local ? " local" : ""}`;
  node.setAttribute("role", "article");
  Object.assign(node.dataset, { testid: "message", messageId: message.id, author: author.username, thinking: String(Boolean(twin.thinking)) });
  const parts = [];
  if (twin.interaction?.name) {
    const user = member(twin.interaction.user_id)?.user ?? { id: twin.interaction.user_id, username: "someone" };
    parts.push(used(user, "used", span("mention", twin.interaction.name)));
  } else if (message.referenced_message) {
    const to = message.referenced_message;
    parts.push(used(to.author, "", span("clip", to.content || to.embeds?.[0]?.title || "a message")));
  }
  const body = div("message-body");
  if (!compact) {
    body.append(div("message-head", named(author.id, names.user(author.id) ?? author.global_name ?? author.username, "author"),
      author.bot ? span("app-tag", "APP") : null, stamp(message.timestamp, "calendar", "when")));
  }
  body.append(...content(message));
  parts.push(div("message-row", compact ? stamp(message.timestamp, "t", "when gutter") : avatar(author), body));
  node.replaceChildren(...parts);
}

function content(message) {
  const twin = message.twin ?? {};
  const out = [];
  const editedAt = message.edited_timestamp ? new Date(message.edited_timestamp).toString() : "edited";
  const edited = twin.edited ? el("span", { class: "edited", title: editedAt }, "(edited)") : null;
  if (twin.thinking) {
    const dots = el("span", { class: "dots", "aria-hidden": "true" }, el("i"), el("i"), el("i"));
    out.push(div("thinking", dots, twin.local ? "Sending command…" : `${botName()} is thinking…`));
  }
  if (message.content) out.push(div("md content", markdown(message.content, names), edited));
  out.push(...attachments(message), ...(message.embeds ?? []).map((data) => embed(data, message, names)));
  const desk = { book: names, sending: busy.get(message.id), choicesOf, press: (customId, values) => press(message, customId, values) };
  out.push(...(message.components ?? []).map((part) => component(part, desk)).filter(Boolean));
  if (edited && !message.content && out.length > 0) out.push(div("", edited));
  if (message.reactions?.length) {
    out.push(div("reactions", message.reactions.map(({ emoji, count, me }) => span(me ? "reaction mine" : "reaction",
      emoji.id ? `:${emoji.name}:` : emoji.name, el("b", {}, String(count))))));
  }
  if (message.thread) {
    const { id, name, message_count: count } = message.thread;
    const open = { click: () => openChannel(id) };
    out.push(el("button", { class: "thread-card", type: "button", on: open }, el("b", { class: "clip" }, name), span("dim", `${count ?? 0} ${count === 1 ? "message" : "messages"} ›`)));
  }
  const failed = notes.get(message.id) ?? twin.failed;
  if (failed) out.push(el("div", { class: "failed", role: "status" }, failed));
  if (twin.ephemeral_for || twin.dismissable) {
    const drop = () => {
      dismissed.add(message.id);
      pending.delete(message.id);
      sessionStorage.setItem(DISMISSED, JSON.stringify([...dismissed].slice(-200)));
      drawMessages();
    };
    const props = { type: "button", class: "as-link", data: { testid: "dismiss", focus: "dismiss" }, on: { click: drop } };
    out.push(div("only-you", el("span", { "aria-hidden": "true" }, "◉"), " Only you can see this · ", el("button", props, "Dismiss message")));
  }
  return out;
}

function drawIntro() {
  const box = $("intro");
  const { channel } = state;
  box.hidden = !channel || last.key !== `${channel.id}/${state.persona?.id}`;
  if (box.hidden || last.list.length >= 100) { box.hidden = true; return; }
  const empty = last.list.length === 0 && pending.size === 0;
  const leaves = composer.leaves();
  const tries = TRY.filter((text) => leaves.length === 0 || leaves.some((leaf) => leaf.text === text));
  const chip = (text) => el("button", { class: "try", type: "button", on: { click: () => composer.fill(`${text} `) } }, text);
  box.replaceChildren(el("div", { class: "intro-mark", "aria-hidden": "true" }, "#"), el("h2", {}, `This is the start of #${channel.name}`),
    el("p", { class: "dim" }, channel.topic || "Everything said here goes to the real bot; only the cluster behind it is simulated."),
    div("tries", span("dim", empty ? "Nothing here yet. Try" : "Try"), tries.map(chip)));
}

// ---- interactions -------------------------------------------------------------------------

/** What the choices of a user, role or channel select are here. */
function choicesOf(type) {
  const people = members().map((one) => ({ label: shownName(one), value: one.user.id, description: one.user.username }));
  const roles = (state.guild?.roles ?? []).map((one) => ({ label: `@${one.name.replace(/^@/, "")}`, value: one.id }));
  const channels = textChannels().map((one) => ({ label: `#${one.name}`, value: one.id }));
  return { 5: people, 6: roles, 7: [...people, ...roles], 8: channels }[type] ?? [];
}

async function press(message, customId, values) {
  if (busy.has(message.id)) return;
  busy.set(message.id, customId);
  notes.delete(message.id);
  drawMessages();
  try {
    const body = { message_id: message.id, user_id: state.persona.id, custom_id: customId, ...(values ? { values } : {}) };
    const outcome = await api("/control/interactions/component", { body });
    if (outcome.outcome === "modal") showModal(outcome);
    else if (outcome.outcome === "failed") notes.set(message.id, `This interaction failed.${outcome.error ? ` ${outcome.error}` : ""}`);
  } catch (problem) {
    notes.set(message.id, problem.message);
  } finally {
    busy.delete(message.id);
    await readMessages();
    drawMessages();
  }
}

function showModal(outcome) {
  const modal = { interaction_id: outcome.interaction_id, ...outcome.modal };
  openModal(modal, { names, botName }, async (values) => {
    try {
      const outcome = await api("/control/interactions/modal", { body: { interaction_id: modal.interaction_id, user_id: state.persona.id, values } });
      readMessages();
      return outcome.outcome === "failed" ? outcome.error || "Something went wrong. Try again." : null;
    } catch (problem) {
      return problem.message;
    }
  });
}

/** Sends what was typed. Returns the sentence to show under the composer, or null. */
async function run(text) {
  if (!text.startsWith("/")) return say(text);
  const { bot } = state.control.application;
  const id = `local-${Date.now()}-${pending.size}`;
  const name = composer.leaves().find((leaf) => leaf.pattern.test(text))?.text ?? text.split(" ")[0];
  const interaction = { id, user_id: state.persona.id, name };
  const twin = { thinking: true, local: true, interaction };
  const line = { id, author: { ...bot, bot: true }, content: "", timestamp: new Date().toISOString(), twin };
  const timer = setTimeout(() => { pending.set(id, line); toBottom(); drawMessages(); }, 250);
  toBottom();
  try {
    const outcome = await api("/control/interactions/command", { body: { ...place(), text } });
    pending.delete(id);
    if (outcome.outcome === "modal") showModal(outcome);
    if (outcome.outcome === "failed") {
      const failed = outcome.error || "The application did not respond.";
      pending.set(id, { ...line, twin: { interaction: { ...interaction, id: outcome.interaction_id }, failed, dismissable: true } });
    }
    return null;
  } catch (problem) {
    pending.delete(id);
    return problem.message;
  } finally {
    clearTimeout(timer);
    await readMessages();
    drawMessages();
  }
}

async function say(content) {
  toBottom();
  try {
    await api("/control/messages", { body: { channel_id: state.channel.id, user_id: state.persona.id, content } });
    await readMessages();
    return null;
  } catch (problem) {
    return problem.message;
  }
}

const place = () => ({ guild_id: state.guild?.id, channel_id: state.channel?.id, user_id: state.persona?.id });

// ---- banners, drawers, start --------------------------------------------------------------

const banners = new Map();
function setBanner(key, text, kind = "warn") {
  if ((banners.get(key)?.text ?? null) === (text ?? null)) return;
  if (text) banners.set(key, { text, kind }); else banners.delete(key);
  const draw = ([name, one]) => el("div", { class: `banner ${one.kind}`, data: { testid: `banner-${name}` } }, one.text);
  $("banners").replaceChildren(...[...banners].map(draw));
}

const DRAWERS = ["channels", "members", "cluster"];
const wide = () => innerWidth >= 1100; // as in style.css: columns, not drawers
function setDrawer(name, on) {
  if (on && !wide()) for (const other of DRAWERS) if (other !== name) setDrawer(other, false);
  document.body.dataset[name] = on ? "on" : "off";
  $(`toggle-${name}`).setAttribute("aria-expanded", String(on));
  if (name !== "cluster") return;
  panel.setOpen(on);
  setParam("panel", on ? "1" : null);
}

const desk = { state, unread, members, rank, shownName, avatar, named, become, openChannel, closeMembers: () => setDrawer("members", false) };
const panel = startPanel($("panel"), { close: () => setDrawer("cluster", false) });
const composer = startComposer({
  api, place, run,
  members: () => members().map((one) => ({ name: `@${shownName(one)}`, value: one.user.username })),
  channels: () => textChannels().map((one) => ({ name: `#${one.name}`, value: one.name })),
  roles: () => (state.guild?.roles ?? []).map((one) => ({ name: `@${one.name.replace(/^@/, "")}`, value: one.name })),
});

const shutDrawers = () => DRAWERS.forEach((name) => setDrawer(name, false));
let wasWide = wide();
addEventListener("resize", () => {
  if (wasWide && !wide()) shutDrawers(); // what was a column would lie over the conversation
  wasWide = wide();
});
for (const name of DRAWERS) $(`toggle-${name}`).addEventListener("click", () => setDrawer(name, document.body.dataset[name] !== "on"));
$("scrim").addEventListener("click", shutDrawers);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !wide() && event.target !== $("composer")) shutDrawers();
  const typing = /^(input|textarea|select)$/i.test(event.target.tagName) || $("layer").hasChildNodes();
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  composer.fill("/");
});
scroller.addEventListener("scroll", () => { stuck = atBottom(); if (stuck) fresh = 0; drawJump(); });
$("jump").addEventListener("click", toBottom);
for (const node of [$("messages"), scroller]) new ResizeObserver(follow).observe(node);
setInterval(tick, 1000);

setDrawer("members", wide());
setDrawer("cluster", params.get("panel") === "1");
drawMessages();
listen();
