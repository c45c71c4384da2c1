//! What a change of a cluster's notifications comes to, on what is there right now.

use super::{
    Matcher, NotifyAction, NotifyStep, Now, SECRET, Target, matcher_name, shown_url, target_name,
};
use crate::operation::StepKind;
use crate::plan::{Change, Draft, Planned, hash};

/// Plans `action`. `stamp` is another one for each plan; the fingerprint does not depend on it.
pub fn plan(action: &NotifyAction, now: &Now, stamp: &str) -> Planned {
    match action {
        NotifyAction::Install { resend, .. } => plan_install(action, now, *resend, stamp),
        NotifyAction::Test { .. } => plan_test(action, now),
        NotifyAction::Remove { .. } => plan_remove(action, now),
    }
}

fn ready(action: &NotifyAction, now: &Now, steps: Vec<NotifyStep>) -> Draft {
    let fingerprint = hash(&serde_json::json!([
        action,
        now.target.as_ref().map(Target::fingerprint),
        now.matcher.as_ref().map(Matcher::fingerprint),
        now.others,
    ]));
    Draft {
        name: format!("notifications of {}", action.cluster()),
        target: action.shown(),
        effects: Vec::new(),
        changes: Vec::new(),
        warnings: Vec::new(),
        steps: steps.into_iter().map(StepKind::Notify).collect(),
        fingerprint,
        digest: String::new(),
    }
}

fn plan_install(action: &NotifyAction, now: &Now, resend: bool, stamp: &str) -> Planned {
    let (cluster, hook, url) = (action.cluster(), action.hook(), action.url());
    let (target, matcher) = (target_name(hook), matcher_name(hook));
    let target_right = now.target.as_ref().is_some_and(|t| t.is_right(hook, url));
    let matcher_right = now.matcher.as_ref().is_some_and(|m| m.is_right(hook));
    if target_right && matcher_right && !resend {
        return Planned::Nothing {
            why: format!(
                "{cluster} is set up to tell gantry: the notification target {target} and the matcher {matcher} are as \
                 they shall be. Whether the secret there is the right one Proxmox tells nobody; `/cluster notify test` tries it, \
                 and `/cluster notify install secret:True` sends it again."
            ),
        };
    }
    let mut steps = Vec::new();
    let (mut effects, mut changes, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    let stamp = || stamp.to_owned();
    if !target_right || resend {
        effects.push(match &now.target {
            None => {
                format!("Make the notification target {target} at {cluster}: {}.", shown_url(url))
            }
            Some(_) if target_right => {
                format!("Send the secret of the notification target {target} again.")
            }
            Some(_) => format!("Make the notification target {target} what it shall be."),
        });
        changes.extend(target_changes(now.target.as_ref(), &Target::wanted(hook, url, "")));
        changes.push(Change {
            what: format!("Secret {SECRET}"),
            before: now.target.as_ref().map_or("none", |_| "not told by Proxmox").to_owned(),
            after: format!("what [[http.hooks]] has for {hook}"),
        });
        let before = now.target.as_ref().map(Target::fingerprint);
        steps.push(NotifyStep::Target { before, stamp: stamp() });
    }
    if !matcher_right {
        effects.push(match &now.matcher {
            None => format!("Make the matcher {matcher}: every notification goes to {target}."),
            Some(_) => format!("Make the matcher {matcher} what it shall be."),
        });
        changes.extend(matcher_changes(now.matcher.as_ref(), &Matcher::wanted(hook, "")));
        let before = now.matcher.as_ref().map(Matcher::fingerprint);
        steps.push(NotifyStep::Matcher { before, stamp: stamp() });
    }
    effects.push("Have Proxmox send a test, and see whether gantry hears it.".to_owned());
    steps.push(NotifyStep::Test);
    let strange = now.target.as_ref().is_some_and(|t| !t.is_ours(hook)).then_some(&target);
    let also = now.matcher.as_ref().is_some_and(|m| !m.is_ours(hook)).then_some(&matcher);
    for name in strange.into_iter().chain(also) {
        warnings.push(format!(
            "{name} is there and does not bear gantry's comment: what somebody made of it is written over."
        ));
    }
    if !url.starts_with("https://") {
        warnings.push(
            "The address is not https: whoever is on the way reads the secret and all that is told."
                .to_owned(),
        );
    }
    if !now.others.is_empty() {
        warnings.push(format!("{} send there as well.", now.others.join(", ")));
    }
    Planned::Ready(Draft { effects, changes, warnings, ..ready(action, now, steps) })
}

fn plan_test(action: &NotifyAction, now: &Now) -> Planned {
    let (cluster, hook) = (action.cluster(), action.hook());
    if now.target.is_none() {
        return Planned::Refused {
            why: format!(
                "{cluster} has no notification target {}. `/cluster notify install` makes it.",
                target_name(hook)
            ),
        };
    }
    let effects = vec![format!("Have {cluster} send a test to {}.", shown_url(action.url()))];
    Planned::Ready(Draft { effects, ..ready(action, now, vec![NotifyStep::Test]) })
}

fn plan_remove(action: &NotifyAction, now: &Now) -> Planned {
    let (cluster, hook) = (action.cluster(), action.hook());
    let (target, matcher) = (target_name(hook), matcher_name(hook));
    let strange = |name: &str| Planned::Refused {
        why: format!(
            "{name} does not bear gantry's comment, so somebody else may have made it. Remove it at Proxmox by hand: \
             Datacenter → Notifications."
        ),
    };
    if now.target.as_ref().is_some_and(|t| !t.is_ours(hook)) {
        return strange(&target);
    }
    if now.matcher.as_ref().is_some_and(|m| !m.is_ours(hook)) {
        return strange(&matcher);
    }
    if now.target.is_some() && !now.others.is_empty() {
        return Planned::Refused {
            why: format!(
                "{} send to {target} as well. Take it out of them first: Proxmox removes no target that a matcher uses.",
                now.others.join(", ")
            ),
        };
    }
    let (mut steps, mut effects, mut changes) = (Vec::new(), Vec::new(), Vec::new());
    let gone = |what: String, before: String| Change { what, before, after: "gone".to_owned() };
    if let Some(m) = &now.matcher {
        effects.push(format!("Remove the matcher {matcher} from {cluster}."));
        changes.push(gone(format!("Matcher {matcher}"), m.shown_filter()));
        steps.push(NotifyStep::DropMatcher { before: m.fingerprint() });
    }
    if let Some(t) = &now.target {
        effects.push(format!("Remove the notification target {target} with its secret."));
        changes.push(gone(format!("Target {target}"), shown_url(&t.url)));
        steps.push(NotifyStep::DropTarget { before: t.fingerprint() });
    }
    if steps.is_empty() {
        return Planned::Nothing {
            why: format!("{cluster} has neither a target {target} nor a matcher {matcher}."),
        };
    }
    let warnings = vec![format!(
        "What only Proxmox tells (fencing, its own mails, package updates) is not heard from {cluster} any more. Tasks and \
         backups gantry watches itself."
    )];
    Planned::Ready(Draft { effects, changes, warnings, ..ready(action, now, steps) })
}

fn line(what: impl Into<String>, before: impl Into<String>, after: impl Into<String>) -> Change {
    Change { what: what.into(), before: before.into(), after: after.into() }
}

fn on(disabled: bool) -> &'static str {
    if disabled { "off" } else { "on" }
}

