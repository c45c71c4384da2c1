//! Proxmox's notification target and matcher for a hook of gantry's: written with the digest that was just read, seen by
//! reading again, tried by a test that has to be heard.
//!
//! The secret is taken from the configuration at the moment of the call and goes nowhere else. Proxmox never gives it
//! back, so that a look can tell that the target was written, by its comment, and only the test that the secret is right.

use gantry_core::action::{Action, Verb};
use gantry_core::alert::Heard;
use gantry_core::id::ClusterId;
use gantry_core::notify::{
    Matcher, NotifyAction, NotifyStep, Now, SECRET, TEST_TITLE, Target, matcher_name, plan,
    shown_url, target_name,
};
use gantry_core::operation::Operation;
use gantry_core::plan::Planned;
use gantry_core::policy::{self, Actor, Ruling};
use gantry_proxmox::{Client, Error as ProxmoxError, Webhook, WebhookSecret};
use secrecy::ExposeSecret as _;

use super::{Aim, CallFault, Look, Planning, Seen};
use crate::{Engine, Error, random};

fn action(op: &Operation) -> Result<&NotifyAction, Error> {
    match &op.action {
        Action::Notify(action) => Ok(action),
        _ => Err(Error::Missing { what: "a notification target".into() }),
    }
}

fn read(found: Webhook) -> Target {
    Target {
        url: found.url,
        method: found.method,
        headers: found.headers,
        body: found.body,
        secrets: found.secrets,
        comment: found.comment,
        disabled: found.disabled,
    }
}

fn written(target: Target) -> Webhook {
    Webhook {
        url: target.url,
        method: target.method,
        headers: target.headers,
        body: target.body,
        secrets: target.secrets,
        comment: target.comment,
        disabled: target.disabled,
        digest: String::new(),
    }
}

fn read_matcher(found: gantry_proxmox::Matcher) -> Matcher {
    Matcher {
        targets: found.targets,
        filters: found.filters,
        any: found.any,
        inverted: found.inverted,
        comment: found.comment,
        disabled: found.disabled,
    }
}

fn written_matcher(name: String, matcher: Matcher) -> gantry_proxmox::Matcher {
    gantry_proxmox::Matcher {
        name,
        targets: matcher.targets,
        filters: matcher.filters,
        any: matcher.any,
        inverted: matcher.inverted,
        comment: matcher.comment,
        disabled: matcher.disabled,
    }
}

/// What is there of what a step writes: its fingerprint, and whether it is what that step makes of it.
struct Standing {
    fingerprint: Option<String>,
    /// Written by this very step.
    ours: bool,
    /// What it shall be, whoever wrote it.
    right: bool,
}

fn standing(action: &NotifyAction, step: &NotifyStep, now: &Now) -> Standing {
    let (hook, url) = (action.hook(), action.url());
    match step {
        NotifyStep::Target { stamp, .. } => {
            let resend = matches!(action, NotifyAction::Install { resend: true, .. });
            let there = now.target.as_ref();
            Standing {
                fingerprint: there.map(Target::fingerprint),
                ours: there.is_some_and(|t| *t == Target::wanted(hook, url, stamp)),
                right: there.is_some_and(|t| t.is_right(hook, url) && !resend),
            }
        }
        NotifyStep::Matcher { stamp, .. } => {
            let there = now.matcher.as_ref();
            Standing {
                fingerprint: there.map(Matcher::fingerprint),
                ours: there.is_some_and(|m| *m == Matcher::wanted(hook, stamp)),
                right: there.is_some_and(|m| m.is_right(hook)),
            }
        }
        NotifyStep::DropTarget { .. } => {
            let there = now.target.as_ref();
            let gone = there.is_none();
            Standing { fingerprint: there.map(Target::fingerprint), ours: gone, right: gone }
        }
        NotifyStep::DropMatcher { .. } => {
            let there = now.matcher.as_ref();
            let gone = there.is_none();
            Standing { fingerprint: there.map(Matcher::fingerprint), ours: gone, right: gone }
        }
        NotifyStep::Test => Standing { fingerprint: None, ours: false, right: false },
    }
}

