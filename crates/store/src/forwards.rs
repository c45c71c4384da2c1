//! Port forwards that were asked for. One place of a node leads to one guest: the table refuses a second one.

use std::net::IpAddr;

use gantry_core::forward::{Confirmed, Family, ForwardSpec, KeptForward, Proto};
use gantry_core::id::{ClusterId, ForwardId, Vmid};

use crate::error::StoreError;
use crate::pool::{Fail, Row, Value, args};
use crate::sql;
use crate::store::Store;

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

    /// Keeps what was confirmed anew of a forward; the same again is fine. `false`: it is gone, or another one listens
    /// at its new place.
    pub async fn confirm_forward(&self, new: &Confirmed) -> Result<bool, StoreError> {
        self.call(format!("keep what was confirmed of the forward {}", new.id), async {
            let pinned = new.pinned.map(|a| a.to_string());
            let args = args![new.id.as_str(), new.node.as_str(), pinned];
            Ok(self.pool.write(sql::FORWARD_CONFIRM, args).await? == 1)
        })
        .await
    }

    /// Forgets a forward. `false`: there was none.
    pub async fn remove_forward(&self, id: &ForwardId) -> Result<bool, StoreError> {
        self.call(format!("forget the forward {id}"), async {
            Ok(self.pool.write(sql::FORWARD_REMOVE, args![id.as_str()]).await? == 1)
        })
        .await
    }

    /// Forgets every forward to a guest; how many there were.
    pub async fn remove_forwards_to(
        &self,
        cluster: &ClusterId,
        vmid: Vmid,
    ) -> Result<u64, StoreError> {
        self.call(format!("forget the forwards to {cluster}/{vmid}"), async {
            let args = args![cluster, i64::from(vmid.get())];
            Ok(self.pool.write(sql::FORWARDS_REMOVE_TO, args).await?)
        })
        .await
    }

    /// Makes the forwards that come from a pod's specification those in `wanted`; forwards that were asked for by
    /// themselves stay. Those that could not be kept because their place is taken, each with who has it.
    pub async fn set_pod_forwards(
        &self,
        cluster: &ClusterId,
        vmid: Vmid,
        wanted: &[KeptForward],
    ) -> Result<Vec<(KeptForward, KeptForward)>, StoreError> {
        self.call(format!("keep the forwards to {cluster}/{vmid}"), async {
            let mut tx = self.pool.begin().await?;
            let rows = tx.rows(sql::FORWARDS_LIST, args![cluster.as_str()]).await?;
            let there = rows.iter().map(read).collect::<Result<Vec<_>, Fail>>()?;
            let same = |a: &KeptForward, b: &KeptForward| (&a.spec, &a.port) == (&b.spec, &b.port);
            let own = |k: &&KeptForward| k.spec.vmid == vmid && k.port.is_some();
            for old in there.iter().filter(own) {
                if !wanted.iter().any(|w| same(w, old)) {
                    tx.write(sql::FORWARD_REMOVE, args![old.id.as_str()]).await?;
                }
            }
            let mut taken = Vec::new();
            for new in wanted {
                if there.iter().any(|old| same(old, new)) {
                    continue;
                }
                tx.write(sql::FORWARD_INSERT, row(new)).await?;
                let at = tx.row(sql::FORWARD_AT, place(&new.spec)).await?;
                let at = at.as_ref().map(read).transpose()?;
                if let Some(other) = at.filter(|other| other.id != new.id) {
                    taken.push((new.clone(), other));
                }
            }
            tx.commit().await?;
            Ok(taken)
        })
        .await
    }
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
