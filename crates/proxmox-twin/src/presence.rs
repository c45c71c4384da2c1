//! Guests that can be reached: containers made from OCI images answer on their port, for health checks and demos.
//!
//! Only addresses within 127.0.0.0/8 are ever served, so nothing leaves the machine. A healthy running guest answers
//! 200 to any HTTP request; when it stops, or is not healthy, its port refuses. Ports that cannot be bound (below
//! 1024 without the right, or taken) stay closed.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::server::Shared;
use crate::state::State;

/// How often the open ports are compared with the guests.
const LOOK_MS: u64 = 100;
/// Guests served at once; more are left silent.
const MOST: usize = 2_000;
/// Where an image listens when its guest's environment says nothing (`PORT=…`).
const PORT: u16 = 8080;
/// How long a visitor may take to ask.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who should answer where: address and name.
type Wanted = BTreeMap<SocketAddr, String>;

impl State {
    /// Addresses of the guests that should answer now.
    fn present(&self) -> Wanted {
        let mut wanted = Wanted::new();
        for guest in self.guests.values() {
            // Templates of whole systems run nothing that answers.
            let image = guest.image.as_deref().is_some_and(|i| !i.contains("vztmpl/"));
            let able = image && !guest.unhealthy && self.online(&guest.node);
            let Some(since) = guest.running.filter(|_| able) else {
                continue;
            };
            let part = |text: &str, key: &str| {
                text.split(',').find_map(|p| p.strip_prefix(key)).unwrap_or_default().to_owned()
            };
            for (_, text) in
                guest.config.iter().filter(|(k, t)| k.starts_with("net") && t.contains("ip="))
            {
                let bridge = part(text, "bridge=");
                let leased = self.now() - since >= 4.0 * self.settings.speed;
                let inet = match part(text, "ip=").as_str() {
                    "dhcp" if leased => self.lease(guest, &bridge, &part(text, "hwaddr=")),
                    "dhcp" => None,
                    fixed => Some(fixed.to_owned()),
                };
                let ip = inet
                    .and_then(|i| i.split('/').next().and_then(|ip| ip.parse::<Ipv4Addr>().ok()));
                let Some(ip) = ip.filter(Ipv4Addr::is_loopback) else { continue };
                if !self.has_bridge(&guest.node, &bridge) || ip == Ipv4Addr::LOCALHOST {
                    continue;
                }
                let port = guest.config.get("env").and_then(|env| {
                    env.split('\0')
                        .find_map(|p| p.strip_prefix("PORT="))
                        .and_then(|p| p.parse().ok())
                });
                let address = SocketAddr::from((ip, port.unwrap_or(PORT)));
                if wanted.len() < MOST {
                    wanted.insert(address, guest.name());
                }
            }
        }
        wanted
    }
}

/// Opens and closes ports as guests come and go, until the twin stops.
pub(crate) async fn serve(shared: Arc<Shared>) {
    let mut open: BTreeMap<SocketAddr, (String, CancellationToken)> = BTreeMap::new();
    loop {
        let wanted = shared.lock().present();
        open.retain(|address, (who, stop)| {
            let stays = wanted.get(address) == Some(who);
            if !stays {
                stop.cancel();
            }
            stays
        });
        for (address, who) in wanted {
            if open.contains_key(&address) {
                continue;
            }
            if let Ok(listener) = TcpListener::bind(address).await {
                let stop = shared.stop.child_token();
                tokio::spawn(answer(listener, who.clone(), stop.clone()));
                open.insert(address, (who, stop));
            }
        }
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_millis(LOOK_MS)) => {}
        }
    }
}

/// Answers every visitor of one guest.
async fn answer(listener: TcpListener, name: String, stop: CancellationToken) {
    let body = format!("{name}: ok\n");
    let text = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
        };
        let (text, stop) = (text.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                _ = tokio::time::timeout(PATIENCE, greet(stream, text)) => {}
            }
        });
    }
}

async fn greet(mut stream: TcpStream, text: String) -> std::io::Result<()> {
    let mut head = [0_u8; 2048];
    if stream.read(&mut head).await? == 0 {
        return Ok(());
    }
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}
