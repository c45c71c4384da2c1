//! The API: from a request to an answer, in the order in which the real server decides.
//!
//! Method → format → credentials (401) → route (501) → privileges (403) → proxying (595) → parameters (400) →
//! the handler. Handlers see checked parameters only.

mod cluster;
mod config;
mod content;
mod create;
mod disks;
mod firewall;
mod guests;
mod images;
mod lifecycle;
mod network;
mod nodes;
mod notifications;
pub(crate) mod people;
mod pools;
mod power;
mod routes;
mod rrd;
mod sdn;
mod sdn_apply;
mod snapshots;
mod storage;
mod tasks;
mod wear;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::access::Caller;
use crate::guest::{Guest, GuestKind};
use crate::reply::{Refusal, Reply};
use crate::schema::{Table, check, text_of};
use crate::state::State;

pub(crate) use routes::ROUTES;

/// The version this twin says it is.
pub(crate) const VERSION: &str = "9.1.4";
/// Its release line.
pub(crate) const RELEASE: &str = "9.1";
/// Its build.
pub(crate) const REPOID: &str = "5ac30304265fbd8e";

/// A request, taken apart but not judged.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Below `/api2/json`, percent-decoded.
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) cookie: Option<String>,
    pub(crate) csrf: Option<String>,
    pub(crate) args: BTreeMap<String, Value>,
    /// The node whose port was used.
    pub(crate) local: String,
    /// The file of an upload.
    pub(crate) upload: Option<Vec<u8>>,
}

/// A row of the route table.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    /// `A,B@/path` all of, `A|B@/path` any of, `` any user, `world` nobody needed.
    pub(crate) need: &'static str,
    /// Is it carried out on the named node?
    pub(crate) proxied: bool,
    pub(crate) params: &'static str,
    pub(crate) run: fn(&mut Call<'_>) -> Reply,
}

/// A route with its path and parameters parsed.
pub(crate) struct Compiled {
    pub(crate) route: &'static Route,
    segments: Vec<&'static str>,
    pub(crate) table: Table,
}

/// All routes.
pub(crate) struct Router {
    pub(crate) routes: Vec<Compiled>,
}

impl Router {
    /// Parses the route table.
    ///
    /// # Errors
    /// A table line that cannot be read.
    pub(crate) fn new() -> Result<Self, String> {
        let routes = ROUTES
            .iter()
            .flat_map(|group| group.iter())
            .map(|route| {
                let table = Table::parse(route.params)
                    .map_err(|e| format!("{} {}: {e}", route.method, route.path))?;
                Ok(Compiled { segments: route.path.split('/').skip(1).collect(), route, table })
            })
            .collect::<Result<_, String>>()?;
        Ok(Self { routes })
    }

    fn find(&self, method: &str, path: &str) -> Option<(&Compiled, BTreeMap<String, Value>)> {
        let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
        self.routes.iter().filter(|c| c.route.method == method).find_map(|compiled| {
            let mut found = BTreeMap::new();
            for (n, segment) in compiled.segments.iter().enumerate() {
                let part = parts.get(n)?;
                match segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
                    // A volume name or a network has slashes and takes the rest of the path.
                    Some(last @ ("volume" | "cidr")) => {
                        let rest = parts.get(n..)?.join("/");
                        found.insert(last.to_owned(), Value::String(rest));
                        return Some((compiled, found));
                    }
                    Some(name) => {
                        found.insert(name.to_owned(), Value::String((*part).to_owned()));
                    }
                    None if segment == part => {}
                    None => return None,
                }
            }
            (parts.len() == compiled.segments.len()).then_some((compiled, found))
        })
    }
}

/// One call, as a handler sees it.
pub(crate) struct Call<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) caller: Caller,
    pub(crate) args: BTreeMap<String, Value>,
    pub(crate) kind: GuestKind,
    pub(crate) now: f64,
    pub(crate) local: String,
    pub(crate) upload: Option<Vec<u8>>,
}

