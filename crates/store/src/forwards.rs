//! Port forwards that were asked for, and what removed ones have left. One place of a node leads to one guest: the table
//! refuses a second one.
//!
//! A forward goes from the list and onto that of leftovers in one transaction: whoever stops in between forgets nothing.

use std::collections::BTreeMap;
use std::net::IpAddr;

use gantry_core::forward::{Confirmed, FORWARDS_MAX, Family, ForwardSpec, KeptForward, Proto};
use gantry_core::id::{ClusterId, ForwardId, NodeName, Vmid};

use crate::error::StoreError;
use crate::pool::{Fail, Row, Tx, Value, args};
use crate::sql;
use crate::store::Store;

/// What a removed forward has left on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Which forward; its rule is found by that.
    pub forward: ForwardId,
    /// In which cluster.
    pub cluster: ClusterId,
    /// On which node its line may still be.
    pub node: NodeName,
    /// The guest whose firewall may still have its rule.
    pub vmid: Vmid,
    /// That guest's name.
    pub name: String,
    /// Whether the rule is still to be removed.
    pub ruled: bool,
}

/// The address as it is kept; empty is every address.
fn listen(spec: &ForwardSpec) -> String {
    spec.listen.map(|a| a.to_string()).unwrap_or_default()
}

fn place(spec: &ForwardSpec) -> Vec<Value> {
    args![
        &spec.cluster,
        spec.node.as_str(),
        spec.proto.as_str(),
        spec.family.as_str(),
        listen(spec),
        i64::from(spec.port),
    ]
}

fn row(forward: &KeptForward) -> Vec<Value> {
    let spec = &forward.spec;
    let mut all = args![forward.id.as_str()];
    all.extend(place(spec));
    all.extend(args![
        i64::from(spec.vmid.get()),
        spec.name.as_str(),
        i64::from(spec.target_port),
        forward.created_by.as_str(),
        forward.created_ms,
        forward.port.as_deref(),
        forward.pinned.map(|a| a.to_string()),
    ]);
    all
}

impl Store {
    /// Keeps a forward. The one that listens at the same place already, where that is another one; keeping the very
    /// same again is fine.
    pub async fn add_forward(
        &self,
        forward: &KeptForward,
    ) -> Result<Option<KeptForward>, StoreError> {
        self.call(format!("keep the forward {}", forward.id), async {
            self.pool.write(sql::FORWARD_INSERT, row(forward)).await?;
            let there = self.pool.row(sql::FORWARD_AT, place(&forward.spec)).await?;
            let there = there.as_ref().map(read).transpose()?;
            Ok(there.filter(|other| other.id != forward.id))
        })
        .await
    }

    /// A forward by its id.
    pub async fn find_forward(&self, id: &ForwardId) -> Result<Option<KeptForward>, StoreError> {
        self.call(format!("read the forward {id}"), async {
            let row = self.pool.row(sql::FORWARD_FIND, args![id.as_str()]).await?;
            row.as_ref().map(read).transpose()
        })
        .await
    }

    /// All forwards, or those of one cluster, by node and port.
    pub async fn list_forwards(
        &self,
        cluster: Option<&ClusterId>,
    ) -> Result<Vec<KeptForward>, StoreError> {
        self.call("list the forwards", async {
            let args = args![cluster.map(ClusterId::as_str)];
            let rows = self.pool.rows(sql::FORWARDS_LIST, args).await?;
            rows.iter().map(read).collect()
        })
        .await
    }

    /// Keeps the address that a port of a pod was first seen with. `false`: it has one already, or is gone.
    pub async fn pin_forward(&self, id: &ForwardId, to: IpAddr) -> Result<bool, StoreError> {
        self.call(format!("keep the address of the forward {id}"), async {
            let args = args![id.as_str(), to.to_string()];
            Ok(self.pool.write(sql::FORWARD_PIN, args).await? == 1)
        })
        .await
    }

