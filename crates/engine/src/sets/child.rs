//! One action on one ordinal becomes an ordinary operation, in the name of whoever confirmed the set.

use gantry_core::action::{Action, GuestRef, Power, Tier, Verb};
use gantry_core::audit::AuditEvent;
use gantry_core::id::{GuestKind, Vmid};
use gantry_core::operation::StepKind;
use gantry_core::plan::{Draft, LiveGuest, Planned, describe, fingerprint, plan_guest};
use gantry_core::policy::Actor;
use gantry_core::set::identity::keeper_name;
use gantry_core::set::plan::plan_set;
use gantry_core::set::seen::is_ours;
use gantry_core::set::{Choice, Drift, Set, SetAction, SetStep, Slot, Work};
use gantry_core::world::GuestStatus;
use gantry_store::{Member, NewCard, SetRow};

use crate::{Engine, Error};

/// How long a drift may be answered, milliseconds: a month.
const DRIFT_LIFE_MS: i64 = 30 * 24 * 3600 * 1000;

impl Engine {
    /// Starts the operation that `work` comes to, unless the guest is not as it was seen.
    pub(super) async fn start_child(
        &self,
        row: &SetRow,
        slot: &Slot,
        work: Work,
    ) -> Result<(), Error> {
        let set = &row.set;
        let identity = &slot.record.identity;
        let Some(vmid) = (if work.is_keeper() { identity.keeper } else { Some(identity.vmid) })
        else {
            return Ok(());
        };
        let draft = match work {
            Work::MakeKeeper => {
                made(set, &keeper_name(&identity.name), slot, vmid, SetStep::MakeKeeper)
            }
            Work::Create => made(set, &identity.name, slot, vmid, SetStep::Create),
            Work::Start | Work::Remove | Work::DropVolumes => {
                match self.draft_for_guest(set, slot, work, vmid).await? {
                    Ok(draft) => draft,
                    Err(why) => {
                        tracing::info!(set = %set.address(), pod = %identity.name, why, "not begun");
                        return Ok(());
                    }
                }
            }
        };
        let why = self.why(set, slot, work);
        let action = Action::Set(SetAction::Member {
            set: set.address(),
            identity: Box::new(identity.clone()),
            work,
            revision: Box::new(set.revision_for(identity.ordinal).clone()),
            why,
        });
        self.begin(row, slot, action, draft, vmid).await
    }

    async fn begin(
        &self,
        row: &SetRow,
        slot: &Slot,
        action: Action,
        draft: Draft,
        vmid: Vmid,
    ) -> Result<(), Error> {
        let set = &row.set;
        let rule = format!(
            "set {} revision {}, confirmed by {}",
            set.name(),
            set.newest.number,
            set.by_name
        );
        let actor = actor_of(set);
        let plan = self.plan(
            &actor,
            Verb::SetMember,
            action,
            (rule.clone(), Tier::None),
            draft,
            self.now_ms(),
        );
        let mut operation = self.new_operation(&plan, set.by, &set.by_name);
        operation.vmid = Some(vmid);
        let mut audit = self.audit_row(
            AuditEvent::Confirmed,
            &actor,
            Verb::SetMember,
            &plan.target,
            &format!("by {rule}"),
        );
        audit.plan = Some(plan.id.clone());
        audit.operation = Some(operation.id.clone());
        let card = self.card_for(set).await?;
        let member = Member {
            set: &set.address(),
            ordinal: slot.ordinal(),
            generation: row.generation,
            plan: &plan,
            operation: &operation,
            card,
            audit: &audit,
        };
        match self.store().start_member(&member).await {
            Ok(true) => {
                tracing::info!(operation = %operation.id, target = %plan.target, "started for its set");
                self.inner.work.notify_one();
                self.card_touched();
                Ok(())
            }
            Ok(false) => Ok(()),
            // Somebody's new pod has just taken that number: the next reading shows it.
            Err(error) if error.is_taken() => Ok(()),
            Err(error) => Err(Error::store("start an operation of a set")(error)),
        }
    }

    /// The message an operation is shown on: that of the command under way, or a new one where nobody is waiting.
    async fn card_for(&self, set: &Set) -> Result<Result<gantry_core::id::CardId, NewCard>, Error> {
        let open = self.operation(&set.command).await?.is_some_and(|op| !op.state.is_terminal());
        if open {
            let card = self
                .store()
                .find_card_of_operation(&set.command)
                .await
                .map_err(Error::store("find the message of the set"))?;
            if let Some(card) = card {
                return Ok(Ok(card.id));
            }
        }
        Ok(Err(NewCard { id: self.card_id(), guild: set.guild, channel: set.channel }))
    }

    fn why(&self, set: &Set, slot: &Slot, work: Work) -> String {
        let name = &slot.record.identity.name;
        let lost = slot.record.ready_ms.is_some();
        match work {
            Work::MakeKeeper => format!("{name} shall have volumes that outlive it."),
            Work::Create if lost => format!("{name} was gone; it is made again as itself."),
            Work::Create => format!("{name} belongs to the set and is made."),
            Work::Start => format!("{name} was off; it is started again."),
            Work::Remove
                if !set.spec().ordinals().contains(&slot.ordinal()) || set.deleting.is_some() =>
            {
                format!("{name} shall not be there any more.")
            }
            Work::Remove => {
                format!(
                    "{name} is replaced by revision {}.",
                    set.revision_for(slot.ordinal()).number
                )
            }
            Work::DropVolumes => format!("The volumes of {name} shall not be kept."),
        }
    }

