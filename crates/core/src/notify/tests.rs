//! Plans of notifications on what can be there.

use super::*;
use crate::operation::StepKind;
use crate::plan::{Draft, Planned};

const URL: &str = "https://gantry.example.org/hooks/proxmox/pve";

fn install(resend: bool) -> NotifyAction {
    NotifyAction::Install {
        cluster: "lab".parse().unwrap(),
        hook: "pve".into(),
        url: URL.into(),
        resend,
    }
}

fn remove() -> NotifyAction {
    NotifyAction::Remove { cluster: "lab".parse().unwrap(), hook: "pve".into(), url: URL.into() }
}

fn installed() -> Now {
    Now {
        target: Some(Target::wanted("pve", URL, "1")),
        matcher: Some(Matcher::wanted("pve", "1")),
        others: Vec::new(),
    }
}

fn draft(planned: Planned) -> Draft {
    match planned {
        Planned::Ready(draft) => draft,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_not_there_is_made_and_tried() {
    let draft = draft(plan(&install(false), &Now::default(), "s"));
    let steps: Vec<&str> = draft.steps.iter().map(StepKind::name).collect();
    assert_eq!(steps, ["write the notification target", "write the matcher", "send a test"]);
    let text = format!("{draft:?}");
    for shown in
        ["gantry-pve", "match-gantry-pve", URL, "Authorization, Content-Type", "every notification"]
    {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    assert!(!text.contains("Bearer"), "values of headers are not shown: {text}");
}

#[test]
fn what_is_as_it_shall_be_is_left_alone_unless_the_secret_shall_be_sent() {
    let nothing = plan(&install(false), &installed(), "s");
    assert!(matches!(nothing, Planned::Nothing { .. }), "{nothing:?}");
    let again = draft(plan(&install(true), &installed(), "s"));
    assert_eq!(again.steps.len(), 2, "{again:?}");
}

#[test]
fn what_somebody_changed_is_shown_and_put_right() {
    let mut now = installed();
    if let Some(t) = &mut now.target {
        t.disabled = true;
        t.headers.insert("Authorization".into(), "Bearer typed-by-hand".into());
        t.url = "https://user:typed@elsewhere.example/x?key=typed".into();
    }
    if let Some(m) = &mut now.matcher {
        m.filters.insert("match-severity".into(), vec!["error".into()]);
    }
    let draft = draft(plan(&install(false), &now, "s"));
    let text = format!("{:?}", draft.changes);
    for shown in ["off", "another value", "https://elsewhere.example/x?…", "severity error"] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    assert!(!text.contains("typed"), "{text}");
    assert!(draft.warnings.is_empty(), "{:?}", draft.warnings);
}

#[test]
fn only_what_is_ours_is_removed() {
    let ours = draft(plan(&remove(), &installed(), "s"));
    let steps: Vec<&str> = ours.steps.iter().map(StepKind::name).collect();
    assert_eq!(steps, ["remove the matcher", "remove the notification target"]);
    for part in 0..2 {
        let mut now = installed();
        match (part, &mut now.target, &mut now.matcher) {
            (0, Some(t), _) => t.comment = "mine".into(),
            (_, _, Some(m)) => m.comment = "mine".into(),
            _ => {}
        }
        let refused = plan(&remove(), &now, "s");
        assert!(
            matches!(&refused, Planned::Refused { why } if why.contains("comment")),
            "{refused:?}"
        );
    }
    let used = Now { others: vec!["night".into()], ..installed() };
    let refused = plan(&remove(), &used, "s");
    assert!(matches!(&refused, Planned::Refused { why } if why.contains("night")), "{refused:?}");
    let gone = plan(&remove(), &Now::default(), "s");
    assert!(matches!(gone, Planned::Nothing { .. }), "{gone:?}");
}

#[test]
fn the_fingerprint_knows_the_world_and_not_the_stamp() {
    let of = |now: &Now, stamp: &str| draft(plan(&install(true), now, stamp)).fingerprint;
    let mut other = installed();
    if let Some(t) = &mut other.target {
        t.comment = comment("pve", "2");
    }
    assert_eq!(of(&installed(), "a"), of(&installed(), "b"));
    assert_ne!(of(&installed(), "a"), of(&other, "a"));
}

#[test]
fn names_and_comments_are_within_what_proxmox_takes() {
    let hook = "h".repeat(HOOK_NAME_MAX);
    assert!(target_name(&hook).len() <= 32 && matcher_name(&hook).len() == 32);
    assert!(comment(&hook, &"f".repeat(16)).len() <= 128);
    assert_ne!(target_name("x"), matcher_name("x"));
}

#[test]
fn an_address_is_shown_without_what_may_be_secret() {
    assert_eq!(shown_url(URL), URL);
    assert_eq!(shown_url("http://u:p@h:1/x#y"), "http://h:1/x?…");
    assert_eq!(shown_url("what"), "what");
}
