//! Graph data: series of the same pure functions the present figures come from.

use serde_json::{Value, json};

use super::Call;
use crate::noise::wave;
use crate::reply::{Refusal, Reply};

/// Points a series has, as in the classic graphs.
const POINTS: u64 = 70;

/// Seconds between two points.
fn step(timeframe: &str) -> u64 {
    match timeframe {
        "hour" => 60,
        "day" => 1_800,
        "week" => 10_800,
        "month" => 43_200,
        "year" => 604_800,
        _ => 6_048_000,
    }
}

fn moments(call: &Call<'_>) -> impl Iterator<Item = f64> + use<> {
    let step = step(&call.text("timeframe").unwrap_or_default());
    let last = call.now as u64 / step * step;
    (0..POINTS).map(move |n| (last - (POINTS - 1 - n) * step) as f64)
}

fn down_at(outages: &[(f64, Option<f64>)], at: f64) -> bool {
    outages.iter().any(|(from, to)| at >= *from && to.is_none_or(|to| at < to))
}

pub(super) fn guest(call: &mut Call<'_>) -> Reply {
    let guest = call.guest()?;
    let node = call.state.node(&guest.node);
    let cores = guest.cores(node.map_or(1, |n| n.cores));
    let outages = node.map(|n| n.outages.clone()).unwrap_or_default();
    let rows = moments(call)
        .map(|at| {
            if down_at(&outages, at) {
                return json!({"time": at as u64});
            }
            guest.point(at, cores)
        })
        .collect();
    Ok(Value::Array(rows).into())
}

pub(super) fn node(call: &mut Call<'_>) -> Reply {
    let name = call.node();
    let Some(node) = call.state.node(&name) else {
        return Err(Refusal::failed(format!("no such cluster node '{name}'")));
    };
    let rows = moments(call)
        .map(|at| {
            if at < node.booted - 180.0 * 86_400.0 || down_at(&node.outages, at) {
                return json!({"time": at as u64});
            }
            let loads = call.state.node_load(at);
            let (cpu, mem) = loads.get(name.as_str()).copied().unwrap_or_default();
            let (disk, maxdisk) = call.state.root_disk(&name);
            let seed = call.state.settings.seed;
            let rate = |salt: u64, base: f64| base * (1.0 + 0.7 * wave(seed ^ salt, at));
            json!({
                "time": at as u64,
                "cpu": cpu,
                "maxcpu": node.cores,
                "iowait": 0.002 * (1.0 + wave(seed ^ 21, at)),
                "loadavg": cpu * f64::from(node.cores),
                "memtotal": node.memory,
                "memused": mem,
                "memavailable": node.memory - mem,
                "swaptotal": 8_u64 << 30,
                "swapused": 200_u64 << 20,
                "roottotal": maxdisk,
                "rootused": disk,
                "netin": rate(22, 410_000.0),
                "netout": rate(23, 380_000.0),
                "pressurecpusome": cpu,
                "pressureiosome": 0.0,
                "pressureiofull": 0.0,
                "pressurememorysome": 0.0,
                "pressurememoryfull": 0.0,
            })
        })
        .collect();
    Ok(Value::Array(rows).into())
}

/// What a storage held is told backwards from what it holds now: it grew slowly and not quite evenly.
pub(super) fn storage(call: &mut Call<'_>) -> Reply {
    let node = call.node();
    let storage = super::storage::here(call, &call.text("storage").unwrap_or_default())?;
    let (used, total) = call.state.storage_use(&node, storage);
    let outages = call.state.node(&node).map(|n| n.outages.clone()).unwrap_or_default();
    let seed = call.state.settings.seed;
    let now = call.now;
    let rows = moments(call)
        .map(|at| {
            if down_at(&outages, at) {
                return json!({"time": at as u64});
            }
            let years = (now - at) / (365.0 * 86_400.0);
            let ripple = 1.0 - 0.02 * (1.0 + wave(seed ^ 31, at)) * years.sqrt();
            let then = (used as f64 * ripple * (1.0 - 0.4 * years).max(0.1)) as u64;
            json!({"time": at as u64, "used": then, "total": total})
        })
        .collect();
    Ok(Value::Array(rows).into())
}
