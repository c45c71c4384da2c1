//! Carrying out tasks: begin, step when due, end, undo.
//!
//! Steps of all tasks are taken in the order of their time, so the same requests at the same moments give the
//! same cluster. Called through `Shared::lock` and the dispatcher; handlers call `spawn`.

use std::cmp::Reverse;
use std::collections::VecDeque;

use crate::effect::Effect;
use crate::guest::{Guest, GuestKind};
use crate::moves::broken_off;
use crate::state::State;
use crate::task::{Script, Step, Task, calendar};
use crate::trouble::Trouble;
use crate::world::PastTask;

/// How many finished tasks are kept, as many as the real index.
const TASKS_KEPT: usize = 2_000;
/// How a task ended whose worker wrote no end: it was killed, or its node went down.
const WORKER_DIED: &str = "unexpected status";
/// What a worker dies with that was told to stop.
const INTERRUPTED: &str = "interrupted by signal";

impl State {
    /// Carries out every task step that is due by now.
    pub(crate) fn advance(&mut self) {
        let now = self.now();
        while let Some(Reverse((when, number))) = self.due.peek().copied() {
            let at = when as f64 / 1e6;
            if at > now {
                break;
            }
            self.due.pop();
            self.step(at, number);
        }
    }

    fn step(&mut self, at: f64, number: u64) {
        let Some(task) = self.tasks.get_mut(&number) else { return };
        if !task.is_running() {
            return;
        }
        let Some((_, step)) = task.steps.pop_front() else {
            self.finish(at, number, None);
            return;
        };
        match step {
            Step::Say(line) => {
                let line = line.replace("{ts}", &calendar(at));
                task.log.push(line);
            }
            Step::Do(effect) => {
                let user = task.user.clone();
                let acts = !matches!(
                    effect,
                    Effect::CheckLock { .. }
                        | Effect::Lock { .. }
                        | Effect::Unlock { .. }
                        | Effect::CheckMove { .. }
                        | Effect::Reach { .. }
                );
                let outcome = match task.fails.clone() {
                    Some(text) if acts => Err(text),
                    _ => self.apply(at, &user, &effect),
                };
                if let Err(text) = outcome {
                    let text = match effect {
                        Effect::Reach { .. } => self.break_off_move(at, number, text),
                        _ => text,
                    };
                    self.finish(at, number, Some(text));
                    return;
                }
            }
        }
        let next = self.tasks.get(&number).map(|t| t.steps.front().map_or(0.0, |(wait, _)| *wait));
        if let Some(wait) = next {
            self.due.push(Reverse((((at + wait) * 1e6) as u64, number)));
        }
    }

    /// A worker that moves a guest and cannot go on tells why in its log; its exit status only says that it did not work.
    fn break_off_move(&mut self, at: f64, number: u64, why: String) -> String {
        let Some(task) = self.tasks.get_mut(&number) else { return why };
        if !matches!(task.kind.as_str(), "qmigrate" | "vzmigrate") {
            return why;
        }
        let vmid = task.id.parse().unwrap_or_default();
        let guest: Option<&Guest> = self.guests.get(&vmid);
        let live = guest.is_some_and(|g| g.kind == GuestKind::Qemu && g.running.is_some());
        let (lines, exit) = broken_off(&why, live);
        task.log.extend(lines.iter().map(|l| format!("{} {l}", calendar(at))));
        exit.to_owned()
    }

    fn finish(&mut self, at: f64, number: u64, failure: Option<String>) {
        let Some(task) = self.tasks.get_mut(&number) else { return };
        if failure.as_deref() == Some(WORKER_DIED) {
            // Nobody is left to write a last line or to clean up: locks stay.
            task.end = Some((at, WORKER_DIED.to_owned()));
            return;
        }
        let (exit, line) = match failure {
            Some(text) => (text.clone(), format!("TASK ERROR: {text}")),
            None if task.warnings > 0 => {
                for n in 1..=task.warnings {
                    task.log.push(format!("WARN: simulated warning {n}"));
                }
                (
                    format!("WARNINGS: {}", task.warnings),
                    format!("TASK WARNINGS: {}", task.warnings),
                )
            }
            None => ("OK".to_owned(), "TASK OK".to_owned()),
        };
        let failed = line.starts_with("TASK ERROR");
        task.log.push(line);
        task.end = Some((at, exit));
        let (undo, user) = (std::mem::take(&mut task.undo), task.user.clone());
        if failed {
            for effect in undo {
                // Undoing only removes locks and unfinished guests; it has nothing to report.
                let _ = self.apply(at, &user, &effect);
            }
        }
    }

