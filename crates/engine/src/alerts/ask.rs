//! What people ask and say about alerts. Everything is kept in the store at once; the desks take it in at their next
//! look. Whoever says something is asked about by policy at that moment, and it stands in the audit log.

use gantry_core::action::Verb;
use gantry_core::alert::{
    Ack, Desk, DutyShift, Effective, Exception, Incident, Kind, MIRRORS_MAX, MuteKind, Muting,
    Override, Phase, Rule, Rules, Severity, Tracked, mirrors,
};
use gantry_core::audit::AuditEvent;
use gantry_core::id::{GuildId, IncidentId, MuteId, UserId};
use gantry_core::policy::{Actor, Ruling, Selector, Target};

use crate::{Engine, Error, random};

/// Longest silence or maintenance window: 30 days. What is to be quiet for longer is a rule to be changed.
const MUTE_MAX_MS: i64 = 30 * 86_400_000;
/// Longest that somebody stands in.
const SHIFT_MAX_MS: i64 = 60 * 86_400_000;

/// What came of saying something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It holds now; until when, where that matters, milliseconds.
    Done(String, Option<i64>),
    /// Not for this person.
    Denied {
        /// The deciding rule.
        because: String,
    },
    /// It cannot be, or is so already.
    Over {
        /// Why.
        why: String,
    },
}

/// What shall be muted.
#[derive(Debug, Clone, PartialEq)]
pub struct MuteAsk {
    /// How it is called.
    pub kind: MuteKind,
    /// Only this rule.
    pub rule: Option<String>,
    /// What it covers.
    pub on: Selector,
    /// Only these, by key.
    pub subjects: Vec<String>,
    /// For how long, milliseconds.
    pub for_ms: i64,
    /// Why.
    pub reason: String,
    /// What people call it.
    pub shown: String,
}

/// An incident with its alerts and what they are held against.
#[derive(Debug, Clone)]
pub struct AlertView {
    /// The incident.
    pub incident: Incident,
    /// Its alerts with the values that hold for them.
    pub alerts: Vec<(Tracked, Option<Effective>)>,
    /// Its rule.
    pub rule: Option<Rule>,
}

fn no_alerts() -> Said {
    let why = "This server gets no alerts. Name a channel for it under [[alerts.servers]] in the configuration.";
    Said::Over { why: why.to_owned() }
}

impl Engine {
    /// An incident with its alerts, where there is one in the actor's server to which they may do `verb`.
    pub async fn incident(
        &self,
        actor: &Actor,
        verb: Verb,
        id: &IncidentId,
    ) -> Result<Option<AlertView>, Error> {
        let found =
            self.store().find_incident(id).await.map_err(Error::store("read the incident"))?;
        let Some(incident) = found.filter(|i| i.guild == actor.guild) else { return Ok(None) };
        let all = self.all_alerts(actor.guild).await?;
        if !self.ruling_on(actor, verb, &incident, &all).is_allowed() {
            return Ok(None);
        }
        let rules = self.alert_rules(actor.guild).await?;
        let rule = rules.find(&incident.rule).cloned();
        let alerts = self.visible(actor, all);
        let of = |t: &Tracked| t.incident.as_ref() == Some(&incident.id);
        let alerts = alerts
            .into_iter()
            .filter(|t| of(t) && t.phase == Phase::Firing)
            .map(|t| {
                let effective = rules.find(&t.rule).and_then(|r| r.effective(&t.subject));
                (t, effective)
            })
            .collect();
        Ok(Some(AlertView { incident, alerts, rule }))
    }

    /// The rules of a server, with what people made of them.
    pub async fn alert_rules(&self, guild: GuildId) -> Result<Rules, Error> {
        let said =
            self.store().list_overrides(guild).await.map_err(Error::store("read the rules"))?;
        Ok(self.inner.settings.alerts.rules.clone().overridden(&said))
    }

    /// The names and headlines of the rules there are. Memory only.
    pub fn rule_names(&self) -> Vec<(String, String)> {
        let rules = &self.inner.settings.alerts.rules.rules;
        rules.iter().map(|r| (r.id.clone(), r.title.clone())).collect()
    }

