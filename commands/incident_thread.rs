//! The thread on an incident's message: its course and what people wrote, each once, in order. In a forum the post is
//! the thread, and its tags say how bad it is and whether it is over.
//!
//! A thread made from a message has that message's id, so that opening it twice finds the first one. How far it was told
//! is written down before and after each message, and the message's nonce follows from where it begins.

use gantry_core::alert::{Incident, Kind};
use gantry_core::id::{ChannelId, MessageId};
use gantry_engine::store::{CardRow, IncidentThread};
use serenity::all::{
    AutoArchiveDuration, Builder, CreateAllowedMentions, CreateForumPost, CreateMessage,
    CreateThread, EditThread, ForumTag, ForumTagId, Http, Nonce,
};

use crate::courier::{Failed, THREAD_ARCHIVED, UNKNOWN_CHANNEL, nonce};
use crate::desk::{UNKNOWN_MESSAGE, code_of, status_of, words_of};
use crate::escape;
use crate::face::Face;
use crate::paint::{Painted, cut, label, units};

/// Longest name of a thread.
const NAME_MAX: usize = 100;
/// Longest message in a thread; Discord takes 2,000.
const TEXT_MAX: usize = 1900;
/// Longest line of the course, as it is sent: what senders call things can grow when it is made harmless.
const LINE_MAX: usize = 900;
/// Notes told in one go.
const NOTES_MAX: usize = 8;
/// Most tags of a post.
const TAGS_MAX: usize = 5;
/// Posts of a forum that are looked through for one that was made before a crash; those of other incidents are known.
const POSTS_LOOKED_AT: usize = 25;

/// Error code: the message has a thread already.
const HAS_THREAD: isize = 160_004;
/// Error code: messages cannot be sent into a channel of this kind. A forum's posts are threads.
pub(crate) const NOT_A_TEXT_CHANNEL: isize = 50_008;

/// Brings an incident's thread up to date.
pub(crate) struct Thread<'a> {
    pub face: &'a Face,
    pub http: &'a Http,
    pub incident: &'a Incident,
    /// Where the incident's message is.
    pub channel: ChannelId,
    /// The message.
    pub message: MessageId,
}

fn later(error: &gantry_engine::store::StoreError) -> Failed {
    Failed::Later(error.to_string())
}

