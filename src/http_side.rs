//! What the HTTP side is told about Discord, and how it is set up from the configuration.

use gantry_core::notify::address;
use gantry_engine::NotifyHook;
use gantry_http::{Discord, HookKind, HttpSettings, Rest, Shard};

use crate::config::{Config, Http};
use crate::discord::{Front, GatewayStatus, Stage};

/// Discord as this process knows it.
pub(crate) struct Known {
    pub(crate) gateway: GatewayStatus,
    pub(crate) front: Front,
}

impl Discord for Known {
    fn shards(&self) -> Vec<Shard> {
        self.gateway
            .shards()
            .into_iter()
            .map(|s| Shard {
                shard: s.shard,
                connected: s.stage == Stage::Connected,
                latency: s.latency,
                guilds: s.guilds,
                identifies: s.identifies,
                resumes: s.resumes,
                events: s.events,
                lost: s.lost,
            })
            .collect()
    }

    fn rest(&self) -> Rest {
        let s = self.front.stats();
        Rest {
            answers: vec![
                ("ok", s.ok),
                ("client_error", s.client_errors),
                ("server_error", s.server_errors),
            ],
            limited: vec![
                ("user", s.limited_user),
                ("global", s.limited_global),
                ("shared", s.limited_shared),
                ("address", s.limited_address),
            ],
            refused: vec![
                ("queue_full", s.queue_full),
                ("too_many_invalid", s.braked),
                ("not_ours", s.forbidden),
                ("limit_too_long", s.limits_passed_on),
            ],
            repeats: s.repeats,
            invalid_recent: s.invalid_recent,
            waiting: s.waiting,
        }
    }
}

/// What is to be served; `None`: nothing.
pub(crate) fn settings(config: &Config) -> Option<HttpSettings> {
    Some(HttpSettings {
        listen: config.http.listen?,
        token: config.http.token.clone(),
        hooks: config.http.hooks.clone(),
        clusters: config.clusters.iter().map(|c| c.id.clone()).collect(),
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// The webhooks that clusters can be set up to tell.
pub(crate) fn notify_hooks(http: &Http) -> Vec<NotifyHook> {
    let proxmox = http.hooks.iter().filter(|h| h.kind == HookKind::Proxmox);
    proxmox
        .map(|h| NotifyHook {
            cluster: h.cluster.clone(),
            name: h.name.clone(),
            url: http.public_url.as_ref().map(|base| address(base.as_str(), &h.name)),
            token: h.token.clone(),
        })
        .collect()
}
