//! How an `https://` PowerDNS proves who it is: public roots, or a CA file of the operator's. rustls on ring.

use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use crate::error::Error;

/// The rustls configuration for a CA file, or for the public roots.
pub(crate) fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, Error> {
    let config = |why: String| Error::Config { why };
    let roots = match ca_file {
        None => webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
        Some(path) => {
            let shown = path.display();
            let pem = std::fs::read(path)
                .map_err(|e| config(format!("the CA file {shown} cannot be read: {e}")))?;
            let mut roots = RootCertStore::empty();
            for der in rustls_pemfile::certs(&mut pem.as_slice()) {
                let damaged = |e: String| config(format!("the CA file {shown} is damaged: {e}"));
                let der = der.map_err(|e| damaged(e.to_string()))?;
                roots.add(der).map_err(|e| damaged(e.to_string()))?;
            }
            if roots.is_empty() {
                return Err(config(format!("the CA file {shown} holds no certificate")));
            }
            roots
        }
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| config(format!("TLS cannot be set up: {e}")))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
