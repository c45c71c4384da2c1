//! Pinned host keys: a node shows one of these, or nothing is said to it.

use std::fmt;
use std::str::FromStr;

use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey};

/// A host key as an operator writes it: `ssh-ed25519 AAAA…` (a line of the node's `/etc/ssh/ssh_host_*_key.pub`) or
/// `SHA256:…` (what `ssh-keygen -lf` prints).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKey(Pin);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pin {
    Key(Box<PublicKey>),
    Fingerprint(String),
}

/// Why a text is not a host key; the key's own text is left out, it is long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadHostKey(&'static str);

/// Characters of a SHA-256 in base64 without padding.
const FINGERPRINT_DIGITS: usize = 43;

impl HostKey {
    /// `SHA256:…`, as `ssh-keygen -lf` prints it.
    pub fn fingerprint(&self) -> String {
        match &self.0 {
            Pin::Key(key) => fingerprint(key),
            Pin::Fingerprint(text) => text.clone(),
        }
    }

    pub(crate) fn fits(&self, shown: &PublicKey) -> bool {
        match &self.0 {
            Pin::Key(key) => key.key_data() == shown.key_data(),
            Pin::Fingerprint(text) => *text == fingerprint(shown),
        }
    }

    /// The algorithms worth asking for: of a whole key its own, of a fingerprint all.
    pub(crate) fn algorithms(&self) -> Vec<Algorithm> {
        match &self.0 {
            Pin::Key(key) => vec![key.algorithm()],
            Pin::Fingerprint(_) => [
                Algorithm::Ed25519,
                Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
                Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
                Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
            ]
            .to_vec(),
        }
    }
}

/// `SHA256:…` of a key that was shown.
pub(crate) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

impl FromStr for HostKey {
    type Err = BadHostKey;
    fn from_str(text: &str) -> Result<Self, BadHostKey> {
        let text = text.trim();
        if let Some(digits) = text.strip_prefix("SHA256:") {
            let ok = digits.len() == FINGERPRINT_DIGITS
                && digits.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/');
            return if ok {
                Ok(Self(Pin::Fingerprint(text.to_owned())))
            } else {
                Err(BadHostKey(
                    "a fingerprint is SHA256: and 43 characters, as `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints it",
                ))
            };
        }
        let key = PublicKey::from_openssh(text).map_err(|_| {
            BadHostKey(
                "write the line of /etc/ssh/ssh_host_ed25519_key.pub or its SHA256:… fingerprint",
            )
        })?;
        match key.algorithm() {
            Algorithm::Ed25519 | Algorithm::Ecdsa { .. } => Ok(Self(Pin::Key(Box::new(key)))),
            // The RSA code in reach has a timing weakness (RUSTSEC-2023-0071) and is not built in.
            _ => Err(BadHostKey(
                "only ed25519 and ecdsa host keys are supported; every node has an ed25519 one",
            )),
        }
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A throw-away key; only its public half was ever kept.
    const LINE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ root@pve1";

    #[test]
    fn a_host_key_is_taken_as_the_node_has_it_or_as_its_fingerprint() {
        let key: HostKey = LINE.parse().unwrap();
        let pin: HostKey = key.fingerprint().parse().unwrap();
        assert_eq!(key.to_string(), pin.to_string());
        let shown = PublicKey::from_openssh(LINE).unwrap();
        assert!(key.fits(&shown) && pin.fits(&shown));
        for bad in
            ["", "SHA256:", "SHA256:abc", "MD5:00:11", "ssh-ed25519 AAAA", "pve1 ssh-ed25519 AAAA"]
        {
            assert!(bad.parse::<HostKey>().is_err(), "{bad}");
        }
    }
}
