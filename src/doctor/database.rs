//! Whether the database can be reached and is up to date.

use gantry_store::{Store, StoreError};
use secrecy::ExposeSecret as _;

use super::Report;
use crate::config::Config;

const SUBJECT: &str = "database";

pub(super) async fn examine(config: &Config, report: &mut Report) {
    let url = config.store.url.expose_secret();
    // Opening would make the file; a doctor makes nothing.
    if let Some(path) = url.strip_prefix("sqlite:")
        && path != ":memory:"
        && !std::path::Path::new(path).exists()
    {
        let folder = std::path::Path::new(path).parent().filter(|p| !p.as_os_str().is_empty());
        let folder = folder.unwrap_or(std::path::Path::new("."));
        if folder.is_dir() {
            report.ok(SUBJECT, format!("{path} does not exist yet; the first start makes it"));
        } else {
            report.fail(
                SUBJECT,
                format!("the folder of {path} does not exist"),
                format!("mkdir -p {}", folder.display()),
            );
        }
        return;
    }
    let store = match Store::open(url).await {
        Ok(store) => store,
        Err(error @ StoreError::InUse { .. }) => {
            report.warn(
                SUBJECT,
                error.to_string(),
                "nothing, if that is the gantry you mean; its schema was not looked at",
            );
            return;
        }
        Err(error) => {
            report.fail(
                SUBJECT,
                error.to_string(),
                "check store.url, and that the server is up and the user may connect",
            );
            return;
        }
    };
    match (store.ping().await, store.pending().await) {
        (Err(error), _) | (_, Err(error)) => {
            report.fail(SUBJECT, error.to_string(), "check store.url and the rights of its user");
        }
        (Ok(()), Ok(pending)) if pending.is_empty() => {
            report.ok(SUBJECT, format!("{}, reachable and up to date", store.kind().as_str()));
        }
        (Ok(()), Ok(pending)) if config.store.migrate => {
            report.ok(
                SUBJECT,
                format!("reachable; the next start brings it up to date ({})", pending.join(", ")),
            );
        }
        (Ok(()), Ok(pending)) => {
            report.fail(SUBJECT, format!("lacks {}", pending.join(", ")), "gantry migrate");
        }
    }
    store.close().await;
}
