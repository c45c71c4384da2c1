//! `/nodes` and what one node says about itself.

use serde_json::{Map, Value, json};

use super::Call;
use crate::noise::wave;
use crate::reply::{Refusal, Reply};

pub(super) fn list(call: &mut Call<'_>) -> Reply {
    let state = &call.state;
    let loads = state.node_load(call.now);
    let rows = state
        .nodes
        .iter()
        .map(|node| {
            let online = state.online(&node.name);
            let mut row = Map::new();
            row.insert("id".into(), json!(format!("node/{}", node.name)));
            row.insert("node".into(), json!(node.name));
            row.insert("type".into(), json!("node"));
            row.insert("status".into(), json!(if online { "online" } else { "offline" }));
            row.insert("ssl_fingerprint".into(), json!(node.fingerprint));
            if online && call.need(&format!("/nodes/{}", node.name), &["Sys.Audit"]).is_ok() {
                let (cpu, mem) = loads.get(node.name.as_str()).copied().unwrap_or_default();
                let (disk, maxdisk) = state.root_disk(&node.name);
                row.insert("level".into(), json!(""));
                row.insert("cpu".into(), json!(cpu));
                row.insert("maxcpu".into(), json!(node.cores));
                row.insert("mem".into(), json!(mem));
                row.insert("maxmem".into(), json!(node.memory));
                row.insert("disk".into(), json!(disk));
                row.insert("maxdisk".into(), json!(maxdisk));
                row.insert("uptime".into(), json!((call.now - node.booted) as u64));
            }
            Value::Object(row)
        })
        .collect();
    Ok(Value::Array(rows).into())
}

pub(super) fn status(call: &mut Call<'_>) -> Reply {
    let name = call.node();
    let Some(node) = call.state.node(&name) else { return Err(Refusal::failed("no such node")) };
    let loads = call.state.node_load(call.now);
    let (cpu, mem) = loads.get(name.as_str()).copied().unwrap_or_default();
    let (disk, maxdisk) = call.state.root_disk(&name);
    let load = |salt: u64| {
        let busy = cpu * f64::from(node.cores) * (1.0 + 0.1 * wave(salt, call.now));
        format!("{busy:.2}")
    };
    let swap = 8_u64 << 30;
    Ok(json!({
        "uptime": (call.now - node.booted) as u64,
        "cpu": cpu,
        "wait": 0.001 + 0.004 * (1.0 + wave(3, call.now)),
        "idle": 0,
        // Load averages are text in the real answer.
        "loadavg": [load(1), load(2), load(3)],
        "kversion": "Linux 6.17.2-1-pve #1 SMP PREEMPT_DYNAMIC PMX 6.17.2-1 (2025-10-21T11:55Z)",
        "current-kernel": {"machine": "x86_64", "release": "6.17.2-1-pve", "sysname": "Linux", "version": "#1 SMP PREEMPT_DYNAMIC PMX 6.17.2-1 (2025-10-21T11:55Z)"},
        "boot-info": {"mode": "efi", "secureboot": 0},
        "pveversion": format!("pve-manager/{}/{}", node.version, super::REPOID),
        "cpuinfo": {"model": "AMD EPYC 7302P 16-Core Processor", "cpus": node.cores, "cores": node.cores / 2, "sockets": 1, "mhz": "2994.370", "hvm": "1", "user_hz": 100, "flags": "fpu vme de pse"},
        "memory": {"total": node.memory, "used": mem, "free": node.memory - mem, "available": node.memory - mem},
        "swap": {"total": swap, "used": swap / 40, "free": swap - swap / 40},
        "rootfs": {"total": maxdisk, "used": disk, "free": maxdisk - disk, "avail": maxdisk - disk},
        "ksm": {"shared": 0},
    })
    .into())
}
