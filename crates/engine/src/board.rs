//! Status boards: what they show, and who may put one up.

use std::cmp::Reverse;
use std::sync::Arc;

use gantry_core::action::Verb;
use gantry_core::alert::Incident;
use gantry_core::audit::AuditEvent;
use gantry_core::board::Board;
use gantry_core::id::{BoardId, ClusterId};
use gantry_core::operation::Operation;
use gantry_core::policy::{Actor, Ruling, Target, narrowed};
use gantry_core::world::ClusterView;
use gantry_store::{BoardRow, OpFilter, StoreError};

use crate::{Engine, Error, Said, random};

/// Incidents of a cluster and operations read for a board; more are counted.
const READ: u32 = 25;
/// A cluster that was not read for this long is said to be unknown, milliseconds.
const STALE_MS: i64 = 120_000;
/// What everybody who sees a board sees.
const SHOWN: [Verb; 4] = [Verb::ClusterStatus, Verb::GuestList, Verb::AlertList, Verb::OpList];

/// What a board shows.
#[derive(Debug, Clone)]
pub struct BoardView {
    /// The board.
    pub board: Board,
    /// Its clusters as they were seen last.
    pub views: Vec<Arc<ClusterView>>,
    /// Clusters of it that nothing is known of: gantry's configuration has them no more.
    pub missing: Vec<ClusterId>,
    /// Clusters that were not read for a while, though nothing said why.
    pub stale: Vec<ClusterId>,
    /// What is wrong on them, the worst first.
    pub incidents: Vec<Incident>,
    /// How many of those there are.
    pub incidents_total: u64,
    /// What gantry is doing there, newest first.
    pub operations: Vec<Operation>,
    /// How many of those there are.
    pub operations_total: u64,
}

impl Engine {
    /// Puts a board into the actor's channel. It shows everybody there what the actor may see now: every cluster, or
    /// the one that is named, on which they may put boards up and see all that a board shows.
    pub async fn create_board(
        &self,
        actor: &Actor,
        only: Option<&ClusterId>,
    ) -> Result<Said, Error> {
        let verb = Verb::BoardCreate;
        let mut clusters = Vec::new();
        let mut because = "there is no cluster".to_owned();
        for cluster in self.inner.clusters.keys().filter(|c| only.is_none_or(|o| o == *c)) {
            let mut verbs = std::iter::once(verb).chain(SHOWN);
            let refusal = verbs.find_map(|verb| self.hides(actor, verb, cluster));
            match refusal {
                Some(why) => because = why,
                None => clusters.push(cluster.clone()),
            }
        }
        let shown = only.map_or("all clusters".to_owned(), ToString::to_string);
        if clusters.is_empty() {
            self.denied(actor, verb, &shown, &because).await?;
            return Ok(Said::Denied { because });
        }
        let now_ms = self.now_ms();
        let names: Vec<String> = clusters.iter().map(ToString::to_string).collect();
        let board = Board {
            id: BoardId::new(now_ms, random()),
            guild: actor.guild,
            channel: actor.channel,
            clusters,
            by: actor.user,
            by_name: actor.name.clone(),
            created_ms: now_ms,
        };
        let row = self.audit_row(AuditEvent::Confirmed, actor, verb, &shown, board.id.as_str());
        let kept =
            self.store().add_board(&board, &row).await.map_err(Error::store("keep the board"))?;
        if !kept {
            let why = "This channel has a board already; `/board delete` takes it down. Nothing was done.";
            return Ok(Said::Over { why: why.to_owned() });
        }
        self.card_touched();
        Ok(Said::Done(format!("It shows {} to everybody in this channel.", names.join(", ")), None))
    }

