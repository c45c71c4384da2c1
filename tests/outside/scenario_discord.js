// discord.js against the Discord twin: login, command sync, interactions of every kind, uploads, resume, errors, and
// its own rate limiter, which believes every header the twin sends. Unchanged but for the address of its REST side;
// the gateway's address comes from the twin.
"use strict";
const {
  ActionRowBuilder, ApplicationCommandOptionType, AttachmentBuilder, ButtonBuilder, ButtonStyle, Client, EmbedBuilder,
  Events, GatewayIntentBits, MessageFlags, ModalBuilder, RESTEvents, StringSelectMenuBuilder, TextInputBuilder,
  TextInputStyle,
} = require("discord.js");
const { TWIN, check, equal, run } = require("./checks.js");

const TOKEN = "demo-token";
const LIMIT = 20_000; // milliseconds any one thing may take
const BURST = 30; // messages sent at once into one channel
const FILE = Buffer.concat([Buffer.from("a line\n"), Buffer.alloc(9000, 0xfe)]);

const COMMANDS = [{
  name: "pod", description: "Pods", contexts: [0], integrationTypes: [0],
  options: [
    { type: ApplicationCommandOptionType.Subcommand, name: "card", description: "Show a card", options: [
      { type: ApplicationCommandOptionType.String, name: "pod", description: "Which", required: true, autocomplete: true },
      { type: ApplicationCommandOptionType.Boolean, name: "purge", description: "Also from backups" },
    ] },
    { type: ApplicationCommandOptionType.Subcommand, name: "slow", description: "Answer late" },
    { type: ApplicationCommandOptionType.Subcommand, name: "report", description: "Send a file" },
    { type: ApplicationCommandOptionType.Subcommand, name: "new", description: "Open a form" },
  ],
}];

/** Answers as a small bot would. */
async function answer(interaction) {
  if (interaction.isAutocomplete()) {
    const names = ["web-0", "web-1", "db-0"].filter((name) => name.startsWith(interaction.options.getFocused()));
    return interaction.respond(names.map((name) => ({ name, value: name })));
  }
  if (interaction.isButton()) {
    const row = ActionRowBuilder.from(interaction.message.components[0]);
    row.components[0].setDisabled(true);
    const embed = EmbedBuilder.from(interaction.message.embeds[0]).setTitle("Deleted").setColor(0x2ecc71);
    return interaction.update({ embeds: [embed], components: [row] });
  }
  if (interaction.isStringSelectMenu()) {
    return interaction.reply({ content: `chose ${interaction.values[0]}`, flags: MessageFlags.Ephemeral });
  }
  if (interaction.isModalSubmit()) {
    const text = (name) => interaction.fields.getTextInputValue(name);
    return interaction.reply({ content: `${text("name")}|${text("notes")}`, flags: MessageFlags.Ephemeral });
  }
  switch (interaction.options.getSubcommand()) {
    case "card": {
      const embed = new EmbedBuilder().setTitle(`Delete ${interaction.options.getString("pod")}?`).setColor(0xe74c3c)
        .setDescription(`purge=${interaction.options.getBoolean("purge")}`).addFields({ name: "Node", value: "pve1" })
        .setTimestamp();
      const button = new ButtonBuilder().setCustomId("v1:delete").setLabel("Delete web-0").setStyle(ButtonStyle.Danger);
      const select = new StringSelectMenuBuilder().setCustomId("v1:node")
        .addOptions({ label: "pve1", value: "pve1" }, { label: "pve2", value: "pve2" });
      return interaction.reply({ embeds: [embed], components: [
        new ActionRowBuilder().addComponents(button), new ActionRowBuilder().addComponents(select),
      ] });
    }
    case "slow": {
      await interaction.deferReply();
      await interaction.editReply("half way");
      const { content } = await interaction.fetchReply();
      await interaction.editReply(`done after ${content}`);
      return interaction.followUp({ content: "one more thing" });
    }
    case "report":
      return interaction.reply({ content: "attached", files: [new AttachmentBuilder(FILE, { name: "report.bin", description: "raw" })] });
    default: {
      const name = new TextInputBuilder().setCustomId("name").setLabel("Name").setStyle(TextInputStyle.Short).setMaxLength(20);
      const notes = new TextInputBuilder().setCustomId("notes").setLabel("Notes").setStyle(TextInputStyle.Paragraph).setRequired(false);
      const rows = [name, notes].map((input) => new ActionRowBuilder().addComponents(input));
      return interaction.showModal(new ModalBuilder().setCustomId("new").setTitle("New pod").addComponents(rows));
    }
  }
}

