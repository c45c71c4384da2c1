"""discord.py against the Discord twin: login, command sync, interactions of every kind, uploads, resume, errors.

The library is unchanged but for its two addresses. It reads only zlib-stream and only the exact content type
`application/json`, which makes it a strict reader of the twin.
"""

import asyncio
import io
import logging
import sys

import aiohttp
import discord
import yarl
from discord import app_commands, ui

from checks import TWIN, broke, check, end, equal

discord.http.Route.BASE = TWIN["api"]
discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(TWIN["gateway"])

TOKEN = "demo-token"
LIMIT = 20  # seconds any one thing may take
FILE = b"a line\n" + bytes(range(256)) * 40


class Card(ui.View):
    """Buttons and a select that live for ever, as with cards that outlast a restart."""

    def __init__(self):
        super().__init__(timeout=None)

    @ui.button(label="Delete web-0", style=discord.ButtonStyle.danger, custom_id="v1:delete")
    async def delete(self, interaction, button):
        button.disabled = True
        embed = discord.Embed(title="Deleted", colour=0x2ECC71)
        embed.add_field(name="By", value=interaction.user.mention)
        await interaction.response.edit_message(embed=embed, view=self)

    @ui.select(custom_id="v1:node", options=[discord.SelectOption(label=n, value=n) for n in ("pve1", "pve2")])
    async def node(self, interaction, select):
        await interaction.response.send_message(f"chose {select.values[0]}", ephemeral=True)


class Form(ui.Modal, title="New pod"):
    """One short and one long text."""

    name = ui.TextInput(label="Name", custom_id="name", max_length=20)
    notes = ui.TextInput(label="Notes", custom_id="notes", style=discord.TextStyle.long, required=False)

    async def on_submit(self, interaction):
        await interaction.response.send_message(f"{self.name.value}|{self.notes.value}", ephemeral=True)


class Bot(discord.Client):
    """A small bot with the commands the scenario uses."""

    def __init__(self):
        super().__init__(intents=discord.Intents(guilds=True))
        self.tree = app_commands.CommandTree(self)
        self.up = asyncio.Event()
        self.resumed = asyncio.Event()
        self.errors = []
        self.synced = []
        self.tree.error(self.wrong)
        pod = app_commands.Group(name="pod", description="Pods", guild_only=True)

        @pod.command(description="Show a card")
        async def card(interaction, pod: app_commands.Range[str, 1, 32], purge: bool = False):
            embed = discord.Embed(title=f"Delete {pod}?", description=f"purge={purge}", colour=0xE74C3C)
            embed.set_footer(text="asked").add_field(name="Node", value="pve1")
            await interaction.response.send_message(embed=embed, view=Card())

        @card.autocomplete("pod")
        async def names(_, current):
            return [app_commands.Choice(name=n, value=n) for n in ("web-0", "web-1", "db-0") if n.startswith(current)]

        @pod.command(description="Answer late")
        async def slow(interaction):
            await interaction.response.defer(thinking=True)
            await interaction.edit_original_response(content="half way")
            message = await interaction.original_response()
            await interaction.edit_original_response(content=f"done after {message.content}")
            await interaction.followup.send("one more thing")

        @pod.command(description="Send a file")
        async def report(interaction):
            file = discord.File(io.BytesIO(FILE), filename="report.bin", description="raw")
            await interaction.response.send_message("attached", file=file)

        @pod.command(description="Open a form")
        async def new(interaction):
            await interaction.response.send_modal(Form())

        @pod.command(description="Answer twice")
        async def twice(interaction):
            await interaction.response.send_message("first", ephemeral=True)
            adapter = discord.webhook.async_.async_context.get()
            parameters = discord.webhook.async_.interaction_message_response_params(type=4, content="second")
            try:
                await adapter.create_interaction_response(
                    interaction.id, interaction.token, session=interaction._session, params=parameters,
                )
            except discord.HTTPException as error:
                await interaction.edit_original_response(content=f"{error.status}/{error.code}")

        self.tree.add_command(pod)

    async def wrong(self, _, error):
        self.errors.append(error)

    async def on_error(self, event, *args, **kwargs):
        self.errors.append((event, sys.exc_info()[1]))

    async def setup_hook(self):
        self.synced = await self.tree.sync()

    async def on_ready(self):
        self.up.set()

    async def on_resumed(self):
        self.resumed.set()


