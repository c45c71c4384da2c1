//! What was noted while the clock ran ahead, brought back to now. Otherwise it would stand still until the clock gets
//! there: nothing pending fires, nothing firing ends, nobody is called, and new trouble joins what is over.

use super::{Desk, Incident, Muting, Outcome, Tracked};

/// Brings moments back that lie ahead of `now_ms`; whether there was any.
fn back<'a>(now_ms: i64, moments: impl Iterator<Item = &'a mut i64>) -> bool {
    let mut any = false;
    for at in moments.filter(|at| **at > now_ms) {
        (*at, any) = (now_ms, true);
    }
    any
}

impl Desk {
    /// Brings back what lies ahead of `now_ms`. For whoever begins with what another process left.
    pub fn bring_back(&mut self, now_ms: i64) -> Outcome {
        let mut out = Outcome::default();
        for (key, t) in &mut self.book.tracked {
            if alert(t, now_ms) {
                self.book.dirty.insert(key.clone());
            }
        }
        for (id, i) in &mut self.incidents {
            if incident(i, now_ms) {
                out.touched.insert(id.clone());
            }
        }
        out
    }
}

fn alert(t: &mut Tracked, now_ms: i64) -> bool {
    let ends = t.good_since_ms.iter_mut().chain(&mut t.ended_ms);
    let begins = [&mut t.bad_since_ms, &mut t.fired_ms, &mut t.seen_ms];
    back(now_ms, ends.chain(begins).chain(&mut t.fires))
}

fn incident(i: &mut Incident, now_ms: i64) -> bool {
    let known = [&mut i.opened_ms, &mut i.changed_ms].into_iter();
    let known = known.chain(&mut i.resolved_ms).chain(&mut i.posted_ms);
    let calls = i.calls.iter_mut().map(|c| &mut c.at_ms);
    let course = i.timeline.iter_mut().map(|e| &mut e.at_ms);
    back(now_ms, known.chain(calls).chain(course))
}

impl Muting {
    /// The same with its times brought back, as long as it was meant; `None`: it does not lie ahead. All of them begin
    /// when they are made.
    #[must_use]
    pub fn brought_back(&self, now_ms: i64) -> Option<Self> {
        let ahead = self.from_ms - now_ms;
        let times = (self.from_ms - ahead, self.until_ms - ahead);
        (ahead > 0).then(|| Self { from_ms: times.0, until_ms: times.1, ..self.clone() })
    }
}
