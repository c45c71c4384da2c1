//! Start, stop, shutdown, reboot, suspend, resume, reset.
//!
//! What the real server refuses before forking a worker is refused here; the rest fails in the task. A locked
//! guest answers 200 with a UPID whose task fails (measured for start).

use super::Call;
use crate::effect::Effect;
use crate::guest::GuestKind;
use crate::reply::{Refusal, Reply};
use crate::script;

/// Seconds a container's shutdown may take when nothing else is said.
const LXC_TIMEOUT: u64 = 60;
/// The same for a virtual machine.
const QEMU_TIMEOUT: u64 = 180;

fn begin(call: &Call<'_>) -> Result<(), Refusal> {
    if call.flag("skiplock") && !call.caller.is_root() {
        return Err(Refusal::parameter("skiplock", "Only root may use this option."));
    }
    call.guest()?;
    call.quorum()
}

fn run(call: &mut Call<'_>, kind: &str, script: crate::task::Script) -> Reply {
    let id = call.vmid().to_string();
    call.task(kind, &id, script)
}

/// `wording` is how the server calls the guest here ("CT", or "VM" even for a container).
fn running(call: &Call<'_>, wording: &str) -> Result<(), Refusal> {
    if call.guest()?.running.is_none() {
        return Err(Refusal::failed(format!("{wording} {} not running", call.vmid())));
    }
    Ok(())
}

pub(super) fn start(call: &mut Call<'_>) -> Reply {
    begin(call)?;
    let vmid = call.vmid();
    if call.kind == GuestKind::Lxc && call.guest()?.running.is_some() {
        return Err(Refusal::failed(format!("CT {vmid} already running")));
    }
    run(call, &format!("{}start", call.kind.prefix()), script::start(vmid))
}

pub(super) fn stop(call: &mut Call<'_>) -> Reply {
    begin(call)?;
    if call.kind == GuestKind::Lxc {
        running(call, "CT")?;
    }
    let script = script::stop(call.vmid(), call.kind);
    run(call, &format!("{}stop", call.kind.prefix()), script)
}

pub(super) fn shutdown(call: &mut Call<'_>) -> Reply {
    begin(call)?;
    if call.kind == GuestKind::Lxc {
        running(call, "CT")?;
    }
    let usual = if call.kind == GuestKind::Lxc { LXC_TIMEOUT } else { QEMU_TIMEOUT };
    let timeout = call.number("timeout").unwrap_or(usual);
    let script = script::shutdown(call.guest()?, timeout, call.flag("forceStop"));
    run(call, &format!("{}shutdown", call.kind.prefix()), script)
}

pub(super) fn reboot(call: &mut Call<'_>) -> Reply {
    begin(call)?;
    // The server says "VM" for a container too (measured).
    running(call, "VM")?;
    let script = script::reboot(call.guest()?, call.number("timeout"));
    run(call, &format!("{}reboot", call.kind.prefix()), script)
}

pub(super) fn suspend(call: &mut Call<'_>) -> Reply {
    begin(call)?;
    running(call, call.kind.short())?;
    let vmid = call.vmid();
    let kind = match call.kind {
        GuestKind::Lxc => "vzsuspend",
        GuestKind::Qemu if call.flag("todisk") => "qmsuspend",
        GuestKind::Qemu => "qmpause",
    };
    run(call, kind, script::quick(vmid, 1.2, Effect::Suspend { vmid }))
}

pub(super) fn resume(call: &mut Call<'_>) -> Reply {
    begin(call)?;
    running(call, call.kind.short())?;
    let vmid = call.vmid();
    let kind = format!("{}resume", call.kind.prefix());
    run(call, &kind, script::quick(vmid, 0.8, Effect::Resume { vmid }))
}

pub(super) fn reset(call: &mut Call<'_>) -> Reply {
    begin(call)?;
    running(call, "VM")?;
    let vmid = call.vmid();
    run(call, "qmreset", script::quick(vmid, 0.6, Effect::Reset { vmid }))
}