class Person:
    """Someone in the simulated client, through the control API."""

    def __init__(self, session, state, name, channel="ops"):
        self.session = session
        self.guild = next(g for g in state["guilds"] if g["name"] == "Homelab Ops")
        self.id = next(m["user"]["id"] for m in self.guild["members"] if m["user"]["username"] == name)
        self.channel = next(c["id"] for c in self.guild["channels"] if c["name"] == channel)

    async def call(self, method, path, body=None):
        async with self.session.request(method, f"{TWIN['url']}/control/{path}", json=body) as answer:
            value = await answer.json()
            if answer.status != 200:
                raise RuntimeError(f"{path}: {value['error']}")
            return value

    def at(self):
        return {"guild_id": self.guild["id"], "channel_id": self.channel, "user_id": self.id}

    async def use(self, text):
        return await self.call("POST", "interactions/command", {**self.at(), "text": text})

    async def press(self, message, custom_id, values=None):
        body = {"message_id": message, "user_id": self.id, "custom_id": custom_id}
        return await self.call("POST", "interactions/component", {**body, **({"values": values} if values else {})})

    async def messages(self):
        return await self.call("GET", f"channels/{self.channel}/messages?as={self.id}")

    async def until(self, claim, true):
        """Reads the channel again at each of the twin's events until a message is as wanted."""
        seen = []

        async def read():
            nonlocal seen
            async with self.session.get(f"{TWIN['url']}/control/events") as events:
                while True:
                    seen = await self.messages()
                    for message in seen:
                        if true(message):
                            return message
                    await events.content.readline()

        try:
            message = await asyncio.wait_for(read(), LIMIT)
        except TimeoutError:
            check(claim, False, [m["content"] for m in seen])
            raise
        check(claim, True)
        return message


