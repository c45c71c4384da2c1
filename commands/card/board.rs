//! A status board: how clusters are, in one message. Figures are coarse, so that it changes when something changes.

use gantry_core::alert::Incident;
use gantry_core::board::Board;
use gantry_core::operation::Operation;
use gantry_core::world::{ClusterView, Guest, GuestStatus, Node, NodeState, Storage};
use gantry_engine::BoardView;
use gantry_engine::store::CardRow;

use super::alert::mark;
use super::{
    Button, Card, Choice, Line, Look, Piece, Select, Tone, ago, bar, bold, code, status_mark, text,
};
use crate::line;
use crate::token::Token;
use crate::words;

/// Nodes, storages, incidents and operations named; more are counted.
const NODES: usize = 12;
/// See [`NODES`].
const STORAGES: usize = 8;
/// See [`NODES`].
const INCIDENTS: usize = 6;
/// See [`NODES`].
const OPERATIONS: usize = 6;
/// Guests in the menu; as many as a menu takes.
const GUESTS: usize = 25;
/// A share from which a storage is marked.
const STORAGE_FULL: f64 = 0.85;

/// The board. `now_ms` is the moment of its edit; without, it shows only what an edit is worth.
pub fn board(b: &BoardView, now_ms: Option<i64>) -> Card {
    let mut card = Card::new(tone(b), heading(b));
    let many = b.views.len() > 1;
    for view in &b.views {
        card = card.say(cluster_line(view));
        if let Some(fault) = &view.fault {
            let since = if view.observed_ms > 0 {
                line!["⚠ cannot be read, last read ", ago(view.observed_ms), ": ", text(fault)]
            } else {
                line!["⚠ never read yet: ", text(fault)]
            };
            card = card.say(since);
        } else if b.stale.contains(&view.cluster) {
            card = card.say(line!["⚠ last read ", ago(view.observed_ms)]);
        }
    }
    for cluster in &b.missing {
        let why = " is not in gantry's configuration; nothing is known of it";
        card = card.say(line!["⚠ ", bold(cluster.as_str()), why]);
    }
    let place = |v: &ClusterView| if many { format!(" · {}", v.cluster) } else { String::new() };
    let nodes =
        b.views.iter().flat_map(|v| v.nodes.iter().map(move |n| node_line(v, n, &place(v))));
    let nodes: Vec<Line> = nodes.collect();
    let count = u64::try_from(nodes.len()).unwrap_or(0);
    card = card.field("Nodes", cut(nodes, NODES, "nodes", count));
    card = card.field("Storages", storages(b, &place));
    card = card.field("Guests", vec![guests(b)]);
    let wrong: Vec<Line> = b.incidents.iter().map(incident).collect();
    card = card.field("What is wrong", cut(wrong, INCIDENTS, "incidents", b.incidents_total));
    card = card.field("Under way", operations(b));
    if let Some(now_ms) = now_ms {
        card = card.say(line!["Looked at ", ago(now_ms)]);
    }
    controls(card, b)
        .foot("kept up to date by gantry; older than ten minutes means that gantry is not running")
}

fn down(v: &ClusterView) -> usize {
    v.nodes.iter().filter(|n| n.state != NodeState::Up).count()
}

fn tone(b: &BoardView) -> Tone {
    use gantry_core::alert::Severity;
    let worst = b.incidents.iter().map(|i| i.severity).max();
    match () {
        () if b.views.iter().any(|v| v.fault.is_some() || v.observed_ms == 0) => Tone::Unknown,
        () if !b.missing.is_empty() || !b.stale.is_empty() => Tone::Unknown,
        () if b.views.iter().any(|v| v.quorate == Some(false)) => Tone::Bad,
        () if worst.is_some_and(|w| w >= Severity::Error) => Tone::Bad,
        () if worst == Some(Severity::Warning) || b.views.iter().any(|v| down(v) > 0) => {
            Tone::Warning
        }
        () => Tone::Good,
    }
}

fn heading(b: &BoardView) -> Line {
    let names: Vec<&str> = b.board.clusters.iter().map(|c| c.as_str()).collect();
    let name = names.join(", ");
    match tone(b) {
        Tone::Good => line!["● ", text(name), ": all is well"],
        Tone::Unknown => line!["? ", text(name), ": not everything is known"],
        tone => {
            let mark = if tone == Tone::Bad { "✗ " } else { "⚠ " };
            let mut what = Vec::new();
            match b.views.iter().map(|v| down(v)).sum::<usize>() {
                0 => {}
                1 => what.push("1 node missing".to_owned()),
                n => what.push(format!("{n} nodes missing")),
            }
            match b.incidents_total {
                0 => {}
                1 => what.push("1 incident".to_owned()),
                n => what.push(format!("{n} incidents")),
            }
            if b.views.iter().any(|v| v.quorate == Some(false)) {
                what.insert(0, "no quorum".to_owned());
            }
            line![mark, text(format!("{name}: {}", what.join(", ")))]
        }
    }
}

