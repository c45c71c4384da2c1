//! Named formats (`pve-node`, `mac-addr`, …) and the sentences the server gives for them.
//!
//! A format whose name ends in `-list` is a list of the base format, separated by commas, semicolons or spaces.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::check::property_string;

/// Checks `text` against the format called `wanted`; unknown formats pass.
///
/// # Errors
/// The server's sentence, newline included.
pub(crate) fn check(wanted: &str, path: &str, text: &str) -> Result<(), String> {
    if let Some(base) = wanted.strip_suffix("-list") {
        return text
            .split([',', ';', ' ', '\t', '\0'])
            .filter(|part| !part.is_empty())
            .try_for_each(|part| check(base, path, part));
    }
    let sentence = match wanted {
        "pve-vmid" if !vmid(text) => "value does not look like a valid VM ID",
        "pve-node" if !host_label(text) => "value does not look like a valid node name",
        "dns-name" if !text.split('.').all(host_label) => {
            "value does not look like a valid DNS name"
        }
        "mac-addr" if !mac(text) => "value does not look like a valid unicast MAC address",
        "ipv4" if text.parse::<Ipv4Addr>().is_err() => {
            "value does not look like a valid ipv4 address"
        }
        "ipv6" if text.parse::<Ipv6Addr>().is_err() => {
            "value does not look like a valid ipv6 address"
        }
        "pve-ipv4-config" if !matches!(text, "dhcp" | "manual") && !cidr4(text) => {
            "value does not look like a valid ipv4 network configuration"
        }
        "pve-ipv6-config" if !matches!(text, "dhcp" | "manual" | "auto") && !cidr6(text) => {
            "value does not look like a valid ipv6 network configuration"
        }
        "pve-iface" if !iface(text) => "invalid network interface name",
        "CIDRv4" if !cidr4(text) => "value does not look like a valid IPv4 CIDR network",
        "CIDRv6" if !cidr6(text) => "value does not look like a valid IPv6 CIDR network",
        "ipv4mask" if !mask4(text) => "value does not look like a valid IP netmask",
        "ip" if text.parse::<std::net::IpAddr>().is_err() => {
            "value does not look like a valid IP address"
        }
        "CIDR" if !cidr4(text) && !cidr6(text) => "value does not look like a valid CIDR network",
        "address" | "lxc-ip-with-ll-iface" if !address(text) => {
            "value does not look like a valid IP address"
        }
        "pve-tag" if !tag(text) => "invalid characters in tag",
        "pve-startup-order" if !startup(text) => "unable to parse startup options",
        "pve-realm" if !realm(text) => "value does not look like a valid realm",
        "pve-task-status-type" if !matches!(text, "ok" | "error" | "warning" | "unknown") => {
            "value does not look like a valid task status type"
        }
        "urlencoded" if !urlencoded(text) => "invalid urlencoded string",
        _ => "",
    };
    if !sentence.is_empty() {
        return Err(format!("{sentence}\n"));
    }
    match wanted {
        "pve-vlan-id-or-range" if !vlan_range(text) => {
            Err(format!("invalid VLAN ID or range '{text}'\n"))
        }
        "pve-sdn-zone-id" | "pve-sdn-vnet-id" => sdn_id(wanted, text),
        "pve-sdn-ipam-id" | "pve-sdn-dns-id" if !sdn_name(text) => {
            Err(format!("ID '{text}' contains illegal characters\n"))
        }
        "pve-configid" if !configid(text) => Err(format!("invalid configuration ID '{text}'\n")),
        "pve-storage-id" if !storage_id(text) => {
            Err(format!("storage ID '{text}' contains illegal characters\n"))
        }
        "pve-poolid" if !pool_id(text) => {
            Err(format!("pool ID '{text}' contains invalid characters\n"))
        }
        "pve-userid" if !userid(text) => {
            Err(format!("value '{text}' does not look like a valid user name\n"))
        }
        "disk-size" if disk_size(text).is_none() => {
            Err(format!("value does not look like a valid disk size: {text}\n"))
        }
        "pve-volume-id" if !volume_id(text) => Err(format!("unable to parse volume ID '{text}'\n")),
        "pve-volume-id-or-qm-path"
            if !(matches!(text, "none" | "cdrom") || path_or_volume(text)) =>
        {
            Err(format!("unable to parse volume ID '{text}'\n"))
        }
        "pve-volume-id-or-absolute-path" if !path_or_volume(text) => {
            Err(format!("unable to parse volume ID '{text}'\n"))
        }
        "pve-storage-content" if !content(text) => Err(format!("invalid content type '{text}'\n")),
        "pve-priv" if !text.contains('.') => Err(format!("invalid privilege '{text}'\n")),
        "pve-lxc-mp-string" if !mount_path(text) => {
            Err(format!("{text} contains illegal character sequences\n"))
        }
        "pve-lxc-dev-string" if !text.starts_with("/dev/") => {
            Err(format!("{text} has to be a path below /dev\n"))
        }
        "storage-pair" if !text.split(':').all(|part| part == "1" || storage_id(part)) => {
            Err(format!("invalid storage mapping '{text}'\n"))
        }
        named if named.starts_with("pve-qm-") || named == "pve-vm-cpu-conf" => {
            property_string(named, path, text).map(|_| ())
        }
        _ => Ok(()),
    }
}