impl Call<'_> {
    /// A parameter as text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.args.get(name).map(text_of)
    }

    /// A checked number.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.text(name).and_then(|t| t.trim_start_matches('+').parse().ok())
    }

    /// A flag; absent = false.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.text(name).is_some_and(|t| t == "1")
    }

    /// The node in the path.
    pub(crate) fn node(&self) -> String {
        self.text("node").unwrap_or_default()
    }

    /// The guest in the path.
    pub(crate) fn vmid(&self) -> u32 {
        self.number("vmid").and_then(|n| u32::try_from(n).ok()).unwrap_or_default()
    }

    /// The guest in the path, if it is on the node in the path.
    pub(crate) fn guest(&self) -> Result<&Guest, Refusal> {
        let (node, vmid) = (self.node(), self.vmid());
        self.state.guest_at(&node, self.kind, vmid).ok_or_else(|| {
            Refusal::failed(format!(
                "Configuration file 'nodes/{node}/{}/{vmid}.conf' does not exist",
                self.kind.folder()
            ))
        })
    }

    /// The same, to change it.
    pub(crate) fn guest_mut(&mut self) -> Result<&mut Guest, Refusal> {
        self.guest()?;
        let vmid = self.vmid();
        self.state.guests.get_mut(&vmid).ok_or_else(|| Refusal::failed("guest vanished"))
    }

    /// Refuses while a lock is held.
    pub(crate) fn unlocked(&self) -> Result<(), Refusal> {
        match self.guest()?.lock() {
            Some(lock) => Err(Refusal::failed(format!("{} is locked ({lock})", self.kind.short()))),
            None => Ok(()),
        }
    }

    /// Guest writes and task starts need quorum.
    pub(crate) fn quorum(&self) -> Result<(), Refusal> {
        if self.state.troubles.no_quorum() {
            return Err(Refusal::failed("cluster not ready - no quorum?"));
        }
        Ok(())
    }

    /// Begins a task on the node in the path and answers with its UPID.
    pub(crate) fn task(&mut self, kind: &str, id: &str, script: crate::task::Script) -> Reply {
        let (node, user, now) = (self.node(), self.caller.id(), self.now);
        let upid = self.state.spawn(now, &node, kind, id, &user, script);
        Ok(Value::String(upid).into())
    }

    /// Pool of the guest a path speaks of, for privileges that come from pools.
    fn pool_of(&self, path: &str) -> Option<String> {
        let vmid = path.strip_prefix("/vms/")?.parse().ok()?;
        self.state.guests.get(&vmid)?.pool.clone()
    }

    /// Needs all of `wanted` on `path`.
    pub(crate) fn need(&self, path: &str, wanted: &[&str]) -> Result<(), Refusal> {
        let pool = self.pool_of(path);
        self.state.access.all(&self.caller, path, pool.as_deref(), wanted)
    }

    /// Needs any of `wanted` on `path`.
    pub(crate) fn need_any(&self, path: &str, wanted: &[&str]) -> Result<(), Refusal> {
        let pool = self.pool_of(path);
        self.state.access.any(&self.caller, path, pool.as_deref(), wanted)
    }

    fn permitted(&self, need: &str) -> Result<(), Refusal> {
        let Some((names, path)) = need.split_once('@') else { return Ok(()) };
        let mut full = path.to_owned();
        for (key, value) in &self.args {
            full = full.replace(&format!("{{{key}}}"), &text_of(value));
        }
        if names.contains('|') {
            self.need_any(&full, &names.split('|').collect::<Vec<_>>())
        } else {
            self.need(&full, &names.split(',').collect::<Vec<_>>())
        }
    }
}

/// Answers one request.
///
/// # Errors
/// The refusal, as the real server words it.
pub(crate) fn serve(state: &mut State, router: &Router, request: Request) -> Reply {
    state.advance();
    let found = router.find(&request.method, &request.path);
    let world = found.as_ref().is_some_and(|(c, _)| c.route.need == "world");
    let caller = if world {
        Caller { user: String::new(), token: None }
    } else {
        people::authenticate(state, &request)
            .map_err(|refusal| refusal.after(state.settings.unauthorised_delay))?
    };
    let known = notifications::is_known(state, &request.local, &request.path);
    let Some((compiled, path_args)) = found.filter(|_| known) else {
        return Err(Refusal::json(
            501,
            format!("Method '{} {}' not implemented", request.method, request.path),
        ));
    };
    let mut args = request.args;
    for (key, value) in path_args {
        if args.get(&key).is_some_and(|given| text_of(given) != text_of(&value)) {
            return Err(Refusal::parameter(
                &key,
                "duplicate parameter (already defined in URI) with conflicting values!",
            ));
        }
        args.insert(key, value);
    }
    let kind =
        if compiled.segments.get(2) == Some(&"qemu") { GuestKind::Qemu } else { GuestKind::Lxc };
    let now = state.now();
    let mut call =
        Call { state, caller, args, kind, now, local: request.local, upload: request.upload };
    call.permitted(compiled.route.need)?;
    if compiled.route.proxied {
        reach(&call)?;
    }
    check(&compiled.table, &call.args).map_err(Refusal::invalid)?;
    (compiled.route.run)(&mut call)
}

/// Can the node in the path be asked from here?
fn reach(call: &Call<'_>) -> Result<(), Refusal> {
    let node = call.node();
    if node == call.local || node == "localhost" {
        return Ok(());
    }
    if call.state.node(&node).is_none() {
        return Err(Refusal::failed(format!(
            "hostname lookup '{node}' failed - failed to get address info for: {node}: Name or service not known"
        )));
    }
    if call.state.troubles.down(&node) {
        return Err(Refusal::bare(595, "Network is unreachable"));
    }
    if call.state.troubles.silent(&node) {
        let pause: Duration = call.state.settings.proxy_timeout;
        return Err(Refusal::bare(595, "Connection timed out").after(pause));
    }
    Ok(())
}
