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
        let engine = self.engine();
        let all = gantry_engine::store::OpFilter::default();
        let mut lapsed = false;
        until("the operation has ended", async || {
            let Ok(page) = engine.operations(&all, 0, 1).await else { return false };
            let Some(op) = page.rows.first() else { return false };
            if !lapsed && op.current().is_some_and(|(_, step)| step.until_ms.is_some()) {
                lapsed = true;
                self.clock.advance(KEEP_OVER);
            }
            op.state.is_terminal()
        })
        .await;
        engine.operations(&all, 0, 1).await.unwrap().rows.remove(0)
    }
}