    /// Takes care of an incident, in the actor's name.
    pub async fn acknowledge(&self, actor: &Actor, id: &IncidentId) -> Result<Said, Error> {
        let verb = Verb::AlertAck;
        let incident = match self.own_incident(actor, id).await? {
            Ok(incident) => incident,
            Err(said) => return Ok(said),
        };
        if let Some(said) = self.refused(actor, verb, &incident).await? {
            return Ok(said);
        }
        let ack = Ack { user: actor.user, name: actor.name.clone(), at_ms: self.now_ms() };
        let row =
            self.audit_row(AuditEvent::Confirmed, actor, verb, &incident.headline(), id.as_str());
        let done = self.store().acknowledge(id, &ack, &row).await;
        if done.map_err(Error::store("acknowledge the incident"))? {
            self.card_touched();
            let said = format!("{}. Nobody else is called for it.", incident.headline());
            return Ok(Said::Done(said, None));
        }
        let why = match incident.ack {
            Some(ack) => format!("{} takes care of it already.", ack.name),
            None => "It is over.".to_owned(),
        };
        Ok(Said::Over { why })
    }

    pub(super) async fn own_incident(
        &self,
        actor: &Actor,
        id: &IncidentId,
    ) -> Result<Result<Incident, Said>, Error> {
        let found =
            self.store().find_incident(id).await.map_err(Error::store("read the incident"))?;
        Ok(match found {
            Some(incident) if incident.guild == actor.guild => Ok(incident),
            _ => Err(Said::Over { why: "There is no such incident in this server.".into() }),
        })
    }

    /// Silences everything an incident stands for now.
    pub async fn silence_incident(
        &self,
        actor: &Actor,
        id: &IncidentId,
        for_ms: i64,
        reason: &str,
    ) -> Result<Said, Error> {
        let incident = match self.own_incident(actor, id).await? {
            Ok(incident) => incident,
            Err(said) => return Ok(said),
        };
        if let Some(said) = self.refused(actor, Verb::AlertSilence, &incident).await? {
            return Ok(said);
        }
        if !incident.is_open() || incident.kind != Kind::Alerts {
            return Ok(Said::Over { why: "It is over; there is nothing to silence.".into() });
        }
        let all = self.all_alerts(actor.guild).await?;
        let subjects: Vec<String> = all
            .iter()
            .filter(|t| t.incident.as_ref() == Some(id) && t.phase == Phase::Firing && !t.folded)
            .map(|t| t.subject.key())
            .collect();
        if subjects.is_empty() {
            let why = "Nothing fires in it now that could be silenced; what is folded into it or over is not. Nothing was silenced.";
            return Ok(Said::Over { why: why.to_owned() });
        }
        let ask = MuteAsk {
            kind: MuteKind::Silence,
            rule: Some(incident.rule.clone()),
            on: Selector::everything(),
            subjects,
            for_ms,
            reason: reason.to_owned(),
            shown: incident.headline(),
        };
        self.keep_mute(actor, Verb::AlertSilence, ask, &all).await
    }

    /// Begins a maintenance window; `target` is what policy is asked about.
    pub async fn start_maintenance(
        &self,
        actor: &Actor,
        target: Target<'_>,
        ask: MuteAsk,
    ) -> Result<Said, Error> {
        let verb = Verb::MaintenanceStart;
        if let Ruling::Denied { because } = self.ruling_on_all_in(actor, verb, target) {
            self.denied(actor, verb, &ask.shown, &because).await?;
            return Ok(Said::Denied { because });
        }
        self.keep_mute(actor, verb, ask, &[]).await
    }

    /// `alerts` are those that fire: those told by an Alertmanager are silenced there as well.
    async fn keep_mute(
        &self,
        actor: &Actor,
        verb: Verb,
        ask: MuteAsk,
        alerts: &[Tracked],
    ) -> Result<Said, Error> {
        if self.alert_route(actor.guild).is_none() {
            return Ok(no_alerts());
        }
        let now_ms = self.now_ms();
        let mute = Muting {
            id: MuteId::new(now_ms, random()),
            guild: actor.guild,
            kind: ask.kind,
            rule: ask.rule,
            on: ask.on,
            subjects: ask.subjects,
            from_ms: now_ms,
            until_ms: now_ms + ask.for_ms.clamp(60_000, MUTE_MAX_MS),
            by: actor.user,
            by_name: actor.name.clone(),
            reason: ask.reason,
        };
        let row = self.audit_row(AuditEvent::Confirmed, actor, verb, &ask.shown, mute.id.as_str());
        let mirrors = mirrors(&mute, alerts, &self.mirrored_hooks());
        let kept = self.store().save_mute(&mute, &mirrors, &row).await;
        kept.map_err(Error::store("keep the silence"))?;
        let mut shown = ask.shown;
        if !mirrors.is_empty() {
            self.inner.mirrors.send_replace(());
            shown += " · Alertmanager is told as well";
            if mirrors.len() >= MIRRORS_MAX {
                shown += &format!(" of the first {MIRRORS_MAX}; the others are silent here only");
            }
        }
        Ok(Said::Done(shown, Some(mute.until_ms)))
    }

