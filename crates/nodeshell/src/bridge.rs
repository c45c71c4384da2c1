//! A bridge as the kernel has it, read from `ip -d -j`, and what of it is set again at boot.

use serde::Deserialize;

use crate::answer::{Answer, Unreadable};

/// A bridge as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeState {
    /// Its name.
    pub name: String,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// Whether it runs the spanning tree protocol.
    pub stp: bool,
    /// Whether it filters VLANs.
    pub vlan_filtering: bool,
    /// Whether it follows multicast memberships.
    pub mcast_snooping: bool,
    /// Its ports.
    pub ports: Vec<PortState>,
    /// What was set through gantry and is set again at boot. Where it differs from the above, somebody else changed
    /// it, or an apply of the node's network did: Proxmox writes `bridge-stp off`.
    pub kept: Vec<Kept>,
}

/// A port of a bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortState {
    /// Its name.
    pub name: String,
    /// Does not reach other isolated ports.
    pub isolated: bool,
    /// The bridge learns addresses at it.
    pub learning: bool,
    /// Frames to unknown addresses leave by it.
    pub flood: bool,
    /// The kernel's word: `forwarding`, `blocking`, `disabled`, …
    pub state: String,
}

/// A setting that is kept: of the bridge when `port` is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The port.
    pub port: Option<String>,
    /// `stp`, `isolated`, …
    pub setting: String,
    /// On or off.
    pub on: bool,
}

#[derive(Deserialize)]
struct RawLink {
    ifname: String,
    #[serde(default)]
    mtu: u32,
    linkinfo: Option<RawInfo>,
}

#[derive(Deserialize)]
struct RawInfo {
    info_data: Option<RawBridge>,
    info_slave_data: Option<RawPort>,
}

#[derive(Deserialize)]
struct RawBridge {
    stp_state: u8,
    vlan_filtering: u8,
    mcast_snooping: u8,
}

#[derive(Deserialize)]
struct RawPort {
    state: String,
    isolated: bool,
    learning: bool,
    flood: bool,
}

/// `ip` prints `[{},{},…]` with empty objects for links that a filter left out.
#[derive(Deserialize)]
#[serde(untagged)]
enum MaybeLink {
    Link(Box<RawLink>),
    Empty {},
}

impl BridgeState {
    pub(crate) fn read(text: &str) -> Result<Self, Unreadable> {
        let answer = Answer::read(text);
        let [bridge] = <[RawLink; 1]>::try_from(links(&answer, "bridge")?)
            .map_err(|_| Unreadable("not one bridge".to_owned()))?;
        let data = bridge
            .linkinfo
            .and_then(|info| info.info_data)
            .ok_or_else(|| Unreadable("no facts of the bridge".to_owned()))?;
        let port = |link: RawLink| {
            let data = link.linkinfo?.info_slave_data?;
            Some(PortState {
                name: link.ifname,
                isolated: data.isolated,
                learning: data.learning,
                flood: data.flood,
                state: data.state,
            })
        };
        Ok(Self {
            name: bridge.ifname,
            mtu: bridge.mtu,
            stp: data.stp_state != 0,
            vlan_filtering: data.vlan_filtering != 0,
            mcast_snooping: data.mcast_snooping != 0,
            ports: links(&answer, "ports")?.into_iter().filter_map(port).collect(),
            kept: answer.all("kept").filter_map(kept).collect(),
        })
    }

    /// A port by name.
    pub fn port(&self, name: &str) -> Option<&PortState> {
        self.ports.iter().find(|p| p.name == name)
    }
}

fn links(answer: &Answer<'_>, word: &str) -> Result<Vec<RawLink>, Unreadable> {
    let all: Vec<MaybeLink> = answer.json(word)?;
    let link = |l| match l {
        MaybeLink::Link(link) => Some(*link),
        MaybeLink::Empty {} => None,
    };
    Ok(all.into_iter().filter_map(link).collect())
}

fn kept(rest: &str) -> Option<Kept> {
    let words: Vec<&str> = rest.split(' ').collect();
    match words[..] {
        ["bridge", setting, value] => {
            Some(Kept { port: None, setting: setting.to_owned(), on: value == "on" })
        }
        ["port", port, setting, value] => Some(Kept {
            port: Some(port.to_owned()),
            setting: setting.to_owned(),
            on: value == "on",
        }),
        _ => None,
    }
}
