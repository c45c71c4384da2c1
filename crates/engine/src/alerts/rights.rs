//! Who may see and do what to alerts and incidents. Policy is asked about what each alert is about: the guest as it is
//! now, or what is known of a thing; whoever has a whole cluster but one guest does not have that guest's alerts.

use gantry_core::action::Verb;
use gantry_core::alert::{Incident, Muting, Phase, Subject, Tracked};
use gantry_core::id::{ClusterId, GuildId};
use gantry_core::policy::{Actor, Ruling, Target, narrowed};
use gantry_store::Page;

use super::Said;
use crate::{Engine, Error};

/// Incidents looked through for those that somebody may see; older ones are found by their id.
pub(super) const LOOKED_AT: u32 = 2_000;
/// Read in one go.
const AT_ONCE: u32 = 200;

impl Engine {
    /// Incidents of a server to which `actor` may do `verb`, newest first, and how many there are of those.
    pub async fn incidents(
        &self,
        actor: &Actor,
        verb: Verb,
        open_only: bool,
        limit: u32,
    ) -> Result<Page<Incident>, Error> {
        let all = self.all_alerts(actor.guild).await?;
        let mut page = Page { rows: Vec::new(), total: 0 };
        let mut offset = 0;
        while offset < u64::from(LOOKED_AT) {
            let read = self.store().list_incidents(actor.guild, open_only, offset, AT_ONCE).await;
            let rows = read.map_err(Error::store("read the incidents"))?.rows;
            let count = u64::try_from(rows.len()).unwrap_or(0);
            offset += count;
            for incident in rows {
                if !self.ruling_on(actor, verb, &incident, &all).is_allowed() {
                    continue;
                }
                page.total += 1;
                if page.total <= u64::from(limit) {
                    page.rows.push(incident);
                }
            }
            if count == 0 {
                break;
            }
        }
        Ok(page)
    }

    /// Alerts of the actor's server that they may see.
    pub async fn alerts(&self, actor: &Actor) -> Result<Vec<Tracked>, Error> {
        Ok(self.visible(actor, self.all_alerts(actor.guild).await?))
    }

    pub(super) async fn all_alerts(&self, guild: GuildId) -> Result<Vec<Tracked>, Error> {
        self.store().list_alerts(guild).await.map_err(Error::store("read the alerts"))
    }

    pub(super) fn visible(&self, actor: &Actor, mut all: Vec<Tracked>) -> Vec<Tracked> {
        all.retain(|t| self.ruling_on_subject(actor, Verb::AlertList, &t.subject).is_allowed());
        all
    }

    fn ruling_on_subject(&self, actor: &Actor, verb: Verb, s: &Subject) -> Ruling {
        let view = self.view(&s.cluster);
        match s.about().and_then(|vmid| view.as_ref().and_then(|view| view.guest(vmid))) {
            Some(guest) => self.may(actor, verb, Target::Guest(guest)),
            None => self.may(actor, verb, Target::Subject(s)),
        }
    }

    /// Whether `actor` may do `verb` to an incident: to everything in it. `all` are the alerts of its server; what is
    /// folded into it stands for itself elsewhere.
    pub(super) fn ruling_on(
        &self,
        actor: &Actor,
        verb: Verb,
        incident: &Incident,
        all: &[Tracked],
    ) -> Ruling {
        // What is about no cluster, such as a report that was sent, tells of all of them.
        let Some(cluster) = &incident.cluster else { return self.may_all(actor, verb) };
        // Of what is over nothing fires.
        let all = if incident.is_open() { all } else { &[] };
        let firing = all.iter().filter(|t| {
            t.incident.as_ref() == Some(&incident.id) && t.phase == Phase::Firing && !t.folded
        });
        let known = firing.map(|t| &t.subject);
        let named = incident.summary.lines.iter().map(|line| &line.subject);
        let mut subjects: Vec<&Subject> = known.chain(named).collect();
        subjects.sort_by_key(|s| s.key());
        subjects.dedup_by_key(|s| s.key());
        // Where not all of it is known by name, its whole cluster decides.
        let s = &incident.summary;
        let count = u32::try_from(subjects.len()).unwrap_or(u32::MAX);
        if subjects.is_empty() || count < s.firing {
            let whole = self.may(actor, verb, Target::Cluster(cluster));
            if !whole.is_allowed() {
                return whole;
            }
            // Its text may name anything there: a digest, what happened while nobody looked.
            if let Some(rule) = narrowed(&self.inner.policy, actor, verb, cluster) {
                let because = format!("rule “{rule}” forbids `{verb}` on some of what it tells of");
                return Ruling::Denied { because };
            }
        }
        let mut rulings = subjects.into_iter().map(|s| self.ruling_on_subject(actor, verb, s));
        let denied = rulings.find(|ruling| !ruling.is_allowed());
        denied.unwrap_or_else(|| self.may(actor, verb, Target::Within(cluster)))
    }

