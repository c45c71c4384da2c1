//! Update messages out, answers in: between gantry's records and the wire format of RFC 1035 and RFC 2136.

use std::collections::BTreeSet;

use domain::base::iana::{Class, Opcode, Rtype};
use domain::base::message_builder::{AdditionalBuilder, MessageBuilder, PushError, TreeCompressor};
use domain::base::rdata::UnknownRecordData;
use domain::base::{Message, Name as WireName, ParsedName, ToName as _, Ttl};
use domain::rdata::AllRecordData;
use gantry_core::dns::{Change, Data, Key, Kind, Name, Set, Sets};

use super::is_plain;

/// Longest message (RFC 1035 §4.2.2: two octets of length).
pub(super) const MESSAGE_MAX: usize = 65_535;
/// Left free for the signature: name, algorithm, 64 octets of HMAC-SHA512 and the rest.
const SIGNATURE_ROOM: usize = 512;

/// A message under construction, for the signer.
pub(super) type Draft = AdditionalBuilder<TreeCompressor<Vec<u8>>>;

/// One record of a message: owner, class, TTL, kind, content.
type Line = (Name, Class, u32, Rtype, Vec<u8>);

/// An UPDATE message: conditions first, then what to do.
pub(super) struct Update {
    zone: Name,
    conditions: Vec<Line>,
    updates: Vec<Line>,
    /// Names that were said not to be aliases.
    no_alias: BTreeSet<Name>,
}

impl Update {
    /// Asks for nothing, yet.
    pub(super) fn new(zone: &Name) -> Self {
        let (conditions, updates) = (Vec::new(), Vec::new());
        Self { zone: zone.clone(), conditions, updates, no_alias: BTreeSet::new() }
    }

    /// “RRset exists (value independent)”, RFC 2136 §2.4.1.
    pub(super) fn must_exist(&mut self, key: &Key) {
        self.condition(Class::ANY, key, key.kind, Vec::new());
    }

    /// The set has to be as it was read; then single records go and come (§2.5.4, §2.5.1), so that what somebody else
    /// has beside them is not even mentioned.
    pub(super) fn change(&mut self, change: &Change) {
        let key = &change.key;
        match &change.before {
            // “RRset exists (value dependent)”, §2.4.2. Records gantry cannot write cannot be compared.
            Some(before) if before.data.iter().all(is_plain) => {
                for data in &before.data {
                    self.condition(Class::IN, key, key.kind, content(data).unwrap_or_default());
                }
            }
            Some(_) => self.must_exist(key),
            // “RRset does not exist”, §2.4.3; and no alias, beside which a server would drop the record in silence.
            None => {
                self.condition(Class::NONE, key, key.kind, Vec::new());
                if self.no_alias.insert(key.name.clone()) {
                    self.condition(Class::NONE, key, Kind::Cname, Vec::new());
                }
            }
        }
        for content in change.removed().filter_map(content) {
            self.updates.push((key.name.clone(), Class::NONE, 0, kind_code(key.kind), content));
        }
        let Some(after) = &change.after else { return };
        let ttl_changes = change.before.as_ref().is_some_and(|b| b.ttl_s != after.ttl_s);
        let added: BTreeSet<&Data> = change.added().collect();
        for data in after.data.iter().filter(|d| ttl_changes || added.contains(d)) {
            let Some(content) = content(data) else { continue };
            if ttl_changes && !added.contains(data) {
                // Said again to get the new TTL. Away first: Knot ignores what is there already.
                let line = (key.name.clone(), Class::NONE, 0, kind_code(key.kind), content.clone());
                self.updates.push(line);
            }
            let line = (key.name.clone(), Class::IN, after.ttl_s, kind_code(key.kind), content);
            self.updates.push(line);
        }
    }

    fn condition(&mut self, class: Class, key: &Key, kind: Kind, content: Vec<u8>) {
        self.conditions.push((key.name.clone(), class, 0, kind_code(kind), content));
    }

    /// The message, to be signed. Fails where it would be too long.
    pub(super) fn draft(&self, id: u16) -> Result<Draft, TooLong> {
        let mut builder = builder(id)?;
        builder.header_mut().set_opcode(Opcode::UPDATE);
        let mut builder = builder.question();
        builder.push((wire_name(&self.zone)?, Rtype::SOA, Class::IN))?;
        let mut builder = builder.answer();
        for line in &self.conditions {
            builder.push(record(line)?)?;
        }
        let mut builder = builder.authority();
        for line in &self.updates {
            builder.push(record(line)?)?;
        }
        Ok(builder.additional())
    }
}

/// A question for `name`, with room for larger answers over UDP (RFC 6891).
pub(super) fn question(id: u16, name: &Name, kind: Rtype, udp: u16) -> Result<Draft, TooLong> {
    let mut builder = builder(id)?.question();
    builder.push((wire_name(name)?, kind, Class::IN))?;
    let mut builder = builder.additional();
    builder.opt(|opt| {
        opt.set_udp_payload_size(udp);
        Ok(())
    })?;
    Ok(builder)
}

