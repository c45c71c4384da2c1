//! Starting a guest: what refuses, what is applied, which addresses it gets.

use crate::guest::GuestKind;
use crate::state::State;

impl State {
    /// Starts a guest as the task does.
    ///
    /// # Errors
    /// The text the task ends with.
    pub(crate) fn start_guest(&mut self, at: f64, user: &str, vmid: u32) -> Result<(), String> {
        self.not_locked(vmid)?;
        let pid = self.next_pid();
        let node = self.need(vmid)?.node.clone();
        let guest = self.guests.get(&vmid).ok_or("gone")?;
        if guest.is_template() {
            let what = if guest.kind == GuestKind::Lxc { "CT" } else { "vm" };
            return Err(format!("you can't start a {what} if it's a template"));
        }
        if guest.running.is_some() {
            return Err(format!("{} {vmid} already running", guest.kind.short()));
        }
        for (key, value) in guest.config.iter().filter(|(key, _)| key.starts_with("net")) {
            let bridge = value.split(',').find_map(|p| p.strip_prefix("bridge="));
            if let Some(bridge) = bridge
                && !self.has_bridge(&node, bridge)
            {
                tracing::debug!(vmid, key, bridge, "start with an absent bridge");
                return Err(format!("bridge '{bridge}' does not exist"));
            }
        }
        self.apply_pending(at, vmid);
        self.lease_all(vmid)?;
        self.need(vmid)?.start(at, pid);
        self.note_guest(at, "start", vmid, user, "");
        Ok(())
    }

    /// Gives every network card on a vnet with a DHCP server its address.
    fn lease_all(&mut self, vmid: u32) -> Result<(), String> {
        let guest = self.need(vmid)?;
        let (node, name) = (guest.node.clone(), guest.name());
        let part = |text: &str, key: &str| {
            text.split(',').find_map(|p| p.strip_prefix(key)).unwrap_or_default().to_owned()
        };
        let cards: Vec<(String, String)> = guest
            .config
            .iter()
            .filter(|(key, text)| key.starts_with("net") && text.contains("ip=dhcp"))
            .map(|(_, text)| (part(text, "bridge="), part(text, "hwaddr=")))
            .collect();
        for (bridge, mac) in cards {
            self.sdn.allocate(&node, &bridge, vmid, &name, &mac)?;
        }
        Ok(())
    }
}
