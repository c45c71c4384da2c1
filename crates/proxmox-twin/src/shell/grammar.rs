//! Which lines a node's forced command takes, word by word. Written from the script's own list, sharing nothing with
//! the client: what the client would never send is refused here as it is on a real node.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Longest line, bytes.
const LINE_MAX: usize = 32_768;
/// Forwards of one node.
const FORWARDS_MAX: usize = 256;
/// Words of a health check, its program not counted.
const WORDS_MAX: usize = 31;

/// A line that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    Probe,
    BridgeShow(String),
    BridgeSet { bridge: String, setting: String, on: bool },
    PortSet { bridge: String, port: String, flag: String, on: bool },
    ForwardList,
    ForwardApply { expected: String, generation: String, forwards: Vec<Forward> },
    Exec { vmid: u32, program: String, words: Vec<String> },
    Unlock(u32),
    LxcProfile { vmid: u32, armor: String, filter: String },
    ImageInfo { volume: String, format: String },
    ImageConvert { source: String, from: String, target: String, to: String },
    ImageCopy { reference: String, storage: String, name: String },
    ImageChecksum(String),
}

/// `tcp,ipv4,any,8080,10.0.0.5,80`
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Forward {
    pub(crate) text: String,
    pub(crate) proto: String,
    pub(crate) family: String,
    pub(crate) listen: String,
    pub(crate) port: u16,
    pub(crate) target: String,
    pub(crate) to: u16,
}

/// The word that says what is asked, for logs and troubles; `?` where there is none.
pub(crate) fn verb(line: &str) -> &str {
    line.split(' ').nth(1).filter(|v| !v.is_empty()).unwrap_or("?")
}

/// Takes a line apart.
///
/// # Errors
/// Why it is refused, in the script's words.
pub(crate) fn parse(line: &str) -> Result<Line, &'static str> {
    if line.len() > LINE_MAX {
        return Err("longer than 32768 characters");
    }
    if line.is_empty() {
        return Err("no command; this key is for gantry only");
    }
    if !line.chars().all(|c| c.is_ascii_alphanumeric() || " ._/:=@,+%-".contains(c)) {
        return Err("a character that no command has");
    }
    if line.starts_with(' ') || line.ends_with(' ') || line.contains("  ") {
        return Err("white space that no command has");
    }
    let words: Vec<&str> = line.split(' ').collect();
    let Some((first, words)) = words.split_first() else { return Err("no command") };
    if *first != "gantry-node/1" {
        return Err("this script speaks gantry-node/1");
    }
    let Some((verb, rest)) = words.split_first() else {
        return Err("this script speaks gantry-node/1");
    };
    let own = |word: &str| word.to_owned();
    let taken = match (*verb, rest) {
        ("probe", []) => Some(Line::Probe),
        ("forward-list", []) => Some(Line::ForwardList),
        ("bridge-show", [bridge]) if interface(bridge) => Some(Line::BridgeShow(own(bridge))),
        ("bridge-set", [bridge, setting, value])
            if interface(bridge)
                && matches!(*setting, "stp" | "mcast-snooping" | "vlan-filtering") =>
        {
            on_off(value).map(|on| Line::BridgeSet {
                bridge: own(bridge),
                setting: own(setting),
                on,
            })
        }
        ("port-set", [bridge, port, flag, value])
            if interface(bridge)
                && interface(port)
                && matches!(*flag, "isolated" | "learning" | "flood") =>
        {
            on_off(value).map(|on| Line::PortSet {
                bridge: own(bridge),
                port: own(port),
                flag: own(flag),
                on,
            })
        }
        ("forward-apply", [expected, generation, rest @ ..])
            if rest.len() <= FORWARDS_MAX
                && (matches!(*expected, "any" | "none") || hex(expected, 16))
                && hex(generation, 16) =>
        {
            return Ok(Line::ForwardApply {
                expected: own(expected),
                generation: own(generation),
                forwards: forwards(rest)?,
            });
        }
        ("exec", [vmid, seconds, dashes, program, rest @ ..])
            if number(seconds, 1, 60).is_some()
                && *dashes == "--"
                && health_word(program)
                && health_program(program)
                && rest.len() <= WORDS_MAX
                && rest.iter().all(|w| health_word(w)) =>
        {
            guest(vmid).map(|vmid| Line::Exec {
                vmid,
                program: own(program),
                words: rest.iter().map(|w| own(w)).collect(),
            })
        }
        ("unlock", [vmid]) => guest(vmid).map(Line::Unlock),
        ("lxc-profile", [vmid, armor, filter]) => profile(vmid, armor, filter),
        ("image-info", [volume, format]) if is_volume(volume) && is_format(format) => {
            Some(Line::ImageInfo { volume: own(volume), format: own(format) })
        }
        ("image-convert", [source, from, target, to])
            if is_volume(source) && is_format(from) && is_volume(target) && is_format(to) =>
        {
            Some(Line::ImageConvert {
                source: own(source),
                from: own(from),
                target: own(target),
                to: own(to),
            })
        }
        ("image-copy", [reference, storage, name])
            if is_reference(reference) && is_storage(storage) && is_file_name(name) =>
        {
            Some(Line::ImageCopy {
                reference: own(reference),
                storage: own(storage),
                name: own(name),
            })
        }
        ("image-checksum", [volume, "sha256"]) if is_volume(volume) => {
            Some(Line::ImageChecksum(own(volume)))
        }
        (
            "probe" | "forward-list" | "bridge-show" | "bridge-set" | "port-set" | "forward-apply"
            | "exec" | "unlock" | "lxc-profile" | "image-info" | "image-convert" | "image-copy"
            | "image-checksum",
            _,
        ) => None,
        _ => return Err("no such command"),
    };
    taken.ok_or("arguments that this command does not have")
}

