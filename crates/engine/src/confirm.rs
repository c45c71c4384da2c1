//! What happens when somebody presses: rights of the presser, expiry, the world as it is now, and then
//! exactly one operation per plan, however often and by however many people it is pressed.

use gantry_core::action::{Action, Tier, Verb};
use gantry_core::audit::{AuditEvent, AuditRow};
use gantry_core::id::{CardId, OperationId, PlanId};
use gantry_core::plan::{Plan, Planned};
use gantry_core::policy::{Actor, Ruling};
use gantry_core::set::{Choice, SetAction};
use gantry_store::{Confirmation, PlanState, StoredPlan};

use crate::deed::Planning;
use crate::{Engine, Error};

/// What a Confirm press needs next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peek {
    /// The name has to be typed.
    NeedsName {
        /// The name.
        name: String,
        /// The target as people read it.
        target: String,
        /// The imperative: `Delete`.
        doing: &'static str,
    },
    /// Nothing more.
    Ready,
    /// Not for this presser.
    Denied {
        /// The deciding rule.
        because: String,
    },
    /// Too late.
    Over {
        /// Why.
        why: String,
    },
}

/// What came of confirming.
#[derive(Debug, Clone)]
pub enum Pressed {
    /// It is under way.
    Started {
        /// The operation.
        operation: OperationId,
        /// The message to keep up to date.
        card: CardId,
    },
    /// Somebody was quicker; it is the same operation.
    Already {
        /// The operation.
        operation: OperationId,
    },
    /// Not for this presser.
    Denied {
        /// The deciding rule.
        because: String,
    },
    /// The typed name is not the target's.
    WrongName {
        /// The right one.
        expected: String,
    },
    /// The world has changed: here is a new plan in the same message.
    Changed {
        /// The new plan.
        plan: Box<Plan>,
        /// What changed.
        what: String,
    },
    /// That choice takes a typed name: the message now asks for it.
    NeedsName {
        /// The name.
        name: String,
    },
    /// Too late.
    Over {
        /// Why.
        why: String,
    },
}

/// What came of dropping a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Abandoned {
    /// It is dropped.
    Dropped,
    /// Not for this presser.
    Denied {
        /// The deciding rule.
        because: String,
    },
    /// Too late.
    Over {
        /// Why.
        why: String,
    },
}

/// What came of asking an operation to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancelled {
    /// It will stop where it can.
    Asked,
    /// Not for this presser.
    Denied {
        /// The deciding rule.
        because: String,
    },
    /// Too late.
    Over {
        /// Why.
        why: String,
    },
}

/// A plan that is still open and that the presser may confirm.
enum Open {
    Yes(Box<StoredPlan>),
    Denied(String),
    Already(OperationId),
    Over(String),
}

impl Engine {
    /// What pressing Confirm would need. Rights are checked and a refusal is written down.
    pub async fn peek(&self, presser: &Actor, plan: &PlanId) -> Result<Peek, Error> {
        Ok(match self.open_plan(presser, plan).await? {
            Open::Denied(because) => Peek::Denied { because },
            Open::Over(why) => Peek::Over { why },
            Open::Already(id) => Peek::Over { why: format!("It is already under way as {id}.") },
            Open::Yes(stored) => match self.tier_for(presser, &stored.plan) {
                Tier::TypedName => Peek::NeedsName {
                    name: stored.plan.name.clone(),
                    target: stored.plan.target.clone(),
                    doing: stored.plan.verb.imperative(),
                },
                Tier::None | Tier::Button => Peek::Ready,
            },
        })
    }

