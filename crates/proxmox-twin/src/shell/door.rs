//! The door: connections, whose key is let in, and the troubles that meet a line.

use std::sync::Arc;
use std::time::Duration;

use russh::keys::{PrivateKey, PublicKey};
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handle, Handler, Msg, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::act::Said;
use super::grammar;
use crate::server::{Shared, hold};
use crate::trouble::{ActiveTrouble, Trouble};
use crate::view::RequestRecord;

/// Bytes passed on at once.
const PIECE: usize = 16 * 1024;
/// Bytes between a connection and its session.
const PIPE: usize = 256 * 1024;
/// Lines of progress of a command that takes long.
const PROGRESS: [u8; 4] = [1, 34, 67, 100];

/// Serves the SSH of one node until the twin stops.
pub(crate) async fn listen(
    shared: Arc<Shared>,
    node: String,
    listener: TcpListener,
    host: PrivateKey,
    user: PublicKey,
) {
    let config = Arc::new(Config {
        keys: vec![host],
        auth_rejection_time: Duration::from_millis(1),
        auth_rejection_time_initial: Some(Duration::ZERO),
        inactivity_timeout: None,
        nodelay: true,
        ..Config::default()
    });
    loop {
        let stream = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
        };
        let cut = shared.stop.child_token();
        let door = Door {
            shared: Arc::clone(&shared),
            node: node.clone(),
            user: user.clone(),
            cut: cut.clone(),
        };
        tokio::spawn(connection(stream, Arc::clone(&config), door));
    }
}

/// Carries the bytes of one connection until either side ends, the connection is cut or the node is down.
async fn connection(mut stream: TcpStream, config: Arc<Config>, door: Door) {
    let (shared, node, cut) = (Arc::clone(&door.shared), door.node.clone(), door.cut.clone());
    if shared.lock().troubles.down(&node) {
        return;
    }
    let _ = stream.set_nodelay(true);
    let (own, mut other) = tokio::io::duplex(PIPE);
    tokio::spawn(async move {
        match russh::server::run_stream(config, own, door).await {
            Ok(session) => {
                if let Err(error) = session.await {
                    tracing::trace!(%error, "an SSH session ended");
                }
            }
            Err(error) => tracing::trace!(%error, "no SSH session"),
        }
    });
    let (mut inward, mut outward) = (vec![0_u8; PIECE], vec![0_u8; PIECE]);
    let mut changed = shared.changed.subscribe();
    loop {
        // A silent node takes nothing in and says nothing.
        shared.until(|state| !state.troubles.silent(&node)).await;
        tokio::select! {
            () = cut.cancelled() => return,
            _ = changed.changed() => if shared.lock().troubles.down(&node) {
                return;
            },
            read = stream.read(&mut inward) => match read {
                Ok(n) if n > 0 => if other.write_all(&inward[..n]).await.is_err() {
                    return;
                },
                _ => return,
            },
            read = other.read(&mut outward) => match read {
                Ok(n) if n > 0 => if stream.write_all(&outward[..n]).await.is_err() {
                    return;
                },
                _ => return,
            },
        }
    }
}

/// One connection.
struct Door {
    shared: Arc<Shared>,
    node: String,
    user: PublicKey,
    cut: CancellationToken,
}

impl Handler for Door {
    type Error = russh::Error;

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, russh::Error> {
        let known = user == "root" && key.public_key.key_data() == self.user.key_data();
        Ok(if known { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        _channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), russh::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_success(channel)?;
        let line = String::from_utf8_lossy(data).into_owned();
        let work = Work {
            shared: Arc::clone(&self.shared),
            node: self.node.clone(),
            cut: self.cut.clone(),
            handle: session.handle(),
            channel,
        };
        // On its own: what was begun goes on when the caller leaves.
        tokio::spawn(work.run(line));
        Ok(())
    }
}

/// One line on its way.
struct Work {
    shared: Arc<Shared>,
    node: String,
    cut: CancellationToken,
    handle: Handle,
    channel: ChannelId,
}

impl Work {
    /// Lives through the troubles of a line, in the order: before, instead, the action, after.
    async fn run(self, line: String) {
        let path = format!("/nodes/{}/{}", self.node, grammar::verb(&line));
        let (number, troubles) = {
            let mut state = self.shared.lock();
            let now = state.now();
            let number = state.record(RequestRecord {
                at_ms: (now * 1e3) as u64,
                method: "SSH".to_owned(),
                path: path.clone(),
                // The words of a health check may be a password.
                params: match grammar::verb(&line) {
                    "exec" => serde_json::json!({}),
                    _ => serde_json::json!({ "line": line }),
                },
                status: 0,
                node: self.node.clone(),
                conn: 0,
            });
            (number, state.troubles.for_request("SSH", &path))
        };
        let mut instead = None;
        let (mut lost, mut half) = (false, false);
        for active in &troubles {
            match &active.trouble {
                Trouble::RequestLost { .. } => return self.cut.cancel(),
                Trouble::Hang { ms, .. } => hold(&self.shared, active.id, *ms).await,
                Trouble::ShellFails { status, reason, .. } => {
                    instead = Some(Said::leave(*status, reason));
                }
                Trouble::AnswerLost { .. } => lost = true,
                Trouble::Truncate { .. } => half = true,
                _ => {}
            }
        }
        let said = match (instead, grammar::parse(&line)) {
            (Some(said), _) => said,
            (None, Ok(taken)) => self.shared.lock().act(&self.node, &taken),
            (None, Err(why)) => Said::leave(64, why),
        };
        if !said.takes.is_zero() {
            for percent in PROGRESS {
                self.say(format!("progress {percent}\n")).await;
                tokio::time::sleep(said.takes / u32::try_from(PROGRESS.len()).unwrap_or(1)).await;
            }
        }
        self.after(&troubles).await;
        if lost {
            return self.cut.cancel();
        }
        if half {
            let middle = said.stdout.len() / 2;
            self.say(said.stdout.get(..middle).unwrap_or_default().to_owned()).await;
            return self.cut.cancel();
        }
        let status = u16::try_from(said.status).unwrap_or(u16::MAX);
        self.shared.lock().answered(number, status);
        self.say(said.stdout).await;
        if !said.stderr.is_empty() {
            let _ = self.handle.extended_data(self.channel, 1, said.stderr).await;
        }
        let _ = self.handle.exit_status_request(self.channel, said.status).await;
        let _ = self.handle.eof(self.channel).await;
        let _ = self.handle.close(self.channel).await;
    }

    async fn after(&self, troubles: &[ActiveTrouble]) {
        for active in troubles {
            if let Trouble::HangAfter { ms, .. } = &active.trouble {
                hold(&self.shared, active.id, *ms).await;
            }
        }
    }

    async fn say(&self, text: String) {
        if !text.is_empty() {
            let _ = self.handle.data(self.channel, text).await;
        }
    }
}
