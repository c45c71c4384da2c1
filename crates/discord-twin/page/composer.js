// What a person types: the slash composer (text is the only state; suggestions and chips are
// computed from it, so typed, pasted and clicked commands are the same thing) and modal dialogs.

import { div, el, markdown, span } from "./markdown.js";

const DEBOUNCE_MS = 150; // autocomplete waits for a pause in typing
const SHOWN = 60; // suggestions drawn at once
const TYPE = { SUB: 1, GROUP: 2, STRING: 3, INTEGER: 4, BOOLEAN: 5, USER: 6, CHANNEL: 7, ROLE: 8, MENTIONABLE: 9, NUMBER: 10 };
const TYPE_WORD = { 3: "text", 4: "whole number", 5: "true or false", 6: "member", 7: "channel", 8: "role", 9: "member or role", 10: "number" };

/** Every runnable path of the registered commands, e.g. {text: "/pod delete", options, group: "pod"}. */
export function leavesOf(commands) {
  const leaves = [];
  const walk = (top, node, path) => {
    const inner = (node.options ?? []).filter((option) => option.type === TYPE.SUB || option.type === TYPE.GROUP);
    if (node.type !== TYPE.SUB || path.length === 1) {
      if (inner.length > 0) return inner.forEach((option) => walk(top, option, [...path, option.name]));
    }
    leaves.push({
      text: `/${path.join(" ")}`,
      pattern: new RegExp(`^/${path.map((word) => word.replace(/[^\w]/g, "\\$&")).join("\\s+")}(?=\\s|$)`, "i"),
      description: node.description ?? "", options: node.options ?? [], group: top.name, about: top.description ?? "",
    });
  };
  for (const command of commands) if ((command.type ?? 1) === 1) walk(command, command, [command.name]);
  const alone = (leaf) => Number(leaf.text !== `/${leaf.group}`); // commands without a group come first
  return leaves.sort((a, b) => alone(a) - alone(b) || a.text.localeCompare(b.text));
}

