//! One question to one pod: a TCP connection, an HTTP request, a command inside.
//!
//! Nothing but the pod's own address is asked, a redirect is an answer like any other and is not followed, and of an
//! HTTP answer no more than its first line is read. An error is a sentence without a full stop.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use gantry_core::action::Verb;
use gantry_core::id::{ClusterId, GuestKind, NodeName, Vmid};
use gantry_core::plan::Planned;
use gantry_core::pod::{Health, InnerCard, PodSpec, Probe, is_told_inside};
use gantry_nodeshell::{HealthCheck, Program, Word};
use gantry_proxmox::{Freshness, GuestRef as At};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Engine;
use crate::shell::{Need, Who};

/// Most of an HTTP answer that is read; a status line that is longer is none.
const LINE_MAX: usize = 512;

/// Whom to ask, and what.
pub(super) struct Question {
    pub(super) cluster: ClusterId,
    pub(super) node: NodeName,
    pub(super) vmid: Vmid,
    pub(super) spec: std::sync::Arc<PodSpec>,
    pub(super) check: Health,
    /// Where the container said it is, the last time.
    pub(super) told: Option<IpAddr>,
}

/// What came of it.
pub(super) struct Answer {
    pub(super) said: Result<(), String>,
    /// Where the container says it is.
    pub(super) told: Option<IpAddr>,
}

impl Engine {
    /// Asks once.
    pub(super) async fn ask_pod(&self, question: Question) -> Answer {
        if let Probe::Command { run } = &question.check.probe {
            return Answer { said: self.ask_inside(&question, run).await, told: None };
        }
        let address = match question.told {
            Some(told) => Ok(told),
            None => self.address_of(&question).await,
        };
        let said = match &address {
            Ok(address) => ask(*address, &question.check).await,
            Err(why) => Err(why.clone()),
        };
        // It may have moved: after a bad answer the container is asked again where it is.
        let told = address.ok().filter(|_| said.is_ok() && is_told_inside(&question.spec));
        Answer { said, told }
    }

    async fn address_of(&self, question: &Question) -> Result<IpAddr, String> {
        let rules = self.inner.settings.health;
        if !is_told_inside(&question.spec) {
            return rules.address(&question.spec, None);
        }
        let cards = self
            .inner_cards(&question.cluster, &question.node, question.vmid)
            .await
            .map_err(|error| format!("its address could not be read: {error}"))?;
        rules.address(&question.spec, Some(&cards))
    }

    /// The network cards of a container, as it tells them itself; none while it does not run.
    pub(crate) async fn inner_cards(
        &self,
        cluster: &ClusterId,
        node: &NodeName,
        vmid: Vmid,
    ) -> Result<Vec<InnerCard>, crate::Error> {
        let at = At::new(node.clone(), GuestKind::Lxc, vmid);
        let rows =
            self.client(cluster)?.lxc_interfaces(&at, Freshness::Shared).await.map_err(
                crate::Error::proxmox(format!("read the addresses of CT {vmid}"), cluster),
            )?;
        let card = |row: &gantry_proxmox::LxcInterface| InnerCard {
            name: row.name.clone().unwrap_or_default(),
            addresses: row.addresses(),
        };
        Ok(rows.iter().map(card).collect())
    }

    /// Runs a program inside, through the node shell. Its words may be passwords and are never told.
    async fn ask_inside(&self, question: &Question, run: &[String]) -> Result<(), String> {
        let Question { cluster, node, vmid, .. } = question;
        let (program, words) = run.split_first().ok_or("it has no program")?;
        let program: Program = program.parse().map_err(|error| format!("{error}"))?;
        let name = program.to_string();
        let words: Result<Vec<Word>, _> = words.iter().map(|word| word.parse::<Word>()).collect();
        let words = words.map_err(|_| format!("the node shell does not take all words of `{name}`: letters, digits and ._/:=@,+%- only"))?;
        let seconds = question.check.timeout_s;
        let check = u8::try_from(seconds).ok().and_then(|s| HealthCheck::new(program, words, s));
        let check = check.ok_or("the node shell takes at most 31 words and 60 seconds")?;
        let told = |error: crate::Error| {
            let parts = error.parts();
            format!("{}. {}", parts.what, parts.why.trim_end_matches('.'))
        };
        let shell = self.need_shell(cluster, node, Need::Health).map_err(told)?;
        let target = format!("{} (CT {vmid} on {node}, {cluster})", question.spec.name);
        let who = Who::Gantry(Verb::PodShow, &target);
        match shell.check_health(who, *vmid, check).await.map_err(told)?.status {
            Some(0) => Ok(()),
            Some(status) => Err(format!("`{name}` ended with {status}")),
            None => Err(format!("`{name}` did not end within {seconds} s")),
        }
    }