/** A call of the control API. */
async function control(method, path, body) {
  const answered = await fetch(`${TWIN.url}/control/${path}`, {
    method, body: body && JSON.stringify(body), signal: AbortSignal.timeout(LIMIT),
  });
  const value = await answered.json();
  if (!answered.ok) throw new Error(`${path}: ${value.error}`);
  return value;
}

/** Someone in the simulated client. */
function person(state, name) {
  const guild = state.guilds.find((one) => one.name === "Homelab Ops");
  const { id } = guild.members.find((one) => one.user.username === name).user;
  const channel = guild.channels.find((one) => one.name === "ops").id;
  const place = { guild_id: guild.id, channel_id: channel, user_id: id };
  const messages = (where = channel) => control("GET", `channels/${where}/messages?as=${id}&limit=100`);
  return {
    id, guild: guild.id, channel, messages,
    use: (text) => control("POST", "interactions/command", { ...place, text }),
    type: (text, focused) => control("POST", "interactions/autocomplete", { ...place, text, focused }),
    press: (message, custom_id, values) =>
      control("POST", "interactions/component", { message_id: message, user_id: id, custom_id, values }),
    submit: (interaction_id, values) => control("POST", "interactions/modal", { interaction_id, user_id: id, values }),
    /** Reads the channel again at each of the twin's events until a message is as wanted. */
    async until(claim, wanted) {
      const events = await fetch(`${TWIN.url}/control/events`, { signal: AbortSignal.timeout(LIMIT) });
      const reader = events.body.getReader();
      let seen = [];
      try {
        for (;;) {
          seen = await messages();
          const found = seen.find(wanted);
          if (found) {
            check(claim, true);
            return found;
          }
          await reader.read();
        }
      } catch (error) {
        check(claim, false, seen.map((message) => message.content));
        throw error;
      } finally {
        await reader.cancel().catch(() => {});
      }
    },
  };
}

