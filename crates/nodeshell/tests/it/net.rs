//! A proxy between gantry and sshd that counts connections and cuts or stalls them when a test says so.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the proxy does with connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Passes everything on.
    Pass,
    /// Accepts and says nothing.
    Stall,
    /// Cuts what stands and what comes.
    Cut,
}

pub struct Proxy {
    pub port: u16,
    mood: watch::Sender<Mood>,
    accepted: Arc<AtomicUsize>,
}

impl Proxy {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let (mood, seen) = watch::channel(Mood::Pass);
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = accepted.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(client, port, seen.clone()));
            }
        });
        Self { port: own, mood, accepted }
    }

    pub fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// Connections so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

async fn serve(
    mut client: TcpStream,
    port: u16,
    mut mood: watch::Receiver<Mood>,
) -> io::Result<()> {
    let now = *mood.borrow_and_update();
    if now == Mood::Cut {
        return Ok(());
    }
    let mut server = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    let cut = async {
        while mood.changed().await.is_ok() {
            if *mood.borrow() == Mood::Cut {
                return;
            }
        }
    };
    if now == Mood::Stall {
        cut.await;
        return Ok(());
    }
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        () = cut => {}
    }
    Ok(())
}
