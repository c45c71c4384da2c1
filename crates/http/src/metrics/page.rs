//! Writes the text format of Prometheus, version 0.0.4, and counts what the HTTP side itself does.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use super::names::{ALL, Name};
use crate::server::bump;

/// What the HTTP side has done.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    answers: Mutex<BTreeMap<(&'static str, u16), u64>>,
    hooks: Mutex<BTreeMap<(String, &'static str), u64>>,
}

impl Counts {
    pub(crate) fn answer(&self, route: &'static str, code: u16) {
        bump(&self.answers, (route, code), 1);
    }

    pub(crate) fn hook(&self, hook: &str, result: &'static str, n: u64) {
        bump(&self.hooks, (hook.to_owned(), result), n);
    }

    pub(super) fn write(&self, page: &mut Page) {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        for ((route, code), n) in answers.iter() {
            page.put(Name::HttpRequests, &[route, &code.to_string()], *n as f64);
        }
        drop(answers);
        let hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        for ((hook, result), n) in hooks.iter() {
            page.put(Name::HookReceived, &[hook, result], *n as f64);
        }
    }
}

/// A page being written: samples in any order, put out by metric.
pub(super) struct Page(Vec<String>);

impl Page {
    pub(super) fn new() -> Self {
        Self(vec![String::new(); ALL.len()])
    }

    /// One sample. Label values in the metric's order.
    pub(super) fn put(&mut self, name: Name, values: &[&str], value: f64) {
        self.sample(name, "", values, None, value);
    }

    /// 1 for the state that holds, 0 for the others.
    pub(super) fn state(&mut self, name: Name, values: &[&str], states: &[&str], holds: &str) {
        for state in states {
            let mut all = values.to_vec();
            all.push(state);
            self.put(name, &all, f64::from(u8::from(*state == holds)));
        }
    }

    /// A histogram: the upper ends of its buckets with the counts up to them, all counts, and the sum.
    pub(super) fn histogram(
        &mut self,
        name: Name,
        values: &[&str],
        buckets: impl Iterator<Item = (f64, u64)>,
        count: u64,
        sum: f64,
    ) {
        for (end, n) in buckets {
            self.sample(name, "_bucket", values, Some(&number(end)), n as f64);
        }
        self.sample(name, "_bucket", values, Some("+Inf"), count as f64);
        self.sample(name, "_sum", values, None, sum);
        self.sample(name, "_count", values, None, count as f64);
    }

    fn sample(&mut self, name: Name, suffix: &str, values: &[&str], le: Option<&str>, value: f64) {
        let (Some(family), Some(out)) = (ALL.get(name as usize), self.0.get_mut(name as usize))
        else {
            return;
        };
        debug_assert_eq!(family.labels.len(), values.len(), "{}", family.name);
        out.push_str(family.name);
        out.push_str(suffix);
        let labels = family.labels.iter().copied().zip(values.iter().copied());
        let mut sep = '{';
        for (label, value) in labels.chain(le.map(|le| ("le", le))) {
            let _ = write!(out, "{sep}{label}=\"{}\"", escaped(value));
            sep = ',';
        }
        if sep == ',' {
            out.push('}');
        }
        let _ = writeln!(out, " {}", number(value));
    }

    /// The whole text.
    pub(super) fn text(self) -> String {
        let mut text = String::with_capacity(self.0.iter().map(String::len).sum::<usize>() + 8192);
        for (family, samples) in ALL.iter().zip(self.0).filter(|(_, samples)| !samples.is_empty()) {
            let _ = writeln!(text, "# HELP {} {}", family.name, family.help);
            let _ = writeln!(text, "# TYPE {} {}", family.name, family.kind.as_str());
            text.push_str(&samples);
        }
        text
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    format!("{value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_reads_as_prometheus_expects() {
        let mut page = Page::new();
        page.put(Name::NodeUp, &["lab", "p\"ve\\1\n"], 1.0);
        page.put(Name::ProcessStart, &[], 1_700_000_000.5);
        let buckets = [(0.005, 1), (35.0, 2)].into_iter();
        page.histogram(Name::ProxmoxDuration, &["lab", "read"], buckets, 3, 60.25);
        let text = page.text();
        assert!(
            text.contains("gantry_node_up{cluster=\"lab\",node=\"p\\\"ve\\\\1\\n\"} 1\n"),
            "{text}"
        );
        assert!(text.contains("\nprocess_start_time_seconds 1700000000.5\n"), "{text}");
        assert!(text.contains("_bucket{cluster=\"lab\",kind=\"read\",le=\"35\"} 2\n"), "{text}");
        assert!(text.contains("_bucket{cluster=\"lab\",kind=\"read\",le=\"+Inf\"} 3\n"), "{text}");
        assert!(
            text.contains("_duration_seconds_count{cluster=\"lab\",kind=\"read\"} 3\n"),
            "{text}"
        );
        assert_eq!(text.matches("# TYPE").count(), 3, "nothing without samples");
    }

    #[test]
    fn names_are_unique_and_keep_to_the_conventions() {
        let mut seen = std::collections::BTreeSet::new();
        for family in ALL {
            assert!(seen.insert(family.name), "{} twice", family.name);
            let counter = family.kind == crate::metrics::Kind::Counter;
            assert_eq!(family.name.ends_with("_total"), counter, "{}", family.name);
            assert!(family.help.ends_with('.'), "{}", family.name);
            for secretive in ["user", "guest", "vmid", "name", "token"] {
                assert!(!family.labels.contains(&secretive), "{}", family.name);
            }
        }
    }
}
