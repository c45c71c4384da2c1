//! What a command on a set takes away for good: the volumes of ordinals that shall not exist any more, where the set
//! does not keep those.

use super::action::SetAction;
use super::plan::SetFacts;
use super::spec::Keep;

/// Ordinals whose volumes are deleted when `action` is carried out, ascending. Those that were scaled away earlier and
/// whose volumes stayed until now are among them: what becomes of them follows the specification of today.
pub fn lost_volumes(action: &SetAction, facts: &SetFacts) -> Vec<u32> {
    let all = || facts.keepers.iter().copied();
    match action {
        SetAction::Put { spec, .. } if spec.on_scale_down == Keep::Delete => {
            all().filter(|n| !spec.ordinals().contains(n)).collect()
        }
        SetAction::Delete { volumes: Keep::Delete, .. } => all().collect(),
        _ => Vec::new(),
    }
}

/// The same as a sentence, where there are some.
pub(super) fn told(set: &str, lost: &[u32]) -> Option<String> {
    let names: Vec<String> = lost.iter().map(|n| format!("{set}-{n}")).collect();
    (!lost.is_empty()).then(|| format!("Delete the volumes of {}.", names.join(", ")))
}

/// What has to be known before.
pub(super) const WARNING: &str = "What is on the volumes is lost; this cannot be undone.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Planned;
    use crate::set::SetRef;
    use crate::set::plan::plan_set;
    use crate::set::simulation::{sample, set_of, with_volumes};

    fn facts(keepers: &[u32]) -> SetFacts {
        let set = Some(set_of(with_volumes(sample("web", 3))));
        SetFacts { set, keepers: keepers.to_vec(), ..SetFacts::default() }
    }

    fn put(replicas: u32, on_scale_down: Keep) -> SetAction {
        let mut spec = with_volumes(sample("web", replicas));
        spec.on_scale_down = on_scale_down;
        let set = SetRef { cluster: "lab".parse().unwrap(), name: "web".into() };
        SetAction::Put { set, spec: Box::new(spec), why: "applied".into() }
    }

    #[test]
    fn what_is_scaled_away_is_lost_only_where_it_is_not_kept() {
        let facts = facts(&[0, 1, 2]);
        assert_eq!(lost_volumes(&put(1, Keep::Delete), &facts), [1, 2]);
        assert!(lost_volumes(&put(1, Keep::Retain), &facts).is_empty());
        assert!(lost_volumes(&put(3, Keep::Delete), &facts).is_empty());
    }

    #[test]
    fn volumes_that_stayed_go_when_the_set_no_longer_keeps_them_and_the_plan_says_so() {
        // web-3 and web-4 were scaled away while the set kept volumes.
        let facts = facts(&[0, 1, 2, 3, 4]);
        let action = put(3, Keep::Delete);
        assert_eq!(lost_volumes(&action, &facts), [3, 4]);
        let Planned::Ready(draft) = plan_set(&action, &facts) else { panic!() };
        let told = "Delete the volumes of web-3, web-4.";
        assert!(draft.effects.iter().any(|e| e == told), "{:?}", draft.effects);
        assert!(draft.warnings.iter().any(|w| w == WARNING), "{:?}", draft.warnings);
        let before = self::facts(&[0, 1, 2, 3]);
        let Planned::Ready(other) = plan_set(&action, &before) else { panic!() };
        assert_ne!(
            draft.fingerprint, other.fingerprint,
            "what is lost belongs to what is confirmed"
        );
    }
}
