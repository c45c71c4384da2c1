//! Keeps the messages of plans and operations up to date, with the bot's own token, because an interaction's
//! token dies after 15 minutes. The last value wins; one edit at a time and one a second per message: a card is sent
//! by one task of one process, which holds its lease for as long as that takes.
//!
//! What to show is asked of the engine at the moment of showing, so a message is never older than its edit.

use std::sync::Arc;
use std::time::Duration;

use gantry_core::alert::{Call, Incident};
use gantry_core::id::{BoardId, CardId, ChannelId, MessageId};
use gantry_core::operation::OpState;
use gantry_engine::store::{CardAbout, CardRow, PlanState};
use gantry_engine::{CardShows, CardView};
use serenity::all::{
    Builder, CreateAllowedMentions, CreateMessage, EditAttachments, EditMessage, EditThread, Http,
    MessageReference, Nonce,
};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::card::{self, Card, Tone};
use crate::desk::{UNKNOWN_MESSAGE, code_of, status_of, words_of};
use crate::face::{CARD_LEASE, Face, Taken};
use crate::incident_thread::{self, NOT_A_TEXT_CHANNEL, Thread};
use crate::paint::{Painted, paint};

/// Least time between two edits of an incident's message: a storm is one edit each time.
const INCIDENT_EVERY: Duration = Duration::from_secs(5);
/// How long one send may take, waiting out rate limits included.
const SEND_WITHIN: Duration = Duration::from_secs(20);
/// Pause after the first failure; doubles with each.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// Longest pause between two tries.
const RETRY_LONGEST: Duration = Duration::from_secs(60);
/// Pause when the store does not answer.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// How long sends under way may take when the process stops.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// Pause before an incident's message that was refused is tried again: somebody may give gantry its rights back, and
/// what fires must not stay untold for ever.
const REFUSED_PAUSE: Duration = Duration::from_secs(600);
/// So often; a day.
const REFUSED_TRIES: u32 = 144;
/// How long Discord is sure to know a nonce again. Its documentation says “a few minutes”.
const NONCE_HOLDS: Duration = Duration::from_secs(120);
/// Messages that are looked through for one that was posted before a crash.
const LOOKED_THROUGH: u8 = 100;
/// Longest name of an incident in a message that calls somebody.
const CALL_MAX: usize = 1_000;
/// Discord's longest nonce.
const NONCE_MAX: usize = 25;

/// Error code: no such channel.
pub(crate) const UNKNOWN_CHANNEL: isize = 10003;
/// Error code: the thread is archived; a new message opens it again, an edit does not.
pub(crate) const THREAD_ARCHIVED: isize = 50083;