    /// Silences and maintenance windows of a server.
    pub async fn mutes(&self, guild: GuildId) -> Result<Vec<Muting>, Error> {
        let list = self.store().list_mutes(guild, self.now_ms()).await;
        list.map_err(Error::store("read the silences"))
    }

    /// Where silences stand that hold where alerts come from as well: `prom: made`, one line each kind.
    pub async fn silenced_there(
        &self,
        view: &AlertView,
        mutes: &[Muting],
    ) -> Result<Vec<String>, Error> {
        let mut lines = std::collections::BTreeMap::new();
        let covers = |m: &&Muting| view.alerts.iter().any(|(t, _)| m.covers(&t.rule, &t.subject));
        for mute in mutes.iter().filter(covers) {
            let states = self.store().mirrors_of(&mute.id).await;
            for s in states.map_err(Error::store("read the silences"))? {
                let why = s.last_error.map(|e| format!(" ({e})")).unwrap_or_default();
                *lines.entry(format!("{}: {}{why}", s.hook, s.state)).or_insert(0_u32) += 1;
            }
        }
        Ok(lines.into_iter().map(|(line, n)| format!("{n} at {line}")).collect())
    }

    /// Ends a silence or a maintenance window.
    pub async fn end_mute(&self, actor: &Actor, id: &str) -> Result<Said, Error> {
        let verb = Verb::MaintenanceEnd;
        let found = self.mutes(actor.guild).await?.into_iter().find(|m| m.id.as_str() == id);
        let Some(mut mute) = found else {
            return Ok(Said::Over { why: "There is none of that name; it may be over.".into() });
        };
        if mute.by != actor.user
            && let Ruling::Denied { because } = self.may_all(actor, verb)
        {
            self.denied(actor, verb, mute.on.as_str(), &because).await?;
            return Ok(Said::Denied { because });
        }
        mute.until_ms = self.now_ms();
        let row = self.audit_row(AuditEvent::Confirmed, actor, verb, mute.on.as_str(), id);
        self.store().end_mute(&mute, &row).await.map_err(Error::store("end the silence"))?;
        self.inner.mirrors.send_replace(());
        Ok(Said::Done("Ended. What still fires is told from now on.".into(), None))
    }

    /// Gives a rule other values for this server.
    pub async fn override_rule(
        &self,
        actor: &Actor,
        verb: Verb,
        rule: &str,
        exception: Exception,
    ) -> Result<Said, Error> {
        if let Ruling::Denied { because } = self.may_all(actor, verb) {
            self.denied(actor, verb, rule, &because).await?;
            return Ok(Said::Denied { because });
        }
        if self.alert_route(actor.guild).is_none() {
            return Ok(no_alerts());
        }
        let rules = self.alert_rules(actor.guild).await?;
        let Some(known) = rules.find(rule) else {
            return Ok(Said::Over {
                why: format!("There is no rule {rule}. `/rule list` shows them."),
            });
        };
        let problems = known.excepted(&exception).problems();
        if !problems.is_empty() {
            return Ok(Said::Over { why: problems.join("; ") });
        }
        let on = exception.on.as_str().to_owned();
        let said = Override {
            guild: actor.guild,
            rule: rule.to_owned(),
            exception,
            by_name: actor.name.clone(),
            at_ms: self.now_ms(),
        };
        let row = self.audit_row(AuditEvent::Confirmed, actor, verb, rule, &format!("on {on}"));
        self.store().save_override(&said, &row).await.map_err(Error::store("keep the override"))?;
        Ok(Said::Done(
            format!("{rule} has other values for {on} in this server, from the next look on."),
            None,
        ))
    }

