//! The cluster's own certificate authority and one certificate per node.
//!
//! Made afresh at every start; nothing is written to disk here.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};

use crate::Error;

/// The authority, ready to sign.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

fn broken(error: impl std::fmt::Display) -> Error {
    Error::Certificates(error.to_string())
}

impl Authority {
    /// A new self-signed authority for a cluster.
    pub(crate) fn new(cluster: &str) -> Result<Self, Error> {
        let mut params = CertificateParams::new(Vec::new()).map_err(broken)?;
        params.distinguished_name.push(DnType::CommonName, "Proxmox Virtual Environment");
        params.distinguished_name.push(DnType::OrganizationName, format!("PVE Cluster {cluster}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(broken)?;
        let pem = params.self_signed(&key).map_err(broken)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// A node's TLS settings and the SHA-256 fingerprint of its certificate (`AB:CD:…`).
    pub(crate) fn node(&self, name: &str) -> Result<(Arc<ServerConfig>, String), Error> {
        let names = vec![name.to_owned(), "localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).map_err(broken)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(broken)?;
        let cert = params.signed_by(&key, &self.issuer).map_err(broken)?;
        let fingerprint: Vec<String> =
            Sha256::digest(cert.der()).iter().map(|byte| format!("{byte:02X}")).collect();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(broken)?
                .with_no_client_auth()
                .with_single_cert(vec![cert.der().clone()], key)
                .map_err(broken)?;
        // The real server knows no HTTP/2.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok((Arc::new(config), fingerprint.join(":")))
    }
}
