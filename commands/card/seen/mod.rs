//! What a person sees: the cards of the main job as text, and each of them within Discord's limits.

mod words;
mod work;
mod world;

use gantry_core::action::{Action, GuestRef, Tier, Verb};
use gantry_core::audit::{AuditEvent, AuditRow};
use gantry_core::id::{
    AuditId, ChannelId, GuestKind, GuildId, OperationId, PlanId, RoleId, UserId,
};
use gantry_core::operation::{OpState, Operation, Outcome, Progress, Step, StepKind, StepState};
use gantry_core::plan::{LiveGuest, Plan, Planned, plan_guest};
use gantry_core::pod::{Condition, Health, Probe, Problem};
use gantry_core::policy::{Actor, Effect};
use gantry_core::world::{ClusterView, Guest, GuestStatus, Node, NodeState, Storage};
use gantry_engine::{PodHealth, TaskLine, TaskLog};

use super::*;
use crate::fault::Fault;
use crate::paint::{paint, plain};
use crate::token::ScreenId;

/// 2026-11-21 06:00:00 UTC.
const NOW: i64 = 1_795_240_800_000;

fn screen() -> ScreenId {
    ScreenId::mint(NOW, "token", "view")
}

fn actor() -> Actor {
    Actor {
        user: UserId(7),
        name: "olga".into(),
        roles: vec![RoleId(10), RoleId(1)],
        guild: GuildId(1),
        channel: ChannelId(99),
        parent_channel: None,
    }
}

fn guest(name: &str, vmid: u32, status: GuestStatus) -> Guest {
    Guest {
        cluster: "lab".parse().unwrap(),
        vmid: vmid.try_into().unwrap(),
        kind: GuestKind::Lxc,
        name: name.into(),
        node: "pve1".parse().unwrap(),
        status,
        lock: None,
        tags: vec!["gantry".into(), "web".into()],
        pool: Some("prod".into()),
        template: false,
        cpu: 0.42,
        cores: 2.0,
        mem: 300 << 20,
        mem_max: 1 << 30,
        disk: 1 << 30,
        disk_max: 8 << 30,
        uptime_s: 93_600,
        ha: None,
    }
}

fn delete_plan() -> Plan {
    let live = LiveGuest {
        guest: guest("web-0", 201, GuestStatus::Running),
        digest: "d".into(),
        disks: vec!["rootfs: local-lvm:vm-201-disk-0, 8 GiB".into()],
        protected: false,
        snapshots: Some(2),
        read_ms: NOW,
    };
    let action = delete_action();
    let Planned::Ready(draft) = plan_guest(Verb::GuestDelete, &action, &live) else {
        panic!("not plannable")
    };
    Plan {
        id: PlanId::new(NOW, 1),
        verb: Verb::GuestDelete,
        action,
        asker: actor(),
        rule: "admins".into(),
        tier: Tier::TypedName,
        name: draft.name,
        target: draft.target,
        effects: draft.effects,
        changes: draft.changes,
        warnings: draft.warnings,
        steps: draft.steps,
        fingerprint: draft.fingerprint,
        digest: live.digest,
        observed_ms: NOW,
        created_ms: NOW,
        expires_ms: NOW + 600_000,
    }
}

fn delete_action() -> Action {
    Action::Delete {
        guest: GuestRef { cluster: "lab".parse().unwrap(), vmid: 201.try_into().unwrap() },
        kind: GuestKind::Lxc,
        timeout_s: 60,
    }
}

fn operation(state: OpState) -> Operation {
    let plan = delete_plan();
    let mut steps: Vec<Step> =
        [StepKind::Shutdown { timeout_s: 60 }, StepKind::Delete].map(Step::new).into();
    steps[0].state = StepState::Done;
    steps[0].attempt = 1;
    steps[0].intent_ms = Some(NOW);
    steps[0].ended_ms = Some(NOW + 8_000);
    steps[0].result = Some("OK".into());
    steps[1].state = StepState::Submitted;
    steps[1].attempt = 1;
    steps[1].intent_ms = Some(NOW + 8_000);
    Operation {
        id: OperationId::new(NOW, 2),
        plan: plan.id,
        verb: plan.verb,
        action: plan.action,
        name: plan.name,
        target: plan.target,
        state,
        steps,
        fingerprint: plan.fingerprint,
        digest: plan.digest,
        vmid: None,
        by: UserId(7),
        by_name: "olga".into(),
        created_ms: NOW,
        started_ms: Some(NOW),
        ended_ms: None,
        cancel_by: None,
        progress: Progress {
            log: vec!["Logical volume \"vm-201-disk-0\" removed".into()],
            percent: Some(50),
            remark: None,
            read_ms: NOW + 11_000,
        },
        outcome: None,
        broken: None,
    }
}

/// The card as text; painted besides, so that nothing here is ever cut.
fn see(card: &Card) -> String {
    assert!(paint(card).files.len() <= card.files.len(), "cut: {}", plain(card));
    plain(card)
}
