//! What the alert desks keep: alerts, incidents with their messages, and what was seen of each cluster.
//!
//! Whoever leads writes all of one step in one transaction, fenced by the generation of the lease. A step that was not
//! kept is taken again from what was kept before, so that a kill loses nothing and tells nothing twice.

use gantry_core::alert::{Incident, Key, Tracked};
use gantry_core::audit::AuditRow;
use gantry_core::id::{CardId, ClusterId, GuildId};

use crate::audit::{self, total_of};
use crate::error::StoreError;
use crate::hooks;
use crate::pool::{Fail, Tx, Value, args};
use crate::sql;
use crate::store::{Store, absurd};

/// The one lease there is: all desks are led together.
const LEAD: &str = "alerts";

/// What one step of one server's desk has to keep.
#[derive(Debug, Clone)]
pub struct DeskWork<'a> {
    /// The server.
    pub guild: GuildId,
    /// Alerts that changed.
    pub alerts: Vec<&'a Tracked>,
    /// Alerts to be forgotten.
    pub gone: Vec<&'a Key>,
    /// Incidents that changed. Those with `posted_ms` get a message, or a newer one.
    pub incidents: Vec<&'a Incident>,
}

/// What one step has to keep.
#[derive(Debug, Clone)]
pub struct AlertWork<'a> {
    /// The desks.
    pub desks: Vec<DeskWork<'a>>,
    /// What is remembered of the cluster that was looked at, where it changed.
    pub look: Option<(&'a ClusterId, String)>,
    /// What others told and was taken in with it: id and order.
    pub taken: Vec<(&'a str, i64)>,
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, Fail> {
    serde_json::to_string(value)
        .map_err(|e| Fail::Row(format!("it cannot be written as JSON: {e}")))
}

impl Store {
    /// Leads the alert desks until `now_ms + lease_ms`, unless somebody else does; returns the lease's generation.
    pub async fn lead_alerts(
        &self,
        owner: &str,
        now_ms: i64,
        lease_ms: i64,
    ) -> Result<Option<i64>, StoreError> {
        self.call("lead the alert desks", async {
            let until = now_ms.saturating_add(lease_ms);
            let absurd = absurd(now_ms, lease_ms);
            let args = args![LEAD, owner, until, now_ms, absurd];
            let row = self.pool.write_row(sql::ALERT_LEAD, args).await?;
            row.map(|row| row.int("lease_gen")).transpose()
        })
        .await
    }

    /// Keeps one step. `false`: the caller leads no more, nothing was kept.
    pub async fn save_alerts(
        &self,
        generation: i64,
        work: &AlertWork<'_>,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        self.call("keep what alerts came to", async {
            let mut tx = self.pool.begin().await?;
            if tx.row(sql::ALERT_LEADS, args![LEAD, generation]).await?.is_none() {
                return Ok(false);
            }
            for desk in &work.desks {
                save(&mut tx, desk, now_ms).await?;
            }
            if let Some((cluster, data)) = &work.look {
                tx.write(sql::LOOK_SAVE, args![*cluster, now_ms, data.as_str()]).await?;
            }
            hooks::taken(&mut tx, &work.taken, now_ms).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Keeps an incident that no desk made, with the audit row, and asks for its message.
    pub async fn post_incident(
        &self,
        incident: &Incident,
        row: &AuditRow,
    ) -> Result<(), StoreError> {
        self.call("keep an incident", async {
            let mut tx = self.pool.begin().await?;
            save_incident(&mut tx, incident).await?;
            audit::insert(&mut tx, row).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    /// Keeps an incident that nobody asked for and no desk made, such as a report, and asks for its message.
    pub async fn post_unasked(&self, incident: &Incident) -> Result<(), StoreError> {
        self.call("keep an incident", async {
            let mut tx = self.pool.begin().await?;
            save_incident(&mut tx, incident).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    /// The alerts of a server.
    pub async fn list_alerts(&self, guild: GuildId) -> Result<Vec<Tracked>, StoreError> {
        self.call("read the alerts", async {
            let rows = self.pool.rows(sql::ALERTS_LIST, args![guild.to_string()]).await?;
            rows.iter()
                .map(|row| {
                    let subject = row.text("subject")?;
                    serde_json::from_str(&row.text("data")?).map_err(|e| {
                        Fail::Row(format!("an alert about {subject} does not read back: {e}"))
                    })
                })
                .collect()
        })
        .await
    }

    /// How many alerts are remembered of the server that has most.
    pub async fn alerts_most(&self) -> Result<u64, StoreError> {
        self.call("count the alerts", async {
            total_of(self.pool.row(sql::ALERTS_MOST, args![]).await?)
        })
        .await
    }

    /// What is remembered of a cluster, as JSON.
    pub async fn last_look(&self, cluster: &ClusterId) -> Result<Option<String>, StoreError> {
        self.call(format!("read what was seen of {cluster}"), async {
            let row = self.pool.row(sql::LOOK_FIND, args![cluster]).await?;
            row.map(|row| row.text("data")).transpose()
        })
        .await
    }
}

async fn save(tx: &mut Tx, desk: &DeskWork<'_>, now_ms: i64) -> Result<(), Fail> {
    let guild = desk.guild.to_string();
    for alert in &desk.alerts {
        let args = args![
            guild.as_str(),
            alert.rule.as_str(),
            alert.subject.key(),
            &alert.subject.cluster,
            alert.phase.as_str(),
            alert.incident.as_ref().map(|i| i.as_str()),
            now_ms,
            json(alert)?
        ];
        tx.write(sql::ALERT_SAVE, args).await?;
    }
    for (rule, subject) in &desk.gone {
        tx.write(sql::ALERT_REMOVE, args![guild.as_str(), rule.as_str(), subject.as_str()]).await?;
    }
    for incident in &desk.incidents {
        save_incident(tx, incident).await?;
    }
    Ok(())
}

async fn save_incident(tx: &mut Tx, incident: &Incident) -> Result<(), Fail> {
    let guild = incident.guild.to_string();
    let args = args![
        incident.id.as_str(),
        guild.as_str(),
        incident.cluster.as_ref().map(ClusterId::as_str),
        incident.rule.as_str(),
        incident.kind.as_str(),
        incident.severity.as_str(),
        incident.opened_ms,
        incident.resolved_ms.map_or(Value::Int(None), Value::from),
        json(incident)?
    ];
    tx.write(sql::INCIDENT_SAVE, args).await?;
    if incident.posted_ms.is_some() {
        // Its card is named after it, so that asking twice makes one. Nobody's answer posts it, so it was made
        // long ago as far as waiting for an answer goes.
        let card: CardId = incident
            .id
            .as_str()
            .replacen("in_", "ca_", 1)
            .parse()
            .map_err(|e| Fail::Row(format!("an incident without a card: {e}")))?;
        let channel = incident.channel.to_string();
        let args = args![&card, incident.id.as_str(), guild.as_str(), channel, 0];
        tx.write(sql::CARD_FOR_INCIDENT, args).await?;
        tx.write(sql::CARD_WANT_FOR_INCIDENT, args![incident.id.as_str()]).await?;
    }
    Ok(())
}