/// 100 … 999999999 without leading zero.
fn vmid(text: &str) -> bool {
    (3..=9).contains(&text.len())
        && !text.starts_with('0')
        && text.bytes().all(|b| b.is_ascii_digit())
}

fn host_label(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Names of zones and vnets: short, since they become names of bridges.
fn sdn_id(wanted: &str, text: &str) -> Result<(), String> {
    let what = if wanted.contains("zone") { "zone" } else { "vnet" };
    if !sdn_name(text) || text.contains(['-', '_']) {
        return Err(format!("{what} ID '{text}' contains illegal characters\n"));
    }
    if text.len() > 8 {
        return Err(format!("{what} ID '{text}' can't be more length than 8 characters\n"));
    }
    Ok(())
}

fn sdn_name(text: &str) -> bool {
    text.len() >= 2
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}

/// A Linux interface name, with an alias or VLAN number at most.
fn iface(text: &str) -> bool {
    let (stem, number) = match text.split_once([':', '.']) {
        Some((stem, number)) => (stem, Some(number)),
        None => (text, None),
    };
    (2..=21).contains(&stem.len())
        && stem.starts_with(|c: char| c.is_ascii_lowercase())
        && stem.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && number.is_none_or(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// `24` or `255.255.255.0`.
fn mask4(text: &str) -> bool {
    match text.parse::<Ipv4Addr>() {
        Ok(mask) => u32::from(mask).leading_ones() == u32::from(mask).count_ones(),
        Err(_) => text.parse::<u8>().is_ok_and(|n| (1..=32).contains(&n)),
    }
}

/// `7` or `2-4094`.
fn vlan_range(text: &str) -> bool {
    let id = |t: &str| t.parse::<u16>().ok().filter(|n| (1..=4094).contains(n));
    match text.split_once('-') {
        Some((from, to)) => matches!((id(from), id(to)), (Some(a), Some(b)) if a < b),
        None => id(text).is_some(),
    }
}

fn mac(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    parts.len() == 6
        && parts.iter().all(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))
        && parts.first().and_then(|p| u8::from_str_radix(p, 16).ok()).is_some_and(|b| b & 1 == 0)
}

fn cidr4(text: &str) -> bool {
    text.split_once('/').is_some_and(|(ip, len)| {
        ip.parse::<Ipv4Addr>().is_ok() && len.parse::<u8>().is_ok_and(|n| (1..=32).contains(&n))
    })
}

fn cidr6(text: &str) -> bool {
    text.split_once('/').is_some_and(|(ip, len)| {
        ip.parse::<Ipv6Addr>().is_ok() && len.parse::<u8>().is_ok_and(|n| (1..=128).contains(&n))
    })
}

fn address(text: &str) -> bool {
    let bare = text.split('%').next().unwrap_or_default();
    text == "host" || bare.parse::<std::net::IpAddr>().is_ok()
}

/// A tag starts with a letter, digit or underscore.
fn tag(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-+.".contains(&b))
}

fn startup(text: &str) -> bool {
    text.split(',').all(|part| {
        let (key, value) = part.split_once('=').unwrap_or(("order", part));
        matches!(key, "order" | "up" | "down")
            && !value.is_empty()
            && value.bytes().all(|b| b.is_ascii_digit())
    })
}

fn realm(text: &str) -> bool {
    text.len() >= 2
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
}

fn urlencoded(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic())
}

/// At least two characters, the first a letter (measured: `a` is refused).
pub(crate) fn configid(text: &str) -> bool {
    text.len() >= 2
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}

fn storage_id(text: &str) -> bool {
    text.len() >= 2
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

fn pool_id(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b))
        && !text.starts_with('/')
        && !text.ends_with('/')
        && text.split('/').count() <= 3
}

fn userid(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(name, at)| {
        !name.is_empty() && !name.contains([':', '/', ' ', '\n']) && realm(at)
    })
}

fn volume_id(text: &str) -> bool {
    text.split_once(':').is_some_and(|(store, rest)| storage_id(store) && !rest.is_empty())
}

fn path_or_volume(text: &str) -> bool {
    text.starts_with('/') || volume_id(text)
}

fn content(text: &str) -> bool {
    matches!(
        text,
        "images" | "rootdir" | "vztmpl" | "iso" | "backup" | "snippets" | "import" | "none"
    )
}

fn mount_path(text: &str) -> bool {
    !text.split('/').any(|part| matches!(part, "." | ".."))
}

/// `8G`, `512M`, `0.5T` in bytes; a bare number is bytes.
pub(crate) fn disk_size(text: &str) -> Option<u64> {
    let (digits, unit) = match text.char_indices().last()? {
        (at, c) if c.is_ascii_alphabetic() => (text.get(..at)?, c),
        _ => (text, 'B'),
    };
    let factor: f64 = match unit {
        'B' => 1.0,
        'K' => 1024.0,
        'M' => 1024.0 * 1024.0,
        'G' => 1024.0 * 1024.0 * 1024.0,
        'T' => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let number: f64 = digits.parse().ok()?;
    (number >= 0.0).then_some((number * factor) as u64)
}
