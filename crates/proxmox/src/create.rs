//! The request that creates a container, typed: what cannot be written down safely is refused before it is sent.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use gantry_core::id::{StorageId, Vmid};
use secrecy::{ExposeSecret, Secret};

use crate::error::Error;
use crate::form::{Form, PropertyString};

/// A volume id: `storage:name`. An allow-list grammar, because it reaches a file system on the node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Volid(String);

/// Longest volume id that is passed on; Proxmox's own paths are far shorter.
const VOLID_MAX: usize = 255;

impl Volid {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Volid {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || Error::refused("volume", "must look like storage:path/name");
        let (storage, name) = text.split_once(':').ok_or_else(bad)?;
        storage.parse::<StorageId>().map_err(|_| bad())?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+@~".contains(c);
        // A Proxmox Backup Server snapshot ends in a time, the only place where a second colon stands.
        let is_time = |s: &str| s.len() == 20 && s.ends_with('Z') && s.contains('T');
        let segments_ok = name.split('/').all(|part| {
            !part.is_empty()
                && part != "."
                && !part.contains("..")
                && part.chars().all(|c| plain(c) || (c == ':' && is_time(part)))
        });
        if text.len() > VOLID_MAX || !segments_ok {
            return Err(bad());
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Volid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the root file system goes, and how large it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootFs {
    /// The storage; must hold `rootdir`.
    pub storage: StorageId,
    /// Size in GiB.
    pub size_gib: u32,
}

/// One volume of a container besides its root disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPoint {
    /// What is mounted.
    pub source: MountSource,
    /// Where inside: an absolute path.
    pub path: String,
    /// Whether backups hold it.
    pub backup: bool,
    /// Whether nothing may be written to it.
    pub read_only: bool,
}

/// What a mount point mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountSource {
    /// A new volume, made and formatted with the container, which owns it.
    New {
        /// The storage; must hold `rootdir`.
        storage: StorageId,
        /// Size in GiB.
        size_gib: u32,
    },
    /// An existing volume. One whose name says another owner is not deleted with this container
    /// (`PVE::LXC::delete_mountpoint_volume`).
    Existing(Volid),
}

impl MountPoint {
    /// As `local-lvm:8,mp=/data,backup=1`.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a value could be read as something else.
    pub fn encode(&self) -> Result<PropertyString, Error> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        if !self.path.starts_with('/') || self.path.contains("..") || !self.path.chars().all(plain)
        {
            return Err(Error::refused("mp", "must be an absolute path without .."));
        }
        let volume = match &self.source {
            MountSource::New { storage, size_gib } => format!("{storage}:{size_gib}"),
            MountSource::Existing(volid) => volid.to_string(),
        };
        let mut out = PropertyString::starting_with("mp", &volume)?;
        out.set("mp", &self.path)?;
        if self.backup {
            out.set("backup", 1)?;
        }
        if self.read_only {
            out.set("ro", 1)?;
        }
        Ok(out)
    }
}

/// One network interface of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetIf {
    /// Name inside, for example `eth0`.
    pub name: String,
    /// Bridge outside, for example `vmbr0`.
    pub bridge: Option<String>,
    /// `dhcp`, `manual` or `10.0.0.5/24`.
    pub ip: Option<String>,
    /// IPv4 gateway.
    pub gw: Option<Ipv4Addr>,
    /// `auto`, `dhcp`, `manual` or an address with prefix length.
    pub ip6: Option<String>,
    /// IPv6 gateway.
    pub gw6: Option<Ipv6Addr>,
    /// VLAN, 1 to 4094.
    pub tag: Option<u16>,
    /// Whether the guest firewall applies.
    pub firewall: Option<bool>,
    /// Largest packet, 64 to 65535.
    pub mtu: Option<u16>,
    /// Hardware address; left out: Proxmox makes one up.
    pub hwaddr: Option<String>,
}