async def scenario(bot, admin, viewer):
    await asyncio.wait_for(bot.up.wait(), LIMIT)
    equal("login", bot.user.name, (await admin.call("GET", "state"))["application"]["bot"]["username"])
    check("guilds", {"Homelab Ops", "Other Team"} == {g.name for g in bot.guilds}, bot.guilds)
    guild = bot.get_guild(int(admin.guild["id"]))
    check("channels and roles came with the guild",
          guild.get_channel(int(admin.channel)).name == "ops" and discord.utils.get(guild.roles, name="admin"))
    equal("commands synced", [c.name for c in bot.synced], ["pod"])
    fetched = await bot.tree.fetch_commands()
    equal("commands read back", [o.name for o in fetched[0].options], ["card", "slow", "report", "new", "twice"])
    bot.tree.copy_global_to(guild=guild)
    equal("commands synced for a guild", len(await bot.tree.sync(guild=guild)), 1)
    bot.tree.clear_commands(guild=guild)
    equal("and removed there", await bot.tree.sync(guild=guild), [])

    # A card with a button and a select.
    typed = await admin.call("POST", "interactions/autocomplete",
                             {**admin.at(), "text": "/pod card pod:web", "focused": "pod"})
    equal("autocomplete", [c["value"] for c in typed["choices"]], ["web-0", "web-1"])
    answer = await admin.use("/pod card pod:web-0 purge:true")
    equal("slash command answered", answer["outcome"], "message")
    card = answer["message"]
    embed = card["embeds"][0]
    equal("embed", (embed["title"], embed["description"], embed["color"], embed["fields"][0]["value"]),
          ("Delete web-0?", "purge=True", 0xE74C3C, "pve1"))
    equal("button", card["components"][0]["components"][0]["custom_id"], "v1:delete")
    chosen = await viewer.press(card["id"], "v1:node", ["pve2"])
    equal("select answered for one person",
          (chosen["message"]["content"], chosen["message"]["twin"]["ephemeral_for"]), ("chose pve2", viewer.id))
    check("others do not see it", "chose pve2" not in [m["content"] for m in await admin.messages()])
    pressed = await admin.press(card["id"], "v1:delete")
    equal("button edits its message", (pressed["outcome"], pressed["message"]["id"]), ("updated", card["id"]))
    equal("edited embed", pressed["message"]["embeds"][0]["title"], "Deleted")
    equal("edited field", pressed["message"]["embeds"][0]["fields"][0]["value"], f"<@{admin.id}>")
    check("button is off", pressed["message"]["components"][0]["components"][0]["disabled"])

    # Late answers.
    slow = await admin.use("/pod slow")
    equal("deferred", slow["outcome"], "deferred")
    late = await admin.until("original edited twice", lambda m: m["content"] == "done after half way")
    equal("in the same message", late["twin"]["interaction"]["id"], slow["interaction_id"])
    await admin.until("follow-up", lambda m: m["content"] == "one more thing")
    await admin.use("/pod twice")
    twice = await admin.until("second acknowledgement is 40060", lambda m: m["content"] == "400/40060")
    equal("for the asker alone", twice["twin"]["ephemeral_for"], admin.id)

    # Files, up and down.
    report = (await admin.use("/pod report"))["message"]
    equal("file answered", [(a["filename"], a["size"], a["description"]) for a in report["attachments"]],
          [("report.bin", len(FILE), "raw")])
    channel = guild.get_channel(int(admin.channel))
    message = await channel.fetch_message(int(report["id"]))
    check("file read back", await message.attachments[0].read() == FILE)
    sent = await channel.send("two", files=[discord.File(io.BytesIO(b"1"), "a.txt"), discord.File(io.BytesIO(FILE), "b")])
    equal("files in a channel", [a.size for a in sent.attachments], [1, len(FILE)])
    kept = await sent.edit(content="one", attachments=[sent.attachments[1]])
    equal("one file kept by an edit", [a.filename for a in kept.attachments], ["b"])
    await sent.add_reaction("✅")
    equal("reaction", [str(r) for r in (await channel.fetch_message(sent.id)).reactions], ["✅"])
    thread = await sent.create_thread(name="about it")
    equal("thread", (await thread.send("inside")).channel.id, thread.id)
    await sent.delete()

    # A form.
    opened = await admin.use("/pod new")
    equal("modal opened", (opened["outcome"], opened["modal"]["title"]), ("modal", "New pod"))
    submitted = await admin.call("POST", "interactions/modal", {
        "interaction_id": opened["modal"]["interaction_id"], "user_id": admin.id,
        "values": {"name": "web-9", "notes": "two\nlines"},
    })
    equal("modal submitted", submitted["message"]["content"], "web-9|two\nlines")

    # Refusals, as the library reads them.
    for claim, call, kind, code in [
        ("unknown message", lambda: channel.fetch_message(sent.id), discord.NotFound, 10008),
        ("empty message", lambda: channel.send(""), discord.HTTPException, 50006),
        ("too long a message", lambda: channel.send("x" * 2001), discord.HTTPException, 50035),
        ("two equal custom_ids", lambda: channel.send("x", view=doubled()), discord.HTTPException, 50035),
    ]:
        try:
            await call()
            check(claim, False, "it was taken")
        except kind as error:
            equal(claim, error.code, code)

    # The connection asked to move; a command used meanwhile is not lost.
    await admin.call("POST", "trouble", {"kind": "reconnect"})
    await asyncio.wait_for(bot.resumed.wait(), LIMIT)
    equal("resumed and at work", (await admin.use("/pod card pod:db-0"))["outcome"], "message")
    equal("nothing went wrong inside the library", bot.errors, [])


def doubled():
    """A view with one custom_id twice; the library does not look."""
    view = ui.View(timeout=None)
    view.add_item(ui.Button(label="a", custom_id="same"))
    view.add_item(ui.Button(label="b", custom_id="same"))
    return view


async def main():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        async with session.get(f"{TWIN['url']}/control/state") as answer:
            state = await answer.json()
        bot = Bot()
        running = asyncio.create_task(bot.start(TOKEN))
        story = asyncio.create_task(scenario(bot, Person(session, state, "admin"), Person(session, state, "viewer")))
        # A bot that dies ends the story at once instead of by its time limit.
        await asyncio.wait({running, story}, return_when=asyncio.FIRST_COMPLETED)
        try:
            await (story if story.done() else running)
        finally:
            for error in bot.errors:
                print("inside the library:", repr(error), repr(getattr(error, "original", None)))
            story.cancel()
            await bot.close()
        await asyncio.gather(running, return_exceptions=True)


# Its warnings about missing voice libraries say nothing here.
discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False
discord.utils.setup_logging(level=logging.WARNING)
try:
    asyncio.run(main())
except BaseException as error:  # noqa: BLE001 - whatever it is, it is this scenario's failure
    broke(error)
end()
