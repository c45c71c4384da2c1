//! Names of a set in DNS: brought to the name servers, and what there is to say about them kept with the set.
//!
//! Names are looked at again now and then, whether or not something has changed: records that somebody deleted by hand
//! come back.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use gantry_core::service::Member;
use gantry_core::service::plan::{Kept, Why};
use gantry_core::set::{Names, Observed, SetRef, Slot};
use gantry_dns::Published;
use gantry_store::SetRow;

use crate::{Engine, Error};

/// Longest name servers are waited for; the set waits meanwhile, no other does.
const NAMES_WITHIN: Duration = Duration::from_secs(20);
/// How often names are looked at though nothing has changed, milliseconds.
const AGAIN_MS: i64 = 600_000;
/// Most sets remembered; beyond it all are looked at anew. Far more than there are.
const REMEMBERED_MAX: usize = 10_000;
/// Most sentences kept about names.
const SAID_MAX: usize = 5;

/// When the names of each set were looked at last by this process.
#[derive(Default)]
pub(super) struct Looked(Mutex<HashMap<SetRef, i64>>);

impl Looked {
    fn note(&self, set: SetRef, now_ms: i64) {
        let mut looked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.len() >= REMEMBERED_MAX {
            looked.clear();
        }
        looked.insert(set, now_ms);
    }

    fn is_due(&self, set: &SetRef, now_ms: i64) -> bool {
        let looked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looked.get(set).is_none_or(|at| now_ms - at >= AGAIN_MS)
    }
}

/// Ordinals whose names answer, as written down.
pub(super) fn answering(seen: &Observed) -> Vec<u32> {
    seen.slots.iter().filter(|s| s.record.published).map(Slot::ordinal).collect()
}

impl Engine {
    /// Whether the names of a set are to be looked at though nothing has changed. Memory only.
    pub(super) fn are_names_due(&self, row: &SetRow, seen: &Observed) -> bool {
        row.set.spec().service.is_some()
            && seen.slots.iter().any(|s| s.record.published)
            && self.inner.sets.names.is_due(&row.set.address(), self.now_ms())
    }

    /// Lets the names of exactly these ordinals answer. Returns whether they all do, and that was written down.
    pub(super) async fn publish(
        &self,
        row: &SetRow,
        seen: &Observed,
        shall: &[u32],
    ) -> Result<bool, Error> {
        let set = row.set.address();
        let said = self.names_say(row, seen, shall).await;
        self.inner.sets.names.note(set.clone(), self.now_ms());
        let (done, names) = match said {
            Ok(published) => (true, told(&published)),
            Err(why) => {
                tracing::warn!(%set, why, "the names could not be brought up to date; trying again");
                let said = vec![format!("The names in DNS are not up to date: {why}.")];
                (false, Names { said, again: true })
            }
        };
        if done {
            for slot in &seen.slots {
                let ordinal = slot.ordinal();
                let published = shall.contains(&ordinal);
                if slot.record.published == published {
                    continue;
                }
                self.store()
                    .change_slot(&set, ordinal, Some(row.generation), move |r| {
                        r.published = published;
                    })
                    .await
                    .map_err(Error::store("write down which names answer"))?;
            }
        }
        // What is tried again is tried with the next reading, not at once.
        let settled = done && !names.again;
        if names != row.set.names {
            let mut next = row.set.clone();
            next.names = names;
            self.write_set(row, &next).await?;
        }
        Ok(settled)
    }

    /// Brings the name servers there; `Err` says why they do not say so now, without the full stop.
    async fn names_say(
        &self,
        row: &SetRow,
        seen: &Observed,
        shall: &[u32],
    ) -> Result<Published, String> {
        let Some(service) = &row.set.spec().service else { return Ok(Published::default()) };
        let service = service.service(&row.set.address().to_string());
        let address = |s: &Slot| {
            let text = s.record.identity.address.as_deref()?;
            text.split('/').next()?.parse().ok()
        };
        let members: Vec<Member> = seen
            .slots
            .iter()
            .filter(|s| shall.contains(&s.ordinal()))
            .map(|s| Member {
                name: s.record.identity.name.clone(),
                addresses: address(s).into_iter().collect(),
                ready: s.is_ready(row.set.spec().min_ready_s, self.now_ms()),
            })
            .collect();
        let said = async {
            if members.is_empty() {
                self.publisher().withdraw(&service).await
            } else {
                self.publisher().publish(&service, &members).await
            }
        };
        match tokio::time::timeout(NAMES_WITHIN, said).await {
            Ok(Ok(published)) => Ok(published),
            Ok(Err(error)) => Err(error.to_string().trim_end_matches('.').to_owned()),
            Err(_) => {
                Err(format!("the name servers did not answer within {} s", NAMES_WITHIN.as_secs()))
            }
        }
    }
}

/// What people have to know about names that were published.
fn told(published: &Published) -> Names {
    let failed = published
        .failed
        .iter()
        .map(|(zone, error)| format!("Names of addresses in {zone} are not up to date: {error}."));
    let kept = published.zones.iter().flat_map(|z| &z.kept).map(left);
    let mut said: Vec<String> = failed.chain(kept).collect();
    said.truncate(SAID_MAX);
    Names { said, again: !published.failed.is_empty() }
}

/// Records of somebody else, as a sentence.
fn left(kept: &Kept) -> String {
    let (name, kind) = (&kept.key.name, kept.key.kind.as_str());
    match kept.why {
        Why::NotOurs => {
            format!(
                "{name} has {kind} records of somebody else: they stay, and it is not published."
            )
        }
        Why::Alias => {
            format!("{name} is an alias of somebody else: it stays, and is not published.")
        }
        Why::Beside => {
            format!("{name} has {kind} records of somebody else beside gantry's; they stay.")
        }
    }
}