/** An event of the client, within the time limit. */
function once(client, event) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${event} in time`)), LIMIT);
    client.once(event, (...values) => {
      clearTimeout(timer);
      resolve(values);
    });
  });
}

async function refused(claim, call, code) {
  try {
    await call();
    check(claim, false, "it was taken");
  } catch (error) {
    equal(claim, error.code, code);
  }
}

async function statuses(route) {
  return (await control("GET", "log")).filter((one) => one.route === route).map((one) => one.status);
}

run(async () => {
  const state = await control("GET", "state");
  const [admin, viewer] = [person(state, "admin"), person(state, "viewer")];
  const wrong = [];
  const limited = [];
  const client = new Client({ intents: [GatewayIntentBits.Guilds], rest: { api: `${TWIN.url}/api` } });
  client.on(Events.InteractionCreate, (interaction) => answer(interaction).catch((error) => {
    wrong.push(error);
    console.log("inside the bot:", error);
  }));
  client.on(Events.Error, (error) => wrong.push(error));
  client.rest.on(RESTEvents.RateLimited, (info) => limited.push(info));

  const ready = once(client, Events.ClientReady);
  await client.login(TOKEN);
  await ready;
  equal("login", client.user.username, state.application.bot.username);
  equal("guilds", client.guilds.cache.map((guild) => guild.name).sort(), ["Homelab Ops", "Other Team"]);
  const channel = await client.channels.fetch(admin.channel);
  equal("channel", channel.name, "ops");
  const synced = await client.application.commands.set(COMMANDS);
  equal("commands synced", synced.map((command) => command.name), ["pod"]);
  const read = (await client.application.commands.fetch()).first();
  check("commands read back are the same", read.equals(COMMANDS[0]), read);
  equal("commands synced for a guild", (await client.application.commands.set(COMMANDS, admin.guild)).size, 1);
  equal("and removed there", (await client.application.commands.set([], admin.guild)).size, 0);

  // A card with a button and a select.
  equal("autocomplete", (await admin.type("/pod card pod:web", "pod")).choices.map((one) => one.value), ["web-0", "web-1"]);
  const shown = await admin.use("/pod card pod:web-0 purge:true");
  equal("slash command answered", shown.outcome, "message");
  const card = shown.message;
  equal("embed", [card.embeds[0].title, card.embeds[0].description, card.embeds[0].color, card.embeds[0].fields[0].value],
    ["Delete web-0?", "purge=true", 0xe74c3c, "pve1"]);
  const chosen = (await viewer.press(card.id, "v1:node", ["pve2"])).message;
  equal("select answered for one person", [chosen.content, chosen.twin.ephemeral_for], ["chose pve2", viewer.id]);
  check("others do not see it", !(await admin.messages()).some((message) => message.content === "chose pve2"));
  const pressed = await admin.press(card.id, "v1:delete");
  equal("button edits its message", [pressed.outcome, pressed.message.id], ["updated", card.id]);
  equal("edited embed", [pressed.message.embeds[0].title, pressed.message.embeds[0].color], ["Deleted", 0x2ecc71]);
  check("button is off", pressed.message.components[0].components[0].disabled);

  // Late answers.
  const slow = await admin.use("/pod slow");
  equal("deferred", slow.outcome, "deferred");
  const late = await admin.until("original edited twice", (message) => message.content === "done after half way");
  equal("in the same message", late.twin.interaction.id, slow.interaction_id);
  await admin.until("follow-up", (message) => message.content === "one more thing");

  // Files, up and down.
  const report = (await admin.use("/pod report")).message;
  equal("file answered", report.attachments.map((one) => [one.filename, one.size, one.description]),
    [["report.bin", FILE.length, "raw"]]);
  const attachment = (await channel.messages.fetch(report.id)).attachments.first();
  check("file read back", FILE.equals(Buffer.from(await (await fetch(attachment.url)).arrayBuffer())));
  const sent = await channel.send({ content: "two", files: [
    new AttachmentBuilder(Buffer.from("1"), { name: "a.txt" }), new AttachmentBuilder(FILE, { name: "b" }),
  ] });
  equal("files in a channel", sent.attachments.map((one) => one.size), [1, FILE.length]);
  await sent.react("✅");
  equal("reaction", (await channel.messages.fetch({ message: sent.id, force: true })).reactions.cache.map((one) => one.emoji.name), ["✅"]);
  const thread = await sent.startThread({ name: "about it" });
  equal("thread", (await thread.send("inside")).channelId, thread.id);
  await sent.delete();

  // A form.
  const opened = await admin.use("/pod new");
  equal("modal opened", [opened.outcome, opened.modal.title], ["modal", "New pod"]);
  const submitted = await admin.submit(opened.modal.interaction_id, { name: "web-9", notes: "two\nlines" });
  equal("modal submitted", submitted.message.content, "web-9|two\nlines");

  // Refusals, as the library reads them.
  await refused("unknown message", () => channel.messages.fetch({ message: sent.id, force: true }), 10008);
  await refused("empty message", () => channel.send({ content: "" }), 50006);
  await refused("too long a message", () => channel.send("x".repeat(2001)), 50035);

  // The connection asked to move.
  const resumed = once(client, Events.ShardResume);
  await control("POST", "trouble", { kind: "reconnect" });
  await resumed;
  equal("resumed and at work", (await admin.use("/pod card pod:db-0")).outcome, "message");

  // The library's limiter against the twin's: all arrive, in order, and not one is refused.
  const alerts = state.guilds.find((one) => one.id === admin.guild).channels.find((one) => one.name === "alerts").id;
  const loud = await client.channels.fetch(alerts);
  await control("DELETE", "log");
  limited.length = 0;
  const wanted = Array.from({ length: BURST }, (_, n) => `message ${n}`);
  const began = Date.now();
  await Promise.all(wanted.map((content) => loud.send(content)));
  const took = Date.now() - began;
  equal(`${BURST} messages at once all arrive, in order`, (await admin.messages(alerts)).map((message) => message.content), wanted);
  check("the limit was felt", limited.length > 0 && took > 10_000, { limited: limited.length, took });
  equal("none was refused", await statuses("POST /channels/{channel_id}/messages"), Array(BURST).fill(200));

  // Refusals without warning are waited out, and the message arrives once.
  for (const scope of ["user", "shared", "global"]) {
    await control("DELETE", "log");
    await control("POST", "trouble", { kind: "rate_limit", route: "create message", times: 2, retry_after_ms: 300, scope });
    await loud.send(`after ${scope}`);
    equal(`429 of scope ${scope} is waited out`, await statuses("POST /channels/{channel_id}/messages"), [429, 429, 200]);
    equal("and arrives once", (await admin.messages(alerts)).filter((one) => one.content === `after ${scope}`).length, 1);
  }
  equal("nothing went wrong inside the library", wrong, []);
  await client.destroy();
});