    /// Confirms a plan for whoever presses, on the world as it is now.
    pub async fn confirm(
        &self,
        presser: &Actor,
        plan: &PlanId,
        typed: Option<&str>,
    ) -> Result<Pressed, Error> {
        let stored = match self.open_plan(presser, plan).await? {
            Open::Denied(because) => return Ok(Pressed::Denied { because }),
            Open::Over(why) => return Ok(Pressed::Over { why }),
            Open::Already(operation) => return Ok(Pressed::Already { operation }),
            Open::Yes(stored) => stored,
        };
        let old = &stored.plan;
        // Fresh eyes: read the target again, ask policy about what is true now, compare with what was shown.
        let Planning { planned, ruling, read_ms } =
            Box::pin(self.plan_now(presser, old.verb, &old.action)).await?;
        let (rule, needs) = match ruling {
            Ruling::Allowed { rule, needs } => (rule, needs.max(old.tier)),
            Ruling::Denied { because } => {
                self.press_denied(presser, old, &because).await?;
                return Ok(Pressed::Denied { because });
            }
        };
        let draft = match planned {
            Planned::Ready(draft) => draft,
            Planned::Nothing { why } | Planned::Refused { why } => {
                let row = self.plan_row(AuditEvent::Dropped, presser, old, &why);
                self.store()
                    .drop_plan(&old.id, &why, &row)
                    .await
                    .map_err(Error::store("drop the plan"))?;
                self.card_touched();
                return Ok(Pressed::Over { why });
            }
        };
        if draft.fingerprint != old.fingerprint {
            let what = what_changed(old, &draft);
            let new =
                self.plan(&old.asker, old.verb, old.action.clone(), (rule, needs), draft, read_ms);
            let mut dropped = self.plan_row(AuditEvent::Dropped, presser, old, &what);
            dropped.detail = format!("the world changed: {what}");
            let proposed = self.plan_row(AuditEvent::Proposed, presser, &new, "the world changed");
            let replaced = self
                .store()
                .replace_plan(&old.id, "the world changed", &new, &[dropped, proposed])
                .await
                .map_err(Error::store("keep the new plan"))?;
            self.card_touched();
            return Ok(if replaced {
                Pressed::Changed { plan: Box::new(new), what }
            } else {
                Pressed::Over { why: "Somebody else has just answered this.".into() }
            });
        }
        if needs == Tier::TypedName && typed.map(str::trim) != Some(old.name.as_str()) {
            return Ok(Pressed::WrongName { expected: old.name.clone() });
        }
        let operation = self.new_operation(old, presser.user, &presser.name);
        let mut row = self.plan_row(AuditEvent::Confirmed, presser, old, &rule);
        row.operation = Some(operation.id.clone());
        let confirmed = self
            .store()
            .confirm_plan(&old.id, &operation, &row)
            .await
            .map_err(Error::store("confirm the plan"))?;
        Ok(match confirmed {
            Confirmation::Started => {
                self.inner.work.notify_one();
                self.card_touched();
                Pressed::Started { operation: operation.id, card: stored.card }
            }
            Confirmation::Already(operation) => Pressed::Already { operation },
            Confirmation::Dropped(why) => Pressed::Over { why },
            Confirmation::NotFound => {
                Pressed::Over { why: "That plan is not there any more.".into() }
            }
        })
    }

