//! Somebody else at the same cluster: with Proxmox's own page open, not through gantry.

use gantry_core::operation::Operation;
use gantry_proxmox::{Client, ClusterConfig, Tls};
use secrecy::Secret;

use super::{Bot, Reply, until};

/// Longest that is waited for somebody to press Keep in tests, a little more than the shortest that can be asked for.
const KEEP_OVER: std::time::Duration = std::time::Duration::from_secs(61);

impl Bot {
    /// Somebody with Proxmox's own page open.
    pub fn somebody(&self) -> Client {
        let endpoints = self.proxmox.endpoints().iter().map(|e| e.parse().unwrap()).collect();
        let (id, secret) = self.proxmox.token();
        let cluster = "lab".parse().unwrap();
        let mut config = ClusterConfig::new(cluster, endpoints, id, Secret::new(secret));
        config.tls = Tls::CaPem(self.proxmox.ca_pem());
        Client::new(config).unwrap()
    }

    /// The admin asks for something and confirms it; the question, on which its progress is shown.
    pub async fn confirmed(&self, command: &str, typed: &str) -> Reply {
        let question = self.admin().runs(command).await;
        self.admin().confirms(&question, typed).await;
        question
    }

    /// Lets time pass until the newest operation has ended, waiting for Keep included.
    pub async fn ends(&self) -> Operation {
        let (mut lapsed, mut last) = (false, None);
        until("the operation has ended", async || {
            last = self.newest().await;
            let Some(op) = &last else { return false };
            self.lets_keep_lapse(op, &mut lapsed);
            op.state.is_terminal()
        })
        .await;
        last.unwrap()
    }

    /// Makes waiting for Keep short, once.
    pub fn lets_keep_lapse(&self, op: &Operation, lapsed: &mut bool) {
        if !*lapsed && op.current().is_some_and(|(_, step)| step.until_ms.is_some()) {
            *lapsed = true;
            self.clock.advance(KEEP_OVER);
        }
    }
}
