//! The picture of an incident: the figure of the first of its alerts, with the limit drawn.

use std::time::Duration;

use gantry_chart::{Chart, Series, Threshold, Unit};
use gantry_core::action::GuestRef;
use gantry_core::alert::{Incident, Line, Metric, SubjectKind};
use gantry_engine::{Engine, Measure, Subject, Timeframe};

use crate::card::Picture;

/// Reading and drawing together; a message does not wait longer for its picture.
const DRAW_WITHIN: Duration = Duration::from_secs(4);
/// What is drawn.
const SPAN_MS: i64 = 3_600_000;

/// Whether Proxmox keeps a course of that.
pub(crate) fn can_draw(metric: Metric) -> bool {
    measure(metric).is_some()
}

fn measure(metric: Metric) -> Option<Measure> {
    Some(match metric {
        Metric::NodeCpu | Metric::GuestCpu => Measure::Cpu,
        Metric::NodeMemory | Metric::GuestMemory => Measure::Memory,
        Metric::NodeDisk | Metric::GuestDisk | Metric::StorageUsed => Measure::Disk,
        Metric::NodeLoad => Measure::Load,
        _ => return None,
    })
}

fn subject(engine: &Engine, line: &Line) -> Option<Subject> {
    let s = &line.subject;
    match s.kind {
        SubjectKind::Guest => {
            Some(Subject::Guest(GuestRef { cluster: s.cluster.clone(), vmid: s.vmid? }))
        }
        SubjectKind::Node => Some(Subject::Node(s.cluster.clone(), s.node.clone()?)),
        SubjectKind::Storage => {
            let id = s.id.split('@').next()?;
            let view = engine.view(&s.cluster)?;
            let seen = view
                .storages
                .iter()
                .find(|x| x.id.as_str() == id && s.node.as_ref().is_none_or(|n| x.node == *n))?;
            Some(Subject::Storage(s.cluster.clone(), seen.node.clone(), seen.id.clone()))
        }
        SubjectKind::Cluster
        | SubjectKind::Task
        | SubjectKind::Disk
        | SubjectKind::Gantry
        | SubjectKind::Outside => None,
    }
}

/// The picture; `None` where there is nothing to draw, or it could not be drawn in time.
pub(crate) async fn picture(engine: &Engine, incident: &Incident) -> Option<Picture> {
    let line = incident.summary.lines.first()?.clone();
    tokio::time::timeout(DRAW_WITHIN, draw(engine, line)).await.ok().flatten()
}

async fn draw(engine: &Engine, line: Line) -> Option<Picture> {
    let measure = measure(line.metric)?;
    let subject = subject(engine, &line)?;
    let history = engine.history(&subject, measure, Timeframe::Hour).await.ok()??;
    let share = line.threshold / 100.0;
    let (unit, at) = match measure {
        Measure::Cpu => (Unit::Share, Some(share)),
        Measure::Memory | Measure::Disk => (Unit::Bytes, history.limit.map(|whole| whole * share)),
        _ => (Unit::Number, None),
    };
    let to_ms = engine.now_ms();
    let mut thresholds: Vec<Threshold> =
        at.map(|value| Threshold { value, name: "alert".into() }).into_iter().collect();
    thresholds.extend(history.limit.map(|value| Threshold { value, name: "size".into() }));
    let chart = Chart {
        title: format!("{}: {}", line.subject.label(), line.metric.words()),
        subtitle: "last hour".into(),
        unit,
        from_ms: to_ms - SPAN_MS,
        to_ms,
        series: history
            .courses
            .into_iter()
            .map(|(name, points)| Series { name: name.to_owned(), points })
            .collect(),
        thresholds,
    };
    match tokio::task::spawn_blocking(move || gantry_chart::png(&chart)).await {
        Ok(Ok(png)) => Some(Picture { name: "alert.png".into(), png }),
        Ok(Err(error)) => {
            tracing::error!(%error, "the picture of an alert could not be drawn");
            None
        }
        Err(_) => None,
    }
}
