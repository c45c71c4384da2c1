//! Users, tokens, roles and ACLs: who may do what where, privilege separation included.
//!
//! Invariant: a token with separation never has more than its user AND its own ACL give. Called by the
//! dispatcher and by handlers that check in code.

use std::collections::BTreeMap;

use crate::reply::Refusal;

/// Every privilege of the 9.x line; a set of them is a bit mask over this list.
pub(crate) const PRIVILEGES: &[&str] = &[
    "Datastore.Allocate",
    "Datastore.AllocateSpace",
    "Datastore.AllocateTemplate",
    "Datastore.Audit",
    "Group.Allocate",
    "Mapping.Audit",
    "Mapping.Modify",
    "Mapping.Use",
    "Permissions.Modify",
    "Pool.Allocate",
    "Pool.Audit",
    "Realm.Allocate",
    "Realm.AllocateUser",
    "SDN.Allocate",
    "SDN.Audit",
    "SDN.Use",
    "Sys.AccessNetwork",
    "Sys.Audit",
    "Sys.Console",
    "Sys.Incoming",
    "Sys.Modify",
    "Sys.PowerMgmt",
    "Sys.Syslog",
    "User.Modify",
    "VM.Allocate",
    "VM.Audit",
    "VM.Backup",
    "VM.Clone",
    "VM.Config.CDROM",
    "VM.Config.CPU",
    "VM.Config.Cloudinit",
    "VM.Config.Disk",
    "VM.Config.HWType",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.Console",
    "VM.GuestAgent.Audit",
    "VM.GuestAgent.FileRead",
    "VM.GuestAgent.FileSystemMgmt",
    "VM.GuestAgent.FileWrite",
    "VM.GuestAgent.Unrestricted",
    "VM.Migrate",
    "VM.PowerMgmt",
    "VM.Replicate",
    "VM.Snapshot",
    "VM.Snapshot.Rollback",
];

/// The mask of one privilege; zero for an unknown name.
pub(crate) fn privilege(name: &str) -> u64 {
    PRIVILEGES.iter().position(|p| *p == name).map_or(0, |at| 1 << at)
}

/// The mask of several privileges.
pub(crate) fn privileges<'a>(names: impl IntoIterator<Item = &'a str>) -> u64 {
    names.into_iter().fold(0, |mask, name| mask | privilege(name))
}

const ALL: u64 = (1 << PRIVILEGES.len()) - 1;

/// Privileges the demo's bot role has: enough for every operation, nothing on the host itself.
pub(crate) const BOT_ROLE: &[&str] = &[
    "VM.Audit",
    "VM.PowerMgmt",
    "VM.Allocate",
    "VM.Clone",
    "VM.Config.CPU",
    "VM.Config.Memory",
    "VM.Config.Disk",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.Config.Cloudinit",
    "VM.Config.HWType",
    "VM.Config.CDROM",
    "VM.Snapshot",
    "VM.Snapshot.Rollback",
    "VM.Backup",
    "VM.Migrate",
    "VM.GuestAgent.Audit",
    "Datastore.Audit",
    "Datastore.AllocateSpace",
    "Datastore.AllocateTemplate",
    "Sys.Audit",
    "Sys.AccessNetwork",
    "SDN.Audit",
    "SDN.Use",
    "SDN.Allocate",
    "Pool.Audit",
    "Pool.Allocate",
    "Mapping.Use",
];

/// One ACL entry.
#[derive(Debug, Clone)]
pub(crate) struct Acl {
    pub(crate) path: String,
    /// A user (`a@pve`) or a token (`a@pve!bot`).
    pub(crate) subject: String,
    pub(crate) role: String,
    pub(crate) propagate: bool,
}

/// A token's secret and its separation.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) secret: String,
    pub(crate) separated: bool,
    pub(crate) comment: Option<String>,
    pub(crate) expire: u64,
}

/// A person's account.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) password: Option<String>,
    pub(crate) comment: Option<String>,
    pub(crate) tokens: BTreeMap<String, Token>,
}

/// Who is calling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) user: String,
    pub(crate) token: Option<String>,
}

impl Caller {
    /// `user@realm` or `user@realm!token`, as it stands in UPIDs.
    pub(crate) fn id(&self) -> String {
        match &self.token {
            Some(token) => format!("{}!{token}", self.user),
            None => self.user.clone(),
        }
    }

    /// The real root@pam by ticket; a token of root@pam is not (measured).
    pub(crate) fn is_root(&self) -> bool {
        self.user == "root@pam" && self.token.is_none()
    }
}

/// A session made by a password.
pub(crate) struct Session {
    pub(crate) user: String,
    pub(crate) csrf: String,
    pub(crate) until: f64,
}

/// The access part of the cluster.
#[derive(Default)]
pub(crate) struct Access {
    pub(crate) users: BTreeMap<String, User>,
    pub(crate) roles: BTreeMap<String, u64>,
    pub(crate) acl: Vec<Acl>,
    pub(crate) sessions: BTreeMap<String, Session>,
}