/// The message would not fit.
#[derive(Debug)]
pub(super) struct TooLong;

impl From<PushError> for TooLong {
    fn from(_: PushError) -> Self {
        Self
    }
}

fn builder(id: u16) -> Result<MessageBuilder<TreeCompressor<Vec<u8>>>, TooLong> {
    let target = TreeCompressor::new(Vec::new());
    let mut builder = MessageBuilder::from_target(target).map_err(|_| TooLong)?;
    builder.set_push_limit(MESSAGE_MAX - SIGNATURE_ROOM);
    builder.header_mut().set_id(id);
    Ok(builder)
}

fn wire_name(name: &Name) -> Result<WireName<Vec<u8>>, TooLong> {
    name.as_str().parse().map_err(|_| TooLong)
}

type WireRecord = (WireName<Vec<u8>>, Class, Ttl, UnknownRecordData<Vec<u8>>);

fn record((name, class, ttl_s, kind, content): &Line) -> Result<WireRecord, TooLong> {
    let data = UnknownRecordData::from_octets(*kind, content.clone()).map_err(|_| TooLong)?;
    Ok((wire_name(name)?, *class, Ttl::from_secs(*ttl_s), data))
}

/// The content of a record on the wire; nothing for one that gantry does not write.
fn content(data: &Data) -> Option<Vec<u8>> {
    let name = |name: &Name| wire_name(name).ok().map(|n| n.as_slice().to_vec());
    match data {
        Data::A(a) => Some(a.octets().to_vec()),
        Data::Aaaa(a) => Some(a.octets().to_vec()),
        Data::Ptr(target) => name(target),
        Data::Srv { priority, weight, port, target } => {
            let numbers = [priority, weight, port].into_iter().flat_map(|n| n.to_be_bytes());
            Some(numbers.chain(name(target)?).collect())
        }
        Data::Txt(strings) => {
            let mut out = Vec::new();
            for text in strings {
                out.push(u8::try_from(text.len()).ok()?);
                out.extend_from_slice(text.as_bytes());
            }
            Some(out)
        }
        Data::Other(..) => None,
    }
}

/// The number of a kind.
pub(super) fn kind_code(kind: Kind) -> Rtype {
    match kind {
        Kind::A => Rtype::A,
        Kind::Aaaa => Rtype::AAAA,
        Kind::Cname => Rtype::CNAME,
        Kind::Ptr => Rtype::PTR,
        Kind::Srv => Rtype::SRV,
        Kind::Txt => Rtype::TXT,
    }
}

/// The set that was asked for, and an alias at its name. What an alias leads to is not looked at.
pub(super) fn records(answer: &Message<Vec<u8>>, key: &Key) -> Result<Sets, String> {
    let owner = wire_name(&key.name).map_err(|_| "a name is too long".to_owned())?;
    let mut out = Sets::new();
    for record in answer.answer().map_err(|e| e.to_string())? {
        let record = record.map_err(|e| e.to_string())?;
        if !record.owner().name_eq(&owner) || record.class() != Class::IN {
            continue;
        }
        let kind = match record.rtype() {
            Rtype::CNAME => Kind::Cname,
            rtype if rtype == kind_code(key.kind) => key.kind,
            _ => continue,
        };
        let ttl_s = record.ttl().as_secs();
        let parsed = record
            .to_any_record::<AllRecordData<&[u8], ParsedName<&[u8]>>>()
            .map_err(|e| e.to_string())?;
        let key = Key { name: key.name.clone(), kind };
        let set = out.entry(key).or_insert_with(|| Set { ttl_s, data: BTreeSet::new() });
        set.data.insert(data(kind, parsed.data()));
    }
    Ok(out)
}

fn data(kind: Kind, data: &AllRecordData<&[u8], ParsedName<&[u8]>>) -> Data {
    let known = match data {
        AllRecordData::A(a) => Some(Data::A(a.addr())),
        AllRecordData::Aaaa(a) => Some(Data::Aaaa(a.addr())),
        AllRecordData::Ptr(ptr) => ptr.ptrdname().to_string().parse().ok().map(Data::Ptr),
        AllRecordData::Srv(srv) => srv.target().to_string().parse().ok().map(|target| Data::Srv {
            priority: srv.priority(),
            weight: srv.weight(),
            port: srv.port(),
            target,
        }),
        AllRecordData::Txt(txt) => txt
            .iter()
            .map(|s| String::from_utf8(s.to_vec()).ok())
            .collect::<Option<Vec<String>>>()
            .map(Data::Txt),
        _ => None,
    };
    known.unwrap_or_else(|| Data::Other(kind, data.to_string()))
}