    /// Reads the guest now and says what is done to it; `Err` where it is not what was seen.
    async fn draft_for_guest(
        &self,
        set: &Set,
        slot: &Slot,
        work: Work,
        vmid: Vmid,
    ) -> Result<Result<Draft, String>, Error> {
        let guest = GuestRef { cluster: set.cluster.clone(), vmid };
        let Some(live) = self.look_at_guest(&guest, GuestKind::Lxc).await? else {
            return Ok(Err(format!("CT {vmid} is gone")));
        };
        if !is_ours(set, &live.guest) {
            return Ok(Err(format!("CT {vmid} does not carry the set's tags any more")));
        }
        let timeout_s = self.inner.settings.shutdown_timeout_s;
        let kind = GuestKind::Lxc;
        let planned = match work {
            Work::Start => {
                let action = Action::Power { guest, kind, change: Power::Start, timeout_s };
                plan_guest(Verb::PodStart, &action, &live)
            }
            Work::DropVolumes => return Ok(dropped(slot, &live)),
            _ => plan_guest(Verb::PodDelete, &Action::Delete { guest, kind, timeout_s }, &live),
        };
        let mut draft = match planned {
            Planned::Ready(draft) => draft,
            Planned::Nothing { why } | Planned::Refused { why } => return Ok(Err(why)),
        };
        draft.warnings.clear();
        // It was asked to shut down once and did not; a pod that does not listen must not block its set for ever.
        let deaf = slot.record.failures > 0 && live.guest.status == GuestStatus::Running;
        if work == Work::Remove && deaf {
            draft.effects = vec![format!(
                "Pull the plug of CT {vmid}, which did not go before, and delete it."
            )];
            draft.steps = vec![StepKind::Kill, StepKind::Delete];
        }
        Ok(Ok(draft))
    }

    /// Tells people what somebody else changed, with the choice what becomes of it.
    pub(super) async fn report_drift(
        &self,
        row: &SetRow,
        slot: &Slot,
        drift: &Drift,
    ) -> Result<(), Error> {
        let set = &row.set;
        let name = &slot.record.identity.name;
        let action = SetAction::Resolve {
            set: set.address(),
            ordinal: slot.ordinal(),
            pod: name.clone(),
            what: drift.what.clone(),
            drift: drift.fingerprint.clone(),
            choice: if drift.mendable { Choice::Restore } else { Choice::Ignore },
        };
        let facts = self.set_facts(None, &action).await?;
        let Planned::Ready(mut draft) = plan_set(&action, &facts) else { return Ok(()) };
        draft.effects.insert(0, format!("{name} is not as it shall be. Nothing was changed."));
        let actor = actor_of(set);
        let rule = format!("kept up for {}", set.by_name);
        let mut plan = self.plan(
            &actor,
            Verb::SetDrift,
            Action::Set(action),
            (rule, Tier::Button),
            draft,
            self.now_ms(),
        );
        plan.expires_ms = plan.created_ms + DRIFT_LIFE_MS;
        let card = NewCard { id: self.card_id(), guild: set.guild, channel: set.channel };
        let mut audit = self.own_row(
            AuditEvent::Proposed,
            Verb::SetDrift,
            format!("set {}", set.address()),
            format!("{name}: {}", drift.what.join(" ")),
        );
        audit.plan = Some(plan.id.clone());
        let at = (&set.address(), slot.ordinal(), row.generation);
        self.store()
            .report_drift(at, &drift.fingerprint, &plan, &card, &audit)
            .await
            .map_err(Error::store("tell about a change"))?;
        self.card_touched();
        Ok(())
    }
}

/// Whoever confirmed the set, where they did.
pub(super) fn actor_of(set: &Set) -> Actor {
    Actor {
        user: set.by,
        name: set.by_name.clone(),
        roles: Vec::new(),
        guild: set.guild,
        channel: set.channel,
        parent_channel: None,
    }
}

fn made(set: &Set, name: &str, slot: &Slot, vmid: Vmid, step: SetStep) -> Draft {
    let identity = &slot.record.identity;
    let target = format!("{name} (CT {vmid} on {}, {})", identity.node, set.cluster);
    let mut steps = vec![StepKind::Set(step)];
    if step == SetStep::Create {
        steps.push(StepKind::Start);
    }
    Draft {
        name: name.to_owned(),
        effects: vec![format!("Create {target}.")],
        target,
        changes: Vec::new(),
        warnings: Vec::new(),
        steps,
        fingerprint: String::new(),
        digest: String::new(),
    }
}

/// Deleting a keeper: only one that is off and is the keeper.
fn dropped(slot: &Slot, live: &LiveGuest) -> Result<Draft, String> {
    let name = keeper_name(&slot.record.identity.name);
    if live.guest.name != name {
        return Err(format!("CT {} is called {} now", live.guest.vmid, live.guest.name));
    }
    if live.guest.status != GuestStatus::Stopped {
        return Err(format!(
            "{name} is {}; it holds volumes and never runs",
            live.guest.status.as_str()
        ));
    }
    Ok(Draft {
        name,
        target: describe(&live.guest),
        effects: vec![format!("Delete {} with the volumes it owns.", describe(&live.guest))],
        changes: Vec::new(),
        warnings: Vec::new(),
        steps: vec![StepKind::Set(SetStep::Unprotect), StepKind::Delete],
        fingerprint: fingerprint(live),
        digest: String::new(),
    })
}