impl Access {
    /// With the built-in roles.
    pub(crate) fn new() -> Self {
        let with = |prefixes: &[&str]| {
            privileges(
                PRIVILEGES
                    .iter()
                    .filter(|p| prefixes.iter().any(|prefix| p.starts_with(prefix)))
                    .copied(),
            )
        };
        let auditor = privileges(PRIVILEGES.iter().filter(|p| p.ends_with(".Audit")).copied());
        let roles = BTreeMap::from([
            ("Administrator".to_owned(), ALL),
            ("NoAccess".to_owned(), 0),
            (
                "PVEAdmin".to_owned(),
                ALL & !privileges([
                    "Permissions.Modify",
                    "Sys.Modify",
                    "Sys.PowerMgmt",
                    "Realm.Allocate",
                ]),
            ),
            ("PVEAuditor".to_owned(), auditor),
            ("PVEVMAdmin".to_owned(), with(&["VM."])),
            (
                "PVEVMUser".to_owned(),
                privileges([
                    "VM.Audit",
                    "VM.Backup",
                    "VM.Config.CDROM",
                    "VM.Config.Cloudinit",
                    "VM.Console",
                    "VM.PowerMgmt",
                    "VM.GuestAgent.Audit",
                ]),
            ),
            (
                "PVEDatastoreUser".to_owned(),
                privileges(["Datastore.AllocateSpace", "Datastore.Audit"]),
            ),
            ("PVEPoolUser".to_owned(), privileges(["Pool.Audit"])),
            ("GantryBot".to_owned(), privileges(BOT_ROLE.iter().copied())),
            // The same on nodes, where bridges and firewall rules need one privilege more.
            (
                "GantryNetwork".to_owned(),
                privileges(BOT_ROLE.iter().copied()) | privilege("Sys.Modify"),
            ),
            // As the manual gives it: on the notifications alone.
            ("GantryNotify".to_owned(), privilege("Mapping.Modify")),
        ]);
        Self { roles, ..Self::default() }
    }

    /// What ACLs give one subject on one path; the deepest path with an entry decides.
    fn granted(&self, subject: &str, path: &str) -> u64 {
        let mut best: Option<(usize, u64)> = None;
        for entry in self.acl.iter().filter(|e| e.subject == subject) {
            let reaches = entry.path == path
                || (entry.propagate
                    && (entry.path == "/"
                        || path
                            .strip_prefix(entry.path.as_str())
                            .is_some_and(|rest| rest.starts_with('/'))));
            if !reaches {
                continue;
            }
            let depth = if entry.path == "/" { 0 } else { entry.path.matches('/').count() };
            let mask = self.roles.get(&entry.role).copied().unwrap_or(0);
            best = match best {
                Some((deepest, sum)) if deepest == depth => Some((depth, sum | mask)),
                Some((deepest, sum)) if deepest > depth => Some((deepest, sum)),
                _ => Some((depth, mask)),
            };
        }
        best.map_or(0, |(_, mask)| mask)
    }

    /// What the caller may do on `path`; `pool` is the pool that the guest or storage is in.
    pub(crate) fn effective(&self, caller: &Caller, path: &str, pool: Option<&str>) -> u64 {
        let of = |subject: &str| {
            let mut mask = self.granted(subject, path);
            if let Some(pool) = pool {
                mask |= self.granted(subject, &format!("/pool/{pool}"));
            }
            mask
        };
        let user = if caller.user == "root@pam" { ALL } else { of(&caller.user) };
        let Some(token) = &caller.token else { return user };
        let separated = self
            .users
            .get(&caller.user)
            .and_then(|u| u.tokens.get(token))
            .is_none_or(|t| t.separated);
        if separated { user & of(&caller.id()) } else { user }
    }

    /// Passes when the caller has all of `wanted` on `path`; names the first missing one otherwise.
    pub(crate) fn all(
        &self,
        caller: &Caller,
        path: &str,
        pool: Option<&str>,
        wanted: &[&str],
    ) -> Result<(), Refusal> {
        let have = self.effective(caller, path, pool);
        match wanted.iter().find(|name| have & privilege(name) == 0) {
            None => Ok(()),
            Some(missing) => Err(Refusal::denied(&format!("{path}, {missing}"))),
        }
    }

    /// Passes when the caller has any of `wanted` on `path`.
    pub(crate) fn any(
        &self,
        caller: &Caller,
        path: &str,
        pool: Option<&str>,
        wanted: &[&str],
    ) -> Result<(), Refusal> {
        let have = self.effective(caller, path, pool);
        if wanted.iter().any(|name| have & privilege(name) != 0) {
            Ok(())
        } else {
            Err(Refusal::denied(&format!("{path}, {}", wanted.join("|"))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        let mut access = Access::new();
        let token = Token { secret: "s".into(), separated: true, comment: None, expire: 0 };
        access.users.insert(
            "a@pve".into(),
            User { password: None, comment: None, tokens: BTreeMap::from([("t".into(), token)]) },
        );
        access
    }

    fn entry(path: &str, subject: &str, role: &str) -> Acl {
        Acl { path: path.into(), subject: subject.into(), role: role.into(), propagate: true }
    }

    #[test]
    fn a_separated_token_needs_its_own_acl() {
        let mut access = access();
        let caller = Caller { user: "a@pve".into(), token: Some("t".into()) };
        access.acl.push(entry("/", "a@pve", "Administrator"));
        assert_eq!(access.effective(&caller, "/vms/104", None), 0);
        access.acl.push(entry("/vms", "a@pve!t", "PVEAuditor"));
        assert_ne!(access.effective(&caller, "/vms/104", None) & privilege("VM.Audit"), 0);
        assert_eq!(access.effective(&caller, "/vms/104", None) & privilege("VM.PowerMgmt"), 0);
    }

    #[test]
    fn the_deepest_entry_decides_and_pools_add() {
        let mut access = access();
        let caller = Caller { user: "a@pve".into(), token: None };
        access.acl.push(entry("/", "a@pve", "Administrator"));
        access.acl.push(entry("/vms/104", "a@pve", "NoAccess"));
        assert_eq!(access.effective(&caller, "/vms/104", None), 0);
        access.acl.push(entry("/pool/lab", "a@pve", "PVEVMUser"));
        assert_ne!(
            access.effective(&caller, "/vms/104", Some("lab")) & privilege("VM.PowerMgmt"),
            0
        );
    }
}