impl Thread<'_> {
    /// Opens the thread where it is missing, then tells what is not told yet: one message of its course each time, so
    /// that a storm is no storm there either. `true`: more is to be told.
    pub async fn keep(&self) -> Result<bool, Failed> {
        let store = self.face.engine().store();
        let id = &self.incident.id;
        let wanted = self.face.engine().alert_route(self.incident.guild).is_none_or(|r| r.threads);
        let is_post = self.channel.0 == self.message.0;
        if self.incident.kind != Kind::Alerts || !(wanted || is_post) {
            return Ok(false);
        }
        let kept = store.incident_thread(id).await.map_err(|e| later(&e))?;
        let mut kept = match kept.filter(|k| k.starter == self.message) {
            Some(kept) => kept,
            None => {
                let thread = if is_post { Some(self.channel) } else { self.open().await? };
                let kept = IncidentThread {
                    starter: self.message,
                    thread,
                    told: 0,
                    telling: 0,
                    tags: String::new(),
                };
                store.save_incident_thread(id, &kept).await.map_err(|e| later(&e))?;
                kept
            }
        };
        let Some(thread) = kept.thread else { return Ok(false) };
        match self.tell(thread, &mut kept).await {
            Err(Told::Gone(why)) => {
                tracing::warn!(
                    why,
                    "an incident's thread is gone or closed; it is told there no more"
                );
                kept.thread = None;
                store.save_incident_thread(id, &kept).await.map_err(|e| later(&e))?;
                Ok(false)
            }
            // The message itself says it all: its thread is no reason to lose it.
            Err(Told::Failed(Failed::Never(why))) => {
                tracing::warn!(why, "an incident's thread could not be brought up to date");
                Ok(false)
            }
            Err(Told::Failed(failed)) => Err(failed),
            Ok(more) => Ok(more),
        }
    }

    fn name(&self) -> String {
        thread_name(self.incident)
    }

    /// `None`: it may not be opened here.
    async fn open(&self) -> Result<Option<ChannelId>, Failed> {
        let thread =
            CreateThread::new(self.name()).auto_archive_duration(AutoArchiveDuration::OneDay);
        let place = (self.channel.0.into(), Some(self.message.0.into()));
        match thread.execute(self.http, place).await {
            Ok(thread) => Ok(Some(ChannelId(thread.id.get()))),
            // Made before a crash; it has the message's id.
            Err(error) if code_of(Some(&error)) == Some(HAS_THREAD) => {
                Ok(Some(ChannelId(self.message.0)))
            }
            Err(error) => match Failed::from(&error) {
                Failed::Never(why) => {
                    tracing::warn!(
                        why,
                        "an incident gets no thread; does gantry have Create Public Threads?"
                    );
                    Ok(None)
                }
                again @ Failed::Later(_) => Err(again),
            },
        }
    }

    async fn tell(&self, thread: ChannelId, kept: &mut IncidentThread) -> Result<bool, Told> {
        let store = self.face.engine().store();
        let id = &self.incident.id;
        let failed = |e: gantry_engine::store::StoreError| Told::Failed(later(&e));
        let (from, whole) = (kept.told, self.incident.entries());
        // What may have been sent before a crash is sent in the same words' place: up to where that reached.
        let until = if kept.telling > from { kept.telling } else { self.fits(from, whole) };
        if until > from {
            if kept.telling != until {
                kept.telling = until;
                store.save_incident_thread(id, kept).await.map_err(failed)?;
            }
            let text = course(self.incident, from, until);
            if !text.is_empty() {
                let starter = kept.starter.0.to_string();
                let key = nonce(&["thread", id.as_str(), &starter, &from.to_string()]);
                self.send(thread, text, key).await?;
            }
            kept.told = until;
            store.save_incident_thread(id, kept).await.map_err(failed)?;
        }
        let notes: Vec<_> = self.incident.notes.iter().filter(|n| !n.told).collect();
        for note in notes.iter().take(NOTES_MAX) {
            let text = cut(
                &format!("**{}** wrote:\n{}", escape::markdown(&note.name), quoted(&note.text)),
                TEXT_MAX,
            );
            self.send(thread, text, nonce(&["note", note.id.as_str()])).await?;
            store.note_told(&note.id).await.map_err(failed)?;
        }
        self.tag(thread, kept).await?;
        Ok(kept.told < whole || notes.len() > NOTES_MAX)
    }

    /// How far the course reaches in one message.
    fn fits(&self, from: u64, whole: u64) -> u64 {
        let mut until = from;
        while until < whole
            && (until == from || units(&course(self.incident, from, until + 1)) <= TEXT_MAX)
        {
            until += 1;
        }
        until
    }

    async fn send(&self, thread: ChannelId, text: String, nonce: String) -> Result<(), Told> {
        let sent = CreateMessage::new()
            .content(text)
            .allowed_mentions(CreateAllowedMentions::new())
            .nonce(Nonce::String(nonce))
            .enforce_nonce(true)
            .execute(self.http, (thread.0.into(), None))
            .await;
        match sent.map_err(|error| gone_or_failed(&error)) {
            // This one is refused for what it says. The next ones, and the incident's message, go on.
            Err(Told::Failed(Failed::Never(why))) => {
                tracing::error!(
                    why,
                    "Discord refused a message of an incident's thread; it is left out"
                );
                Ok(())
            }
            sent => sent.map(drop),
        }
    }

    /// Sets a post's tags to those of the forum that fit.
    async fn tag(&self, thread: ChannelId, kept: &mut IncidentThread) -> Result<(), Told> {
        let words = tag_words(self.incident);
        if thread.0 != self.message.0 || thread != self.channel || kept.tags == words.join(" ") {
            return Ok(());
        }
        let forum = match self.http.get_channel(thread.0.into()).await {
            Ok(channel) => channel.guild().and_then(|c| c.parent_id),
            Err(error) => return Err(gone_or_failed(&error)),
        };
        let Some(forum) = forum else { return Ok(()) };
        let tags = match available(self.http, forum).await {
            Ok(tags) => tags.fitting(&words),
            Err(Failed::Never(why)) => {
                tracing::warn!(why, "the tags of a forum cannot be read");
                return Ok(());
            }
            Err(again @ Failed::Later(_)) => return Err(Told::Failed(again)),
        };
        let edit = EditThread::new().applied_tags(tags);
        if let Err(error) = edit.execute(self.http, thread.0.into()).await {
            match Failed::from(&error) {
                Failed::Never(why) => {
                    tracing::warn!(why, "the tags of an incident's post were refused")
                }
                again @ Failed::Later(_) => return Err(Told::Failed(again)),
            }
        }
        kept.tags = words.join(" ");
        let saved = self.face.engine().store().save_incident_thread(&self.incident.id, kept).await;
        saved.map_err(|e| Told::Failed(later(&e)))
    }
}