    /// Answers a drift of a set's pod for whoever presses: the question's plan gives way to one with that choice,
    /// carried out at once. The press is the confirmation, unless a rule asks for the name: then the new plan waits
    /// for it as long as the question would have.
    pub async fn answer_drift(
        &self,
        presser: &Actor,
        plan: &PlanId,
        choice: Choice,
    ) -> Result<Pressed, Error> {
        let stored = match self.open_plan(presser, plan).await? {
            Open::Denied(because) => return Ok(Pressed::Denied { because }),
            Open::Over(why) => return Ok(Pressed::Over { why }),
            Open::Already(operation) => return Ok(Pressed::Already { operation }),
            Open::Yes(stored) => stored,
        };
        let old = &stored.plan;
        let mut action = old.action.clone();
        match &mut action {
            Action::Set(SetAction::Resolve { choice: asked, .. }) => *asked = choice,
            _ => return Ok(Pressed::Over { why: "That is not about a changed pod.".into() }),
        }
        let Planning { planned, ruling, read_ms } =
            Box::pin(self.plan_now(presser, old.verb, &action)).await?;
        let (rule, tier) = match ruling {
            Ruling::Allowed { rule, needs } => (rule, needs.max(old.tier).max(Tier::Button)),
            Ruling::Denied { because } => {
                self.press_denied(presser, old, &because).await?;
                return Ok(Pressed::Denied { because });
            }
        };
        let draft = match planned {
            Planned::Ready(draft) => draft,
            Planned::Nothing { why } | Planned::Refused { why } => {
                return Ok(Pressed::Over { why });
            }
        };
        let mut new = self.plan(presser, old.verb, action, (rule.clone(), tier), draft, read_ms);
        if tier == Tier::TypedName {
            new.expires_ms = old.expires_ms;
        }
        let why = format!("{} chose to {}", presser.name, choice.as_str());
        let dropped = self.plan_row(AuditEvent::Dropped, presser, old, &why);
        let proposed = self.plan_row(AuditEvent::Proposed, presser, &new, &why);
        let replaced = self
            .store()
            .replace_plan(&old.id, &why, &new, &[dropped, proposed])
            .await
            .map_err(Error::store("keep the choice"))?;
        if !replaced {
            return Ok(Pressed::Over { why: "Somebody else has just answered this.".into() });
        }
        if tier == Tier::TypedName {
            self.card_touched();
            return Ok(Pressed::NeedsName { name: new.name });
        }
        let operation = self.new_operation(&new, presser.user, &presser.name);
        let mut row = self.plan_row(AuditEvent::Confirmed, presser, &new, &rule);
        row.operation = Some(operation.id.clone());
        let confirmed = self
            .store()
            .confirm_plan(&new.id, &operation, &row)
            .await
            .map_err(Error::store("confirm the choice"))?;
        self.inner.work.notify_one();
        self.card_touched();
        Ok(match confirmed {
            Confirmation::Started => {
                Pressed::Started { operation: operation.id, card: stored.card }
            }
            Confirmation::Already(operation) => Pressed::Already { operation },
            Confirmation::Dropped(why) => Pressed::Over { why },
            Confirmation::NotFound => {
                Pressed::Over { why: "That plan is not there any more.".into() }
            }
        })
    }

    /// Drops a plan: for the asker, or for whoever could confirm it.
    pub async fn abandon(&self, presser: &Actor, plan: &PlanId) -> Result<Abandoned, Error> {
        let Some(stored) = self.find_plan(plan).await? else {
            return Ok(Abandoned::Over { why: "That plan is not there any more.".into() });
        };
        let own =
            stored.plan.asker.user == presser.user && stored.plan.asker.guild == presser.guild;
        if !own && let Ruling::Denied { because } = self.may_plan(presser, &stored.plan) {
            self.press_denied(presser, &stored.plan, &because).await?;
            return Ok(Abandoned::Denied { because });
        }
        let row = self.plan_row(AuditEvent::Dropped, presser, &stored.plan, "cancelled");
        let why = format!("cancelled by {}", presser.name);
        let dropped = self
            .store()
            .drop_plan(plan, &why, &row)
            .await
            .map_err(Error::store("drop the plan"))?;
        self.card_touched();
        Ok(if dropped { Abandoned::Dropped } else { Abandoned::Over { why: over(&stored.state) } })
    }

    /// Asks a running operation to stop: for whoever may cancel operations there, or could have started it.
    pub async fn cancel(
        &self,
        presser: &Actor,
        operation: &OperationId,
    ) -> Result<Cancelled, Error> {
        let Some(op) = self.operation(operation).await? else {
            return Ok(Cancelled::Over { why: "That operation is not there.".into() });
        };
        let Some(stored) = self.find_plan(&op.plan).await? else {
            return Ok(Cancelled::Over { why: "That operation's plan is not there.".into() });
        };
        let mut cancel = stored.plan.clone();
        cancel.verb = Verb::OpCancel;
        let ruling = self.may_plan(presser, &cancel);
        if let Ruling::Denied { because } = ruling
            && !self.may_plan(presser, &stored.plan).is_allowed()
        {
            self.press_denied(presser, &cancel, &because).await?;
            return Ok(Cancelled::Denied { because });
        }
        if op.state.is_terminal() {
            return Ok(Cancelled::Over {
                why: format!("It has already ended: {}.", op.state.as_str()),
            });
        }
        let mut row = self.plan_row(AuditEvent::CancelAsked, presser, &cancel, "");
        row.operation = Some(op.id.clone());
        let asked = self
            .store()
            .ask_cancel(operation, &presser.name, &row)
            .await
            .map_err(Error::store("ask the operation to stop"))?;
        self.inner.work.notify_one();
        self.card_touched();
        Ok(if asked {
            Cancelled::Asked
        } else {
            Cancelled::Over { why: "Somebody has already asked, or it has just ended.".into() }
        })
    }

