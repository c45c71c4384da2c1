//! A fresh database for each test, and rows to put in it.

use gantry_core::action::{Action, GuestRef, Power, Tier, Verb};
use gantry_core::audit::{AuditEvent, AuditRow};
use gantry_core::id::{
    AuditId, CardId, ChannelId, ClusterId, GuestKind, GuildId, OperationId, PlanId, RoleId, UserId,
    Vmid,
};
use gantry_core::operation::{OpState, Operation, Progress, Step, StepKind};
use gantry_core::plan::Plan;
use gantry_core::policy::Actor;
use gantry_store::testing::{Postgres, start_postgres};
use gantry_store::{Confirmation, NewCard, Store};
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// One server for the whole test binary; it ends with it.
static SERVER: OnceCell<Option<Postgres>> = OnceCell::const_new();

/// A database of one's own.
pub struct Db {
    pub store: Store,
    pub url: String,
    pub dir: TempDir,
}

impl Db {
    /// An empty SQLite file, not migrated.
    pub async fn empty_sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("gantry.db").display());
        Self { store: Store::open(&url).await.unwrap(), url, dir }
    }

    /// An empty PostgreSQL database, not migrated.
    pub async fn empty_postgres() -> Option<Self> {
        let server = SERVER.get_or_init(|| async { start_postgres().await.unwrap() }).await;
        let url = server.as_ref()?.fresh_database().await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        Some(Self { store: Store::open(&url).await.unwrap(), url, dir })
    }

    pub async fn migrated(self) -> Self {
        self.store.migrate().await.unwrap();
        self
    }
}

/// Makes two tests of each: `name::on_sqlite` and `name::on_postgres`, on migrated databases.
macro_rules! both {
    ($(async fn $name:ident($db:ident: Db) $body:block)*) => {
        both! { @with migrated; $(async fn $name($db: Db) $body)* }
    };
    (@empty $(async fn $name:ident($db:ident: Db) $body:block)*) => {
        both! { @with into; $(async fn $name($db: Db) $body)* }
    };
    (@with $prepare:ident; $(async fn $name:ident($db:ident: Db) $body:block)*) => {$(
        async fn $name($db: $crate::harness::Db) $body

        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn on_sqlite() {
                let db = $crate::harness::Db::empty_sqlite().await;
                super::$name(both!(@prepare $prepare db)).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn on_postgres() {
                if let Some(db) = $crate::harness::Db::empty_postgres().await {
                    super::$name(both!(@prepare $prepare db)).await;
                }
            }
        }
    )*};
    (@prepare migrated $db:ident) => { $db.migrated().await };
    (@prepare into $db:ident) => { $db };
}

/// When all of this happens.
pub const NOW: i64 = 1_700_000_000_000;
/// How long plans live here.
pub const LIFE: i64 = 600_000;

pub fn lab() -> ClusterId {
    "lab".parse().unwrap()
}

pub fn vmid(n: u32) -> Vmid {
    Vmid::try_from(n).unwrap()
}

pub fn ada() -> Actor {
    Actor {
        user: UserId(7),
        name: "ada".into(),
        roles: vec![RoleId(1)],
        guild: GuildId(1),
        channel: ChannelId(2),
        parent_channel: None,
    }
}

/// Plan number `n`: stop guest 200 + n.
pub fn plan(n: u32) -> Plan {
    let at = NOW + i64::from(n);
    Plan {
        id: PlanId::new(at, n.into()),
        verb: Verb::GuestStop,
        action: Action::Power {
            guest: GuestRef { cluster: lab(), vmid: vmid(200 + n) },
            kind: GuestKind::Lxc,
            change: Power::Shutdown,
            timeout_s: 60,
        },
        asker: ada(),
        rule: "operators".into(),
        tier: Tier::Button,
        name: format!("web-{n}"),
        target: format!("web-{n} (CT {} on pve1, lab)", 200 + n),
        effects: vec!["Ask the system to shut down.".into()],
        changes: vec![],
        warnings: vec![],
        steps: vec![StepKind::Shutdown { timeout_s: 60 }],
        fingerprint: "f".into(),
        digest: "d".into(),
        observed_ms: at,
        created_ms: at,
        expires_ms: at + LIFE,
    }
}

/// The operation that carries `plan` out; `m` tells several for one plan apart.
pub fn operation(plan: &Plan, m: u32) -> Operation {
    Operation {
        id: OperationId::new(plan.created_ms, u128::from(m) << 40 | 1),
        plan: plan.id.clone(),
        verb: plan.verb,
        action: plan.action.clone(),
        name: plan.name.clone(),
        target: plan.target.clone(),
        state: OpState::Queued,
        steps: plan.steps.iter().cloned().map(Step::new).collect(),
        fingerprint: plan.fingerprint.clone(),
        digest: plan.digest.clone(),
        vmid: None,
        by: UserId(7),
        by_name: "ada".into(),
        created_ms: plan.created_ms,
        started_ms: None,
        ended_ms: None,
        cancel_by: None,
        progress: Progress::default(),
        outcome: None,
        broken: None,
    }
}

pub fn card(n: u32) -> NewCard {
    let id = CardId::new(NOW + i64::from(n), n.into());
    NewCard { id, guild: GuildId(1), channel: ChannelId(2) }
}

/// Audit row number `n` about `plan`.
pub fn audit(n: u32, event: AuditEvent, plan: &Plan) -> AuditRow {
    let id = AuditId::new(NOW, n.into());
    let at = NOW + i64::from(n);
    let mut row = AuditRow::by(id, at, event, &ada(), plan.verb, plan.target.clone(), "why");
    row.plan = Some(plan.id.clone());
    row
}

/// Shows plan `n` on card `n`.
pub async fn proposed(store: &Store, n: u32) -> Plan {
    let plan = plan(n);
    let row = audit(10_000 + n, AuditEvent::Proposed, &plan);
    store.save_plan(&plan, &card(n), &row).await.unwrap();
    plan
}

/// Starts operation `n` straight away.
pub async fn started(store: &Store, n: u32) -> Operation {
    let plan = plan(n);
    let op = operation(&plan, n);
    let row = audit(10_000 + n, AuditEvent::Confirmed, &plan);
    store.save_started(&plan, &card(n), &op, &[row]).await.unwrap();
    op
}

/// Confirms `plan` with operation `m`.
pub async fn confirm(store: &Store, plan: &Plan, m: u32) -> Confirmation {
    let row = audit(20_000 + m, AuditEvent::Confirmed, plan);
    store.confirm_plan(&plan.id, &operation(plan, m), &row).await.unwrap()
}

/// How many audit rows tell of `event`.
pub async fn audited(store: &Store, event: AuditEvent) -> usize {
    let page = store.list_audit(&Default::default(), 0, 1000).await.unwrap();
    page.rows.iter().filter(|row| row.event == event).count()
}

/// From now on no audit row can be written.
pub async fn break_audit(store: &Store) {
    gantry_store::testing::execute(store, "ALTER TABLE audit RENAME TO audit_gone").await.unwrap();
}

/// Audit rows can be written again.
pub async fn mend_audit(store: &Store) {
    gantry_store::testing::execute(store, "ALTER TABLE audit_gone RENAME TO audit").await.unwrap();
}