/// Why something did not get into a thread.
enum Told {
    /// There is no way in any more.
    Gone(String),
    /// It failed.
    Failed(Failed),
}

fn gone_or_failed(error: &serenity::Error) -> Told {
    match (status_of(error), code_of(Some(error))) {
        (_, Some(UNKNOWN_CHANNEL | THREAD_ARCHIVED)) | (Some(403), _) => {
            Told::Gone(words_of(error))
        }
        _ => Told::Failed(Failed::from(error)),
    }
}

fn thread_name(incident: &Incident) -> String {
    label(&incident.headline(), NAME_MAX)
}

/// Entries of the timeline, a line each.
fn course(incident: &Incident, from: u64, until: u64) -> String {
    let entries = incident.entries_between(from, until);
    let mut lines: Vec<String> = entries
        .iter()
        .map(|e| {
            let text = escape::markdown(&cut(&e.text, 600));
            cut(&format!("<t:{}:T> {text}", e.at_ms.div_euclid(1000)), LINE_MAX)
        })
        .collect();
    let missing = (until - from).saturating_sub(u64::try_from(entries.len()).unwrap_or(0));
    if missing > 0 {
        lines.push(format!("… {missing} were too many to keep"));
    }
    lines.join("\n")
}

fn quoted(text: &str) -> String {
    text.lines().map(|l| format!("> {}", escape::markdown(l))).collect::<Vec<_>>().join("\n")
}

/// What tags of a forum may be called to be used: severity, cluster, and whether it goes on.
fn tag_words(incident: &Incident) -> Vec<String> {
    let state = if incident.is_open() { "open" } else { "over" };
    let mut words = vec![incident.severity.as_str().to_owned(), state.to_owned()];
    words.extend(incident.cluster.as_ref().map(ToString::to_string));
    words
}

/// The tags of a forum.
struct Tags {
    all: Vec<ForumTag>,
    /// Whether a post without one is refused.
    needed: bool,
}

impl Tags {
    /// Those that are called like one of `words`; where a post needs one and none is, the first that anybody may set.
    fn fitting(&self, words: &[String]) -> Vec<ForumTagId> {
        let fits = |t: &&ForumTag| words.iter().any(|w| w.eq_ignore_ascii_case(t.name.trim()));
        let found: Vec<ForumTagId> =
            self.all.iter().filter(fits).map(|t| t.id).take(TAGS_MAX).collect();
        if !found.is_empty() || !self.needed {
            return found;
        }
        let any = self.all.iter().find(|t| !t.moderated).or_else(|| self.all.first());
        tracing::warn!(
            used = any.map(|t| t.name.as_str()),
            "the forum of alerts wants a tag on each post and has none that fits; `gantry doctor` says which do"
        );
        any.map(|t| t.id).into_iter().collect()
    }
}

async fn available(http: &Http, forum: serenity::all::ChannelId) -> Result<Tags, Failed> {
    let channel = http.get_channel(forum).await.map_err(|e| Failed::from(&e))?.guild();
    let needed = channel
        .as_ref()
        .is_some_and(|c| c.flags.contains(serenity::all::ChannelFlags::REQUIRE_TAG));
    Ok(Tags { all: channel.map(|c| c.available_tags).unwrap_or_default(), needed })
}

