//! `…/rrddata`: figures over time, as Proxmox keeps them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// How far back, and with it how coarse: Proxmox keeps about 70 averages for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeframe {
    /// The last hour, a value a minute.
    Hour,
    /// The last day, a value every half hour.
    Day,
    /// The last week, a value every three hours.
    Week,
    /// The last month, two values a day.
    Month,
    /// The last year, a value a week.
    Year,
}

impl Timeframe {
    /// The parameter's text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }
}

/// One moment. A figure that is missing was not measured then, for example because the node was off.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RrdPoint {
    /// Seconds since the epoch.
    pub time_s: i64,
    /// Figures by Proxmox's names: `cpu` (share of all cores), `mem` and `maxmem` (bytes), `netin` (bytes a second), …
    pub values: BTreeMap<String, f64>,
}

impl<'de> Deserialize<'de> for RrdPoint {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let raw = BTreeMap::<String, Value>::deserialize(d)?;
        let mut point = Self::default();
        for (name, value) in raw {
            let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
            match (name.as_str(), number) {
                // Seconds fit a double's 53 bits for 285 million years.
                ("time", Some(seconds)) => point.time_s = seconds as i64,
                (_, Some(number)) if number.is_finite() => {
                    point.values.insert(name, number);
                }
                _ => {}
            }
        }
        Ok(point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_however_they_are_written() {
        let text = r#"[{"time":1700000000,"cpu":0.25,"mem":"1024","maxmem":null,"x":[]},{"time":"1700000060"}]"#;
        let points: Vec<RrdPoint> = serde_json::from_str(text).unwrap();
        assert_eq!(points[0].time_s, 1_700_000_000);
        assert_eq!(points[0].values, [("cpu".into(), 0.25), ("mem".into(), 1024.0)].into());
        assert_eq!((points[1].time_s, points[1].values.len()), (1_700_000_060, 0));
    }
}