    pub(crate) async fn find_plan(&self, plan: &PlanId) -> Result<Option<StoredPlan>, Error> {
        self.store().find_plan(plan).await.map_err(Error::store("read the plan"))
    }

    async fn open_plan(&self, presser: &Actor, plan: &PlanId) -> Result<Open, Error> {
        let Some(stored) = self.find_plan(plan).await? else {
            return Ok(Open::Over("That plan is not there any more. Ask again.".into()));
        };
        if let Ruling::Denied { because } = self.may_plan(presser, &stored.plan) {
            self.press_denied(presser, &stored.plan, &because).await?;
            return Ok(Open::Denied(because));
        }
        Ok(match &stored.state {
            PlanState::Confirmed(operation) => Open::Already(operation.clone()),
            PlanState::Dropped(_) => Open::Over(over(&stored.state)),
            PlanState::Open if stored.plan.expires_ms <= self.now_ms() => {
                let row = self.plan_row(AuditEvent::Dropped, presser, &stored.plan, "expired");
                self.store()
                    .drop_plan(plan, "expired", &row)
                    .await
                    .map_err(Error::store("drop the plan"))?;
                self.card_touched();
                Open::Over(
                    "This plan has expired. Ask again; the new one will show what is true then."
                        .into(),
                )
            }
            PlanState::Open => Open::Yes(Box::new(stored)),
        })
    }

    /// Policy for whoever presses, on the target as last seen.
    pub(crate) fn may_plan(&self, presser: &Actor, plan: &Plan) -> Ruling {
        if presser.guild != plan.asker.guild {
            return Ruling::Denied { because: "this plan belongs to another server".into() };
        }
        self.ruling(presser, plan.verb, &plan.action)
    }

    /// The confirmation a plan takes when `presser` presses.
    fn tier_for(&self, presser: &Actor, plan: &Plan) -> Tier {
        match self.may_plan(presser, plan) {
            Ruling::Allowed { needs, .. } => needs.max(plan.tier),
            Ruling::Denied { .. } => plan.tier,
        }
    }

    pub(crate) async fn press_denied(
        &self,
        presser: &Actor,
        plan: &Plan,
        because: &str,
    ) -> Result<(), Error> {
        let row = self.plan_row(AuditEvent::PressDenied, presser, plan, because);
        self.store().append_audit(&row).await.map_err(Error::store("write the audit log"))
    }

    pub(crate) fn plan_row(
        &self,
        event: AuditEvent,
        actor: &Actor,
        plan: &Plan,
        detail: &str,
    ) -> AuditRow {
        let mut row = self.audit_row(event, actor, plan.verb, &plan.target, detail);
        row.plan = Some(plan.id.clone());
        row
    }
}

fn over(state: &PlanState) -> String {
    match state {
        PlanState::Open => "It is still open.".into(),
        PlanState::Confirmed(operation) => format!("It is already under way as {operation}."),
        PlanState::Dropped(why) => format!("This plan is no longer valid: {why}. Ask again."),
    }
}

/// What is different between the plan that was shown and the world now, in people's words.
fn what_changed(old: &Plan, new: &gantry_core::plan::Draft) -> String {
    let mut parts = Vec::new();
    if old.target != new.target {
        parts.push(format!("it was {}, now it is {}", old.target, new.target));
    }
    let before = |plan: &[gantry_core::plan::Change], what: &str| {
        plan.iter().find(|c| c.what == what).map(|c| c.before.clone())
    };
    let (was, is) = (before(&old.changes, "Status"), before(&new.changes, "Status"));
    if was != is
        && let (Some(was), Some(is)) = (was, is)
    {
        parts.push(format!("it was {was}, now it is {is}"));
    }
    if old.digest != new.digest {
        parts.push("its configuration was changed".into());
    }
    if parts.is_empty() {
        parts.push("something about it changed".into());
    }
    parts.join("; ")
}
