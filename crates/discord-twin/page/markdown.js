// Untrusted message content → DOM nodes: Discord's markdown subset, embeds, attachments, components.
// Nothing here ever parses HTML: text becomes text nodes, addresses must be http(s).

/** Builds an element: `class`, `data`, `on` and attributes in `props`; strings become text nodes. */
export function el(tag, props, ...kids) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "on") for (const [event, run] of Object.entries(value)) node.addEventListener(event, run);
    else if (key === "data") Object.assign(node.dataset, value);
    else if (key === "class") { if (value) node.className = value; }
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...kids.flat().filter((kid) => kid !== null && kid !== undefined && kid !== false && kid !== ""));
  return node;
}

/** The two elements everything is made of: a class and what is inside. */
export const div = (className, ...kids) => el("div", { class: className }, ...kids);
export const span = (className, ...kids) => el("span", { class: className }, ...kids);

/** An http(s) address as a string, or null. Everything else (javascript:, data:, …) is refused. */
export function safeUrl(text) {
  if (typeof text !== "string" || text === "") return null;
  try {
    const url = new URL(text, location.href);
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch {
    return null;
  }
}

// ---- time ---------------------------------------------------------------------------------

const FORMATS = {
  t: { timeStyle: "short" }, T: { timeStyle: "medium" },
  d: { dateStyle: "short" }, D: { dateStyle: "long" },
  f: { dateStyle: "long", timeStyle: "short" }, F: { dateStyle: "full", timeStyle: "short" },
};
const format = (date, style) => new Intl.DateTimeFormat(undefined, FORMATS[style]).format(date);
const UNITS = [["year", 31557600], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const relativeFormat = new Intl.RelativeTimeFormat("en", { numeric: "always" });

function relative(date) {
  const seconds = Math.round((date - Date.now()) / 1000);
  if (seconds === 0) return "now";
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size);
  return relativeFormat.format(Math.trunc(seconds / size), unit);
}

/** "Today at 14:03", "Yesterday at 09:12", or a date: the reader's own zone. */
function calendar(date) {
  const midnight = new Date().setHours(0, 0, 0, 0);
  if (date >= midnight && date < midnight + 86400000) return `Today at ${format(date, "t")}`;
  if (date < midnight && date >= midnight - 86400000) return `Yesterday at ${format(date, "t")}`;
  return `${format(date, "d")} ${format(date, "t")}`;
}

/** A `<time>`: style `R` keeps itself up to date through [`tick`], `calendar` is the message form. */
export function stamp(when, style = "calendar", className = "") {
  const date = new Date(when);
  if (Number.isNaN(date.getTime())) return span("", "Invalid date");
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const shown = style === "R" ? relative(date) : style === "calendar" ? calendar(date) : format(date, FORMATS[style] ? style : "f");
  const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" }).format(date);
  const title = `${exact} (${zone})`;
  return el("time", { class: className, datetime: date.toISOString(), title, data: style === "R" ? { rel: "" } : {} }, shown);
}

/** Refreshes every relative time on the page; called once a second. */
export function tick() {
  for (const node of document.querySelectorAll("time[data-rel]")) {
    const shown = relative(new Date(node.dateTime));
    if (node.textContent !== shown) node.textContent = shown;
  }
}

// ---- blocks -------------------------------------------------------------------------------

const FENCE = /```(?:([A-Za-z0-9+#._-]*)\n)?([\s\S]+?)\n?```/g;
const LIST = /^(\s*)([-*]|\d{1,9}\.) +(.*)$/;
const ANSI = /\u001b\[[0-9;]*m/g;
const DEEPEST = 8; // nesting beyond this is shown as plain text: a message cannot exhaust the stack

/** Full markdown (blocks and inline). `book` resolves names: {user(id), role(id), channel(id), onCommand(text)}. */
export function markdown(source, book, depth = 0) {
  const out = document.createDocumentFragment();
  const text = String(source ?? "");
  let at = 0;
  for (const match of text.matchAll(FENCE)) {
    lines(text.slice(at, match.index).replace(/\n$/, ""), book, out, depth);
    out.append(codeBlock(match[2], match[1]));
    at = match.index + match[0].length;
    if (text[at] === "\n") at += 1;
  }
  lines(text.slice(at), book, out, depth);
  return out;
}

function codeBlock(code, language) {
  const shown = el("code", { data: language ? { lang: language } : {} }, code.replace(ANSI, ""));
  return el("pre", { class: "code", tabindex: "0" }, shown);
}

function lines(text, book, out, depth) {
  if (!text) return;
  const rows = text.split("\n");
  let plain = [];
  const flush = () => {
    if (plain.some((row) => row !== "")) out.append(el("p", {}, inline(plain.join("\n"), book, depth)));
    plain = [];
  };
  for (let i = 0; i < rows.length; i += 1) {
    const row = rows[i];
    let match;
    if (depth < DEEPEST && row.startsWith(">>> ")) {
      flush();
      out.append(el("blockquote", {}, markdown([row.slice(4), ...rows.slice(i + 1)].join("\n"), book, depth + 1)));
      return;
    }
    if (depth < DEEPEST && /^> /.test(row)) {
      flush();
      const quoted = [];
      while (i < rows.length && /^>( |$)/.test(rows[i])) quoted.push(rows[i++].slice(2));
      i -= 1;
      out.append(el("blockquote", {}, markdown(quoted.join("\n"), book, depth + 1)));
    } else if ((match = /^(#{1,3}) +(.+)$/.exec(row))) {
      flush();
      out.append(el(`h${match[1].length + 2}`, { class: `h${match[1].length}` }, inline(match[2], book, depth)));
    } else if ((match = /^-# +(.+)$/.exec(row))) {
      flush();
      out.append(el("p", { class: "subtext" }, inline(match[1], book, depth)));
    } else if (LIST.test(row)) {
      flush();
      const items = [];
      const numbered = /\d/.test(LIST.exec(row)[2]);
      while (i < rows.length && (match = LIST.exec(rows[i]))) {
        if (match[1] === "" && /\d/.test(match[2]) !== numbered) break;
        items.push({ indent: match[1].length, mark: match[2], text: match[3] });
        i += 1;
      }
      i -= 1;
      out.append(list(items, book, depth));
    } else plain.push(row);
  }
  flush();
}

function list(items, book, depth) {
  const base = items[0].indent;
  const numbered = /\d/.test(items[0].mark);
  const node = el(numbered ? "ol" : "ul", { class: "list", start: numbered ? parseInt(items[0].mark, 10) : null });
  for (let i = 0; i < items.length; i += 1) {
    const item = el("li", {}, inline(items[i].text, book, depth));
    const nested = [];
    while (i + 1 < items.length && items[i + 1].indent > base) nested.push(items[(i += 1)]);
    if (nested.length > 0 && depth < DEEPEST) item.append(list(nested, book, depth + 1));
    node.append(item);
  }
  return node;
}

// ---- inline -------------------------------------------------------------------------------

const SPECIAL = /[\\`*_~|[<@]|https?:\/\//g;
const wrap = (...tags) => (inner) => tags.reduceRight((kid, tag) => el(tag, {}, kid), inner);
const PAIRS = [
  [/\*\*\*([^\s*](?:[\s\S]*?[^\s*])?)\*\*\*(?!\*)/y, wrap("strong", "em")],
  [/\*\*([\s\S]+?)\*\*(?!\*)/y, wrap("strong")],
  [/\*(?=[^\s*])((?:\*\*|\\[\s\S]|[^*\\])+?)(?<!\s)\*(?!\*)/y, wrap("em")],
  [/__([\s\S]+?)__(?!_)/y, wrap("u")],
  [/(?<!\w)_(?=[^\s_])((?:__|\\[\s\S]|[^_\\])+?)_(?!\w)/y, wrap("em")],
  [/~~([\s\S]+?)~~(?!~)/y, wrap("s")],
  [/\|\|([\s\S]+?)\|\|/y, spoiler],
];
const CODE = /(`+)([\s\S]*?[^`])\1(?!`)/y;
const MASKED = /\[((?:\\.|[^\]\\\n])+)\]\(<?(https?:\/\/[^\s<>)]+)>?(?: +"[^"\n]*")?\)/y;
const BARE = /https?:\/\/[^\s<>]*[^\s<>.,:;"'()[\]!?*_~|]/y;
const ANGLE = /<(?:t:(-?\d{1,13})(?::([tTdDfFR]))?|@!?(\d+)|@&(\d+)|#(\d+)|\/([^:<>]{1,110}):(\d+)|a?:(\w{2,32}):\d+|(https?:\/\/[^\s<>]+))>/y;
const EVERYONE = /@(?:everyone|here)\b/y;
const ESCAPE = /\\([^\w\s]|_)/y;

function take(pattern, text, at) {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

/** Inline markdown only (embed titles, field names, list items). */
export function inline(text, book, depth = 0) {
  const out = document.createDocumentFragment();
  let plain = "";
  const push = (node) => {
    if (plain) out.append(plain);
    plain = "";
    out.append(node);
  };
  let at = 0;
  while (at < text.length) {
    SPECIAL.lastIndex = at;
    const next = SPECIAL.exec(text);
    if (!next || depth > DEEPEST) {
      plain += text.slice(at);
      break;
    }
    plain += text.slice(at, next.index);
    at = next.index;
    const [node, length] = special(text, at, book, depth);
    if (typeof node === "string") plain += node;
    else push(node);
    at += length;
  }
  if (plain) out.append(plain);
  return out;
}

function special(text, at, book, depth) {
  let match;
  if ((match = take(ESCAPE, text, at))) return [match[1], match[0].length];
  if ((match = take(CODE, text, at))) {
    const code = match[2].replace(/^ (?=.*`)|(?<=`.*) $/g, "").replace(ANSI, "");
    return [el("code", { class: "tick" }, code), match[0].length];
  }
  for (const [pattern, build] of PAIRS) {
    if ((match = take(pattern, text, at))) return [build(inline(match[1], book, depth + 1)), match[0].length];
  }
  if ((match = take(MASKED, text, at))) return [link(match[2], inline(match[1], book, depth + 1)), match[0].length];
  if ((match = take(BARE, text, at))) return [link(match[0], match[0]), match[0].length];
  if ((match = take(EVERYONE, text, at))) return [span("mention", match[0]), match[0].length];
  if ((match = take(ANGLE, text, at))) return [angle(match, book), match[0].length];
  return [text[at], 1];
}

function angle([whole, unix, style, user, role, channel, command, , emoji, url], book) {
  if (unix !== undefined) return stamp(Number(unix) * 1000, style ?? "f", "stamp");
  if (user) return el("span", { class: "mention", title: user }, `@${book.user(user) ?? "unknown-user"}`);
  if (role) return el("span", { class: "mention", title: role }, `@${book.role(role) ?? "unknown-role"}`);
  if (channel) return el("span", { class: "mention", title: channel }, `#${book.channel(channel) ?? "unknown"}`);
  if (command) {
    const run = () => book.onCommand(`/${command}`);
    return el("button", { class: "mention command", type: "button", on: { click: run } }, `/${command}`);
  }
  if (emoji) return el("span", { title: whole }, `:${emoji}:`);
  return link(url, url);
}

function link(address, shown) {
  const href = safeUrl(address);
  if (!href) return span("", shown);
  return el("a", { href, target: "_blank", rel: "noopener noreferrer nofollow", title: address }, shown);
}

function spoiler(inner) {
  const reveal = (event) => {
    const node = event.currentTarget;
    if (node.classList.contains("shown")) return;
    if (event.type === "keydown" && event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    node.classList.add("shown");
    node.removeAttribute("role");
    node.removeAttribute("aria-label");
  };
  const props = { class: "spoiler", role: "button", tabindex: "0", "aria-label": "Spoiler, press to reveal" };
  return el("span", { ...props, on: { click: reveal, keydown: reveal } }, span("", inner));
}

// ---- embeds and attachments ---------------------------------------------------------------

const colour = (number) => `#${(number & 0xffffff).toString(16).padStart(6, "0")}`;

function mediaUrl(address, message) {
  const named = /^attachment:\/\/(.+)$/.exec(address ?? "");
  if (!named) return safeUrl(address);
  const file = (message.attachments ?? []).find((item) => item.filename === named[1]);
  return file ? safeUrl(file.url) : null;
}

function picture(address, message, className, alt) {
  const src = mediaUrl(address, message);
  if (!src) return null;
  const image = el("img", { class: className, src, alt: alt ?? "", loading: "lazy" });
  image.addEventListener("error", () => image.replaceWith(span("no-image", "image not available")));
  return image;
}

/** Groups consecutive inline fields into rows of up to three, as the real client does. */
function fields(list, book) {
  const grid = div("fields");
  let row = [];
  const flush = () => {
    for (const node of row) node.dataset.span = String(12 / row.length);
    row = [];
  };
  for (const field of list) {
    const node = el("div", { class: "field" },
      div("field-name", inline(field.name, book)),
      div("field-value md", markdown(field.value, book)));
    if (!field.inline) flush();
    row.push(node);
    if (!field.inline || row.length === 3) flush();
    grid.append(node);
  }
  flush();
  return grid;
}

/** One embed. */
export function embed(data, message, book) {
  const node = el("article", { class: "embed", data: { testid: "embed" } });
  if (data.color !== null && data.color !== undefined) node.style.setProperty("--bar", colour(data.color));
  const body = div("embed-body");
  if (data.author?.name) {
    const icon = picture(data.author.icon_url, message, "embed-icon");
    body.append(div("embed-author", icon, data.author.url ? link(data.author.url, data.author.name) : data.author.name));
  }
  if (data.title) {
    const title = inline(data.title, book);
    body.append(div("embed-title", data.url ? link(data.url, title) : title));
  }
  if (data.description) body.append(div("embed-text md", markdown(data.description, book)));
  if (data.fields?.length) body.append(fields(data.fields, book));
  node.append(div("embed-cols", body, picture(data.thumbnail?.url, message, "embed-thumb", "thumbnail")));
  const image = picture(data.image?.url, message, "embed-image", data.title ?? "embedded image");
  if (image) node.append(image);
  if (data.footer?.text || data.timestamp) {
    node.append(el("footer", { class: "embed-footer" },
      picture(data.footer?.icon_url, message, "embed-icon"),
      data.footer?.text ? span("", data.footer.text) : null,
      data.footer?.text && data.timestamp ? el("span", { "aria-hidden": "true" }, "•") : null,
      data.timestamp ? stamp(data.timestamp) : null));
  }
  return node;
}

export function bytes(count) {
  if (!Number.isFinite(count)) return "?";
  const step = count < 1024 ? 0 : Math.min(5, Math.floor(Math.log2(count) / 10));
  return `${(count / 1024 ** step).toFixed(step > 0 && count / 1024 ** step < 100 ? 1 : 0)} ${["B", "KiB", "MiB", "GiB", "TiB", "PiB"][step]}`;
}

/** Attachments that no embed shows: pictures inline, everything else as a download card. */
export function attachments(message) {
  const used = new Set();
  for (const item of message.embeds ?? []) {
    for (const media of [item.image, item.thumbnail, item.author && { url: item.author.icon_url }, item.footer && { url: item.footer.icon_url }]) {
      if (media?.url) used.add(media.url.replace(/^attachment:\/\//, ""));
    }
  }
  const shown = (message.attachments ?? []).filter((file) => !used.has(file.filename) && !used.has(file.url));
  return shown.map((file) => {
    const href = safeUrl(file.url);
    if (href && /^image\/(png|jpe?g|gif|webp)/.test(file.content_type ?? "")) {
      const open = { href, target: "_blank", rel: "noopener noreferrer", class: "shot" };
      return el("a", open, picture(file.url, message, "shot-image", file.description ?? file.filename));
    }
    return el("div", { class: "file" },
      el("span", { class: "file-icon", "aria-hidden": "true" }, (file.filename.split(".").pop() ?? "").slice(0, 4)),
      el("div", { class: "file-text" },
        el("div", { class: "clip", title: file.filename }, href ? el("a", { href, download: file.filename }, file.filename) : file.filename),
        div("dim", bytes(file.size))));
  });
}

// ---- components ---------------------------------------------------------------------------

const STYLES = { 1: "primary", 2: "secondary", 3: "success", 4: "danger" };
const emojiText = (emoji) => (emoji ? (emoji.id ? `:${emoji.name}:` : emoji.name) : null);

/** A component tree: rows of buttons and selects, and the containers of components v2.
 *  `desk`: {book, sending: custom_id|undefined, press(customId, values?), choicesOf(type)}. */
export function component(part, desk) {
  const inner = (list) => (list ?? []).map((one) => component(one, desk)).filter(Boolean);
  const media = (item, className) => picture(item?.media?.url, {}, className, item?.description);
  switch (part.type) {
    case 1: return div("row", inner(part.components));
    case 2: return button(part, desk);
    case 3: case 5: case 6: case 7: case 8: return select(part, desk);
    case 9: return div("section", div("", inner(part.components)), inner(part.accessory ? [part.accessory] : []));
    case 10: return div("md", markdown(part.content, desk.book));
    case 11: return media(part, "embed-thumb");
    case 12: return div("row", (part.items ?? []).map((item) => media(item, "shot-image")));
    case 14: return el("hr");
    case 17: {
      const node = div("embed container", inner(part.components));
      if (part.accent_color) node.style.setProperty("--bar", colour(part.accent_color));
      return node;
    }
    default: return null;
  }
}

function button(part, desk) {
  const emoji = emojiText(part.emoji);
  const label = [emoji && span("emoji", emoji), part.label && span("", part.label)];
  if (part.style === 5) {
    const href = part.disabled ? null : safeUrl(part.url);
    const props = { class: "btn link", href, "aria-disabled": href ? null : "true", target: "_blank", rel: "noopener noreferrer" };
    return el("a", props, label, el("span", { "aria-hidden": "true" }, "↗"));
  }
  const sending = desk.sending === part.custom_id ? " sending" : "";
  return el("button", {
    type: "button", class: `btn ${STYLES[part.style] ?? "secondary"}${sending}`, disabled: Boolean(part.disabled),
    "aria-disabled": desk.sending ? "true" : null, data: { focus: part.custom_id, customId: part.custom_id },
    on: { click: () => desk.press(part.custom_id) },
  }, label);
}

function select(part, desk) {
  const choices = part.type === 3 ? part.options ?? [] : desk.choicesOf(part.type);
  const now = choices.filter((choice) => choice.default).map((choice) => choice.label).join(", ");
  const open = (event) => openSelect(event.currentTarget, part, choices, (values) => desk.press(part.custom_id, values));
  return el("button", {
    type: "button", class: "select", "aria-haspopup": "listbox", disabled: Boolean(part.disabled),
    data: { testid: "select", focus: part.custom_id, customId: part.custom_id }, on: { click: open },
  }, el("span", { class: now ? "clip" : "clip dim" }, now || part.placeholder || "Make a selection"),
    el("span", { "aria-hidden": "true" }, desk.sending === part.custom_id ? "…" : "▾"));
}

/** The floating list of a select menu: one value is sent at once, several when it closes. */
function openSelect(anchor, part, choices, done) {
  const many = (part.max_values ?? 1) > 1;
  const picked = new Set(choices.filter((choice) => choice.default).map((choice) => choice.value));
  const before = [...picked].join();
  const close = (send) => {
    back.remove();
    anchor.focus();
    if (send && picked.size >= (part.min_values ?? 1) && (!many || [...picked].join() !== before)) done([...picked]);
  };
  const toggle = (choice, row) => {
    if (!many) { picked.clear(); picked.add(choice.value); return close(true); }
    if (picked.has(choice.value)) picked.delete(choice.value);
    else if (picked.size < part.max_values) picked.add(choice.value);
    row.setAttribute("aria-selected", String(picked.has(choice.value)));
  };
  const rows = choices.map((choice) => {
    const emoji = emojiText(choice.emoji);
    const text = span("option-text", span("", choice.label), choice.description ? span("dim", choice.description) : null);
    const props = { role: "option", tabindex: "-1", class: "option", "aria-selected": String(picked.has(choice.value)) };
    const row = el("li", { ...props, on: { click: () => toggle(choice, row) } }, emoji ? span("", emoji) : null, text,
      el("span", { class: "tick-mark", "aria-hidden": "true" }, "✓"));
    return row;
  });
  const props = { class: "listbox", role: "listbox", "aria-multiselectable": String(many), "aria-label": part.placeholder ?? "Options" };
  const list = el("ul", { ...props, data: { testid: "select-list" } }, rows);
  const box = div("popover", list, many ? el("button", { class: "btn primary", type: "button", on: { click: () => close(true) } }, "Done") : null);
  const back = el("div", { class: "popover-back", on: { pointerdown: (event) => event.target === back && close(many) } }, box);
  box.addEventListener("keydown", (event) => {
    const at = rows.indexOf(document.activeElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) rows[(at + step + rows.length) % rows.length].focus();
    else if (event.key === "Escape" || (event.key === "Tab" && !many)) close(false);
    else if ((event.key === "Enter" || event.key === " ") && at >= 0) toggle(choices[at], rows[at]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  document.getElementById("layer").append(back);
  const place = anchor.getBoundingClientRect();
  const width = Math.min(Math.max(place.width, 260), innerWidth - 16);
  const height = Math.min(box.scrollHeight, 320);
  const top = place.bottom + 4 + height < innerHeight ? place.bottom + 4 : Math.max(8, place.top - height - 4);
  Object.assign(box.style, { left: `${Math.max(8, Math.min(place.left, innerWidth - width - 8))}px`, top: `${top}px`, width: `${width}px` });
  (rows.find((row) => row.getAttribute("aria-selected") === "true") ?? rows[0])?.focus();
}
