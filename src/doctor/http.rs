//! Whether the HTTP side can be had, and whether each Alertmanager that is to be told of silences answers.

use std::net::TcpListener;

use super::Report;
use crate::config::Config;

const SUBJECT: &str = "http";

pub(super) async fn examine(config: &Config, report: &mut Report) {
    let Some(listen) = config.http.listen else {
        report.ok(SUBJECT, "off: no metrics, no webhooks");
        return;
    };
    match TcpListener::bind(listen) {
        Ok(_) => {
            report.ok(SUBJECT, format!("{listen} can be had; {} webhooks", config.http.hooks.len()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => report.warn(
            SUBJECT,
            format!("{listen} is in use"),
            "nothing, if that is the gantry you mean; else choose another port for http.listen",
        ),
        Err(error) => report.fail(
            SUBJECT,
            format!("{listen} cannot be had: {error}"),
            "set http.listen to an address of this machine and a port above 1023",
        ),
    }
    if !listen.ip().is_loopback() {
        report.warn(
            SUBJECT,
            format!("{listen} is not encrypted: secrets of webhooks and /metrics go over the network as they are"),
            "put a TLS proxy before it and listen on 127.0.0.1, or keep that network private",
        );
    }
    let told = config.http.hooks.iter().any(|h| h.kind == gantry_http::HookKind::Proxmox);
    match &config.http.public_url {
        Some(url) => report.ok("http: public_url", format!("nodes are told to send to {url}")),
        None if told => report.warn(
            "http: public_url",
            "not set; `/cluster notify install` cannot tell Proxmox where to send to",
            "public_url = \"https://gantry.example.org\" under [http], or the lines of `gantry webhook` by hand",
        ),
        None => {}
    }
    let managers = match gantry_http::Alertmanagers::new(&config.http.hooks) {
        Ok(managers) => managers,
        Err(error) => {
            report.fail(SUBJECT, error.to_string(), "report this as a defect");
            return;
        }
    };
    for (hook, answer) in managers.check().await {
        let subject = format!("http: Alertmanager of {hook}");
        match answer {
            Ok(()) => report.ok(&subject, "answers; silences hold there as well"),
            Err(why) => report.fail(&subject, why, "check url and url_token_file of the webhook"),
        }
    }
}