    pub(super) async fn refused(
        &self,
        actor: &Actor,
        verb: Verb,
        incident: &Incident,
    ) -> Result<Option<Said>, Error> {
        let all = self.all_alerts(actor.guild).await?;
        let Ruling::Denied { because } = self.ruling_on(actor, verb, incident, &all) else {
            return Ok(None);
        };
        self.denied(actor, verb, &incident.headline(), &because).await?;
        Ok(Some(Said::Denied { because }))
    }

    /// Whether `actor` may do `verb` to a target and to every guest that is there now.
    pub(super) fn ruling_on_all_in(&self, actor: &Actor, verb: Verb, target: Target<'_>) -> Ruling {
        let ruling = self.may(actor, verb, target);
        let (cluster, node) = match target {
            Target::Cluster(cluster) => (cluster, None),
            Target::Node(cluster, node) => (cluster, Some(node)),
            _ => return ruling,
        };
        let Some(view) = self.view(cluster) else { return ruling };
        let there = view.guests.iter().filter(|g| node.is_none_or(|n| g.node == *n));
        there.map(|g| self.may(actor, verb, Target::Guest(g))).fold(ruling, Ruling::and)
    }

    /// Whether `actor` may do `verb` to everything the server is told about; rules and duty are for all of it.
    pub fn may_all(&self, actor: &Actor, verb: Verb) -> Ruling {
        let route = self.alert_route(actor.guild);
        let mut clusters: Vec<ClusterId> = route.map(|r| r.clusters.clone()).unwrap_or_default();
        if clusters.is_empty() {
            clusters = self.inner.clusters.keys().cloned().collect();
        }
        let mut last = self.may(actor, verb, Target::Any);
        for cluster in &clusters {
            last = self.may(actor, verb, Target::Cluster(cluster));
            if !last.is_allowed() {
                return last;
            }
        }
        last
    }

    /// Silences and maintenance windows that the actor may see, and how many others there are.
    pub async fn mutes_seen(&self, actor: &Actor) -> Result<(Vec<Muting>, usize), Error> {
        let all = self.mutes(actor.guild).await?;
        let count = all.len();
        let seen = |m: &Muting| m.by == actor.user || self.may_see_mute(actor, m);
        let seen: Vec<Muting> = all.into_iter().filter(seen).collect();
        let hidden = count - seen.len();
        Ok((seen, hidden))
    }

    /// By what it is on: guests and nodes by their own right, anything else by that on its cluster.
    fn may_see_mute(&self, actor: &Actor, mute: &Muting) -> bool {
        let verb = Verb::MaintenanceList;
        let on = |cluster: &str, vmid: Option<&str>, node: Option<&str>| {
            let Ok(cluster) = cluster.parse::<ClusterId>() else { return false };
            let view = self.view(&cluster);
            let guest = vmid.and_then(|v| v.parse().ok());
            let guest = guest.and_then(|v| view.as_ref().and_then(|view| view.guest(v)));
            match (guest, node.and_then(|n| n.parse().ok())) {
                (Some(guest), _) => self.may(actor, verb, Target::Guest(guest)).is_allowed(),
                (None, Some(node)) => {
                    self.may(actor, verb, Target::Node(&cluster, &node)).is_allowed()
                }
                (None, None) => self.may(actor, verb, Target::Cluster(&cluster)).is_allowed(),
            }
        };
        if mute.subjects.is_empty() {
            let words: Vec<_> = mute.on.as_str().split(' ').collect();
            let word = |key: &str| words.iter().find_map(|w| w.strip_prefix(key));
            return word("cluster:").is_some_and(|c| on(c, word("vmid:"), word("node:")));
        }
        mute.subjects.iter().all(|key| {
            let mut parts = key.splitn(3, '/');
            match (parts.next(), parts.next(), parts.next()) {
                (Some(cluster), Some("guest"), id) => on(cluster, id, None),
                (Some(cluster), Some("node"), id) => on(cluster, None, id),
                (Some(cluster), _, _) => on(cluster, None, None),
                _ => false,
            }
        })
    }
}