/// Posts an incident in a forum; the post's thread is its channel from then on. Discord has no nonce for that, so a post
/// that was made before a crash is looked for first.
pub(crate) async fn post(
    face: &Face,
    http: &Http,
    card: &CardRow,
    incident: &Incident,
    painted: &Painted,
) -> Result<(ChannelId, MessageId), Failed> {
    let id = match made_before(face, http, card, incident).await? {
        Some(id) => id,
        None => {
            let words = tag_words(incident);
            let tags = available(http, card.channel.0.into()).await?.fitting(&words);
            let message = CreateMessage::new()
                .allowed_mentions(CreateAllowedMentions::new())
                .embed(painted.embed())
                .components(painted.components())
                .add_files(painted.attachments());
            let post = CreateForumPost::new(thread_name(incident), message).set_applied_tags(tags);
            let post =
                post.execute(http, card.channel.0.into()).await.map_err(|e| Failed::from(&e))?;
            post.id.get()
        }
    };
    let (channel, message) = (ChannelId(id), MessageId(id));
    let noted = face.engine().store().card_posted(&card.id, channel, message).await;
    noted.map_err(|e| later(&e))?;
    Ok((channel, message))
}

async fn made_before(
    face: &Face,
    http: &Http,
    card: &CardRow,
    incident: &Incident,
) -> Result<Option<u64>, Failed> {
    let active = http.get_guild_active_threads(card.guild.0.into()).await;
    let mut posts = active.map_err(|e| Failed::from(&e))?.threads;
    let known = face.engine().store().known_posts(card.guild).await.map_err(|e| later(&e))?;
    let name = thread_name(incident);
    posts.retain(|t| {
        t.parent_id.is_some_and(|p| p.get() == card.channel.0)
            && !known.contains(&MessageId(t.id.get()))
    });
    // The headline may have changed since; those of the same name are looked at first, then the newest.
    posts.sort_by_key(|t| (t.name != name, std::cmp::Reverse(t.id)));
    for post in posts.iter().take(POSTS_LOOKED_AT) {
        let first = match http.get_message(post.id, post.id.get().into()).await {
            Ok(first) => first,
            Err(error) => match (code_of(Some(&error)), Failed::from(&error)) {
                // Its message is gone, or nothing of it is for gantry to read.
                (Some(UNKNOWN_MESSAGE), _) | (_, Failed::Never(_)) => continue,
                // It may be the one: nothing is posted before that is known.
                (_, later) => return Err(later),
            },
        };
        let footers = first.embeds.iter().filter_map(|e| e.footer.as_ref());
        if footers.into_iter().any(|f| f.text.contains(incident.id.as_str())) {
            return Ok(Some(post.id.get()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use gantry_core::alert::{Book, Desk, Route, Rules, Severity};
    use gantry_core::id::{GuildId, IncidentId};

    use super::*;

    #[test]
    fn where_a_post_needs_a_tag_there_is_one() {
        let tag = |id: u64, name: &str, moderated: bool| -> ForumTag {
            let tag = serde_json::json!({"id": id.to_string(), "name": name, "moderated": moderated,
                "emoji_id": null, "emoji_name": null});
            serde_json::from_value(tag).unwrap()
        };
        let all = vec![tag(1, "Rules", true), tag(2, "Talk", false), tag(3, "critical", false)];
        let words = |w: &str| [w.to_owned(), "open".to_owned()];
        let tags = Tags { all: all.clone(), needed: true };
        assert_eq!(tags.fitting(&words("Critical")), [ForumTagId::new(3)]);
        assert_eq!(tags.fitting(&words("warning")), [ForumTagId::new(2)]);
        assert!(Tags { all, needed: false }.fitting(&words("warning")).is_empty());
        assert!(Tags { all: vec![], needed: true }.fitting(&words("warning")).is_empty());
    }

    #[test]
    fn names_of_invisible_characters_never_make_a_message_too_long() {
        let desk = Desk {
            route: Route::of(GuildId(1), ChannelId(2)),
            rules: Rules::default(),
            mutes: vec![],
            book: Book::default(),
            incidents: std::collections::BTreeMap::new(),
        };
        let id = IncidentId::new(1, 1);
        let mut incident = desk.fresh(id, Kind::Alerts, "x", Severity::Error, 1_700_000_000_000);
        let name = "\u{200b}".repeat(80);
        for _ in 0..10 {
            incident.note(1_700_000_000_000, format!("began: {}", [name.as_str(); 5].join(", ")));
        }
        for n in 0..10 {
            assert!(units(&course(&incident, n, n + 1)) <= TEXT_MAX, "one entry fits by itself");
        }
        assert!(course(&incident, 0, 1).starts_with("<t:1700000000:T> began: "));
    }
}
