//! How a node proves who it is: public roots, the cluster's CA, pinned fingerprints, or (said loudly) nothing.
//!
//! A pin compares the SHA-256 of the node's certificate and still checks the handshake signature, so that the
//! server must own the key. All four ways go through one rustls configuration with ring.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme,
};
use sha2::{Digest, Sha256};

use crate::error::{Error, TlsProblem};

/// How a cluster's certificates are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// The public roots built into the binary.
    SystemRoots,
    /// A PEM file with the cluster's CA (`/etc/pve/pve-root-ca.pem`). The host name is checked.
    CaFile(PathBuf),
    /// The same as text.
    CaPem(String),
    /// SHA-256 fingerprints of node certificates, as `GET /nodes` prints them. Nodes of one cluster have
    /// different certificates, so every endpoint's is listed. Host name and expiry do not matter.
    Fingerprint(Vec<Fingerprint>),
    /// Anybody may pretend to be the node. Logged as a warning on every start.
    Insecure,
}

/// SHA-256 of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate.
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

impl FromStr for Fingerprint {
    type Err = Error;
    /// Hexadecimal, with or without colons, in any case.
    fn from_str(text: &str) -> Result<Self, Error> {
        let plain: String = text.trim().chars().filter(|c| *c != ':').collect();
        let mut out = [0; 32];
        hex::decode_to_slice(&plain, &mut out).map_err(|_| Error::Config {
            why: "a fingerprint is a SHA-256 in hexadecimal, 32 bytes with or without colons"
                .to_owned(),
        })?;
        Ok(Self(out))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, byte) in self.0.iter().enumerate() {
            let colon = if n == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Carries both fingerprints through rustls' error.
#[derive(Debug)]
struct Mismatch {
    expected: Vec<Fingerprint>,
    got: Fingerprint,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "certificate fingerprint is {}", self.got)
    }
}

impl std::error::Error for Mismatch {}

/// Accepts listed fingerprints, or anything when there is no list.
#[derive(Debug)]
struct Pins {
    allowed: Option<Vec<Fingerprint>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pins {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let got = Fingerprint::of(end_entity);
        match &self.allowed {
            Some(allowed) if !allowed.contains(&got) => {
                let mismatch = Mismatch { expected: allowed.clone(), got };
                Err(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(
                    Arc::new(mismatch),
                ))))
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl Tls {
    /// The rustls configuration for this way of trusting.
    pub(crate) fn client_config(&self) -> Result<ClientConfig, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::Config { why: format!("TLS cannot be set up: {e}") })?;
        let pins = |allowed| Arc::new(Pins { allowed, provider });
        let mut config = match self {
            Self::SystemRoots => {
                let roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
                builder.with_root_certificates(roots).with_no_client_auth()
            }
            Self::CaFile(path) => {
                let pem = std::fs::read(path).map_err(|e| Error::Config {
                    why: format!("the CA file {} cannot be read: {e}", path.display()),
                })?;
                builder.with_root_certificates(roots(&pem)?).with_no_client_auth()
            }
            Self::CaPem(pem) => {
                builder.with_root_certificates(roots(pem.as_bytes())?).with_no_client_auth()
            }
            Self::Fingerprint(allowed) => {
                if allowed.is_empty() {
                    let why = "no fingerprint is listed".to_owned();
                    return Err(Error::Config { why });
                }
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(pins(Some(allowed.clone())))
                    .with_no_client_auth()
            }
            Self::Insecure => builder
                .dangerous()
                .with_custom_certificate_verifier(pins(None))
                .with_no_client_auth(),
        };
        // pveproxy speaks HTTP/1.1 only.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn roots(pem: &[u8]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for der in rustls_pemfile::certs(&mut &*pem) {
        let bad = |e: String| Error::Config { why: format!("the CA file is damaged: {e}") };
        roots.add(der.map_err(|e| bad(e.to_string()))?).map_err(|e| bad(e.to_string()))?;
    }
    if roots.is_empty() {
        return Err(Error::Config { why: "the CA file holds no certificate".to_owned() });
    }
    Ok(roots)
}

/// The typed problem inside a rustls error, when it is about certificates.
pub(crate) fn problem(error: &rustls::Error) -> Option<TlsProblem> {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner)))
            if inner.is::<Mismatch>() =>
        {
            let found = inner.downcast_ref::<Mismatch>()?;
            Some(TlsProblem::Fingerprint {
                expected: found.expected.iter().map(ToString::to_string).collect(),
                got: found.got.to_string(),
            })
        }
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            let why = "its issuer is not among the trusted authorities".to_owned();
            Some(TlsProblem::Untrusted { why })
        }
        rustls::Error::InvalidCertificate(why) => {
            Some(TlsProblem::Untrusted { why: why.to_string() })
        }
        _ => None,
    }
}
