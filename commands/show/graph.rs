//! Graphs: the figures are read, drawn on a blocking thread, and shown with the age Proxmox gives them.

use futures::future::join_all;
use gantry_chart::{Chart, Series, Threshold, Unit};
use gantry_core::action::GuestRef;
use gantry_core::policy::Target;
use gantry_engine::{History, Subject};

use crate::card::{self, Card, Line, text};
use crate::face::FaceError;
use crate::line;
use crate::screen::{GraphOf, GraphTime};
use crate::token::ScreenId;
use crate::visit::Visit;

impl GraphOf {
    fn words(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::Memory => "Memory",
            Self::Network => "Network",
            Self::DiskIo => "Disk reads and writes",
            Self::Disk => "Disk",
            Self::Load => "Load average",
        }
    }

    fn unit(self) -> Unit {
        match self {
            Self::Cpu => Unit::Share,
            Self::Memory | Self::Disk => Unit::Bytes,
            Self::Network | Self::DiskIo => Unit::BytesPerSecond,
            Self::Load => Unit::Number,
        }
    }
}

impl GraphTime {
    fn span_ms(self) -> i64 {
        let days = match self {
            Self::Hour => return 3_600_000,
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 31,
            Self::Year => 366,
        };
        days * 86_400_000
    }
}

/// One or several guests.
pub(super) async fn guests(
    visit: &Visit,
    guests: &[GuestRef],
    of: GraphOf,
    time: GraphTime,
    id: &ScreenId,
) -> Result<Card, FaceError> {
    let engine = visit.face.engine();
    let verb = super::graph_verb(guests.len());
    let mut missing = Vec::new();
    let mut wanted = Vec::new();
    for guest in guests {
        let view = engine.view(&guest.cluster);
        let seen = view.as_ref().and_then(|v| v.guest(guest.vmid)).cloned();
        match seen {
            // Rights may have been lost since the picture was asked for first.
            Some(seen) if visit.may(verb, Target::Guest(&seen)).is_allowed() => wanted.push(seen),
            _ => missing.push(line![text(format!("{guest} is not there, or not yours to see."))]),
        }
    }
    let read = wanted.iter().map(|g| {
        let subject = Subject::Guest(g.address());
        async move { engine.history(&subject, of.measure(), time.timeframe()).await }
    });
    let mut read_all = Vec::new();
    for (seen, history) in wanted.iter().zip(join_all(read).await) {
        match history {
            Ok(Some(history)) => read_all.push((seen, history)),
            Ok(None) => missing.push(line![text(format!("{} is gone.", seen.name))]),
            Err(error) => missing.push(line![text(format!("{}: {error}.", seen.name))]),
        }
    }
    let alone = wanted.len() == 1 && guests.len() == 1;
    let (what, place) = match wanted.as_slice() {
        [one] if alone => (
            one.name.clone(),
            format!("{} {} on {}, {}", one.kind.short(), one.vmid, one.node, one.cluster),
        ),
        several => (format!("{} guests", several.len()), "side by side".to_owned()),
    };
    let mut series = Vec::new();
    let mut limit = None;
    for (seen, history) in read_all {
        limit = history.limit.filter(|_| alone);
        let many = history.courses.len() > 1;
        for (name, points) in history.courses {
            let name = match (alone, many) {
                (true, _) => name.to_owned(),
                (false, true) => format!("{} {name}", seen.name),
                (false, false) => seen.name.clone(),
            };
            series.push(Series { name, points });
        }
    }
    picture(visit, (of, &what, &place), series, limit, time, missing, id).await
}

/// A node or a storage.
pub(super) async fn subject(
    visit: &Visit,
    subject: &Subject,
    of: GraphOf,
    time: GraphTime,
    id: &ScreenId,
) -> Result<Card, FaceError> {
    let (what, place) = match subject {
        Subject::Node(cluster, node) => (node.to_string(), format!("node of {cluster}")),
        Subject::Storage(cluster, node, storage) => {
            (storage.to_string(), format!("storage on {node}, {cluster}"))
        }
        Subject::Guest(guest) => (guest.to_string(), String::new()),
    };
    let read = visit.face.engine().history(subject, of.measure(), time.timeframe()).await?;
    let mut missing = Vec::new();
    let History { courses, limit } = read.unwrap_or_else(|| {
        missing.push(line![text(format!("{what} is not there."))]);
        History { courses: Vec::new(), limit: None }
    });
    let series = courses
        .into_iter()
        .map(|(name, points)| Series { name: name.to_owned(), points })
        .collect();
    picture(visit, (of, &what, &place), series, limit, time, missing, id).await
}

async fn picture(
    visit: &Visit,
    (of, what, place): (GraphOf, &str, &str),
    series: Vec<Series>,
    limit: Option<f64>,
    time: GraphTime,
    mut missing: Vec<Line>,
    id: &ScreenId,
) -> Result<Card, FaceError> {
    let title = format!("{} of {what}", of.words());
    if series.is_empty() {
        return Ok(card::graph(&title, time, None, missing, id));
    }
    let to_ms = visit.now_ms();
    let chart = Chart {
        title: title.clone(),
        subtitle: format!("{place} · last {}", time.as_str()),
        unit: of.unit(),
        from_ms: to_ms - time.span_ms(),
        to_ms,
        series,
        thresholds: limit
            .map(|value| Threshold { value, name: "size".into() })
            .into_iter()
            .collect(),
    };
    let drawn = tokio::task::spawn_blocking(move || gantry_chart::png(&chart)).await;
    let png = match drawn {
        Ok(Ok(png)) => Some(png),
        Ok(Err(error)) => {
            tracing::error!(%error, "a graph could not be drawn");
            missing.push("The picture could not be drawn; the log says why.".into());
            None
        }
        Err(error) => {
            tracing::error!(%error, "drawing a graph did not end");
            missing.push("The picture could not be drawn; the log says why.".into());
            None
        }
    };
    Ok(card::graph(&title, time, png, missing, id))
}