impl NetIf {
    /// As `name=eth0,bridge=vmbr0,…`.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a value could be read as something else.
    pub fn encode(&self) -> Result<PropertyString, Error> {
        let word = |key: &str, value: &str| {
            let ok = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if value.is_empty() || value.len() > 64 || !value.chars().all(ok) {
                return Err(Error::refused(key, "only letters, digits, -, _ and . are possible"));
            }
            Ok(())
        };
        word("name", &self.name)?;
        let mut out = PropertyString::new();
        out.set("name", &self.name)?;
        if let Some(bridge) = &self.bridge {
            word("bridge", bridge)?;
            out.set("bridge", bridge)?;
        }
        if let Some(ip) = &self.ip {
            if !matches!(ip.as_str(), "dhcp" | "manual") && !is_cidr::<Ipv4Addr>(ip, 32) {
                return Err(Error::refused(
                    "ip",
                    "must be dhcp, manual or an address like 10.0.0.5/24",
                ));
            }
            out.set("ip", ip)?;
        }
        if let Some(gw) = self.gw {
            out.set("gw", gw)?;
        }
        if let Some(ip6) = &self.ip6 {
            let word = matches!(ip6.as_str(), "auto" | "dhcp" | "manual");
            if !word && !is_cidr::<Ipv6Addr>(ip6, 128) {
                return Err(Error::refused("ip6", "must be auto, dhcp, manual or like fd00::5/64"));
            }
            out.set("ip6", ip6)?;
        }
        if let Some(gw6) = self.gw6 {
            out.set("gw6", gw6)?;
        }
        if let Some(tag) = self.tag {
            out.set("tag", tag)?;
        }
        if let Some(firewall) = self.firewall {
            out.set("firewall", u8::from(firewall))?;
        }
        if let Some(mtu) = self.mtu {
            out.set("mtu", mtu)?;
        }
        if let Some(mac) = &self.hwaddr {
            let octet = |o: &str| o.len() == 2 && o.bytes().all(|b| b.is_ascii_hexdigit());
            if mac.split(':').count() != 6 || !mac.split(':').all(octet) {
                return Err(Error::refused("hwaddr", "must look like 02:00:00:00:00:01"));
            }
            out.set("hwaddr", mac)?;
        }
        Ok(out)
    }
}

fn is_cidr<A: FromStr>(text: &str, max: u8) -> bool {
    text.split_once('/').is_some_and(|(address, bits)| {
        address.parse::<A>().is_ok()
            && bits.bytes().all(|b| b.is_ascii_digit())
            && bits.parse::<u8>().is_ok_and(|b| b <= max)
    })
}

/// `POST /nodes/{node}/lxc`.
#[derive(Debug, Clone)]
pub struct CreateLxc {
    /// Its number; not reserved by anybody until the call is accepted.
    pub vmid: Vmid,
    /// The template.
    pub ostemplate: Volid,
    /// Host name.
    pub hostname: Option<String>,
    /// Root file system.
    pub rootfs: Option<RootFs>,
    /// Further volumes, `mp0` first.
    pub mounts: Vec<MountPoint>,
    /// Cores.
    pub cores: Option<u32>,
    /// Memory in MiB.
    pub memory_mib: Option<u32>,
    /// Swap in MiB.
    pub swap_mib: Option<u32>,
    /// Interfaces, `net0` first.
    pub net: Vec<NetIf>,
    /// Whether root inside is not root outside; sent as `1` unless told otherwise.
    pub unprivileged: bool,
    /// Whether containers may run inside; the only feature a token may set.
    pub nesting: bool,
    /// Password of root, at least 5 characters.
    pub password: Option<Secret<String>>,
    /// Public keys for root, one an entry.
    pub ssh_public_keys: Vec<String>,
    /// The pool it joins.
    pub pool: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Notes.
    pub description: Option<String>,
    /// DNS servers, separated by spaces.
    pub nameserver: Option<String>,
    /// DNS search domain.
    pub searchdomain: Option<String>,
    /// Starts with its node.
    pub onboot: Option<bool>,
    /// Protected against deletion.
    pub protection: Option<bool>,
    /// Starts as soon as it is created.
    pub start: Option<bool>,
    /// Further settings, keys with their text; what stands in a field above must not stand here again.
    pub settings: Vec<(String, String)>,
}