    /// Takes back everything this server made of a rule.
    pub async fn reset_rule(&self, actor: &Actor, verb: Verb, rule: &str) -> Result<Said, Error> {
        if let Ruling::Denied { because } = self.may_all(actor, verb) {
            self.denied(actor, verb, rule, &because).await?;
            return Ok(Said::Denied { because });
        }
        let row = self.audit_row(AuditEvent::Confirmed, actor, verb, rule, "as it comes");
        let done = self.store().remove_overrides(actor.guild, rule, &row).await;
        done.map_err(Error::store("take back the override"))?;
        Ok(Said::Done(format!("{rule} is as it comes."), None))
    }

    /// Who is on call in a server, until when, and who stands in.
    pub async fn on_call(
        &self,
        guild: GuildId,
    ) -> Result<Option<(Option<UserId>, i64, Vec<DutyShift>)>, Error> {
        let Some(route) = self.alert_route(guild) else { return Ok(None) };
        let now_ms = self.now_ms();
        let shifts = self.store().list_shifts(guild, now_ms).await;
        let mut duty = route.duty.clone();
        duty.shifts = shifts.map_err(Error::store("read who is on call"))?;
        Ok(Some((duty.now(now_ms), duty.until_ms(now_ms), duty.shifts)))
    }

    /// Somebody stands in on call from now on.
    pub async fn stand_in(&self, actor: &Actor, user: UserId, for_ms: i64) -> Result<Said, Error> {
        let verb = Verb::OncallOverride;
        if let Ruling::Denied { because } = self.may_all(actor, verb) {
            self.denied(actor, verb, "on call", &because).await?;
            return Ok(Said::Denied { because });
        }
        if self.alert_route(actor.guild).is_none() {
            return Ok(no_alerts());
        }
        let now_ms = self.now_ms();
        let until_ms = now_ms + for_ms.clamp(60_000, SHIFT_MAX_MS);
        let there = self.store().list_shifts(actor.guild, now_ms).await;
        let there = there.map_err(Error::store("read who is on call"))?;
        // The last one counts: it alone says who is called now.
        if there.last().is_some_and(|s| s.user == user && s.until_ms >= until_ms) {
            let why = "They stand in already, at least that long. `/oncall show` shows until when.";
            return Ok(Said::Over { why: why.to_owned() });
        }
        let shift = DutyShift {
            guild: actor.guild,
            user,
            from_ms: now_ms,
            until_ms,
            by_name: actor.name.clone(),
        };
        let row =
            self.audit_row(AuditEvent::Confirmed, actor, verb, &user.to_string(), "stands in");
        let kept = self.store().add_shift(&shift, now_ms, &row).await;
        kept.map_err(Error::store("note who is on call"))?;
        Ok(Said::Done("Somebody stands in from now on.".into(), Some(shift.until_ms)))
    }

    /// Sends a message to the channel of alerts, so that people see that it arrives.
    pub async fn test_alert(&self, actor: &Actor) -> Result<Said, Error> {
        let verb = Verb::AlertTest;
        if let Ruling::Denied { because } = self.may_all(actor, verb) {
            self.denied(actor, verb, "alerts", &because).await?;
            return Ok(Said::Denied { because });
        }
        let Some(route) = self.alert_route(actor.guild) else { return Ok(no_alerts()) };
        let now_ms = self.now_ms();
        let desk = Desk {
            route: route.clone(),
            rules: Rules::default(),
            mutes: Vec::new(),
            book: gantry_core::alert::Book::default(),
            incidents: std::collections::BTreeMap::new(),
        };
        let id = IncidentId::new(now_ms, random());
        let mut incident = desk.fresh(id, Kind::CatchUp, "Test of alerts", Severity::Info, now_ms);
        incident.posted_ms = Some(now_ms);
        incident.resolved_ms = Some(now_ms);
        incident.body =
            vec![format!("{} asked for it. Alerts of this server arrive here.", actor.name)];
        let row =
            self.audit_row(AuditEvent::Confirmed, actor, verb, "alerts", incident.id.as_str());
        let posted = self.store().post_incident(&incident, &row).await;
        posted.map_err(Error::store("send the test"))?;
        self.card_touched();
        Ok(Said::Done("It is on its way to the channel of this server's alerts.".into(), None))
    }
}