    /// Says on a plan what its health check lacks.
    pub(crate) fn tell_lacking_shell(
        &self,
        planned: &mut Planned,
        spec: &PodSpec,
        (cluster, node): (&ClusterId, &NodeName),
    ) {
        let inside = |h: &Health| matches!(h.probe, Probe::Command { .. });
        let Planned::Ready(draft) = planned else { return };
        if spec.template.health.as_ref().is_some_and(inside) && !self.has_shell(cluster, node) {
            draft.warnings.push(format!(
                "Its health check runs a command inside, which takes the node shell; {node} has none, so it would never be healthy. {}",
                Need::Health.instead()
            ));
        }
    }
}

/// Asks once, within the check's own time.
async fn ask(address: IpAddr, check: &Health) -> Result<(), String> {
    let within = Duration::from_secs(u64::from(check.timeout_s));
    match tokio::time::timeout(within, ask_now(address, &check.probe)).await {
        Ok(said) => said,
        Err(_) => Err(format!("{address} did not answer within {} s", check.timeout_s)),
    }
}

async fn ask_now(address: IpAddr, probe: &Probe) -> Result<(), String> {
    match probe {
        Probe::Tcp { port } => connect(SocketAddr::new(address, *port)).await.map(drop),
        Probe::Http { port, path, status } => {
            let code = status_of(SocketAddr::new(address, *port), path).await?;
            match code == *status {
                true => Ok(()),
                false => Err(format!("GET :{port}{path} is {code}, not {status}")),
            }
        }
        Probe::Command { .. } => Err("a command is not asked over the network".into()),
    }
}

async fn connect(host: SocketAddr) -> Result<TcpStream, String> {
    TcpStream::connect(host).await.map_err(|e| match e.kind() {
        std::io::ErrorKind::ConnectionRefused => format!("{host} refuses the connection"),
        _ => format!("{host}: {e}"),
    })
}

