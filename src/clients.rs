//! Clients of what the configuration names: clusters and name servers.

use std::time::Duration;

use gantry_dns::{Deadlines, PowerDnsConfig, Publisher, Rfc2136Config};
use gantry_proxmox::{Client, ClusterConfig, Tls, Tuning};

use crate::config::{self, Cluster, Limits};

/// The name servers of the configuration, ready to be written.
pub(crate) fn publisher(servers: &[config::Dns]) -> Result<Publisher, gantry_dns::Error> {
    let provider = |dns: &config::Dns| {
        let (name, zones, deadlines) = (&dns.name, dns.zones.clone(), Deadlines::default());
        match &dns.provider {
            config::Provider::PowerDns { url, tls } => {
                let ca_file = match tls {
                    config::Tls::CaFile(path) => Some(path.clone()),
                    _ => None,
                };
                let (url, key) = (url.clone(), dns.key.clone());
                let config = PowerDnsConfig { url, key, ca_file, deadlines };
                gantry_dns::Provider::powerdns(name, zones, config)
            }
            config::Provider::Rfc2136 { server, key_name, algorithm } => {
                let config = Rfc2136Config {
                    server: server.clone(),
                    key_name: key_name.to_string(),
                    algorithm: match algorithm {
                        config::Algorithm::HmacSha256 => gantry_dns::Algorithm::HmacSha256,
                        config::Algorithm::HmacSha512 => gantry_dns::Algorithm::HmacSha512,
                    },
                    secret: dns.key.clone(),
                    deadlines,
                    clock: gantry_dns::Clock::system(),
                };
                gantry_dns::Provider::rfc2136(name, zones, config)
            }
        }
    };
    let loopback = servers.iter().any(|dns| dns.loopback);
    let publisher = Publisher::new(servers.iter().map(provider).collect::<Result<_, _>>()?)?;
    Ok(publisher.with_loopback(loopback))
}

/// A client for a configured cluster.
pub(crate) fn client(cluster: &Cluster) -> Result<Client, gantry_proxmox::Error> {
    Client::new(cluster_config(cluster)?)
}

/// The client's view of a configured cluster.
pub(crate) fn cluster_config(cluster: &Cluster) -> Result<ClusterConfig, gantry_proxmox::Error> {
    let mut config = ClusterConfig::new(
        cluster.id.clone(),
        cluster.endpoints.clone(),
        cluster.token_id.clone(),
        cluster.token_secret.clone(),
    );
    config.tls = match &cluster.tls {
        config::Tls::System => Tls::SystemRoots,
        config::Tls::CaFile(path) => Tls::CaFile(path.clone()),
        config::Tls::Fingerprints(pins) => {
            Tls::Fingerprint(pins.iter().map(|p| p.parse()).collect::<Result<_, _>>()?)
        }
        config::Tls::Insecure => Tls::Insecure,
    };
    config.proxy.clone_from(&cluster.proxy);
    config.tuning = tuning(&cluster.limits);
    Ok(config)
}

pub(crate) fn tuning(limits: &Limits) -> Tuning {
    let seconds = |s: u32| Duration::from_secs(s.into());
    Tuning {
        connect_timeout: seconds(limits.connect_timeout_s),
        read_timeout: seconds(limits.read_timeout_s),
        // A read may be repeated at other endpoints, but not for ever.
        read_total: seconds(limits.read_timeout_s) * 3,
        write_timeout: seconds(limits.write_timeout_s),
        per_second: limits.requests_per_second,
        burst: limits.requests_per_second.saturating_mul(2),
        in_flight: limits.concurrent as usize,
        ..Tuning::default()
    }
}