    /// Why a cluster is not all theirs to show.
    fn hides(&self, actor: &Actor, verb: Verb, cluster: &ClusterId) -> Option<String> {
        if let Ruling::Denied { because } = self.may(actor, verb, Target::Cluster(cluster)) {
            return Some(because);
        }
        let rule = narrowed(&self.inner.policy, actor, verb, cluster)?;
        Some(format!("rule “{rule}” forbids `{verb}` on some of it, and a board shows all of it"))
    }

    /// Takes the board of the actor's channel down, or the one that is named. Whoever made it always may.
    pub async fn delete_board(&self, actor: &Actor, id: Option<&BoardId>) -> Result<Said, Error> {
        let verb = Verb::BoardDelete;
        let all = self.boards(actor).await?;
        let found = all.into_iter().find(|b| match id {
            Some(id) => b.board.id == *id,
            None => b.board.channel == actor.channel,
        });
        let Some(BoardRow { board, .. }) = found else {
            let why = "There is no such board. `/board list` shows them.";
            return Ok(Said::Over { why: why.to_owned() });
        };
        let name = board.id.to_string();
        for cluster in board.clusters.iter().filter(|_| board.by != actor.user) {
            if let Ruling::Denied { because } = self.may(actor, verb, Target::Cluster(cluster)) {
                self.denied(actor, verb, &name, &because).await?;
                return Ok(Said::Denied { because });
            }
        }
        let row = self.audit_row(AuditEvent::Confirmed, actor, verb, &name, "");
        let down = self.store().take_board_down(&board.id, &row).await;
        if !down.map_err(Error::store("take the board down"))? {
            return Ok(Said::Over { why: "Somebody was quicker.".to_owned() });
        }
        self.card_touched();
        Ok(Said::Done("Its message goes as well.".to_owned(), None))
    }

    /// Boards of the actor's server whose clusters they may see, and their own.
    pub async fn boards_seen(&self, actor: &Actor) -> Result<Vec<BoardRow>, Error> {
        let mut all = self.boards(actor).await?;
        all.retain(|row| {
            let may = |c| self.may(actor, Verb::BoardList, Target::Cluster(c)).is_allowed();
            row.board.by == actor.user || row.board.clusters.iter().all(may)
        });
        Ok(all)
    }

    /// Boards of the actor's server.
    pub async fn boards(&self, actor: &Actor) -> Result<Vec<BoardRow>, Error> {
        self.store().list_boards(Some(actor.guild)).await.map_err(Error::store("read the boards"))
    }

    /// What a board shows now: memory for the clusters, the store for the rest.
    pub async fn board_view(&self, board: Board) -> Result<BoardView, StoreError> {
        let views: Vec<_> = board.clusters.iter().filter_map(|c| self.view(c)).collect();
        let missing = board.clusters.iter().filter(|c| self.view(c).is_none()).cloned().collect();
        let now_ms = self.now_ms();
        let old = |v: &&Arc<ClusterView>| {
            v.fault.is_none() && v.observed_ms > 0 && now_ms - v.observed_ms > STALE_MS
        };
        let stale = views.iter().filter(old).map(|v| v.cluster.clone()).collect();
        let (mut incidents, mut incidents_total) = (Vec::new(), 0);
        let whole = std::iter::once(None);
        for cluster in board.clusters.iter().map(Some).chain(whole) {
            let page = self.store().open_incidents_of(board.guild, cluster, READ).await?;
            incidents_total += page.total;
            incidents.extend(page.rows);
        }
        incidents.sort_by_key(|i| (Reverse(i.severity), Reverse(i.opened_ms)));
        let (mut operations, mut operations_total) = (Vec::new(), 0);
        for cluster in &board.clusters {
            let filter =
                OpFilter { open_only: true, cluster: Some(cluster.clone()), ..OpFilter::default() };
            let page = self.store().list_operations(&filter, 0, READ).await?;
            operations_total += page.total;
            operations.extend(page.rows);
        }
        Ok(BoardView {
            board,
            views,
            missing,
            stale,
            incidents,
            incidents_total,
            operations,
            operations_total,
        })
    }
}