fn before(step: &NotifyStep) -> Option<&String> {
    match step {
        NotifyStep::Target { before, .. } | NotifyStep::Matcher { before, .. } => before.as_ref(),
        NotifyStep::DropMatcher { before } | NotifyStep::DropTarget { before } => Some(before),
        NotifyStep::Test => None,
    }
}

impl Engine {
    /// What a cluster has of a hook, read now. `None`: its Proxmox VE has no webhook targets.
    ///
    /// # Errors
    /// What Proxmox says.
    pub(crate) async fn notify_now(
        &self,
        cluster: &ClusterId,
        hook: &str,
    ) -> Result<Option<Now>, Error> {
        let client = self.client(cluster)?;
        let fail = || Error::proxmox(format!("read the notifications of {cluster}"), cluster);
        let target = match client.webhook(&target_name(hook)).await {
            Ok(found) => found.map(read),
            Err(ProxmoxError::NotImplemented { .. }) => return Ok(None),
            Err(error) => return Err(fail()(error)),
        };
        let (mut matcher, mut others) = (None, Vec::new());
        for found in client.matchers().await.map_err(fail())? {
            if found.name == matcher_name(hook) {
                matcher = Some(read_matcher(found));
            } else if found.targets.contains(&target_name(hook)) {
                others.push(found.name);
            }
        }
        Ok(Some(Now { target, matcher, others }))
    }

    async fn need_notify_now(&self, action: &NotifyAction) -> Result<Now, Error> {
        let now = self.notify_now(action.cluster(), action.hook()).await?;
        now.ok_or_else(|| Error::Missing { what: "a Proxmox VE with webhook targets".into() })
    }

    pub(super) fn notify_ruling(&self, actor: &Actor, verb: Verb, action: &NotifyAction) -> Ruling {
        self.may(actor, verb, policy::Target::Cluster(action.cluster()))
    }

    pub(super) async fn plan_notify_now(
        &self,
        actor: &Actor,
        verb: Verb,
        action: &NotifyAction,
    ) -> Result<Planning, Error> {
        let ruling = self.notify_ruling(actor, verb, action);
        let planned = match self.notify_now(action.cluster(), action.hook()).await? {
            Some(now) => plan(action, &now, &format!("{:016x}", random() as u64)),
            None => Planned::Refused { why: self.without_webhooks(action.cluster()) },
        };
        Ok(Planning { planned, ruling, read_ms: self.now_ms() })
    }

    pub(super) async fn look_before_notify(
        &self,
        op: &Operation,
        step: &NotifyStep,
    ) -> Result<Look, Error> {
        let action = action(op)?;
        if *step != NotifyStep::Test {
            let now = self.need_notify_now(action).await?;
            let there = standing(action, step, &now);
            if there.ours || there.right {
                return Ok(Look::Already("it is so already".into()));
            }
            if there.fingerprint.as_ref() != before(step) {
                let name = step.object(action.hook());
                return Ok(Look::Changed(format!(
                    "somebody has changed {name} since this was confirmed"
                )));
            }
        }
        let node = self.some_node(action.cluster()).await?;
        Ok(Look::Go(Aim { node, vmid: None, seen: Vec::new() }))
    }

    pub(super) async fn call_notify(
        &self,
        op: &Operation,
        step: &NotifyStep,
    ) -> Result<(), CallFault> {
        let unsent = |e: Error| CallFault::never_sent(e.to_string());
        let action = action(op).map_err(unsent)?;
        let (cluster, hook) = (action.cluster(), action.hook());
        let client = self.client(cluster).map_err(unsent)?;
        match step {
            NotifyStep::Target { before, stamp } => {
                let Some(known) = self.notify_hook(cluster, hook) else {
                    return Err(CallFault::never_sent(format!(
                        "there is no webhook {hook} in the configuration any more"
                    )));
                };
                let secret = WebhookSecret { name: SECRET, value: &known.token };
                let wanted = written(Target::wanted(hook, action.url(), stamp));
                let sent = write_target(client, hook, &wanted, before.as_ref(), &secret).await;
                sent.map_err(|fault| blotted(fault, known.token.expose_secret()))
            }
            NotifyStep::Matcher { before, stamp } => {
                let name = matcher_name(hook);
                let wanted = written_matcher(name.clone(), Matcher::wanted(hook, stamp));
                if before.is_none() {
                    return Ok(client.create_matcher(&wanted).await?);
                }
                // Read first: what is found next to this digest is what was there when it was confirmed, or the call
                // is refused.
                let digest = client.matcher_digest(&name).await.map_err(unread)?;
                let now = self.need_notify_now(action).await.map_err(unsent)?;
                unchanged(&standing(action, step, &now), before.as_ref(), &name)?;
                Ok(client.update_matcher(&wanted, &digest.unwrap_or_default()).await?)
            }
            NotifyStep::Test => Ok(client.test_notification(&target_name(hook)).await?),
            NotifyStep::DropMatcher { .. } => {
                Ok(client.delete_matcher(&matcher_name(hook)).await?)
            }
            NotifyStep::DropTarget { .. } => Ok(client.delete_webhook(&target_name(hook)).await?),
        }
    }

