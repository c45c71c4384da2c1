//! A name server as a child process in a folder of its own, killed when it is dropped.

use std::io::{BufRead as _, BufReader, Read};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// How long a server may take to be ready on a busy machine.
const START: Duration = Duration::from_secs(30);

/// A running server.
pub struct Daemon {
    child: Child,
    lines: Receiver<String>,
}

impl Daemon {
    /// Starts it and waits until it has said each of `words`.
    pub fn start(mut command: Command, words: &[&str]) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let (sender, lines) = channel();
        pass_on(child.stdout.take().unwrap(), sender.clone());
        pass_on(child.stderr.take().unwrap(), sender);
        let mut daemon = Self { child, lines };
        let (mut missing, mut log) = (words.to_vec(), Vec::new());
        while !missing.is_empty() {
            match daemon.lines.recv_timeout(START) {
                Ok(line) => {
                    missing.retain(|word| !line.contains(word));
                    log.push(line);
                }
                Err(e) => {
                    daemon.kill();
                    panic!("{command:?} did not say {missing:?} ({e}):\n{}", log.join("\n"));
                }
            }
        }
        daemon
    }

    /// As `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads a pipe to its end, so that the server never waits for somebody to read it.
fn pass_on(pipe: impl Read + Send + 'static, to: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let _ = to.send(line);
        }
    });
}

/// A port of 127.0.0.1 that was free for TCP and UDP just now.
pub fn free_port() -> u16 {
    for _ in 0..100 {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}

/// Where a program is, also outside of a user's PATH.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"])
        .map(|folder| Path::new(folder).join(name))
        .find(|p| p.is_file())
}

/// Runs a program to its end; its output, or a panic with everything it said.
pub fn run(program_name: &str, words: &[&str]) -> String {
    let path = program(program_name).unwrap_or_else(|| panic!("{program_name} is not installed"));
    let out = Command::new(path).args(words).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program_name} {words:?}: {text}{errors}");
    text
}

/// Whether everything is installed; says so loudly where it is not, and fails where it must be.
pub fn have(names: &[&str]) -> bool {
    let missing: Vec<_> = names.iter().filter(|n| program(n).is_none()).collect();
    if missing.is_empty() {
        return true;
    }
    let required = std::env::var_os("GANTRY_REQUIRE_DNS").is_some();
    assert!(!required, "{missing:?} must be installed (GANTRY_REQUIRE_DNS)");
    eprintln!("!!!!!! SKIPPED: {missing:?} are not installed; see scripts/test");
    false
}