impl Face {
    /// Runs until `stop`; then waits a moment for what is being sent.
    pub async fn courier(&self, http: Arc<Http>, stop: CancellationToken) {
        let mut sending = JoinSet::new();
        let mut store_down = false;
        while !stop.is_cancelled() {
            while sending.try_join_next().is_some() {}
            if sending.len() >= self.settings().parallel_edits.max(1) {
                tokio::select! {
                    () = stop.cancelled() => break,
                    _ = sending.join_next() => {}
                }
                continue;
            }
            let pause = match self.claim().await {
                Ok(Some(card)) => {
                    store_down = false;
                    // Its lease ran out while it is still being sent here; the claim has renewed it. Two sends of
                    // one card could arrive in the wrong order.
                    let Some(taken) = self.take(&card.id) else { continue };
                    let span = tracing::info_span!("card", id = %card.id, channel = card.channel.0);
                    let delivery = Delivery { face: self.clone(), http: http.clone(), card, taken };
                    sending.spawn(async move { delivery.run().await }.instrument(span));
                    continue;
                }
                Ok(None) => {
                    store_down = false;
                    match self.engine().store().cards_pending().await {
                        Ok(false) => self.settings().courier_idle,
                        Ok(true) | Err(_) => self.settings().courier_pause,
                    }
                }
                Err(error) => {
                    if !store_down {
                        tracing::warn!(%error, "messages cannot be kept up to date: the store does not answer");
                    }
                    store_down = true;
                    STORE_PAUSE
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.courier_woken() => {}
                () = self.engine().cards_changed() => {}
                _ = sending.join_next(), if !sending.is_empty() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        let rest = async { while sending.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_WITHIN, rest).await.is_err() {
            tracing::warn!(
                "some messages were still being sent when gantry stopped; they are sent on the next start"
            );
        }
    }

    async fn claim(&self) -> Result<Option<CardRow>, gantry_engine::store::StoreError> {
        let settings = self.settings();
        self.engine()
            .store()
            .claim_card(
                &settings.owner,
                self.engine().now_ms(),
                millis(CARD_LEASE),
                millis(settings.post_grace),
            )
            .await
    }
}

fn millis(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}

/// What a message shows for a plan and its operation.
pub fn card_for(view: &CardView, now_ms: i64) -> Card {
    match (&view.plan.state, &view.operation) {
        (_, Some(op)) if op.state.is_terminal() => card::outcome(op),
        (_, Some(op)) => card::progress(op, now_ms),
        (PlanState::Open, None) => card::proposal(&view.plan.plan),
        (PlanState::Dropped(why), None) => card::dropped(&view.plan.plan, why),
        (PlanState::Confirmed(id), None) => {
            card::note(Tone::Working, "● Confirmed", "Its operation is being looked up")
                .foot(format!("ref {id}"))
        }
    }
}

/// One card on its way.
struct Delivery {
    face: Face,
    http: Arc<Http>,
    card: CardRow,
    taken: Taken,
}

/// Why a card did not arrive.
pub(crate) enum Failed {
    /// Worth another try.
    Later(String),
    /// Never will.
    Never(String),
}

impl Failed {
    pub(crate) fn from(error: &serenity::Error) -> Self {
        let words = words_of(error);
        match (status_of(error), code_of(Some(error))) {
            // Gone or forbidden: trying again only brings the ban for invalid requests closer.
            (Some(403), _) | (_, Some(UNKNOWN_CHANNEL)) => Self::Never(words),
            (Some(400), _) => Self::Never(words),
            _ => Self::Later(words),
        }
    }
}

impl Delivery {
    async fn run(self) {
        let sending = tokio::time::timeout(SEND_WITHIN, self.send());
        let outcome = match self.taken.keep(CARD_LEASE, sending).await {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => Err(Failed::Later("it took too long".to_owned())),
            // What was sent may still arrive, after what the new owner sends. `card_shown` sees whose it is.
            None => {
                tracing::warn!("another process has taken this message over");
                Ok(false)
            }
        };
        let engine = self.face.engine();
        let (id, owner) = (&self.card.id, &self.face.settings().owner);
        let noted = match outcome {
            Ok(more) => {
                let every = match &self.card.about {
                    CardAbout::Plan(_) => self.face.settings().edit_every,
                    CardAbout::Incident(_) => INCIDENT_EVERY,
                    CardAbout::Board(_) => self.face.settings().board_every,
                };
                let due = engine.now_ms().saturating_add(millis(every));
                // Where more is to be told, this version is not all shown yet: it is taken up again when it is due.
                let shown = self.card.wanted - i64::from(more);
                engine.store().card_shown(id, owner, shown, due).await
            }
            Err(Failed::Later(why)) => {
                let pause =
                    RETRY_FIRST.saturating_mul(1 << self.card.attempts.min(6)).min(RETRY_LONGEST);
                tracing::warn!(
                    why,
                    ?pause,
                    "a message could not be brought up to date; trying again"
                );
                let due = engine.now_ms().saturating_add(millis(pause));
                engine.store().card_retry(id, owner, due, &why).await
            }
            Err(Failed::Never(why))
                if matches!(self.card.about, CardAbout::Incident(_))
                    && self.card.attempts < REFUSED_TRIES =>
            {
                tracing::error!(
                    why,
                    pause = ?REFUSED_PAUSE,
                    "Discord refuses an incident's message; `/alert list` has it; trying again"
                );
                let due = engine.now_ms().saturating_add(millis(REFUSED_PAUSE));
                engine.store().card_retry(id, owner, due, &why).await
            }
            Err(Failed::Never(why)) => {
                tracing::error!(
                    why,
                    "a message can no longer be kept up to date; `/op show` still tells what came of it"
                );
                engine.store().card_given_up(id, owner, &why).await
            }
        };
        if let Err(error) = noted {
            tracing::warn!(%error, "could not note what a message shows; it will be edited once more");
        }
    }

    /// `true`: shown, and more is to be told of it.
    async fn send(&self) -> Result<bool, Failed> {
        let engine = self.face.engine();
        let shows =
            engine.card_shows(&self.card).await.map_err(|e| Failed::Later(e.to_string()))?;
        let mut shown = match &shows {
            CardShows::Plan(view) => card_for(view, engine.now_ms()),
            CardShows::Incident(incident) => card::incident(incident),
            CardShows::Board(board) => card::board(board, Some(engine.now_ms())),
            CardShows::BoardGone(board) => return self.take_down(board).await.map(|()| false),
        };
        if let CardShows::Incident(incident) = &shows {
            shown.picture = Box::pin(crate::alert_chart::picture(engine, incident)).await;
        }
        let painted = paint(&shown);
        let made = match (self.card.message, &shows) {
            (None, CardShows::Incident(incident)) => self.made_before(incident).await?,
            (made, _) => made,
        };
        let (channel, message) = match made {
            Some(message) => match self.edit_open(message, &painted).await? {
                Ok(()) => (self.card.channel, message),
                Err(error) => match code_of(Some(&error)) {
                    Some(UNKNOWN_MESSAGE | THREAD_ARCHIVED) => {
                        tracing::info!("the message is gone; posting a new one");
                        self.post(&shows, Some(message), &painted).await?
                    }
                    _ if status_of(&error) == Some(400) => {
                        // Our own mistake, most likely: the bare truth is better than a stale message.
                        tracing::error!(
                            error = words_of(&error),
                            "Discord refused a card; showing its title only"
                        );
                        self.edit(message, &self.bare(&shows))
                            .await
                            .map_err(|e| Failed::from(&e))?;
                        (self.card.channel, message)
                    }
                    _ => return Err(Failed::from(&error)),
                },
            },
            None => self.post(&shows, None, &painted).await?,
        };
        match &shows {
            CardShows::Board(_) | CardShows::BoardGone(_) => Ok(false),
            CardShows::Plan(view) => self.call_asker(view, message).await.map(|()| false),
            CardShows::Incident(incident) => {
                self.call_people(incident, channel, message).await?;
                let thread =
                    Thread { face: &self.face, http: &self.http, incident, channel, message };
                Box::pin(thread.keep()).await
            }
        }
    }

    /// Our own mistake, most likely, when Discord refuses a card: the bare truth is better than none.
    fn bare(&self, shows: &CardShows) -> Painted {
        let reference = match shows {
            CardShows::Incident(incident) => incident.id.to_string(),
            _ => self.card.id.to_string(),
        };
        paint(&Card::new(Tone::Warning, card_title(shows)).foot(format!("ref {reference}")))
    }

    /// The message of an incident that was posted before a crash, or whose answer was lost, so long ago that its nonce
    /// may be forgotten: looked for rather than posted twice.
    async fn made_before(&self, incident: &Incident) -> Result<Option<MessageId>, Failed> {
        let asked_ms = incident.posted_ms.unwrap_or(incident.opened_ms);
        if self.face.engine().now_ms() - asked_ms <= millis(NONCE_HOLDS) {
            return Ok(None);
        }
        let channel = serenity::all::ChannelId::new(self.card.channel.0);
        let latest = self.http.get_messages(channel, None, Some(LOOKED_THROUGH)).await;
        let latest = match latest {
            Ok(latest) => latest,
            Err(error) => match Failed::from(&error) {
                // Nothing may be read here, or it is a forum, whose posts are looked through before one is made.
                Failed::Never(_) => return Ok(None),
                later @ Failed::Later(_) => return Err(later),
            },
        };
        let ours = latest.iter().find(|m| {
            let feet = m.embeds.iter().filter_map(|e| e.footer.as_ref());
            m.author.bot && feet.into_iter().any(|f| f.text.contains(incident.id.as_str()))
        });
        let Some(ours) = ours else { return Ok(None) };
        let message = MessageId(ours.id.get());
        let noted =
            self.face.engine().store().card_posted(&self.card.id, self.card.channel, message).await;
        noted.map_err(|e| Failed::Later(e.to_string()))?;
        Ok(Some(message))
    }

    /// Deletes the message of a board that was taken down, then forgets the board.
    async fn take_down(&self, board: &BoardId) -> Result<(), Failed> {
        if let Some(message) = self.card.message {
            let (channel, message) = (self.card.channel.0.into(), message.0.into());
            if let Err(error) = self.http.delete_message(channel, message, None).await {
                match (code_of(Some(&error)), Failed::from(&error)) {
                    (Some(UNKNOWN_MESSAGE), _) => {}
                    // There is no way in any more; nobody reads it either.
                    (_, Failed::Never(why)) => {
                        tracing::warn!(why, "the message of a board that was taken down stays");
                    }
                    (_, again) => return Err(again),
                }
            }
        }
        let forgotten = self.face.engine().store().forget_board(board).await;
        forgotten.map_err(|e| Failed::Later(e.to_string()))
    }

    /// Edits ping nobody, so whoever an incident calls is called by a message of its own: the first by a reply, in
    /// another channel by a link. Each call is made once, and none that is overtaken by an acknowledgement or the end.
    async fn call_people(
        &self,
        incident: &Incident,
        here: ChannelId,
        message: MessageId,
    ) -> Result<(), Failed> {
        let store = self.face.engine().store();
        let later = |e: gantry_engine::store::StoreError| Failed::Later(e.to_string());
        for call in &incident.calls {
            let key = format!("called:{}:{}", incident.id, call.n);
            if store.setting(&key).await.map_err(later)?.is_some() {
                continue;
            }
            if incident.is_open() && (incident.ack.is_none() || call.n == 0) {
                self.call_out(incident, call, here, message).await?;
            }
            store.set_setting(&key, "1", self.face.engine().now_ms()).await.map_err(later)?;
        }
        Ok(())
    }

    async fn call_out(
        &self,
        incident: &Incident,
        call: &Call,
        here: ChannelId,
        message: MessageId,
    ) -> Result<(), Failed> {
        let mut allowed = CreateAllowedMentions::new();
        let whom = match (call.user, call.role) {
            (Some(user), _) => {
                allowed = allowed.users([serenity::all::UserId::new(user.0)]);
                format!("<@{user}> ")
            }
            (None, Some(role)) => {
                allowed = allowed.roles([serenity::all::RoleId::new(role.0)]);
                format!("<@&{role}> ")
            }
            (None, None) => String::new(),
        };
        let elsewhere = call.channel.filter(|c| *c != here);
        let place = match elsewhere {
            Some(_) => format!("https://discord.com/channels/{}/{here}/{message}", self.card.guild),
            None => "see above.".to_owned(),
        };
        // Cut again afterwards: what is made harmless grows, and a message that is too long calls nobody.
        let what = crate::escape::markdown(&crate::paint::cut(&incident.headline(), 300));
        let what = crate::paint::cut(&what, CALL_MAX);
        let mut call_message = CreateMessage::new()
            .content(format!("{whom}{}: {what} · {place}", incident.severity))
            .allowed_mentions(allowed)
            .nonce(Nonce::String(nonce(&["alert", incident.id.as_str(), &call.n.to_string()])))
            .enforce_nonce(true);
        if elsewhere.is_none() {
            call_message = call_message.reference_message(
                MessageReference::from((
                    serenity::all::ChannelId::new(here.0),
                    serenity::all::MessageId::new(message.0),
                ))
                .fail_if_not_exists(false),
            );
        }
        let channel = elsewhere.unwrap_or(here);
        if let Err(error) = call_message.execute(&*self.http, (channel.0.into(), None)).await {
            match Failed::from(&error) {
                // The message itself says it all: not being able to call is no reason to lose it.
                Failed::Never(why) => tracing::error!(why, "nobody could be called for an alert"),
                later @ Failed::Later(_) => return Err(later),
            }
        }
        Ok(())
    }

    /// Edits the message; a thread or post that was archived meanwhile is opened again for it, so that what stands there
    /// stays true instead of a second message beside it.
    async fn edit_open(
        &self,
        message: MessageId,
        painted: &Painted,
    ) -> Result<Result<(), serenity::Error>, Failed> {
        let edited = self.edit(message, painted).await;
        match &edited {
            Err(error) if code_of(Some(error)) == Some(THREAD_ARCHIVED) => {}
            _ => return Ok(edited),
        }
        let open = EditThread::new().archived(false);
        match open
            .execute(&*self.http, self.card.channel.0.into())
            .await
            .map_err(|e| Failed::from(&e))
        {
            Ok(_) => Ok(self.edit(message, painted).await),
            Err(again @ Failed::Later(_)) => Err(again),
            Err(Failed::Never(why)) => {
                tracing::info!(why, "an archived thread cannot be opened again");
                Ok(edited)
            }
        }
    }

    async fn edit(&self, message: MessageId, painted: &Painted) -> Result<(), serenity::Error> {
        let mut attachments = EditAttachments::new();
        for file in painted.attachments() {
            attachments = attachments.add(file);
        }
        EditMessage::new()
            .allowed_mentions(CreateAllowedMentions::new())
            .embeds(vec![painted.embed()])
            .components(painted.components())
            .attachments(attachments)
            .execute(&*self.http, (self.card.channel.0.into(), message.0.into(), None))
            .await
            .map(drop)
    }

    /// Posts the card as a new message. The nonce follows from what is posted in place of what, so a crash between
    /// posting and noting it does not post twice.
    async fn post(
        &self,
        shows: &CardShows,
        in_place_of: Option<MessageId>,
        painted: &Painted,
    ) -> Result<(ChannelId, MessageId), Failed> {
        let nonce =
            nonce(&["card", self.card.id.as_str(), &in_place_of.map_or(0, |m| m.0).to_string()]);
        let create = |painted: &Painted| {
            CreateMessage::new()
                .allowed_mentions(CreateAllowedMentions::new())
                .embed(painted.embed())
                .components(painted.components())
                .add_files(painted.attachments())
                .nonce(Nonce::String(nonce.clone()))
                .enforce_nonce(true)
        };
        let place = (self.card.channel.0.into(), None);
        let posted = create(painted).execute(&*self.http, place).await;
        let posted = match (posted, shows) {
            (Err(error), CardShows::Incident(incident))
                if code_of(Some(&error)) == Some(NOT_A_TEXT_CHANNEL) =>
            {
                let (face, http) = (&self.face, &self.http);
                return Box::pin(incident_thread::post(face, http, &self.card, incident, painted))
                    .await;
            }
            (Err(error), CardShows::Incident(_)) if status_of(&error) == Some(400) => {
                tracing::error!(
                    error = words_of(&error),
                    "Discord refused a card; showing its title only"
                );
                let bare = create(&self.bare(shows)).execute(&*self.http, place).await;
                bare.map_err(|e| Failed::from(&e))?
            }
            (posted, _) => posted.map_err(|e| Failed::from(&e))?,
        };
        let (channel, message) = (ChannelId(posted.channel_id.get()), MessageId(posted.id.get()));
        self.face
            .engine()
            .store()
            .card_posted(&self.card.id, channel, message)
            .await
            .map_err(|e| Failed::Later(e.to_string()))?;
        Ok((channel, message))
    }

    /// Edits ping nobody, so whoever asked is called once, by a short reply, when something went wrong.
    async fn call_asker(&self, view: &CardView, message: MessageId) -> Result<(), Failed> {
        let Some(op) = &view.operation else { return Ok(()) };
        let words = crate::words::verb(op.verb);
        let what = match op.state {
            OpState::Failed => format!("could not {} {}", words.bare, op.name),
            OpState::Unknown => format!("not known whether {} was {}", op.name, words.done),
            _ => return Ok(()),
        };
        let engine = self.face.engine();
        let key = format!("called:{}", op.id);
        let store = engine.store();
        let later = |e: gantry_engine::store::StoreError| Failed::Later(e.to_string());
        if store.setting(&key).await.map_err(later)?.is_some() {
            return Ok(());
        }
        let asker = view.plan.plan.asker.user;
        let reply = CreateMessage::new()
            .content(format!(
                "<@{asker}> ✗ {}: see above.",
                crate::escape::markdown(&crate::paint::cut(&what, 300))
            ))
            .allowed_mentions(
                CreateAllowedMentions::new().users([serenity::all::UserId::new(asker.0)]),
            )
            .reference_message(
                MessageReference::from((
                    serenity::all::ChannelId::new(self.card.channel.0),
                    serenity::all::MessageId::new(message.0),
                ))
                .fail_if_not_exists(false),
            )
            .nonce(Nonce::String(nonce(&["call", op.id.as_str()])))
            .enforce_nonce(true)
            .execute(&*self.http, (self.card.channel.0.into(), None))
            .await;
        if let Err(error) = reply {
            match Failed::from(&error) {
                // The card itself says it all: not being able to call is no reason to lose it.
                Failed::Never(why) => tracing::warn!(why, "the asker could not be called"),
                later @ Failed::Later(_) => return Err(later),
            }
        }
        store.set_setting(&key, "1", engine.now_ms()).await.map_err(later)
    }
}

fn card_title(shows: &CardShows) -> card::Line {
    let view = match shows {
        CardShows::Plan(view) => view,
        CardShows::Incident(incident) => return crate::line![card::text(incident.headline())],
        CardShows::Board(_) | CardShows::BoardGone(_) => return "Status board".into(),
    };
    crate::line![
        crate::words::verb(view.plan.plan.verb).todo,
        " ",
        card::text(&view.plan.plan.name),
        card::text(
            view.operation.as_ref().map_or(String::new(), |o| format!(": {}", o.state.as_str()))
        ),
    ]
}

/// A nonce that the same thing always gets.
pub(crate) fn nonce(parts: &[&str]) -> String {
    let digest = Sha256::digest(parts.join("\0").as_bytes());
    hex::encode(digest).chars().take(NONCE_MAX).collect()
}

/// A nonce of a card's first message; public for tests that look for it.
pub fn first_nonce(card: &CardId) -> String {
    nonce(&["card", card.as_str(), "0"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_short_and_the_same_every_time() {
        let id = CardId::new(1_700_000_000_000, 9);
        assert_eq!(first_nonce(&id), first_nonce(&id));
        assert_eq!(first_nonce(&id).len(), NONCE_MAX);
        assert_ne!(first_nonce(&id), first_nonce(&CardId::new(1_700_000_000_000, 10)));
    }
}
