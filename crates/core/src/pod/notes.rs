//! A pod in its guest's notes: a line for people, and the specification as a comment that Proxmox's page does not
//! show. With it a pod can be taken back when the database is lost.

use super::PodSpec;

/// Proxmox's limit for a guest's notes, characters (`lxc` create, `description`).
pub const NOTES_MAX: usize = 8192;
/// The setting a guest's notes are kept under.
pub(super) const NOTES_KEY: &str = "description";
/// Opens gantry's part of a guest's notes.
const OPEN: &str = "<!-- gantry:pod:1 ";
/// Closes it.
const CLOSE: &str = " -->";
/// What stands first where nobody wrote a note.
const LEAD: &str = "This container is a pod owned by gantry. Change it through gantry.";

/// A pod's notes. `operation` names the operation that created it, so that a create whose answer was lost can be
/// recognised.
pub fn notes(spec: &PodSpec, operation: &str) -> String {
    let mut public = spec.clone();
    let note = std::mem::take(&mut public.template.note);
    let json = serde_json::json!({ "operation": operation, "spec": public });
    // `--` may not stand inside a comment; JSON can always say it otherwise.
    let json = json.to_string().replace("--", "-\\u002d").replace("->", "-\\u003e");
    let lead = if note.is_empty() { LEAD.to_owned() } else { note };
    format!("{lead}\n\n{OPEN}{json}{CLOSE}\n")
}

/// What `notes` wrote, read back: the specification and the operation that created the guest.
///
/// The last part counts: what people write stands before it, and could otherwise pass for it.
pub fn read_notes(text: &str) -> Option<(PodSpec, String)> {
    let (lead, rest) = text.rsplit_once(OPEN)?;
    let (json, _) = rest.split_once(CLOSE)?;
    let value: serde_json::Value = serde_json::from_str(json).ok()?;
    let mut spec: PodSpec = serde_json::from_value(value.get("spec")?.clone()).ok()?;
    let lead = lead.trim();
    if lead != LEAD {
        spec.template.note = lead.to_owned();
    }
    Some((spec, value.get("operation")?.as_str()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn notes_bring_a_pod_back() {
        let mut spec = sample();
        assert_eq!(read_notes(&notes(&spec, "op_1")), Some((spec.clone(), "op_1".into())));
        spec.template.note = "Front door of the shop -- do not touch --> really".into();
        let (back, operation) = read_notes(&notes(&spec, "op_2")).unwrap();
        assert_eq!((back, operation.as_str()), (spec, "op_2"));
        assert_eq!(read_notes("somebody else's notes"), None);
    }

    #[test]
    fn a_note_cannot_pass_for_gantrys_own_part() {
        let (mut spec, mut forged) = (sample(), sample());
        forged.template.memory_mib = 16;
        spec.template.note = notes(&forged, "op_forged");
        let (back, operation) = read_notes(&notes(&spec, "op_real")).unwrap();
        assert_eq!((back.template.memory_mib, operation.as_str()), (1024, "op_real"));
    }
}
