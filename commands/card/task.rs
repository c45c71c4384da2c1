//! Proxmox's own tasks, whoever started them.

use gantry_engine::{TaskLine, TaskLog};

use super::{
    Button, Card, Choice, Line, Look, Place, Select, Tone, ago, as_of, bold, code, span, text,
};
use crate::line;
use crate::token::{ScreenId, Token};

/// A page of tasks.
#[derive(Debug, Clone)]
pub struct TaskList<'a> {
    /// Its cluster.
    pub cluster: &'a str,
    /// Those on this page.
    pub rows: &'a [TaskLine],
    /// Where the page is.
    pub place: Place,
    /// The filters in force.
    pub filters: &'a [String],
    /// Tasks left out because the asker may not see what they work on.
    pub hidden: usize,
    /// How many of the newest tasks were looked at; `None` when that was all.
    pub window: Option<u32>,
    /// When read, milliseconds.
    pub read_ms: i64,
    /// Its screen.
    pub screen: &'a ScreenId,
}

fn mark(task: &TaskLine) -> (&'static str, String, Tone) {
    match task.status.as_deref() {
        None => ("●", "running".into(), Tone::Working),
        Some("OK") => ("✓", "OK".into(), Tone::Good),
        Some(s) if s.starts_with("WARNINGS") => ("⚠", s.into(), Tone::Warning),
        Some(s) => ("✗", s.into(), Tone::Bad),
    }
}

fn subject(task: &TaskLine) -> String {
    let (kind, id) = (task.upid.kind(), task.upid.id());
    if id.is_empty() { kind.to_owned() } else { format!("{kind} {id}") }
}

/// The list.
pub fn task_list(list: &TaskList<'_>) -> Card {
    let mut card = Card::new(Tone::Plain, line!["Tasks of ", text(list.cluster)]);
    if !list.filters.is_empty() {
        card = card.say(line!["Only: ", text(list.filters.join(", "))]);
    }
    card = card.say(if list.place.total == 0 {
        Line::from("None.")
    } else {
        line![text(list.place.words())]
    });
    for task in list.rows {
        let (mark, status, _) = mark(task);
        let took = task.ended_ms.map(|e| format!(" in {}", span(e - task.started_ms)));
        let line = line![
            mark,
            " ",
            bold(subject(task)),
            text(format!(" · {} · ", task.upid.node())),
            ago(task.started_ms),
            text(took.unwrap_or_default()),
        ];
        card = card.say(if matches!(mark, "✓") {
            line
        } else {
            line.and([" · ".into(), text(status)])
        });
    }
    if let Some(n) = list.window {
        card = card.say(line![text(format!(
            "These are from the newest {n} tasks; narrow it down to see older ones."
        ))]);
    }
    if list.hidden > 0 {
        card = card.say(line![text(format!("{} more exist that you may not see.", list.hidden))]);
    }
    let choices = list.rows.iter().enumerate().map(|(n, task)| Choice {
        // A UPID can be longer than an option's value may be: the place on the page stands for it.
        value: (list.place.offset() + n as u64).to_string(),
        label: subject(task),
        hint: format!("{} · {} · {}", task.upid.node(), task.upid.user(), mark(task).1),
    });
    card.say(as_of(list.read_ms))
        .select(Select {
            token: Token::Pick(list.screen.clone()),
            hint: "Show one …".into(),
            choices: choices.collect(),
        })
        .buttons(list.place.buttons(list.screen))
}

/// One task with the end of its log.
pub fn task_show(
    cluster: &str,
    task: &TaskLine,
    log: &TaskLog,
    read_ms: i64,
    may_stop: bool,
    screen: &ScreenId,
) -> Card {
    let (mark, status, tone) = mark(task);
    let mut card = Card::new(tone, line![mark, " ", text(subject(task))])
        .say(line![bold(status)])
        .say(line![text(format!("{} · {cluster} · by {}", task.upid.node(), task.upid.user()))])
        .say(match task.ended_ms {
            Some(end) => {
                line![
                    "Started ",
                    ago(task.started_ms),
                    text(format!(", took {}", span(end - task.started_ms)))
                ]
            }
            None if task.status.is_none() => {
                let so_far = span(read_ms - task.started_ms);
                line!["Started ", ago(task.started_ms), text(format!(", running for {so_far}"))]
            }
            None => line!["Started ", ago(task.started_ms)],
        })
        .log(&log.lines);
    let before = u64::from(log.start);
    if before > 0 {
        card = card.say(line![text(format!("{before} earlier lines: /task log"))]);
    }
    if may_stop && task.status.is_none() {
        card = card.select(Select {
            token: Token::Pick(screen.clone()),
            hint: "Do something with it …".into(),
            choices: vec![Choice {
                value: gantry_core::action::Verb::TaskCancel.as_str().to_owned(),
                label: "Stop this task".into(),
                hint: "What it did so far stays; you are asked first".into(),
            }],
        });
    }
    card.say(code(task.upid.as_str())).say(as_of(read_ms)).buttons(vec![Button::new(
        Token::Refresh(screen.clone()),
        "Refresh",
        Look::Plain,
    )])
}

/// A task's log: its end in the card, all that was read as a file.
pub fn task_log(cluster: &str, task: &TaskLine, log: &TaskLog, read_ms: i64) -> Card {
    let (mark, status, tone) = mark(task);
    let last = u64::from(log.start) + log.lines.len() as u64;
    let mut card = Card::new(tone, line!["Log of ", text(subject(task))]).say(line![
        mark,
        " ",
        bold(status),
        text(format!(" · {} · {cluster}", task.upid.node()))
    ]);
    card = card.say(if log.lines.is_empty() {
        Line::from("No lines.")
    } else {
        line![text(format!("Lines {}–{last} of {}.", log.start + 1, log.total))]
    });
    card = card.log(&log.lines);
    if log.lines.len() > 20 {
        card.files.push(super::File {
            name: format!("{}-{}.txt", task.upid.kind(), task.upid.node()),
            text: log.lines.join("\n") + "\n",
        });
        card = card.say("All these lines are in the attached file.");
    }
    card.say(as_of(read_ms))
}