/// Before and after of a target. Values of headers and the body are never shown: somebody may have put a secret there.
fn target_changes(now: Option<&Target>, wanted: &Target) -> Vec<Change> {
    let names = |t: &Target| t.headers.keys().cloned().collect::<Vec<_>>().join(", ");
    let Some(now) = now else {
        return vec![
            line("Target", "none", format!("POST {}", shown_url(&wanted.url))),
            line("Headers", "none", names(wanted)),
        ];
    };
    let mut all = Vec::new();
    if now.url != wanted.url {
        let (was, is) = (shown_url(&now.url), shown_url(&wanted.url));
        let was = if was == is { format!("{was}, with more") } else { was };
        all.push(line("Target sends to", was, is));
    }
    if now.method != wanted.method {
        all.push(line("Target's method", now.method.as_str(), wanted.method.as_str()));
    }
    if now.headers.keys().ne(wanted.headers.keys()) {
        all.push(line("Headers", names(now), names(wanted)));
    } else {
        let other = wanted.headers.iter().filter(|(k, v)| now.headers.get(*k) != Some(*v));
        all.extend(other.map(|(k, _)| line(format!("Header {k}"), "another value", "gantry's")));
    }
    if now.body != wanted.body {
        all.push(line("Target's body", "another one", "gantry's"));
    }
    if now.secrets != wanted.secrets {
        all.push(line("Secrets", now.secrets.join(", "), wanted.secrets.join(", ")));
    }
    if now.disabled != wanted.disabled {
        all.push(line("Target", on(now.disabled), on(wanted.disabled)));
    }
    all
}

fn matcher_changes(now: Option<&Matcher>, wanted: &Matcher) -> Vec<Change> {
    let sends = |m: &Matcher| {
        let to = if m.targets.is_empty() { "nobody".to_owned() } else { m.targets.join(", ") };
        format!("{}, to {to}", m.shown_filter())
    };
    let Some(now) = now else { return vec![line("Matcher", "none", sends(wanted))] };
    let mut all = Vec::new();
    let (was, is) = (sends(now), sends(wanted));
    if was != is {
        all.push(line("Matcher lets through", was, is));
    }
    if now.disabled != wanted.disabled {
        all.push(line("Matcher", on(now.disabled), on(wanted.disabled)));
    }
    all
}
