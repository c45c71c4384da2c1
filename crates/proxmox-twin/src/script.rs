//! The scripts of tasks: which lines appear when, how long each takes on ordinary hardware, what is done.
//!
//! Durations are seconds at speed 1.0. Called by handlers, which have already checked what the server checks
//! before it forks a worker.

use crate::effect::Effect;
use crate::guest::{Guest, GuestKind, size_text};
use crate::task::Script;
use crate::volume::disk_owner;

/// Starts a guest.
pub(crate) fn start(vmid: u32) -> Script {
    Script::new().act(0.1, Effect::CheckLock { vmid }).act(2.2, Effect::Start { vmid })
}

/// Pulls the plug.
pub(crate) fn stop(vmid: u32, kind: GuestKind) -> Script {
    Script::new()
        .act(0.1, Effect::CheckLock { vmid })
        .act(1.4, Effect::Stop { vmid, quiet: kind == GuestKind::Qemu })
}

/// Shuts down in order; a guest that ignores it costs the whole timeout.
pub(crate) fn shutdown(guest: &Guest, timeout: u64, force: bool) -> Script {
    let vmid = guest.vmid;
    let seconds = if guest.ignores_shutdown { timeout as f64 } else { 6.0_f64.min(timeout as f64) };
    let mut script = Script::new().act(0.1, Effect::CheckLock { vmid });
    if guest.ignores_shutdown && force {
        script = script.say(
            seconds,
            format!("{} did not shut down in time, forcing stop", guest.kind.short()),
        );
        return script.act(0.8, Effect::Shutdown { vmid, timeout, force });
    }
    script = script.act(seconds, Effect::Shutdown { vmid, timeout, force });
    script
}

/// Shuts down and starts again.
pub(crate) fn reboot(guest: &Guest, timeout: Option<u64>) -> Script {
    let seconds = match timeout {
        Some(timeout) if guest.ignores_shutdown => timeout as f64,
        None if guest.ignores_shutdown => 180.0,
        _ => 8.0,
    };
    Script::new()
        .act(0.1, Effect::CheckLock { vmid: guest.vmid })
        .say(0.0, format!("requesting reboot of {} {}: {}", guest.kind.short(), guest.vmid, "{ts}"))
        .act(seconds, Effect::Reboot { vmid: guest.vmid })
}

/// One quick effect behind the lock check.
pub(crate) fn quick(vmid: u32, seconds: f64, effect: Effect) -> Script {
    Script::new().act(0.1, Effect::CheckLock { vmid }).act(seconds, effect)
}

/// Removes a guest and its volumes.
pub(crate) fn destroy(guest: &Guest, purge: bool, force: bool, unreferenced: bool) -> Script {
    let vmid = guest.vmid;
    let mut script = Script::new();
    if force && guest.running.is_some() {
        script = script.act(1.5, Effect::Stop { vmid, quiet: true });
    }
    script = script.act(0.2, Effect::CheckLock { vmid });
    for (volid, _) in guest.volumes() {
        if disk_owner(&volid) != Some(vmid) {
            let short = guest.kind.short();
            let line = format!("ignore deletion of '{volid}', {short} {vmid} isn't the owner!");
            script = script.say(0.1, line);
            continue;
        }
        let name = volid.split(':').nth(1).unwrap_or_default().to_owned();
        script = script.say(0.9, format!("  Logical volume \"{name}\" successfully removed."));
    }
    if purge {
        script = script.say(
            0.2,
            format!("purging {} {vmid} from related configurations..", guest.kind.short()),
        );
    }
    script.act(0.5, Effect::Destroy { vmid, purge, unreferenced })
}

/// Creates a container from a template.
pub(crate) fn create_lxc(guest: &Guest, template: &str, start: bool) -> Script {
    let vmid = guest.vmid;
    let volume = guest.config.get("rootfs").map_or("", String::as_str);
    let storage = volume.split(':').next().unwrap_or_default().to_owned();
    let name = volume.split([':', ',']).nth(1).unwrap_or_default().to_owned();
    let blocks = guest.max_disk() / 4096;
    let file = template.split('/').next_back().unwrap_or_default();
    let node = guest.node.clone();
    let mut script = Script::new()
        .act(0.2, Effect::NeedVolume { node: node.clone(), volid: template.to_owned(), vmid });
    for volid in &guest.borrowed {
        let need = Effect::NeedVolume { node: node.clone(), volid: volid.clone(), vmid };
        script = script.act(0.0, need);
    }
    script = script
        .act(0.1, Effect::NeedRoom { node, storage, vmid })
        .say(0.5, format!("  Logical volume \"{name}\" created."))
        .say(0.1, format!("  Logical volume pve/{name} changed."))
        .say(0.4, format!("Creating filesystem with {blocks} 4k blocks and {} inodes", blocks / 4))
        .say(
            0.1,
            format!("Filesystem UUID: 5c0f5d0e-7c21-4f6b-9a55-{:012x}", u64::from(vmid) * 7919),
        )
        .say(0.1, "Superblock backups stored on blocks:")
        .say(0.0, "\t32768, 98304, 163840, 229376, 294912, 819200, 884736, 1605632")
        .say(0.6, format!("extracting archive '/var/lib/vz/template/cache/{file}'"))
        .say(2.8, "Total bytes read: 537722880 (513MiB, 171MiB/s)")
        .say(0.1, "Detected container architecture: amd64");
    for (key, label) in [("rsa", "rsa"), ("ecdsa", "ecdsa"), ("ed25519", "ed25519")] {
        script = script
            .say(
                0.2,
                format!("Creating SSH host key 'ssh_host_{key}_key' - this may take some time ..."),
            )
            .say(
                if key == "rsa" { 0.9 } else { 0.2 },
                format!(
                    "done: SHA256:{:x}{label} root@{}",
                    u64::from(vmid) * 0x9e37_79b9,
                    guest.name()
                ),
            );
    }
    script.act(0.2, Effect::Created { vmid, start, what: "create" }).undo(Effect::Abandon { vmid })
}