fn profile(vmid: &str, armor: &str, filter: &str) -> Option<Line> {
    let armor = armor.strip_prefix("apparmor=")?;
    let filter = filter.strip_prefix("seccomp=")?;
    let fits = matches!(armor, "default" | "nesting" | "unconfined")
        && matches!(filter, "default" | "common");
    let (armor, filter) = (armor.to_owned(), filter.to_owned());
    guest(vmid).filter(|_| fits).map(|vmid| Line::LxcProfile { vmid, armor, filter })
}

fn forwards(words: &[&str]) -> Result<Vec<Forward>, &'static str> {
    let mut all: Vec<Forward> = Vec::new();
    for word in words {
        let one = forward(word).ok_or(
            "a forward that is not in the grammar or would take a port of the node itself",
        )?;
        let place = |f: &Forward| (f.proto.clone(), f.family.clone(), f.listen.clone(), f.port);
        if all.iter().any(|other| place(other) == place(&one)) {
            return Err("two forwards that listen at the same place");
        }
        all.push(one);
    }
    Ok(all)
}

/// One forward as it is written.
pub(crate) fn forward(word: &str) -> Option<Forward> {
    let parts: Vec<&str> = word.split(',').collect();
    let [proto, family, listen, port, target, to] = parts[..] else { return None };
    let address = |text: &str| match family {
        "ipv4" => is_ipv4(text),
        "ipv6" => is_ipv6(text),
        _ => false,
    };
    let port_of = |text: &str| number(text, 1, 65_535).and_then(|n| u16::try_from(n).ok());
    let (port, to) = (port_of(port)?, port_of(to)?);
    let fits = matches!(proto, "tcp" | "udp")
        && (listen == "any" || address(listen))
        && address(target)
        && !is_reserved(port);
    fits.then(|| Forward {
        text: word.to_owned(),
        proto: proto.to_owned(),
        family: family.to_owned(),
        listen: listen.to_owned(),
        port,
        target: target.to_owned(),
        to,
    })
}

/// What a node needs for itself.
fn is_reserved(port: u16) -> bool {
    matches!(port, 22 | 3128 | 8006 | 5404..=5412 | 5900..=5999 | 60000..=60050)
}

fn number(text: &str, least: u32, most: u32) -> Option<u32> {
    let plain = !text.is_empty()
        && text.len() <= 9
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|n| plain && (least..=most).contains(n))
}