/** Text → {leaf, args:[{name, option, start, valueStart, end, value, plain}], stray}. Never fails. */
export function parse(text, leaves) {
  const leaf = leaves.filter((item) => item.pattern.test(text)).sort((a, b) => b.text.length - a.text.length)[0] ?? null;
  const result = { leaf, args: [], stray: [], head: leaf ? leaf.pattern.exec(text)[0].length : 0 };
  if (!leaf) return result;
  const known = (name) => leaf.options.find((option) => option.name === name);
  let at = result.head;
  while (at < text.length) {
    if (/\s/.test(text[at])) { at += 1; continue; }
    const name = /^([^\s:"]+):/.exec(text.slice(at));
    if (!name) {
      const word = /^\S+/.exec(text.slice(at))[0];
      result.stray.push({ start: at, end: at + word.length, word });
      at += word.length;
      continue;
    }
    const arg = { name: name[1], option: known(name[1]), start: at, valueStart: at + name[0].length, plain: true };
    const rest = text.slice(arg.valueStart);
    const quoted = /^"((?:\\.|[^"\\])*)("|$)/.exec(rest);
    if (quoted) {
      arg.value = quoted[1].replace(/\\(.)/g, "$1");
      arg.end = arg.valueStart + quoted[0].length;
    } else {
      // An unquoted text value runs on over spaces until the next option of this command.
      const words = [...rest.matchAll(/\S+/g)];
      let end = /^\S/.test(rest) ? words[0][0].length : 0;
      if (end > 0 && arg.option?.type === TYPE.STRING) {
        for (const word of words.slice(1)) {
          if (/^[^\s:"]+:/.test(word[0]) && known(word[0].split(":")[0])) break;
          end = word.index + word[0].length;
        }
      }
      arg.value = rest.slice(0, end);
      arg.end = arg.valueStart + end;
      arg.plain = !/\s/.test(arg.value);
    }
    result.args.push(arg);
    at = Math.max(arg.end, arg.valueStart);
  }
  return result;
}

const quote = (value) => (/[\s"\\]/.test(value) || value === "" ? `"${value.replace(/["\\]/g, "\\$&")}"` : value);

/** The text as it is sent: unchanged where unambiguous, values with spaces put in quotes. */
function canonical(text, { leaf, args, stray }) {
  if (!leaf || stray.length > 0 || args.every((arg) => arg.plain)) return text.trim();
  return [leaf.text, ...args.map((arg) => `${arg.name}:${quote(arg.value)}`)].join(" ");
}

/** Starts the composer. `app`: {api, place(), names, members(), channels(), roles(), run(text) → Promise<error|null>}. */
export function startComposer(app) {
  const input = document.getElementById("composer");
  const ink = document.getElementById("ink");
  const popup = document.getElementById("suggest");
  const error = document.getElementById("composer-error");
  const history = JSON.parse(sessionStorage.getItem("gantry.history") ?? "[]");
  let leaves = [];
  let items = []; // suggestions on show: {label, detail, heading?, accept()}
  let chosen = 0;
  let moved = false; // the person picked with the arrow keys: Enter means "this one"
  let past = history.length;
  let remote = { key: "", choices: null, failed: null, timer: 0, abort: null };
  let dismissed = "";

  const say = (text) => { error.textContent = text ?? ""; };
  const setText = (text, caret = text.length) => {
    input.value = text;
    input.focus();
    input.setSelectionRange(caret, caret);
    changed();
  };
  const given = (parsed, option) => parsed.args.some((arg) => arg.name === option.name && arg.value !== "");
  const missing = (parsed) => parsed.leaf.options.filter((option) => option.required && !given(parsed, option));

  // -- what could come next ----------------------------------------------------------------

  function commandItems(query) {
    const wanted = query.toLowerCase().trim().replace(/\s+/g, " ");
    const rank = (leaf) => {
      const path = leaf.text.slice(1).toLowerCase();
      if (path.startsWith(wanted)) return 0;
      if (path.split(" ").some((word) => word.startsWith(wanted))) return 1;
      if (path.includes(wanted)) return 2;
      return leaf.description.toLowerCase().includes(wanted) && wanted.length > 2 ? 3 : 9;
    };
    const found = leaves.map((leaf) => ({ leaf, rank: rank(leaf) })).filter((hit) => hit.rank < 9);
    if (wanted) found.sort((a, b) => a.rank - b.rank || a.leaf.text.localeCompare(b.leaf.text));
    return found.slice(0, SHOWN).map(({ leaf }) => ({
      label: leaf.text, detail: leaf.description, heading: leaf.text === `/${leaf.group}` ? "general" : leaf.group,
      aside: leaf.options.filter((option) => option.required).map((option) => option.name).join(", "),
      accept: () => {
        const first = leaf.options.find((option) => option.required);
        setText(`${leaf.text} ${first ? `${first.name}:` : ""}`);
      },
    }));
  }

  function optionItems(parsed, word, start, end) {
    const free = parsed.leaf.options.filter((option) => !parsed.args.some((arg) => arg.name === option.name) && option.name.startsWith(word));
    return [...free].sort((a, b) => Boolean(b.required) - Boolean(a.required)).map((option) => ({
      label: option.name, detail: option.description, heading: option.required ? "required" : "optional", aside: TYPE_WORD[option.type],
      accept: () => {
        const before = input.value.slice(0, start).replace(/\s*$/, " ");
        setText(`${before}${option.name}:${input.value.slice(end)}`, before.length + option.name.length + 1);
      },
    }));
  }

  function valueItems(parsed, arg, typed) {
    const { option } = arg;
    const matching = (list) => list.filter((choice) => `${choice.name} ${choice.value}`.toLowerCase().includes(typed.toLowerCase()));
    let choices = [];
    if (option.type === TYPE.BOOLEAN) choices = matching([{ name: "True", value: "true" }, { name: "False", value: "false" }]);
    else if (option.choices?.length) choices = matching(option.choices.map((choice) => ({ name: choice.name, value: choice.name })));
    else if (option.autocomplete) choices = askRemote(parsed, arg, typed) ?? [];
    else if (option.type === TYPE.USER) choices = matching(app.members());
    else if (option.type === TYPE.CHANNEL) choices = matching(app.channels());
    else if (option.type === TYPE.ROLE) choices = matching(app.roles());
    else if (option.type === TYPE.MENTIONABLE) choices = matching([...app.members(), ...app.roles()]);
    return choices.slice(0, SHOWN).map((choice) => ({
      label: choice.name, detail: String(choice.value) === choice.name ? "" : String(choice.value), heading: option.name, value: String(choice.value),
      accept: () => acceptValue(arg, String(choice.value)),
    }));
  }

  function acceptValue(arg, value) {
    const before = `${input.value.slice(0, arg.valueStart)}${quote(value)} `;
    const after = input.value.slice(arg.end).replace(/^\s+/, "");
    const next = missing(parse(before + after, leaves))[0];
    const empty = next && parse(before + after, leaves).args.some((other) => other.name === next.name);
    setText(before + after + (next && !empty && !after ? `${next.name}:` : ""), after ? before.length : undefined);
  }

  /** The bot's own suggestions, asked once per text after a pause; null while there are none yet. */
  function askRemote(parsed, arg, typed) {
    const others = parsed.args.filter((other) => other !== arg && other.option && other.value !== "");
    const rest = others.map((other) => `${other.name}:${quote(other.value)}`);
    const text = [parsed.leaf.text, ...rest, `${arg.name}:${typed ? quote(typed) : ""}`].join(" ");
    const key = JSON.stringify([app.place(), text, arg.name]);
    if (remote.key === key) return remote.choices;
    clearTimeout(remote.timer);
    remote.abort?.abort();
    const abort = new AbortController();
    remote = { key, choices: null, failed: null, abort, timer: setTimeout(async () => {
      try {
        const body = { ...app.place(), text, focused: arg.name };
        const answer = await app.api("/control/interactions/autocomplete", { body, signal: abort.signal });
        if (answer.error) throw new Error(answer.error);
        remote = { ...remote, choices: answer.choices ?? [] };
      } catch (problem) {
        if (abort.signal.aborted) return;
        remote = { ...remote, choices: [], failed: problem.message };
      }
      if (remote.key === key) suggest();
    }, DEBOUNCE_MS) };
    return null;
  }

  // -- drawing -----------------------------------------------------------------------------

  function suggest() {
    const text = input.value;
    const caret = input.selectionStart;
    const parsed = parse(text, leaves);
    items = [];
    let note = null;
    if (text.startsWith("/") && document.activeElement === input && dismissed !== text) {
      if (!parsed.leaf || caret <= parsed.head) {
        items = commandItems(text.slice(1, caret));
        if (items.length === 0) note = leaves.length === 0 ? "The bot has registered no commands yet." : "No command matches what you typed.";
      } else {
        const word = /\S*$/.exec(text.slice(0, caret))[0];
        const arg = parsed.args.find((item) => item.valueStart <= caret && caret <= item.end);
        const names = !arg || (!arg.plain && !word.includes('"')) ? optionItems(parsed, word, caret - word.length, caret) : [];
        if (arg?.option && names.length === 0) {
          const typed = text.slice(arg.valueStart, caret).replace(/^"|"$/g, "");
          items = valueItems(parsed, arg, typed);
          if (items.length === 0) note = describeOption(arg.option);
          if (arg.option.autocomplete && remote.choices === null) note = "Asking the bot for suggestions…";
          if (arg.option.autocomplete && remote.failed) note = `No suggestions: ${remote.failed}`;
        } else items = names;
      }
    }
    if (chosen >= items.length || !moved) chosen = 0;
    draw(parsed, items.length > 0 || (parsed.leaf && text.startsWith("/") && document.activeElement === input && dismissed !== text) || note, note);
  }

  function describeOption(option) {
    const bounds = [["min_value", "at least "], ["max_value", "at most "], ["min_length", "min. length "], ["max_length", "max. length "]];
    const limits = bounds.filter(([key]) => option[key] !== undefined && option[key] !== null).map(([key, words]) => words + option[key]);
    return `${option.description || option.name} (${[TYPE_WORD[option.type] ?? "value", ...limits].join(", ")})`;
  }

  function draw(parsed, open, note) {
    popup.hidden = !open;
    input.setAttribute("aria-expanded", String(Boolean(open)));
    if (!open) return popup.replaceChildren();
    const list = el("ul", { id: "suggest-list", role: "listbox", "aria-label": "Suggestions" });
    let heading = null;
    items.forEach((item, index) => {
      if (item.heading !== heading) list.append(el("li", { class: "heading", role: "presentation" }, (heading = item.heading)));
      const row = el("li", { id: `suggest-${index}`, role: "option", class: "item", "aria-selected": String(index === chosen), title: item.detail,
        on: { pointerdown: (event) => { event.preventDefault(); item.accept(); }, pointermove: () => index !== chosen && pick(index, false) } },
        span("item-label", item.label), span("item-detail", item.detail), item.aside ? span("item-aside", item.aside) : null);
      list.append(row);
    });
    const parts = [];
    if (parsed.leaf && input.selectionStart > parsed.head) parts.push(signature(parsed));
    if (items.length > 0) parts.push(list);
    if (note) parts.push(el("p", { class: "note", role: "status" }, note));
    popup.replaceChildren(...parts);
    pick(chosen, moved);
  }

  function signature(parsed) {
    const chip = (option) => {
      const arg = parsed.args.find((item) => item.name === option.name);
      const state = arg && arg.value !== "" ? "set" : option.required ? "needed" : "free";
      const go = (event) => {
        event.preventDefault();
        if (arg) setText(input.value, arg.end);
        else setText(`${input.value.replace(/\s*$/, " ")}${option.name}:`);
      };
      return el("button", { class: `chip ${state}`, type: "button", tabindex: "-1", title: describeOption(option), on: { pointerdown: go } },
        option.name, state === "set" ? el("b", {}, arg.value.length > 24 ? `${arg.value.slice(0, 23)}…` : arg.value) : null);
    };
    const ordered = [...parsed.leaf.options].sort((a, b) => Boolean(b.required) - Boolean(a.required));
    return div("signature", div("sig-text", el("strong", {}, parsed.leaf.text), " ", span("", parsed.leaf.description)),
      ordered.length > 0 ? div("chips", ordered.map(chip)) : null);
  }

  function pick(index, byKey) {
    chosen = index;
    moved = byKey;
    popup.querySelectorAll("[role=option]").forEach((row, at) => row.setAttribute("aria-selected", String(at === index)));
    if (items.length > 0) input.setAttribute("aria-activedescendant", `suggest-${index}`);
    else input.removeAttribute("aria-activedescendant");
    if (byKey) document.getElementById(`suggest-${index}`)?.scrollIntoView({ block: "nearest" });
  }

  /** The layer under the transparent text: same characters, same widths, chips as backgrounds. */
  function paint() {
    const text = input.value;
    const parsed = text.startsWith("/") ? parse(text, leaves) : { leaf: null, args: [] };
    const parts = [];
    let at = 0;
    const upTo = (end, className) => {
      if (end > at) parts.push(className ? span(className, text.slice(at, end)) : text.slice(at, end));
      at = Math.max(at, end);
    };
    if (parsed.leaf) upTo(parsed.head, "ink-command");
    for (const arg of parsed.args) {
      upTo(arg.start);
      const look = arg.option ? "ink-chip" : "ink-bad";
      parts.push(span(look, span("ink-name", text.slice(arg.start, arg.valueStart)), text.slice(arg.valueStart, arg.end)));
      at = arg.end;
    }
    upTo(text.length);
    ink.replaceChildren(...parts, "\u200b");
    if (text === "") ink.append(span("ink-ghost", input.dataset.hint ?? ""));
  }

  function changed() {
    say("");
    moved = false;
    chosen = 0;
    dismissed = "";
    paint();
    suggest();
  }

  // -- keys --------------------------------------------------------------------------------

  /** Enter takes the highlighted suggestion when the text is not a finished command or value yet. */
  function enterTakesSuggestion(parsed) {
    if (items.length === 0) return false;
    if (moved || !parsed.leaf || missing(parsed).length > 0) return true;
    const arg = parsed.args.find((item) => item.valueStart <= input.selectionStart && input.selectionStart <= item.end);
    if (!arg || arg.value === "" || items[0].value === undefined) return false;
    // "web-0" is complete for a choice shown as "web-0 (201) on pve2"; "mail" is not for "mail relay".
    const words = (item) => [item.value, item.label, ...(item.label === item.value ? [] : item.label.split(/[\s()·,|:]+/))];
    return !items.some((item) => words(item).some((word) => word.toLowerCase() === arg.value.toLowerCase()));
  }

  async function send() {
    const text = input.value.trim();
    if (text === "") return;
    const parsed = parse(text, leaves);
    if (parsed.leaf && missing(parsed).length > 0) {
      const names = missing(parsed).map((option) => option.name);
      const empty = parsed.args.find((arg) => arg.name === names[0]);
      setText(empty ? input.value : `${text} ${names[0]}:`, empty?.end);
      return say(`${parsed.leaf.text} needs ${names.join(", ")}.`);
    }
    if (history.at(-1) !== text) history.push(text);
    past = history.length;
    sessionStorage.setItem("gantry.history", JSON.stringify(history.slice(-50)));
    setText("");
    const problem = await app.run(canonical(text, parsed));
    if (!problem) return;
    if (input.value === "") setText(text);
    dismissed = input.value; // the error is what matters now, not suggestions
    suggest();
    say(problem);
  }

  function onKey(event) {
    if (event.isComposing) return;
    const open = !popup.hidden && items.length > 0;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && open) pick((chosen + step + items.length) % items.length, true);
    else if (step && (input.value === "" || input.value === history[past])) {
      past = Math.min(Math.max(past + step, 0), history.length);
      setText(history[past] ?? "");
    } else if (event.key === "Tab" && open && !event.shiftKey) items[chosen].accept();
    else if (event.key === "Enter" && !event.shiftKey) {
      if (enterTakesSuggestion(parse(input.value, leaves))) items[chosen].accept();
      else send();
    } else if (event.key === "Escape") {
      dismissed = input.value;
      say("");
      suggest();
    } else if (event.key === "Backspace" && input.selectionStart === input.selectionEnd) {
      const empty = (item) => item.value === "" && item.end === item.valueStart && item.valueStart === input.selectionStart;
      const arg = parse(input.value, leaves).args.find(empty);
      if (!arg) return; // an option without a value is one chip: it goes in one piece
      setText(input.value.slice(0, arg.start) + input.value.slice(arg.end), arg.start);
    } else return;
    event.preventDefault();
  }

  input.addEventListener("keydown", onKey);
  input.addEventListener("input", changed);
  input.addEventListener("focus", suggest);
  input.addEventListener("click", suggest);
  input.addEventListener("keyup", (event) => ["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key) && suggest());
  input.addEventListener("blur", () => { dismissed = input.value; suggest(); });
  document.getElementById("composer-form").addEventListener("submit", (event) => { event.preventDefault(); send(); });

  return {
    setCommands(commands) { leaves = leavesOf(commands); paint(); suggest(); },
    setHint(text) { input.dataset.hint = text; input.setAttribute("aria-label", text); paint(); },
    fill(text) { setText(text); },
    leaves: () => leaves,
  };
}

// ---- modals -------------------------------------------------------------------------------

const PARAGRAPH = 2;

function modalField(component, label, description, number) {
  const id = `field-${number}`;
  const name = label ?? component.label ?? component.custom_id;
  const shared = { id, name: component.custom_id, "aria-describedby": `${id}-note`, "aria-required": String(component.required !== false) };
  let control;
  if (component.type === 3) {
    control = el("select", { ...shared, multiple: (component.max_values ?? 1) > 1 },
      component.required === false || component.placeholder ? el("option", { value: "" }, component.placeholder ?? "–") : null,
      (component.options ?? []).map((option) => el("option", { value: option.value, selected: Boolean(option.default) }, option.label)));
  } else {
    const plain = { spellcheck: "false", autocomplete: "off", autocapitalize: "off" };
    const props = { ...shared, ...plain, placeholder: component.placeholder, maxlength: component.max_length ?? 4000 };
    control = component.style === PARAGRAPH ? el("textarea", { ...props, rows: "3" }) : el("input", { ...props, type: "text" });
    control.defaultValue = component.value ?? "";
  }
  const counter = span("counter");
  const problem = span("problem");
  const count = () => {
    if (component.type === 3) return;
    const most = component.max_length ?? (component.style === PARAGRAPH ? 4000 : null);
    counter.textContent = most ? `${control.value.length} / ${most}` : "";
  };
  const check = () => {
    const length = component.type === 3 ? (control.value ? 1 : 0) : control.value.trim().length;
    let text = "";
    if (length === 0 && component.required !== false) text = "This field is required.";
    else if (length > 0 && component.min_length && control.value.length < component.min_length) text = `At least ${component.min_length} characters.`;
    problem.textContent = text;
    control.setAttribute("aria-invalid", String(text !== ""));
    return text === "";
  };
  control.addEventListener("input", () => { count(); if (problem.textContent) check(); });
  count();
  const star = component.required === false ? null : el("span", { class: "star", "aria-hidden": "true", title: "required" }, "*");
  const node = div("form-row", el("label", { for: id }, name, star), description ? el("p", { class: "dim" }, description) : null,
    control, el("div", { class: "form-note", id: `${id}-note` }, problem, counter));
  const value = () => (control.multiple ? [...control.selectedOptions].map((option) => option.value) : control.value);
  return { node, control, check, value, id: component.custom_id };
}

/** Opens a modal. `submit(values)` resolves to an error sentence (dialog stays) or null (dialog closes). */
export function openModal(modal, app, submit) {
  document.querySelector(".modal-back")?.close?.();
  const before = document.activeElement;
  const fields = [];
  const body = div("modal-body");
  for (const row of modal.components ?? []) {
    for (const part of row.type === 1 ? row.components ?? [] : [row]) {
      if (part.type === 10) body.append(div("md", markdown(part.content, app.names)));
      const component = part.type === 18 ? part.component : part;
      if (!component || ![3, 4].includes(component.type)) continue;
      const field = modalField(component, part.type === 18 ? part.label : null, part.type === 18 ? part.description : null, fields.length);
      fields.push(field);
      body.append(field.node);
    }
  }
  const fault = el("p", { class: "modal-error", role: "alert", data: { testid: "modal-error" } });
  const send = el("button", { class: "btn primary", type: "submit", data: { testid: "modal-submit" } }, "Submit");
  const cancel = el("button", { class: "btn plain", type: "button", data: { testid: "modal-cancel" } }, "Cancel");
  const shut = el("button", { class: "icon", type: "button", "aria-label": "Close" }, "✕");
  const title = el("h2", { id: "modal-title" }, modal.title ?? "");
  const dialog = { class: "modal", role: "dialog", "aria-modal": "true", "aria-labelledby": "modal-title", data: { testid: "modal" } };
  const form = el("form", { ...dialog, novalidate: true },
    el("header", {}, div("modal-head", title, el("p", { class: "dim" }, `This form goes to ${app.botName()}.`)), shut),
    body, fault, el("footer", {}, cancel, send));
  const back = div("modal-back", form);
  let sending = false;

  const close = () => {
    back.remove();
    document.removeEventListener("keydown", onKey, true);
    (before?.isConnected ? before : document.getElementById("composer")).focus();
  };
  back.close = close;
  const onKey = (event) => {
    if (event.key === "Escape" && !sending) { event.preventDefault(); event.stopPropagation(); close(); }
    if (event.key !== "Tab") return;
    const stops = [...form.querySelectorAll("button, input, textarea, select")].filter((node) => !node.disabled);
    const edge = event.shiftKey ? stops[0] : stops.at(-1);
    if (document.activeElement === edge || !form.contains(document.activeElement)) {
      event.preventDefault();
      (event.shiftKey ? stops.at(-1) : stops[0]).focus();
    }
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (sending) return;
    fault.textContent = "";
    const wrong = fields.filter((field) => !field.check());
    if (wrong.length > 0) return wrong[0].control.focus();
    sending = true;
    form.classList.add("sending");
    for (const node of form.elements) node.disabled = true;
    send.textContent = "Sending…";
    const problem = await submit(Object.fromEntries(fields.map((field) => [field.id, field.value()])));
    sending = false;
    if (!back.isConnected) return;
    if (!problem) return close();
    form.classList.remove("sending");
    for (const node of form.elements) node.disabled = false;
    send.textContent = "Submit";
    fault.textContent = problem;
    (fields[0]?.control ?? send).focus();
  });
  const touched = () => fields.some((field) => field.control.value !== field.control.defaultValue && field.control.value !== "");
  back.addEventListener("pointerdown", (event) => event.target === back && !sending && !touched() && close());
  cancel.addEventListener("click", () => !sending && close());
  shut.addEventListener("click", () => !sending && close());
  document.addEventListener("keydown", onKey, true);
  document.getElementById("layer").append(back);
  const first = fields[0]?.control ?? cancel;
  first.focus();
  if (first.setSelectionRange) first.setSelectionRange(first.value.length, first.value.length);
}