    /// Keeps what was confirmed anew of a forward; the same again is fine. Where it listens elsewhere from now on, its
    /// line on the old node is left over. `false`: it is gone, or another one listens at its new place.
    pub async fn confirm_forward(&self, new: &Confirmed) -> Result<bool, StoreError> {
        self.call(format!("keep what was confirmed of the forward {}", new.id), async {
            let mut tx = self.pool.begin().await?;
            let (id, node) = (new.id.as_str(), new.node.as_str());
            tx.write(sql::LEFTOVER_MOVED, args![id, node]).await?;
            let pinned = new.pinned.map(|a| a.to_string());
            let args = args![id, node, pinned, new.name.as_deref()];
            if tx.write(sql::FORWARD_CONFIRM, args).await? != 1 {
                return Ok(false);
            }
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Forgets a forward; its line and its rule are left over. `false`: there was none.
    pub async fn remove_forward(&self, id: &ForwardId) -> Result<bool, StoreError> {
        self.call(format!("forget the forward {id}"), async {
            let mut tx = self.pool.begin().await?;
            let gone = remove(&mut tx, id).await?;
            tx.commit().await?;
            Ok(gone)
        })
        .await
    }

    /// Forgets every forward to a guest that is gone with its firewall; their lines are left over. How many there were.
    pub async fn remove_forwards_to(
        &self,
        cluster: &ClusterId,
        vmid: Vmid,
    ) -> Result<u64, StoreError> {
        self.call(format!("forget the forwards to {cluster}/{vmid}"), async {
            let mut tx = self.pool.begin().await?;
            let args = || args![cluster, i64::from(vmid.get())];
            tx.write(sql::LEFTOVERS_GONE, args()).await?;
            let gone = tx.write(sql::FORWARDS_REMOVE_TO, args()).await?;
            tx.commit().await?;
            Ok(gone)
        })
        .await
    }

    /// Notes that the firewall rule of a forward is there.
    pub async fn note_forward_rule(&self, id: &ForwardId, now_ms: i64) -> Result<(), StoreError> {
        self.call(format!("note the firewall rule of the forward {id}"), async {
            self.pool.write(sql::FORWARD_RULED, args![id.as_str(), now_ms]).await?;
            Ok(())
        })
        .await
    }

    /// Forwards whose firewall rule is still to be put in.
    pub async fn forwards_without_rule(
        &self,
        cluster: &ClusterId,
    ) -> Result<Vec<ForwardId>, StoreError> {
        self.call("list the forwards without a firewall rule", async {
            let rows = self.pool.rows(sql::FORWARDS_UNRULED, args![cluster]).await?;
            rows.iter().map(|row| row.parsed("id")).collect()
        })
        .await
    }

    /// Notes that a guest was made anew: its firewall has no rule of the forwards to it.
    pub async fn forget_forward_rules(
        &self,
        cluster: &ClusterId,
        vmid: Vmid,
    ) -> Result<u64, StoreError> {
        self.call(format!("note the firewall rules of {cluster}/{vmid}"), async {
            let args = args![cluster, i64::from(vmid.get())];
            Ok(self.pool.write(sql::FORWARDS_UNRULE, args).await?)
        })
        .await
    }

    /// What removed forwards have left in a cluster, by node.
    pub async fn list_leftovers(&self, cluster: &ClusterId) -> Result<Vec<Leftover>, StoreError> {
        self.call("list what removed forwards have left", async {
            let rows = self.pool.rows(sql::LEFTOVERS_LIST, args![cluster]).await?;
            rows.iter()
                .map(|row| {
                    Ok(Leftover {
                        forward: row.parsed("forward_id")?,
                        cluster: row.parsed("cluster")?,
                        node: row.parsed("node")?,
                        vmid: row.vmid("vmid")?,
                        name: row.text("name")?,
                        ruled: row.int("ruled")? == 1,
                    })
                })
                .collect()
        })
        .await
    }

    /// Notes that the rule of a removed forward is gone.
    pub async fn note_rule_gone(&self, id: &ForwardId) -> Result<(), StoreError> {
        self.call(format!("note that the rule of {id} is gone"), async {
            self.pool.write(sql::LEFTOVER_UNRULED, args![id.as_str()]).await?;
            Ok(())
        })
        .await
    }

    /// Notes that the line of a removed forward is gone. One whose rule is still to be removed stays.
    pub async fn forget_leftover(&self, left: &Leftover) -> Result<bool, StoreError> {
        self.call(format!("note that {} has left nothing", left.forward), async {
            let args = args![left.forward.as_str(), left.node.as_str()];
            Ok(self.pool.write(sql::LEFTOVER_FORGET, args).await? == 1)
        })
        .await
    }

    /// Makes the forwards that come from a pod's specification those in `wanted`; forwards that were asked for by
    /// themselves stay. Those that could not be kept because their place is taken or their node is full, each with who
    /// has its place.
    pub async fn set_pod_forwards(
        &self,
        cluster: &ClusterId,
        vmid: Vmid,
        wanted: &[KeptForward],
    ) -> Result<Vec<(KeptForward, Option<KeptForward>)>, StoreError> {
        self.call(format!("keep the forwards to {cluster}/{vmid}"), async {
            let mut tx = self.pool.begin().await?;
            let rows = tx.rows(sql::FORWARDS_LIST, args![cluster.as_str()]).await?;
            let there = rows.iter().map(read).collect::<Result<Vec<_>, Fail>>()?;
            let same = |a: &KeptForward, b: &KeptForward| (&a.spec, &a.port) == (&b.spec, &b.port);
            let own = |k: &&KeptForward| k.spec.vmid == vmid && k.port.is_some();
            for old in there.iter().filter(own) {
                if !wanted.iter().any(|w| same(w, old)) {
                    remove(&mut tx, &old.id).await?;
                }
            }
            let mut taken = Vec::new();
            let stays = |k: &&KeptForward| !own(k) || wanted.iter().any(|w| same(w, k));
            let mut nodes: BTreeMap<&NodeName, usize> = BTreeMap::new();
            for old in there.iter().filter(stays) {
                *nodes.entry(&old.spec.node).or_default() += 1;
            }
            for new in wanted {
                if there.iter().any(|old| same(old, new)) {
                    continue;
                }
                let count = nodes.entry(&new.spec.node).or_default();
                if *count >= FORWARDS_MAX {
                    taken.push((new.clone(), None));
                    continue;
                }
                *count += 1;
                tx.write(sql::FORWARD_INSERT, row(new)).await?;
                let at = tx.row(sql::FORWARD_AT, place(&new.spec)).await?;
                let at = at.as_ref().map(read).transpose()?;
                if let Some(other) = at.filter(|other| other.id != new.id) {
                    taken.push((new.clone(), Some(other)));
                }
            }
            tx.commit().await?;
            Ok(taken)
        })
        .await
    }
}

/// Takes a forward off the list; its line and its rule are left over. `false`: there was none.
async fn remove(tx: &mut Tx, id: &ForwardId) -> Result<bool, Fail> {
    tx.write(sql::LEFTOVER_REMOVED, args![id.as_str()]).await?;
    Ok(tx.write(sql::FORWARD_REMOVE, args![id.as_str()]).await? == 1)
}

fn read(row: &Row) -> Result<KeptForward, Fail> {
    let id: ForwardId = row.parsed("id")?;
    let bad = |what: &str| Fail::Row(format!("the forward {id} has a {what} that is none"));
    let port =
        |name: &str| -> Result<u16, Fail> { u16::try_from(row.int(name)?).map_err(|_| bad(name)) };
    let proto = match row.text("proto")?.as_str() {
        "tcp" => Proto::Tcp,
        "udp" => Proto::Udp,
        _ => return Err(bad("protocol")),
    };
    let family = match row.text("family")?.as_str() {
        "ipv4" => Family::Ipv4,
        "ipv6" => Family::Ipv6,
        _ => return Err(bad("family")),
    };
    let listen = match row.text("listen_address")?.as_str() {
        "" => None,
        address => Some(address.parse::<IpAddr>().map_err(|_| bad("address"))?),
    };
    let pinned = row.text_opt("pinned")?.map(|a| a.parse::<IpAddr>()).transpose();
    let vmid = u32::try_from(row.int("vmid")?).map_err(|_| bad("vmid"))?;
    Ok(KeptForward {
        spec: ForwardSpec {
            cluster: row.parsed("cluster")?,
            node: row.parsed("node")?,
            proto,
            family,
            listen,
            port: port("listen_port")?,
            vmid: vmid.try_into().map_err(|_| bad("vmid"))?,
            name: row.text("name")?,
            target_port: port("target_port")?,
        },
        port: row.text_opt("port_name")?,
        pinned: pinned.map_err(|_| bad("address"))?,
        created_by: row.text("created_by")?,
        created_ms: row.int("created_ms")?,
        id,
    })
}