fn cluster_line(v: &ClusterView) -> Line {
    let quorum = match v.quorate {
        Some(true) => " · quorate",
        Some(false) => " · ✗ no quorum",
        None => "",
    };
    let up = v.nodes.len() - down(v);
    let version = v.version.as_ref().map(|v| format!(" · PVE {v}")).unwrap_or_default();
    let nodes = format!(" · {up} of {} nodes up{version}", v.nodes.len());
    line![bold(v.cluster.as_str()), quorum, text(nodes)]
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Memory as a bar, CPU to ten percent: what moves all the time is no news.
fn node_line(v: &ClusterView, n: &Node, place: &str) -> Line {
    let guests = v.guests.iter().filter(|g| g.node == n.name && !g.template).count();
    match n.state {
        NodeState::Up => {
            let memory = share(n.mem, n.mem_max);
            let cpu = (n.cpu * 10.0).round() * 10.0;
            line![
                "● ",
                bold(n.name.as_str()),
                " ",
                text(bar(memory)),
                text(format!(" memory · CPU about {cpu:.0} % · {guests} guests{place}"))
            ]
        }
        NodeState::Down => {
            line!["✗ ", bold(n.name.as_str()), " is down · began ", ago(n.since_ms), text(place)]
        }
        NodeState::Unknown => {
            line![
                "? ",
                bold(n.name.as_str()),
                " is unreachable · began ",
                ago(n.since_ms),
                text(place)
            ]
        }
    }
}

fn storages(b: &BoardView, place: &dyn Fn(&ClusterView) -> String) -> Vec<Line> {
    let mut all: Vec<(f64, Line)> = Vec::new();
    for v in &b.views {
        let mut seen = std::collections::HashSet::new();
        for s in v.storages.iter().filter(|s| !s.shared || seen.insert(&s.id)) {
            let lost = v.node(&s.node).is_some_and(|n| n.state != NodeState::Up);
            if !lost || s.shared {
                all.push((
                    if s.active { share(s.used, s.total) } else { 2.0 },
                    storage(s, &place(v)),
                ));
            }
        }
    }
    // The fullest first: the rest is counted.
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    let left = all.get(STORAGES).map(|(share, _)| *share);
    let more = all.len().saturating_sub(STORAGES);
    let mut lines: Vec<Line> = all.into_iter().take(STORAGES).map(|(_, line)| line).collect();
    if let Some(below) = left.filter(|_| more > 0) {
        let percent = (below * 100.0).ceil();
        lines.push(line![text(format!("… {more} more, none fuller than {percent:.0} %"))]);
    }
    lines
}

fn storage(s: &Storage, place: &str) -> Line {
    let name = if s.shared { s.id.to_string() } else { format!("{} on {}", s.id, s.node) };
    if !s.active {
        return line!["✗ ", bold(name), text(format!(" is not available{place}"))];
    }
    let used = share(s.used, s.total);
    let mark = if used >= STORAGE_FULL { "⚠ " } else { "" };
    line![mark, text(bar(used)), " ", bold(name), text(format!(" {:.0} %{place}", used * 100.0))]
}

fn guests(b: &BoardView) -> Line {
    let all: Vec<&Guest> = b.views.iter().flat_map(|v| &v.guests).filter(|g| !g.template).collect();
    let states = [
        (GuestStatus::Running, "running"),
        (GuestStatus::Stopped, "stopped"),
        (GuestStatus::Paused, "paused"),
        (GuestStatus::Suspended, "suspended"),
        (GuestStatus::Unknown, "unknown"),
    ];
    let mut parts: Vec<String> = Vec::new();
    for (state, word) in states {
        match all.iter().filter(|g| g.status == state).count() {
            0 => {}
            n => parts.push(format!("{} {n} {word}", status_mark(state))),
        }
    }
    let pods = all.iter().filter(|g| g.is_pod()).count();
    if pods > 0 {
        parts.push(format!("pods among all: {pods}"));
    }
    if parts.is_empty() { line!["none"] } else { line![text(parts.join(" · "))] }
}

fn incident(i: &Incident) -> Line {
    let line = line![mark(i.severity), " ", bold(i.headline()), " · ", ago(i.opened_ms)];
    match &i.ack {
        Some(ack) => line.and([" · ".into(), text(&ack.name), " takes care".into()]),
        None => line,
    }
}

fn operations(b: &BoardView) -> Vec<Line> {
    let name = |o: &Operation| -> Line {
        let doing = words::verb(o.verb).doing;
        line!["▶ ", doing, " ", bold(&o.name), " · ", text(&o.by_name), " · ", ago(o.created_ms)]
    };
    let lines: Vec<Line> = b.operations.iter().take(OPERATIONS).map(name).collect();
    let shown = u64::try_from(lines.len()).unwrap_or(0);
    let mut lines = lines;
    if b.operations_total > shown {
        lines.push(line![text(format!("… {} more", b.operations_total - shown))]);
    }
    lines
}

fn cut(mut lines: Vec<Line>, most: usize, what: &str, total: u64) -> Vec<Line> {
    lines.truncate(most);
    let more = total.saturating_sub(u64::try_from(lines.len()).unwrap_or(0));
    if more > 0 {
        lines.push(line![text(format!("… {more} more {what}"))]);
    }
    lines
}

fn controls(card: Card, b: &BoardView) -> Card {
    let id = &b.board.id;
    let buttons = vec![
        Button::new(Token::BoardGuests(id.clone()), "All guests", Look::Plain),
        Button::new(Token::BoardAlerts(id.clone()), "What is wrong", Look::Plain),
    ];
    // Those that do not run first: they are what somebody looks for.
    let mut all: Vec<&Guest> =
        b.views.iter().flat_map(|v| &v.guests).filter(|g| !g.template).collect();
    all.sort_by_key(|g| (g.status == GuestStatus::Running, g.name.clone(), g.vmid));
    let total = all.len();
    let choices = all.into_iter().take(GUESTS).map(|g| Choice {
        value: g.address().to_string(),
        label: format!("{} ({} {})", g.name, g.kind.short(), g.vmid),
        hint: format!("{} on {}, {}", g.status.as_str(), g.node, g.cluster),
    });
    let hint = if total > GUESTS {
        format!("Look at a guest … ({GUESTS} of {total})")
    } else {
        "Look at a guest …".to_owned()
    };
    let choices = choices.collect();
    card.select(Select { token: Token::BoardPick(id.clone()), hint, choices }).buttons(buttons)
}

/// Boards of a server, each with its message.
pub fn board_list(boards: &[(Board, Option<CardRow>)]) -> Card {
    let mut card = Card::new(Tone::Plain, "Status boards");
    if boards.is_empty() {
        card = card.say("None. `/board create` puts one into its channel.");
    }
    for (board, row) in boards {
        let names: Vec<&str> = board.clusters.iter().map(|c| c.as_str()).collect();
        let place = Piece::Ours(format!("<#{}>", board.channel).into());
        let line = line![
            "• ",
            place,
            " · ",
            text(names.join(", ")),
            " · by ",
            text(&board.by_name),
            " · ",
            code(board.id.as_str())
        ];
        let fault = row
            .as_ref()
            .and_then(|r| r.last_error.as_deref().filter(|_| r.given_up || r.attempts > 0));
        card = card.say(match fault {
            Some(why) => line.and([" · ⚠ cannot be shown: ".into(), text(why)]),
            None => line,
        });
    }
    card
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gantry_core::id::{BoardId, ChannelId, GuildId, UserId};

    use super::*;
    use crate::paint::plain;

    fn view(cpu: f64, mem: u64) -> BoardView {
        let mut view = ClusterView::unseen("lab".parse().unwrap());
        view.observed_ms = 1_700_000_000_000;
        view.quorate = Some(true);
        view.nodes.push(Node {
            name: "pve1".parse().unwrap(),
            state: NodeState::Up,
            since_ms: 1,
            reason: None,
            seen_ms: 1,
            cpu,
            cores: 8.0,
            mem,
            mem_max: 1000,
            disk: 1,
            disk_max: 10,
            uptime_s: 5,
        });
        let board = Board {
            id: BoardId::new(1, 1),
            guild: GuildId(1),
            channel: ChannelId(2),
            clusters: vec!["lab".parse().unwrap()],
            by: UserId(3),
            by_name: "ada".into(),
            created_ms: 1,
        };
        BoardView {
            board,
            views: vec![Arc::new(view)],
            missing: vec![],
            stale: vec![],
            incidents: vec![],
            incidents_total: 0,
            operations: vec![],
            operations_total: 0,
        }
    }

    #[test]
    fn what_moves_all_the_time_is_no_news_and_a_node_that_dies_is() {
        let quiet = plain(&board(&view(0.21, 410), None));
        assert_eq!(quiet, plain(&board(&view(0.23, 455), None)));
        assert!(quiet.contains("lab: all is well"), "{quiet}");
        let mut dead = view(0.21, 410);
        let mut changed = ClusterView::clone(&dead.views[0]);
        changed.nodes[0].state = NodeState::Down;
        dead.views = vec![Arc::new(changed)];
        let dead = plain(&board(&dead, None));
        assert!(dead.contains("1 node missing") && dead.contains("pve1 is down"), "{dead}");
    }

    #[test]
    fn what_nobody_knows_is_not_well() {
        let mut gone = view(0.2, 400);
        (gone.views, gone.missing) = (vec![], vec!["lab".parse().unwrap()]);
        let text = plain(&board(&gone, None));
        assert!(text.contains("not everything is known"), "{text}");
        assert!(text.contains("not in gantry's configuration"), "{text}");
        let mut old = view(0.2, 400);
        old.stale = vec!["lab".parse().unwrap()];
        let text = plain(&board(&old, None));
        assert!(text.contains("not everything is known") && text.contains("last read"), "{text}");
    }

    #[test]
    fn a_cluster_that_cannot_be_read_is_not_well() {
        let mut lost = view(0.2, 400);
        let mut changed = ClusterView::clone(&lost.views[0]);
        changed.fault = Some("no answer".into());
        lost.views = vec![Arc::new(changed)];
        let text = plain(&board(&lost, Some(1_700_000_900_000)));
        assert!(
            text.contains("not everything is known") && text.contains("cannot be read"),
            "{text}"
        );
    }
}