/// The status of `GET path`; nothing after the first line is read.
async fn status_of(host: SocketAddr, path: &str) -> Result<u16, String> {
    let mut stream = connect(host).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: gantry\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    let broke = |e: std::io::Error| format!("{host} broke off: {e}");
    stream.write_all(request.as_bytes()).await.map_err(broke)?;
    let mut line = Vec::with_capacity(LINE_MAX);
    let mut part = [0_u8; LINE_MAX];
    while line.len() < LINE_MAX && !line.contains(&b'\n') {
        match stream.read(&mut part).await.map_err(broke)? {
            0 if line.is_empty() => return Err(format!("{host} closes without an answer")),
            0 => break,
            n => line.extend_from_slice(&part[..n]),
        }
    }
    let line = String::from_utf8_lossy(&line);
    let line = line.lines().next().unwrap_or_default();
    line.strip_prefix("HTTP/1.")
        .and_then(|l| l.split(' ').nth(1))
        .and_then(|code| code.parse().ok())
        .filter(|code| (100..=599).contains(code))
        .ok_or_else(|| format!("{host} does not speak HTTP"))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// What a server does with a visitor, once the visitor has spoken.
    #[derive(Clone)]
    enum Manner {
        Says(&'static [&'static str]),
        Silent,
        HangsUp,
    }

    /// A server on an address of its own; how often it was visited is what `visits` gives.
    async fn server(
        manner: Manner,
    ) -> (SocketAddr, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let visits = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = visits.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let manner = manner.clone();
                tokio::spawn(async move {
                    let mut head = [0_u8; 1024];
                    let _ = stream.read(&mut head).await;
                    match manner {
                        Manner::Says(parts) => {
                            for part in parts {
                                let _ = stream.write_all(part.as_bytes()).await;
                                let _ = stream.flush().await;
                                tokio::task::yield_now().await;
                            }
                            // Kept open: the asker must not wait for an end.
                            let _ = stream.read(&mut head).await;
                        }
                        Manner::Silent => std::future::pending().await,
                        Manner::HangsUp => {}
                    }
                });
            }
        });
        (at, visits)
    }

    fn check(probe: Probe) -> Health {
        Health { timeout_s: 1, ..Health::new(probe) }
    }

    async fn get(manner: Manner, status: u16) -> Result<(), String> {
        let (at, _) = server(manner).await;
        let path = "/ready?deep=1".to_owned();
        let said = ask(at.ip(), &check(Probe::Http { port: at.port(), path, status })).await;
        said.map_err(|why| why.replace(&format!(":{}/", at.port()), ":PORT/"))
    }

    #[tokio::test]
    async fn a_port_that_accepts_is_well_and_one_that_refuses_is_not() {
        let (at, _) = server(Manner::Silent).await;
        let tcp = |port| check(Probe::Tcp { port });
        assert_eq!(ask(at.ip(), &tcp(at.port())).await, Ok(()));
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let why = ask(free.ip(), &tcp(free.port())).await.unwrap_err();
        assert!(why.contains("refuses the connection"), "{why}");
    }

    #[tokio::test]
    async fn only_the_status_that_was_asked_for_is_well() {
        let ok = Manner::Says(&["HTTP/1.1 200 OK\r\n\r\n"]);
        assert_eq!(get(ok.clone(), 200).await, Ok(()));
        assert_eq!(get(ok, 204).await, Err(get_is(200, 204)));
        let broken = Manner::Says(&["HTTP/1.1 500 Internal Server Error\r\n\r\n"]);
        assert_eq!(get(broken, 200).await, Err(get_is(500, 200)));
        let old = Manner::Says(&["HTTP/1.0 200\r\n\r\n"]);
        assert_eq!(get(old, 200).await, Ok(()));
    }

    /// The port differs from run to run.
    fn get_is(code: u16, wanted: u16) -> String {
        format!("GET :PORT/ready?deep=1 is {code}, not {wanted}")
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_is_not_followed() {
        let (elsewhere, visits) = server(Manner::Says(&["HTTP/1.1 200 OK\r\n\r\n"])).await;
        let text: &'static str =
            format!("HTTP/1.1 302 Found\r\nLocation: http://{elsewhere}/\r\n\r\n").leak();
        let moved: &'static [&'static str] = vec![text].leak();
        assert_eq!(get(Manner::Says(moved), 200).await, Err(get_is(302, 200)));
        assert_eq!(get(Manner::Says(moved), 302).await, Ok(()));
        assert_eq!(visits.load(std::sync::atomic::Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn an_answer_in_pieces_is_read_and_an_endless_one_is_not() {
        let pieces = Manner::Says(&["HTT", "P/1.1 2", "00 O", "K\r\nX: y\r\n\r\n"]);
        assert_eq!(get(pieces, 200).await, Ok(()));
        let long: &'static str = "x".repeat(1 << 20).leak();
        let endless: &'static [&'static str] = vec![long].leak();
        let why = get(Manner::Says(endless), 200).await.unwrap_err();
        assert!(why.contains("does not speak HTTP"), "{why}");
    }

    #[tokio::test]
    async fn what_is_no_answer_is_told_as_what_it_is() {
        let why = get(Manner::HangsUp, 200).await.unwrap_err();
        assert!(why.contains("closes without an answer") || why.contains("broke off"), "{why}");
        let why = get(Manner::Says(&["SSH-2.0-OpenSSH_9.2\r\n"]), 200).await.unwrap_err();
        assert!(why.contains("does not speak HTTP"), "{why}");
        let why = get(Manner::Silent, 200).await.unwrap_err();
        assert!(why.contains("did not answer within 1 s"), "{why}");
        let slow = Manner::Says(&["HTTP/1.1 2"]);
        let why = get(slow, 200).await.unwrap_err();
        assert!(why.contains("did not answer within 1 s"), "{why}");
    }
}
