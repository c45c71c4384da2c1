//! What nodes say of their certificates, disks, pools and replications; Ceph; guests without a backup job.

use serde_json::{Value, json};

use super::Call;
use crate::reply::{Refusal, Reply};

/// Days a certificate holds where nothing else is said.
const CERTIFICATE_DAYS: f64 = 365.0;
/// Seconds between two replications.
const EVERY_S: u64 = 900;

pub(super) fn replications(call: &mut Call<'_>) -> Reply {
    let (node, only) = (call.node(), call.number("guest"));
    let now = call.now as u64;
    let mut rows = Vec::new();
    for job in call.state.wear.replications.iter().filter(|j| j.source == node) {
        let path = format!("/vms/{}", job.guest);
        if only.is_some_and(|g| g != u64::from(job.guest))
            || call.need(&path, &["VM.Audit"]).is_err()
        {
            continue;
        }
        let mut row = json!({
            "id": format!("{}-0", job.guest), "guest": job.guest, "jobnum": 0, "type": "local",
            "source": job.source, "target": job.target, "schedule": "*/15",
            "fail_count": job.fail_count, "last_try": now - 60, "last_sync": now - 60 - EVERY_S * job.fail_count,
            "next_sync": now + EVERY_S - 60, "duration": 4.2, "vmtype": "lxc",
        });
        if job.fail_count > 0 {
            row["error"] = json!(job.error);
        }
        rows.push(row);
    }
    Ok(Value::Array(rows).into())
}

pub(super) fn certificates(call: &mut Call<'_>) -> Reply {
    let name = call.node();
    let Some(node) = call.state.node(&name) else { return Err(Refusal::failed("no such node")) };
    let days = call.state.wear.certificate_days.get(&name).copied().unwrap_or(CERTIFICATE_DAYS);
    let row = |filename: &str, days: f64| {
        json!({
            "filename": filename, "subject": format!("/OU=PVE Cluster Node/O=Proxmox Virtual Environment/CN={name}"),
            "issuer": "/CN=Proxmox Virtual Environment/OU=PVE Cluster Manager CA/O=PVE Cluster Manager CA",
            "notbefore": (call.now - 86_400.0 * 30.0) as u64, "notafter": (call.now + 86_400.0 * days) as u64,
            "fingerprint": node.fingerprint, "san": [name, "localhost"],
            "public-key-type": "rsaEncryption", "public-key-bits": 2048,
        })
    };
    Ok(json!([row("pve-root-ca.pem", 3650.0), row("pve-ssl.pem", days)]).into())
}

pub(super) fn disks(call: &mut Call<'_>) -> Reply {
    let node = call.node();
    let health = call.state.wear.smart.get(&node).cloned().unwrap_or_else(|| "PASSED".to_owned());
    Ok(json!([{
        "devpath": "/dev/sda", "model": "SAMSUNG_MZ7L3960", "vendor": "ATA", "serial": format!("S6-{node}"),
        "size": 960_197_124_096_u64, "health": health, "wearout": 97, "type": "ssd", "used": "LVM",
        "gpt": 1, "mounted": 0, "wwn": "0x5002538f", "osdid": -1, "osdid-list": null, "rpm": 0,
    }])
    .into())
}

pub(super) fn pools(call: &mut Call<'_>) -> Reply {
    let node = call.node();
    let pool = call.state.wear.pools.get(&node);
    let rows: Vec<Value> = pool
        .map(|health| {
            json!({"name": "rpool", "health": health, "size": 960_000_000_000_u64, "alloc": 240_000_000_000_u64,
                   "free": 720_000_000_000_u64, "frag": 7, "dedup": 1.0})
        })
        .into_iter()
        .collect();
    Ok(Value::Array(rows).into())
}

pub(super) fn ceph(call: &mut Call<'_>) -> Reply {
    let Some((status, message)) = &call.state.wear.ceph else {
        return Err(Refusal::failed("binary not installed: /usr/bin/ceph-mon"));
    };
    let checks = match status.as_str() {
        "HEALTH_OK" => json!({}),
        _ => {
            json!({"OSD_DOWN": {"severity": status, "summary": {"message": message, "count": 1}, "muted": false}})
        }
    };
    Ok(json!({"fsid": "5d2f6d3e-6a1e-4e5b-9d6a-0f4b8b1c2d3e", "health": {"status": status, "checks": checks, "mutes": []}}).into())
}

pub(super) fn uncovered(call: &mut Call<'_>) -> Reply {
    let state = &call.state;
    let rows: Vec<Value> = state
        .wear
        .uncovered
        .iter()
        .filter_map(|vmid| state.guests.get(vmid))
        .map(|g| json!({"vmid": g.vmid, "type": g.kind.folder(), "name": g.name()}))
        .collect();
    Ok(Value::Array(rows).into())
}