fn guest(text: &str) -> Option<u32> {
    number(text, 100, 999_999_999)
}

fn on_off(text: &str) -> Option<bool> {
    match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

fn is_format(text: &str) -> bool {
    matches!(text, "raw" | "qcow2")
}

fn hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn only(text: &str, extra: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
}

fn begins(text: &str, fits: impl Fn(char) -> bool) -> bool {
    text.chars().next().is_some_and(fits)
}

fn interface(text: &str) -> bool {
    text.len() <= 15 && begins(text, |c| c.is_ascii_alphabetic()) && only(text, "._-")
}

fn is_storage(text: &str) -> bool {
    text.len() <= 100
        && begins(text, |c| c.is_ascii_alphabetic())
        && text.chars().last().is_some_and(|c| c.is_ascii_alphanumeric())
        && only(text, "._-")
}

fn is_volume(text: &str) -> bool {
    let Some((storage, path)) = text.split_once(':') else { return false };
    text.len() <= 255
        && is_storage(storage)
        && begins(path, |c| c.is_ascii_alphanumeric())
        && only(path, "._/+-")
        && !path.contains("..")
        && !path.contains("//")
        && !path.ends_with('/')
        && !path.contains("/.")
        && !path.contains("/-")
}

fn is_file_name(text: &str) -> bool {
    text.len() <= 100
        && begins(text, |c| c.is_ascii_alphanumeric())
        && only(text, "._-")
        && !text.contains("..")
}

fn is_reference(text: &str) -> bool {
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    let Some((registry, path)) = name.split_once('/') else { return false };
    let tail_fits = match digest {
        Some(digest) => digest.strip_prefix("sha256:").is_some_and(|d| hex(d, 64)),
        None => text.chars().last().is_some_and(|c| c.is_ascii_alphanumeric()),
    };
    text.len() <= 255
        && tail_fits
        && begins(registry, |c| c.is_ascii_alphanumeric())
        && (registry.contains('.') || registry.contains(':') || registry == "localhost")
        && only(name, "._/:-")
        && !name.contains("..")
        && !name.contains("//")
        && path
            .split('/')
            .all(|part| begins(part, |c| c.is_ascii_lowercase() || c.is_ascii_digit()))
}

fn health_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= 256 && only(text, "._/:=@,+%-")
}

fn health_program(text: &str) -> bool {
    begins(text, |c| c.is_ascii_alphanumeric() || c == '/')
        && !text.contains('=')
        && !text.contains("..")
}

/// The address of a machine: not loopback, link-local, multicast or unspecified.
fn is_ipv4(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok_and(|a| {
        (1..=223).contains(&a.octets()[0])
            && !a.is_loopback()
            && !a.is_link_local()
            && a.to_string() == text
    })
}

/// Global unicast or unique local, lower case, no dots.
fn is_ipv6(text: &str) -> bool {
    let plain = text.bytes().all(|b| b == b':' || b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    text.parse::<Ipv6Addr>().is_ok_and(|a| {
        let first = a.segments()[0];
        plain && ((first & 0xe000) == 0x2000 || (first & 0xfe00) == 0xfc00)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_of_the_list_are_taken() {
        assert_eq!(parse("gantry-node/1 probe"), Ok(Line::Probe));
        assert_eq!(
            parse("gantry-node/1 bridge-set vmbr0 stp on"),
            Ok(Line::BridgeSet { bridge: "vmbr0".into(), setting: "stp".into(), on: true })
        );
        for bad in [
            "",
            "probe",
            "gantry-node/2 probe",
            "gantry-node/1  probe",
            "gantry-node/1 probe x",
            "gantry-node/1 bridge-set vmbr0 stp maybe",
            "gantry-node/1 exec 100 5 -- sh -c $(id)",
            "gantry-node/1 unlock 99",
            "gantry-node/1 forward-apply any 0123456789abcdef tcp,ipv4,any,22,10.0.0.5,80",
            "gantry-node/1 rm -rf /",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
