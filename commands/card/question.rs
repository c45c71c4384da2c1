//! Short answers: which of several, no such guest, not allowed, went wrong.

use gantry_core::action::Verb;
use gantry_core::pod::Problem;
use gantry_core::world::Guest;

use super::proposal::sentence;
use super::{Button, Card, Choice, Line, Look, Select, Tone, bold, code, text, told};
use crate::fault::Fault;
use crate::line;
use crate::token::{ScreenId, Token};
use crate::words;

/// Choices shown in one menu; Discord's own limit.
pub const CHOICES_PAGE: usize = crate::paint::OPTIONS_MAX;

/// Several guests answer to a name: which one?
pub fn choice(verb: Verb, asked: &str, guests: &[Guest], page: usize, screen: &ScreenId) -> Card {
    let words = words::verb(verb);
    let pages = guests.len().div_ceil(CHOICES_PAGE).max(1);
    let page = page.min(pages - 1);
    let shown = guests.iter().skip(page * CHOICES_PAGE).take(CHOICES_PAGE);
    let mut card = Card::new(Tone::Question, line!["Which ", text(asked), "?"])
        .say(line![text(guests.len().to_string()), " guests answer to that. Nothing was done yet."])
        .select(Select {
            token: Token::Pick(screen.clone()),
            hint: format!("{} …", words.todo),
            choices: shown.map(guest_choice).collect(),
        });
    if pages > 1 {
        card = card.say(line![text(format!("Page {} of {pages}.", page + 1))]).buttons(vec![
            Button {
                token: Token::Back(screen.clone()),
                label: "‹ Back".into(),
                look: Look::Plain,
                enabled: page > 0,
            },
            Button {
                token: Token::Next(screen.clone()),
                label: "Next ›".into(),
                look: Look::Plain,
                enabled: page + 1 < pages,
            },
        ]);
    }
    card
}

/// A guest as an option of a menu.
pub fn guest_choice(guest: &Guest) -> Choice {
    Choice {
        value: guest.address().to_string(),
        label: guest.name.clone(),
        hint: format!(
            "{} {} · {} · {} · {}",
            guest.kind.short(),
            guest.vmid,
            guest.node,
            guest.cluster,
            guest.status.as_str()
        ),
    }
}

/// No guest answers to that.
pub fn unknown_guest(verb: Verb, asked: &str, similar: &[String]) -> Card {
    let (what, list) = if verb.as_str().starts_with("pod.") {
        ("✗ No pod ", "`/pod list` shows the pods you may see.")
    } else {
        ("✗ No guest ", "`/guest list` shows the guests you may see.")
    };
    let card = Card::new(Tone::Bad, line![what, text(asked)])
        .say("Nothing was done. Write a name, a number such as 201, or cluster/number.");
    if similar.is_empty() {
        card.say(list)
    } else {
        card.say("Did you mean:").lines(similar.iter().map(|s| line!["• ", bold(s)]))
    }
}

/// Nobody can say whether there is such a guest: gantry has not read every cluster since its start.
pub fn not_read_yet(asked: &str) -> Card {
    Card::new(Tone::Warning, line!["… Not read yet: ", text(asked)])
        .say("gantry has just started and has not read every cluster, so nobody can say whether there is such a guest. Nothing was done.")
        .say("Ask again in a moment. `/cluster status` shows a cluster that does not answer.")
}

/// Policy says no.
pub fn refusal(verb: Verb, target: &str, because: &str) -> Card {
    let asked = if target.is_empty() {
        line!["You asked for ", code(words::command(verb)), "."]
    } else {
        line!["You asked for ", code(words::command(verb)), " on ", bold(target), "."]
    };
    Card::new(Tone::Bad, "✗ Not allowed").say(asked).say(line!["Why: ", told(because), "."]).say(
        "Nothing was done. `/whoami` shows what you may do; whoever runs gantry can change it.",
    )
}

/// Something went wrong: what, why and what is true now, what to do, what to quote.
pub fn fault(fault: &Fault) -> Card {
    Card::new(Tone::Bad, line!["✗ ", text(&fault.what)])
        .say(told(sentence(&fault.why_and_now)))
        .say(line!["→ ", told(sentence(&fault.next))])
        .foot(format!("ref {}", fault.reference))
}

/// A short answer of another kind.
pub fn note(tone: Tone, title: impl Into<Line>, body: &str) -> Card {
    let card = Card::new(tone, title);
    if body.trim().is_empty() { card } else { card.say(told(sentence(body))) }
}

/// What is wrong with a specification that came as a file.
pub fn file_problems(file: &str, problems: &[Problem]) -> Card {
    Card::new(Tone::Bad, line!["✗ Cannot use ", text(file)])
        .say(match problems.len() {
            1 => "One thing is wrong. Nothing was done.",
            _ => "Several things are wrong. Nothing was done.",
        })
        .lines(problems.iter().map(|p| line!["• ", bold(&p.field), ": ", text(&p.why)]))
        .say("Correct them and send the file again.")
}

/// A key of a specification as the form, or the command, calls it.
fn shown_field(key: &str) -> &str {
    let key = key.strip_prefix("template.").unwrap_or(key);
    let of = |start: &str| key == start || key.starts_with(&format!("{start}."));
    match key {
        "address" | "addresses" => "Address",
        "vlan" => "VLAN",
        "ssh_keys" => "SSH keys",
        "note" => "Note",
        "memory_mib" => "memory",
        "root.size_gib" => "disk",
        "root.storage" => "storage",
        _ if of("tags") || of("labels") || of("pool") => "Tags and pool",
        _ if of("env") => "Environment",
        _ if of("ports") || of("service.ports") => "Ports of the service",
        _ if of("volume") || of("volumes") => "Volumes of each pod",
        _ => match key.strip_prefix("networks[0].") {
            Some("vlan") => "VLAN",
            Some("ipv4" | "ipv6" | "gateway4" | "gateway6") => "Address",
            Some(other) => other,
            None => key,
        },
    }
}

/// What is wrong with a pod's specification, with a way back into the form.
pub fn problems(kind: &str, name: &str, problems: &[Problem], screen: &ScreenId) -> Card {
    Card::new(Tone::Bad, line!["✗ Cannot plan ", text(kind), " ", text(name)])
        .say(match problems.len() {
            1 => "One thing is wrong. Nothing was created.",
            _ => "Several things are wrong. Nothing was created.",
        })
        .lines(problems.iter().map(|p| line!["• ", bold(shown_field(&p.field)), ": ", text(&p.why)]))
        .say("What comes from the command itself (name, image, cores, memory, disk, …) needs the command again.")
        .buttons(vec![Button::new(Token::Edit(screen.clone()), "Edit again", Look::Main)])
}
