//! gantry's own health, as samples like any other.

use super::{Metric, Reading, Sample, Subject};
use crate::id::ClusterId;

/// What stands for gantry where others have a cluster. The configuration refuses a cluster of that name.
pub const OWN: &str = "gantry-itself";

/// What is known of gantry itself; what nobody can say is left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OwnHealth {
    /// Seconds the database took to answer.
    pub database_s: Option<f64>,
    /// Whether Discord's gateway is connected.
    pub gateway: Option<bool>,
    /// Seconds the oldest message that is due has waited.
    pub queue_s: Option<f64>,
    /// How much of the room for what webhooks tell is in use, percent; 100 when something was turned away since the
    /// reading before.
    pub hooks: Option<f64>,
    /// Things that webhooks told and that were turned away today, by all processes.
    pub turned_away: u64,
    /// Seconds by which this machine's time differs from gantry's, which never goes back.
    pub clock_s: Option<f64>,
}

/// A reading of it.
pub fn own_reading(own: &ClusterId, health: &OwnHealth, now_ms: i64) -> Reading {
    let mut samples = Vec::new();
    let mut push = |part: &str, metric, value: Option<f64>, detail: &str| {
        let mut sample =
            Sample::new(Subject::gantry(own, part), metric, 0.0).detail(detail.to_owned());
        sample.value = value;
        samples.push(sample);
    };
    push(
        "database",
        Metric::OwnDatabase,
        health.database_s,
        "every confirmation and every alert waits for it",
    );
    let gateway = health.gateway.map(|up| f64::from(u8::from(!up)));
    push(
        "gateway",
        Metric::OwnGateway,
        gateway,
        "commands and buttons do not reach gantry; messages still go out",
    );
    push("queue", Metric::OwnQueue, health.queue_s, "cards are older than what happened");
    let away = match health.turned_away {
        0 => "what waits is not told yet".to_owned(),
        1 => "1 thing was turned away today; the log and /metrics tell of which hook".to_owned(),
        n => {
            format!("{n} things were turned away today; the log and /metrics tell of which hooks")
        }
    };
    push("hooks", Metric::OwnHooks, health.hooks, &away);
    push("clock", Metric::OwnClock, health.clock_s, "times in cards and leases are off");
    Reading { cluster: own.clone(), at_ms: now_ms, covers: Vec::new(), samples }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_can_say_is_said_to_be_unknown() {
        let own: ClusterId = OWN.parse().unwrap();
        let health = OwnHealth { gateway: Some(false), ..OwnHealth::default() };
        let reading = own_reading(&own, &health, 5);
        let value = |m| reading.samples.iter().find(|s| s.metric == m).and_then(|s| s.value);
        assert_eq!(value(Metric::OwnGateway), Some(1.0));
        assert_eq!(value(Metric::OwnDatabase), None);
    }
}