/// Creates a virtual machine with new disks.
pub(crate) fn create_qemu(guest: &Guest, start: bool) -> Script {
    let vmid = guest.vmid;
    let mut script = Script::new();
    for (volid, bytes) in guest.volumes() {
        let (storage, name) = volid.split_once(':').unwrap_or(("", ""));
        script = script
            .act(
                0.1,
                Effect::NeedRoom { node: guest.node.clone(), storage: storage.to_owned(), vmid },
            )
            .say(0.6, format!("  Logical volume \"{name}\" created."))
            .say(0.1, format!("successfully created disk '{volid},size={}'", size_text(bytes)));
    }
    script.act(0.3, Effect::Created { vmid, start, what: "create" }).undo(Effect::Abandon { vmid })
}

/// Copies a guest.
pub(crate) fn clone(source: &Guest, copy: &Guest, full: bool) -> Script {
    let mut script = Script::new();
    if source.kind == GuestKind::Qemu {
        script = script.act(0.1, Effect::Lock { vmid: source.vmid, lock: "clone" });
    }
    for (volid, bytes) in source.volumes() {
        if !full {
            script = script.say(0.3, format!("create linked clone of volume {volid}"));
            continue;
        }
        script =
            script.say(0.3, format!("create full clone of drive {} ({volid})", source.boot_disk()));
        let total = bytes as f64 / f64::from(1 << 30);
        for part in 1..=10 {
            let done = total * f64::from(part) / 10.0;
            script = script.say(
                0.9,
                format!(
                    "transferred {done:.1} GiB of {total:.1} GiB ({:.2}%)",
                    f64::from(part) * 10.0
                ),
            );
        }
    }
    script = script.act(0.3, Effect::Created { vmid: copy.vmid, start: false, what: "clone" });
    if source.kind == GuestKind::Qemu {
        script = script
            .act(0.0, Effect::Unlock { vmid: source.vmid, lock: "clone" })
            .undo(Effect::Unlock { vmid: source.vmid, lock: "clone" });
    }
    script.undo(Effect::Abandon { vmid: copy.vmid })
}

/// Asks the manager of high availability for a move; over long before that is.
pub(crate) fn ask_ha(guest: &Guest, target: &str) -> Script {
    let (vmid, short) = (guest.vmid, guest.kind.short());
    Script::new()
        .say(0.1, format!("Requesting HA migration for {short} {vmid} to node {target}"))
        .act(0.3, Effect::HaMove { vmid, target: target.to_owned() })
}

/// How long a container that is moved may take to shut down, seconds (the default of the call).
const MOVE_SHUTDOWN_S: u64 = 180;

/// Moves a guest to another node; a container that runs is shut down for it and started there, or here again where it
/// cannot be moved.
pub(crate) fn migrate(guest: &Guest, target: &str, address: &str, with_disks: bool) -> Script {
    let (vmid, short) = (guest.vmid, guest.kind.short());
    let mut script = Script::new()
        .act(0.2, Effect::Lock { vmid, lock: "migrate" })
        .undo(Effect::Unlock { vmid, lock: "migrate" })
        .act(0.1, Effect::CheckMove { vmid, target: target.to_owned(), with_disks })
        .say(
            0.1,
            format!("{{ts}} starting migration of {short} {vmid} to node '{target}' ({address})"),
        );
    let restart = guest.kind == GuestKind::Lxc && guest.running.is_some();
    if restart {
        let seconds = if guest.ignores_shutdown { MOVE_SHUTDOWN_S as f64 } else { 3.0 };
        script = script
            .say(0.1, "{ts} shutdown CT")
            .act(seconds, Effect::Shutdown { vmid, timeout: MOVE_SHUTDOWN_S, force: false })
            .undo(Effect::Start { vmid });
    }
    let reach = || Effect::Reach { vmid, target: target.to_owned() };
    for (volid, bytes) in guest.volumes() {
        script = script.say(0.4, format!("{{ts}} found local disk '{volid}' (attached)"));
        for part in 1..=8 {
            let done = bytes / 8 * part;
            script = script.say(
                0.8,
                format!(
                    "{{ts}} {volid}: {} of {} ({}%)",
                    size_text(done >> 20 << 20),
                    size_text(bytes),
                    part * 100 / 8
                ),
            );
            script = script.act(0.0, reach());
        }
    }
    script = script.act(0.5, reach()).act(0.0, Effect::Migrate { vmid, target: target.to_owned() });
    if restart {
        script =
            script.say(0.5, "{ts} start container on target node").act(2.0, Effect::Start { vmid });
    }
    script.say(0.3, "{ts} migration finished successfully (duration 00:00:09)")
}
