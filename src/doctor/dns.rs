//! Whether each name server is there, takes the key, and has the zones gantry is to write.

use std::collections::BTreeSet;

use gantry_dns::Error;

use super::Report;
use crate::clients::publisher;
use crate::config::{Config, Provider};

pub(super) async fn examine(config: &Config, report: &mut Report) {
    let publisher = match publisher(&config.dns) {
        Ok(publisher) => publisher,
        Err(error) => {
            report.fail("dns", error.to_string(), error.hint());
            return;
        }
    };
    for dns in &config.dns {
        let remote =
            |url: &url::Url| !matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if let Provider::PowerDns { url, .. } = &dns.provider
            && url.scheme() == "http"
            && remote(url)
        {
            report.warn(
                &format!("dns {}", dns.name),
                "the API key goes over the network unencrypted (http)",
                "put a TLS proxy before PowerDNS' web server and write https://, or keep that network private",
            );
        }
    }
    // A server that is down or refuses the key says the same for every zone.
    let mut silent: BTreeSet<&str> = BTreeSet::new();
    for provider in publisher.providers() {
        for zone in provider.zones() {
            let subject = format!("dns {}: {zone}", provider.name());
            if silent.contains(provider.name()) {
                continue;
            }
            match provider.check(zone).await {
                Ok(health) => match health.note {
                    None => report.ok(&subject, "there, and the key may write it"),
                    Some(note) => report.warn(&subject, note, "then ask again: gantry doctor"),
                },
                Err(error) => {
                    report.fail(&subject, error.to_string(), error.hint());
                    let whole = matches!(
                        error,
                        Error::Unreachable { .. } | Error::AnswerLost { .. } | Error::Key { .. }
                    );
                    if whole {
                        silent.insert(provider.name());
                    }
                }
            }
        }
    }
}