impl CreateLxc {
    /// An unprivileged container with everything else left to Proxmox.
    pub fn new(vmid: Vmid, ostemplate: Volid) -> Self {
        Self {
            vmid,
            ostemplate,
            hostname: None,
            rootfs: None,
            mounts: Vec::new(),
            cores: None,
            memory_mib: None,
            swap_mib: None,
            net: Vec::new(),
            unprivileged: true,
            nesting: false,
            password: None,
            ssh_public_keys: Vec::new(),
            pool: None,
            tags: Vec::new(),
            description: None,
            nameserver: None,
            searchdomain: None,
            onboot: None,
            protection: None,
            start: None,
            settings: Vec::new(),
        }
    }

    /// Whether a field is left to say `key`, because the further settings do not.
    fn said(&self, key: &str) -> bool {
        !self.settings.iter().any(|(k, _)| k == key)
    }

    /// The parameters as sent.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a value could be read as something else than it says.
    pub fn form(&self) -> Result<Form, Error> {
        let mut form =
            Form::new().with("vmid", self.vmid).with("ostemplate", self.ostemplate.as_str());
        if let Some(name) = &self.hostname {
            let label = |l: &str| {
                !l.is_empty()
                    && l.len() <= 63
                    && !l.starts_with('-')
                    && !l.ends_with('-')
                    && l.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            };
            if name.len() > 255 || !name.split('.').all(label) {
                return Err(Error::refused("hostname", "must be a DNS name"));
            }
            form.push("hostname", name);
        }
        if let Some(rootfs) = &self.rootfs {
            let volume = format!("{}:{}", rootfs.storage, rootfs.size_gib);
            form.push("rootfs", PropertyString::starting_with("rootfs", &volume)?);
        }
        for tag in &self.tags {
            let ok = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
            if tag.is_empty() || !tag.chars().all(ok) {
                return Err(Error::refused(
                    "tags",
                    "a tag is made of letters, digits, -, _, . and +",
                ));
            }
        }
        for key in &self.ssh_public_keys {
            if key.chars().any(char::is_control) {
                return Err(Error::refused("ssh-public-keys", "one key is one line"));
            }
        }
        let keys = (!self.ssh_public_keys.is_empty()).then(|| self.ssh_public_keys.join("\n"));
        let tags = (!self.tags.is_empty()).then(|| self.tags.join(";"));
        let password = self.password.as_ref().map(|p| p.expose_secret().as_str());
        for (n, mount) in self.mounts.iter().enumerate() {
            form.push(&format!("mp{n}"), mount.encode()?);
        }
        for (n, net) in self.net.iter().enumerate() {
            form.push(&format!("net{n}"), net.encode()?);
        }
        for (key, value) in &self.settings {
            check_setting(key, value)?;
            form.push(key, value);
        }
        Ok(form
            .with_some("cores", self.cores)
            .with_some("memory", self.memory_mib)
            .with_some("swap", self.swap_mib)
            .with_flag("unprivileged", self.said("unprivileged").then_some(self.unprivileged))
            .with_some("features", self.nesting.then_some("nesting=1"))
            .with_some("password", password)
            .with_some("ssh-public-keys", keys)
            .with_some("pool", self.pool.as_deref())
            .with_some("tags", tags)
            .with_some("description", self.description.as_deref())
            .with_some("nameserver", self.nameserver.as_deref())
            .with_some("searchdomain", self.searchdomain.as_deref())
            .with_flag("onboot", self.onboot)
            .with_flag("protection", self.protection)
            .with_flag("start", self.start))
    }
}

/// Settings by name: an allow-list grammar for the key, one line for the value. Variables of `env` are separated by NUL.
fn check_setting(key: &str, value: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if key.is_empty() || !key.chars().all(plain) || matches!(key, "lock" | "restore" | "force") {
        return Err(Error::refused(key, "is not the name of a setting"));
    }
    let ok = |c: char| !c.is_control() || (c == '\0' && key == "env");
    if !value.chars().all(ok) {
        return Err(Error::refused(key, "is one line"));
    }
    Ok(())
}
