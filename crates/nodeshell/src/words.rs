//! The words of the commands, as types that hold nothing else.
//!
//! Allow-lists of plain ASCII: no white space, no quotes, nothing a shell would read. The script on the node checks
//! the same grammars again; a test feeds both the same words.

use std::fmt;
use std::str::FromStr;

use gantry_core::id::BadId;

/// Longest name of a network interface (`IFNAMSIZ` without its end).
const INTERFACE_MAX: usize = 15;
/// Longest storage id (`pve-storage-id`).
const STORAGE_MAX: usize = 100;
/// Longest volume id and longest image reference.
const LONG_MAX: usize = 255;
/// Longest name of a template file, without `.tar`.
const TEMPLATE_MAX: usize = 100;
/// Longest word of a health check.
const WORD_MAX: usize = 256;

fn alnum(c: char) -> bool {
    c.is_ascii_alphanumeric()
}

/// Only letters, digits and `extra`.
fn only(text: &str, extra: &str) -> bool {
    text.chars().all(|c| alnum(c) || extra.contains(c))
}

fn is_interface(text: &str) -> bool {
    text.len() <= INTERFACE_MAX
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && only(text, "._-")
}

fn is_storage(text: &str) -> bool {
    text.len() <= STORAGE_MAX
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.ends_with(alnum)
        && only(text, "._-")
}

fn is_volume(text: &str) -> bool {
    let Some((storage, path)) = text.split_once(':') else { return false };
    text.len() <= LONG_MAX
        && is_storage(storage)
        && path.starts_with(alnum)
        && only(path, "._/+-")
        && !path.contains("..")
        && path.split('/').all(|part| !part.is_empty() && !part.starts_with(['.', '-']))
}

fn is_template(text: &str) -> bool {
    text.len() <= TEMPLATE_MAX
        && text.starts_with(alnum)
        && only(text, "._-")
        && !text.contains("..")
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|h| {
        h.len() == 64 && h.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

/// `registry.example[:port]/path/name[:tag][@sha256:…]`; the registry is always named, so that nobody's default
/// decides where an image comes from.
fn is_reference(text: &str) -> bool {
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    let Some((registry, path)) = name.split_once('/') else { return false };
    let (host, port) = match registry.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (registry, None),
    };
    let (path, tag) = match path.split_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (path, None),
    };
    let host_ok = host.starts_with(alnum)
        && host.ends_with(alnum)
        && only(host, ".-")
        && (host.contains('.') || port.is_some() || host == "localhost");
    let small = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let path_ok = path.split('/').all(|part| {
        part.starts_with(small)
            && part.ends_with(small)
            && part.chars().all(|c| small(c) || "._-".contains(c))
    });
    text.len() <= LONG_MAX
        && !name.contains("..")
        && host_ok
        && port.is_none_or(|p| p.parse::<u16>().is_ok_and(|n| n > 0 && p == n.to_string()))
        && path_ok
        && tag.is_none_or(|t| {
            t.starts_with(alnum) && t.ends_with(alnum) && t.len() <= 128 && only(t, "._-")
        })
        && digest.is_none_or(is_digest)
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= WORD_MAX && only(text, "._/:=@,+%-")
}

fn is_program(text: &str) -> bool {
    is_word(text)
        && text.starts_with(|c: char| alnum(c) || c == '/')
        && !text.contains('=')
        && !text.contains("..")
}

macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $check:ident, $rule:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The word as it is sent.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                if $check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(BadId { kind: $kind, text: text.chars().take(80).collect(), rule: $rule })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

word!(
    /// A network interface of a node: a bridge or one of its ports.
    Interface, "interface name", is_interface,
    "a letter first, then letters, digits, ., _ and -, at most 15 characters"
);
word!(
    /// A storage, where an image is put.
    StorageName, "storage id", is_storage,
    "a letter first, then letters, digits, ., _ and -, at most 100 characters"
);
word!(
    /// A volume id, `local:100/vm-100-disk-0.qcow2`.
    Volume, "volume id", is_volume,
    "storage:path of letters, digits, ., _, +, - and /, no .., at most 255 characters"
);
word!(
    /// The name of a template file without `.tar`.
    TemplateName, "template name", is_template,
    "letters, digits, ., _ and -, no .., at most 100 characters"
);
word!(
    /// An OCI reference that names its registry, `docker.io/library/alpine:3.20`.
    ImageRef, "image reference", is_reference,
    "registry/path:tag or registry/path@sha256:digest with the registry named, as docker.io/library/alpine:3.20"
);
word!(
    /// One argument of a health check.
    Word, "word of a health check", is_word,
    "letters, digits and ._/:=@,+%-, at most 256 characters"
);
word!(
    /// The program of a health check. Which ones a node runs, the node decides.
    Program, "program of a health check", is_program,
    "a name or path of letters, digits and ._/:@,+%-, no .., at most 256 characters"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_grammar_takes_what_proxmox_makes_and_refuses_what_a_shell_reads() {
        for good in ["vmbr0", "veth100i0", "fwpr100p0", "bond0.100"] {
            assert!(is_interface(good), "{good}");
        }
        for good in ["local:100/vm-100-disk-0.qcow2", "local-lvm:vm-1-disk-0", "a:import/x+1.raw"] {
            assert!(is_volume(good), "{good}");
        }
        let digest = format!("ghcr.io/a/b@sha256:{}", "0a".repeat(32));
        for good in
            ["docker.io/library/alpine:3.20", "127.0.0.1:5000/tiny", "localhost/x:y", &digest]
        {
            assert!(is_reference(good), "{good}");
        }
        for bad in [
            "", " ", "a b", "-a", "a;id", "$(id)", "`id`", "a\nb", "a'b", "a\"b", "a|b", "a&b",
            "a>b", "ü", "a\0", "a\\b", "*", "?", "~", "a:../b", "a:/b", "a:b//c", "a:-x", "a:b/.x",
            "{a,b}", "!x", "#x", "a\tb", "a\r",
        ] {
            assert!(!is_interface(bad), "{bad:?}");
            assert!(!is_storage(bad), "{bad:?}");
            assert!(!is_volume(bad), "{bad:?}");
            assert!(!is_template(bad), "{bad:?}");
            assert!(!is_reference(bad), "{bad:?}");
            assert!(bad.contains(':') || !is_program(bad), "{bad:?}");
        }
        for bad in [
            "alpine",
            "alpine:3",
            "docker.io",
            "docker.io/",
            "docker.io/A",
            "a.b:0/c",
            "a.b/c@md5:1",
        ] {
            assert!(!is_reference(bad), "{bad}");
        }
    }
}