    /// Begins a task and gives its UPID.
    pub(crate) fn spawn(
        &mut self,
        at: f64,
        node: &str,
        kind: &str,
        id: &str,
        user: &str,
        script: Script,
    ) -> String {
        let pid = self.next_pid();
        let pstart = (at - self.epoch + 1e6) as u32 * 100 + pid % 100;
        let upid = Task::make_upid(node, pid, pstart, at, kind, id, user);
        let mut extra = 0.0;
        let (mut fails, mut warnings) = (None, 0);
        for active in self.troubles.for_task(kind) {
            match active.trouble {
                Trouble::TaskFails { exitstatus, .. } => fails = Some(exitstatus),
                Trouble::TaskWarns { warnings: n, .. } => warnings = n,
                Trouble::TaskSlow { seconds, .. } => extra += seconds,
                _ => {}
            }
        }
        let count = script.steps.len().max(1) as f64;
        let speed = self.settings.speed;
        let steps: VecDeque<(f64, Step)> = script
            .steps
            .into_iter()
            .map(|(wait, step)| (wait * speed + extra / count, step))
            .collect();
        let number = self.next_task;
        self.next_task += 1;
        let first = steps.front().map_or(0.0, |(wait, _)| *wait);
        self.tasks.insert(
            number,
            Task {
                upid: upid.clone(),
                node: node.to_owned(),
                pid,
                pstart,
                start: at,
                kind: kind.to_owned(),
                id: id.to_owned(),
                user: user.to_owned(),
                log: Vec::new(),
                steps,
                undo: script.undo,
                end: None,
                fails,
                warnings,
            },
        );
        self.by_upid.insert(upid.clone(), number);
        self.due.push(Reverse((((at + first) * 1e6) as u64, number)));
        while self.tasks.len() > TASKS_KEPT {
            let Some(old) = self.tasks.iter().find(|(_, t)| !t.is_running()).map(|(n, _)| *n)
            else {
                break;
            };
            if let Some(task) = self.tasks.remove(&old) {
                self.by_upid.remove(&task.upid);
            }
        }
        upid
    }

    /// Ends a running task as a signal would.
    pub(crate) fn interrupt(&mut self, upid: &str) {
        let now = self.now();
        if let Some(number) = self.by_upid.get(upid).copied()
            && self.tasks.get(&number).is_some_and(Task::is_running)
        {
            let text = self.break_off_move(now, number, INTERRUPTED.to_owned());
            if let Some(task) = self.tasks.get_mut(&number).filter(|_| text == INTERRUPTED) {
                task.log.push("received interrupt".to_owned());
            }
            self.finish(now, number, Some(text));
        }
    }

    pub(crate) fn task(&self, upid: &str) -> Option<&Task> {
        self.by_upid.get(upid).and_then(|number| self.tasks.get(number))
    }

    /// A task that somebody else has just begun and ended.
    pub(crate) fn remember_ran(
        &mut self,
        kind: &str,
        id: &str,
        node: &str,
        user: &str,
        exit: &str,
    ) {
        let hours_ago = (self.epoch - self.now()) / 3_600.0;
        self.remember(&PastTask {
            hours_ago,
            seconds: 0.0,
            node: node.to_owned(),
            kind: kind.to_owned(),
            id: id.to_owned(),
            user: user.to_owned(),
            exit: exit.to_owned(),
        });
        if kind == "vzdump" {
            self.notice_backup(node, exit);
        }
    }

    /// Puts a task into the past, for worlds that have a history.
    pub(crate) fn remember(&mut self, past: &PastTask) {
        let pid = self.next_pid();
        let start = self.epoch - past.hours_ago * 3_600.0;
        let pstart = 1_000_000 + pid;
        let upid =
            Task::make_upid(&past.node, pid, pstart, start, &past.kind, &past.id, &past.user);
        let last = match past.exit.as_str() {
            "OK" => "TASK OK".to_owned(),
            warned if warned.starts_with("WARNINGS") => format!("TASK {warned}"),
            failed => format!("TASK ERROR: {failed}"),
        };
        let number = self.next_task;
        self.next_task += 1;
        self.by_upid.insert(upid.clone(), number);
        self.tasks.insert(
            number,
            Task {
                upid,
                node: past.node.clone(),
                pid,
                pstart,
                start,
                kind: past.kind.clone(),
                id: past.id.clone(),
                user: past.user.clone(),
                log: vec![last],
                steps: VecDeque::new(),
                undo: Vec::new(),
                end: Some((start + past.seconds, past.exit.clone())),
                fails: None,
                warnings: 0,
            },
        );
    }
}
