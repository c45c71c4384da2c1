//! Incidents: read for people, and acknowledged by them. What the desk knows and what people said stand in columns of
//! their own, so that neither overwrites the other.

use gantry_core::alert::{Ack, Incident};
use gantry_core::audit::AuditRow;
use gantry_core::id::{ClusterId, GuildId, IncidentId, UserId};

use crate::audit::{self, total_of};
use crate::error::StoreError;
use crate::incident_notes;
use crate::pool::{Fail, Row, args};
use crate::sql;
use crate::store::{Page, Store, page_limit, page_offset};

/// Incidents forgotten in one go.
const FORGET_AT_ONCE: i64 = 1000;

impl Store {
    /// The incident with what people wrote about it, where there is one.
    pub async fn find_incident(&self, id: &IncidentId) -> Result<Option<Incident>, StoreError> {
        self.call(format!("read incident {id}"), async {
            let row = self.pool.row(sql::INCIDENT_FIND, args![id.as_str()]).await?;
            let Some(mut incident) = row.as_ref().map(read).transpose()? else { return Ok(None) };
            let rows = self.pool.rows(sql::NOTES_LIST, args![id.as_str()]).await?;
            incident.notes = rows.iter().map(incident_notes::read).collect::<Result<_, _>>()?;
            Ok(Some(incident))
        })
        .await
    }

    /// Incidents of a server that are open or ended at or after `since_ms`, oldest first. Where there are more than
    /// `most`, those that ended long ago are left out first, then the oldest.
    pub async fn incidents_lately(
        &self,
        guild: GuildId,
        since_ms: i64,
        most: u32,
    ) -> Result<Vec<Incident>, StoreError> {
        self.call("read the incidents", async {
            let args = args![guild.to_string(), since_ms, i64::from(most)];
            let rows = self.pool.rows(sql::INCIDENTS_LATELY, args).await?;
            let mut all = rows.iter().map(read).collect::<Result<Vec<_>, Fail>>()?;
            all.sort_by(|a, b| (a.opened_ms, &a.id).cmp(&(b.opened_ms, &b.id)));
            Ok(all)
        })
        .await
    }

    /// Incidents of a server, newest first.
    pub async fn list_incidents(
        &self,
        guild: GuildId,
        open_only: bool,
        offset: u64,
        limit: u32,
    ) -> Result<Page<Incident>, StoreError> {
        self.call("list incidents", async {
            let (guild, open) = (guild.to_string(), i64::from(open_only));
            let bound = args![guild.as_str(), open, page_limit(limit), page_offset(offset)];
            let rows = self.pool.rows(sql::INCIDENTS_PAGE, bound).await?;
            let rows = rows.iter().map(read).collect::<Result<Vec<_>, Fail>>()?;
            let total = self.pool.row(sql::INCIDENTS_COUNT, args![guild.as_str(), open]).await?;
            Ok(Page { rows, total: total_of(total)? })
        })
        .await
    }

    /// Open incidents of a server about one cluster, or about none, the worst first.
    pub async fn open_incidents_of(
        &self,
        guild: GuildId,
        cluster: Option<&ClusterId>,
        limit: u32,
    ) -> Result<Page<Incident>, StoreError> {
        self.call("list open incidents", async {
            let (guild, cluster) = (guild.to_string(), cluster.map(ClusterId::as_str));
            let bound = args![guild.as_str(), cluster, page_limit(limit)];
            let rows = self.pool.rows(sql::INCIDENTS_OPEN_OF, bound).await?;
            let rows = rows.iter().map(read).collect::<Result<Vec<_>, Fail>>()?;
            let bound = args![guild.as_str(), cluster];
            let total = self.pool.row(sql::INCIDENTS_OPEN_OF_COUNT, bound).await?;
            Ok(Page { rows, total: total_of(total)? })
        })
        .await
    }

    /// Who takes care of which open incidents of a server.
    pub async fn incident_acks(
        &self,
        guild: GuildId,
    ) -> Result<Vec<(IncidentId, Ack)>, StoreError> {
        self.call("read who takes care of incidents", async {
            let rows = self.pool.rows(sql::INCIDENT_ACKS, args![guild.to_string()]).await?;
            rows.iter()
                .filter_map(|row| match ack(row) {
                    Ok(Some(ack)) => Some(row.parsed("id").map(|id| (id, ack))),
                    Ok(None) => None,
                    Err(fail) => Some(Err(fail)),
                })
                .collect()
        })
        .await
    }

    /// Notes that somebody takes care of an open incident, with the audit row, and asks for a newer card. `false`:
    /// it is over, or somebody was quicker.
    pub async fn acknowledge(
        &self,
        id: &IncidentId,
        ack: &Ack,
        row: &AuditRow,
    ) -> Result<bool, StoreError> {
        self.call(format!("acknowledge incident {id}"), async {
            let mut tx = self.pool.begin().await?;
            let args = args![id.as_str(), ack.user.to_string(), ack.name.as_str(), ack.at_ms];
            if tx.write(sql::INCIDENT_ACK, args).await? != 1 {
                return Ok(false);
            }
            audit::insert(&mut tx, row).await?;
            tx.write(sql::CARD_WANT_FOR_INCIDENT, args![id.as_str()]).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Forgets incidents that ended before `before_ms`, and mutes that did.
    pub async fn forget_incidents(&self, before_ms: i64) -> Result<(), StoreError> {
        self.call("forget old incidents", async {
            self.pool.write(sql::INCIDENTS_FORGET, args![before_ms, FORGET_AT_ONCE]).await?;
            self.pool.write(sql::INCIDENT_THREADS_FORGET, args![]).await?;
            self.pool.write(sql::NOTES_FORGET, args![]).await?;
            self.pool.write(sql::MUTES_FORGET, args![before_ms]).await?;
            Ok(())
        })
        .await
    }
}

fn ack(row: &Row) -> Result<Option<Ack>, Fail> {
    let Some(user) = row.parsed_opt::<u64>("acked_by")? else { return Ok(None) };
    Ok(Some(Ack {
        user: UserId(user),
        name: row.text_opt("acked_name")?.unwrap_or_default(),
        at_ms: row.int_opt("acked_ms")?.unwrap_or(0),
    }))
}

fn read(row: &Row) -> Result<Incident, Fail> {
    let id = row.text("id")?;
    let mut incident: Incident = serde_json::from_str(&row.text("data")?)
        .map_err(|e| Fail::Row(format!("incident {id} does not read back: {e}")))?;
    incident.ack = ack(row)?.or(incident.ack);
    Ok(incident)
}