    /// When the newest test of the target was heard since step `n` was begun, milliseconds.
    async fn heard_test(
        &self,
        op: &Operation,
        n: usize,
        hook: &str,
    ) -> Result<Option<(i64, i64)>, Error> {
        let Some(since_ms) = op.steps[n].intent_ms else { return Ok(None) };
        let heard = self.store().heard_since(hook, since_ms).await;
        let heard = heard.map_err(Error::store("read what webhooks told"))?;
        // Anybody's test of this target after that moment went the same way with the same secret. Its words are templates
        // that an administrator may have changed, so either sign is enough.
        let name = target_name(hook);
        let is_test = |h: &Heard| h.told.title == TEST_TITLE || h.detail.contains(&name);
        let found = heard.iter().rev().find(|(_, heard)| is_test(heard));
        Ok(found.map(|(at_ms, _)| (*at_ms, since_ms)))
    }

    pub(super) async fn is_notify_met(
        &self,
        op: &Operation,
        n: usize,
        step: &NotifyStep,
    ) -> Result<Seen, Error> {
        let action = action(op)?;
        let (hook, url) = (action.hook(), action.url());
        let now = self.need_notify_now(action).await?;
        let shown = now.shown(hook, url);
        if *step != NotifyStep::Test {
            return Ok(Seen { met: standing(action, step, &now).ours, now: shown });
        }
        Ok(match self.heard_test(op, n, hook).await? {
            Some((at_ms, since_ms)) => {
                let took = (at_ms - since_ms).max(0).div_euclid(1000);
                let took =
                    if took == 0 { "within a second".into() } else { format!("{took} s later") };
                Seen {
                    met: true,
                    now: format!("{shown} Proxmox was asked to send a test; heard {took}."),
                }
            }
            None => Seen {
                met: false,
                now: format!(
                    "{shown} No test from {} was heard at {}.",
                    action.cluster(),
                    shown_url(url)
                ),
            },
        })
    }
}

/// Creates the target or makes the one that is there what is wanted, with the digest it was just read with.
async fn write_target(
    client: &Client,
    hook: &str,
    wanted: &Webhook,
    before: Option<&String>,
    secret: &WebhookSecret<'_>,
) -> Result<(), CallFault> {
    let name = target_name(hook);
    let Some(before) = before else {
        return Ok(client.create_webhook(&name, wanted, secret).await?);
    };
    let found = client.webhook(&name).await.map_err(unread)?;
    let digest = found.as_ref().map(|w| w.digest.clone()).unwrap_or_default();
    if found.map(read).as_ref().map(Target::fingerprint).as_ref() != Some(before) {
        return Err(changed(&name));
    }
    Ok(client.update_webhook(&name, wanted, secret, &digest).await?)
}

fn unchanged(there: &Standing, before: Option<&String>, name: &str) -> Result<(), CallFault> {
    if there.fingerprint.as_ref() == before { Ok(()) } else { Err(changed(name)) }
}

fn changed(name: &str) -> CallFault {
    CallFault::never_sent(format!("somebody has changed {name} since this was confirmed"))
}

/// A read before the write failed: nothing was sent, and it may be tried again.
fn unread(error: ProxmoxError) -> CallFault {
    CallFault::not_stored(error.to_string())
}

/// The fault without the secret, should Proxmox have repeated it.
fn blotted(fault: CallFault, secret: &str) -> CallFault {
    CallFault { text: fault.text.replace(secret, "•••"), ..fault }
}
