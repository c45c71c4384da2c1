//! A node for one test: a network namespace, an sshd that runs the shipped script in it, and doubles of Proxmox's own
//! programs. Everything ends with the test, even when it is killed: each process waits for the end of a pipe.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gantry_core::id::NodeName;
use gantry_nodeshell::{Config, Deadlines, HostKey, NodeAddress, NodeShell, SCRIPT};
use secrecy::Secret;
use tempfile::TempDir;

/// Another process may take the port between choosing and using it.
const PORT_TRIES: u32 = 5;

/// Programs that stand for Proxmox's own. They write down what they were asked.
const PVESM: &str = r#"#!/bin/sh
here=$(dirname "$0")/..
[ "$1" = path ] || exit 2
case $2 in
    local:vztmpl/*) printf '%s\n' "$(realpath "$here")/storage/template/cache/${2#local:vztmpl/}" ;;
    local:*) printf '%s\n' "$(realpath "$here")/storage/images/${2#local:}" ;;
    block:*) printf '/dev/%s\n' "${2#block:}" ;;
    odd:*) printf '/tmp/a b;c\n' ;;
    *) printf "storage '%s' does not exist\n" "${2%%:*}" >&2; exit 2 ;;
esac
"#;
const PCT: &str = r#"#!/bin/sh
here=$(dirname "$0")/..
for word; do printf '<%s>' "$word"; done >>"$here/pct.log"
printf '\n' >>"$here/pct.log"
case $1 in
    status) cat "$here/guests/$2" 2>/dev/null || { echo "CT $2 does not exist" >&2; exit 2; } ;;
    exec) shift 3; exec "$@" ;;
    unlock) sed -i '/^lock:/d' "$here/pve/lxc/$2.conf" ;;
esac
"#;
/// Lets a test stop a command half way: it says that it is there, then waits until it is let go.
const HEALTHCHECK: &str = r#"#!/bin/sh
here=$(dirname "$0")/..
case $1 in
    block) echo here >"$here/there"; read -r _ <"$here/go"; echo done >"$here/done" ;;
    fail) echo "not $2"; exit 3 ;;
    talk) head -c 100000 /dev/zero | tr '\0' x ;;
    sleep) exec sleep 5 ;;
    *) echo "well $*" ;;
esac
"#;
const LOGGER: &str = "#!/bin/sh\nshift 4\nprintf '%s\\n' \"$*\" >>\"$(dirname \"$0\")/../log\"\n";

/// Whether `programs` are here and this is root. Says so loudly when not, or fails where it must be.
pub fn able(requirement: &str, programs: &[&str]) -> bool {
    let has = |name: &str| {
        ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].iter().any(|d| Path::new(d).join(name).exists())
    };
    let mut missing: Vec<&str> = programs.iter().copied().filter(|p| !has(p)).collect();
    let separate = Command::new("unshare").args(["-n", "-m", "true"]).status();
    if !separate.is_ok_and(|s| s.success()) {
        missing.push("the right to make namespaces (root)");
    }
    if missing.is_empty() {
        return true;
    }
    let what = format!("without {} this is NOT TESTED", missing.join(", "));
    assert!(!std::env::var(requirement).is_ok_and(|v| v == "1"), "{requirement}=1, but {what}");
    eprintln!("\n!!!!!! {what}\n");
    false
}

/// A process that ends when this is dropped, or when the test process ends in whatever way.
pub struct Guarded(Child);

impl Guarded {
    /// Runs `script` with sh; `$1…` are `args`. It is over when its standard input ends.
    pub fn sh(script: &str, args: &[&str]) -> Self {
        let child = Command::new("sh")
            .args(["-c", script, "sh"])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Self(child)
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Reads lines until one holds `word`. `false`: it ended without.
    pub fn says(&mut self, word: &str) -> bool {
        let Some(out) = self.0.stdout.take() else { return false };
        let mut out = BufReader::new(out);
        let mut line = String::new();
        loop {
            line.clear();
            if out.read_line(&mut line).unwrap_or(0) == 0 {
                return false;
            }
            if line.contains(word) {
                // What it says later is read and dropped, so that it never waits for a reader.
                std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
                return true;
            }
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// A network namespace with loopback up.
pub struct Namespace(Guarded);

impl Namespace {
    pub fn new() -> Self {
        let mut holder =
            Guarded::sh("exec unshare -n sh -c 'ip link set lo up; echo ready; read -r _'", &[]);
        assert!(holder.says("ready"), "no network namespace");
        Self(holder)
    }

    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Runs `script` with sh in it and returns what it said.
    pub fn try_sh(&self, script: &str) -> Result<String, String> {
        let out = Command::new("nsenter")
            .args(["-t", &self.pid().to_string(), "-n", "sh", "-euc", script])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
        if out.status.success() { Ok(text) } else { Err(text) }
    }

    pub fn sh(&self, script: &str) -> String {
        self.try_sh(script).unwrap_or_else(|e| panic!("{script}\n{e}"))
    }

    /// Joins two namespaces by a veth pair.
    pub fn cable(&self, name: &str, other: &Self, other_name: &str) {
        self.sh(&format!(
            "ip link add {name} type veth peer name {other_name} netns {}; ip link set {name} up",
            other.pid()
        ));
        other.sh(&format!("ip link set {other_name} up"));
    }
}

/// A node with its sshd.
pub struct Yard {
    pub dir: TempDir,
    pub net: Namespace,
    pub port: u16,
    sshd: Option<Guarded>,
}

impl Yard {
    /// A node; `None` when this machine cannot have one.
    pub fn new() -> Option<Self> {
        if !able("GANTRY_REQUIRE_SSHD", &["sshd", "ssh", "ssh-keygen", "nsenter", "ip"]) {
            return None;
        }
        let dir = TempDir::new().unwrap();
        let net = Namespace::new();
        let mut yard = Self { dir, net, port: 0, sshd: None };
        for folder in [
            "bin",
            "pve/lxc",
            "pve/qemu-server",
            "guests",
            "storage/images/100",
            "storage/template/cache",
            "etc",
        ] {
            std::fs::create_dir_all(yard.path(folder)).unwrap();
        }
        yard.program("gantry-node", SCRIPT);
        for (name, text) in [
            ("pvesm", PVESM),
            ("pct", PCT),
            ("qm", PCT),
            ("healthcheck", HEALTHCHECK),
            ("logger", LOGGER),
        ] {
            yard.program(name, text);
        }
        for key in ["host", "user", "other"] {
            yard.make_key(key);
        }
        let sh = "root:x:0:0:root:/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\nnobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n";
        std::fs::write(yard.path("passwd"), sh).unwrap();
        std::fs::write(yard.path("shadow"), "root:*:19000:0:99999:7:::\n").unwrap();
        yard.write(
            "registries.conf",
            "[[registry]]\nlocation = \"127.0.0.1:5000\"\ninsecure = true\n",
        );
        yard.authorize(&yard.forced_command());
        yard.start();
        Some(yard)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What the script finds in its environment: as whoever writes authorized_keys may set it.
    pub fn places(&self) -> BTreeMap<&'static str, String> {
        let place = |name: &str| self.path(name).display().to_string();
        BTreeMap::from([
            ("GANTRY_NODE_PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", place("bin"))),
            ("GANTRY_NODE_STATE", place("state")),
            ("GANTRY_NODE_ETC", place("etc")),
            ("GANTRY_NODE_PVE", place("pve")),
            ("GANTRY_NODE_LXC_LOCKS", place("locks")),
        ])
    }

    pub fn forced_command(&self) -> String {
        let places: Vec<String> =
            self.places().iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!(
            "env {} nsenter -t {} -n {}",
            places.join(" "),
            self.net.pid(),
            self.path("bin/gantry-node").display()
        )
    }

    /// Lets gantry's key in with this forced command.
    pub fn authorize(&self, command: &str) {
        let public = std::fs::read_to_string(self.path("user.pub")).unwrap();
        let line = format!("restrict,command=\"{command}\" {public}");
        std::fs::write(self.path("authorized_keys"), line).unwrap();
    }

    pub fn make_key(&self, name: &str) {
        let file = self.path(name);
        let _ = std::fs::remove_file(&file);
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
            .arg(&file)
            .status();
        assert!(made.unwrap().success());
    }

    /// Starts sshd, on the port it had before.
    pub fn start(&mut self) {
        for _ in 0..PORT_TRIES {
            let port = if self.port == 0 { free_port() } else { self.port };
            let config = format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {dir}/host\nPidFile none\n\
                 AuthorizedKeysFile {dir}/authorized_keys\nUsePAM no\nStrictModes no\n\
                 PasswordAuthentication no\nAcceptEnv LANG LC_*\nMaxStartups 100\nUseDNS no\nPrintLastLog no\n",
                dir = self.dir.path().display()
            );
            std::fs::write(self.path("sshd_config"), config).unwrap();
            // In a mount namespace of its own: root's shell there is a plain sh, and the real files stay untouched.
            let mut sshd = Guarded::sh(
                "exec unshare -m sh -euc 'mount --make-rprivate /; mount --bind \"$1/passwd\" /etc/passwd; \
                 mount --bind \"$1/shadow\" /etc/shadow; [ ! -e /etc/containers/registries.conf ] || mount --bind \"$1/registries.conf\" /etc/containers/registries.conf; mount -t tmpfs tmpfs /run; mkdir -m 755 /run/sshd; \
                 /usr/sbin/sshd -D -e -f \"$1/sshd_config\" 2>&1 & server=$!; exec >/dev/null; read -r _ || :; kill $server' sh \"$1\"",
                &[&self.dir.path().display().to_string()],
            );
            if sshd.says("Server listening") {
                self.port = port;
                self.sshd = Some(sshd);
                return;
            }
        }
        panic!("sshd does not start");
    }

    pub fn stop(&mut self) {
        self.sshd = None;
    }

    pub fn host_key(&self) -> HostKey {
        std::fs::read_to_string(self.path("host.pub")).unwrap().parse().unwrap()
    }

    pub fn config(&self) -> Config {
        Config {
            nodes: BTreeMap::from([(node(), self.address(self.port))]),
            user: "root".to_owned(),
            private_key: Secret::new(std::fs::read_to_string(self.path("user")).unwrap()),
            deadlines: Deadlines { connect: Duration::from_secs(20), ..Deadlines::default() },
        }
    }

    pub fn address(&self, port: u16) -> NodeAddress {
        NodeAddress { host: "127.0.0.1".to_owned(), port, host_keys: vec![self.host_key()] }
    }

    pub fn shell(&self) -> NodeShell {
        NodeShell::new(self.config()).unwrap()
    }

    /// What `ssh` itself gets for a raw line: exit status, standard output, standard error.
    pub fn ssh(&self, key: &str, options: &[&str], line: Option<&str>) -> (i32, String, String) {
        let mut ssh = Command::new("ssh");
        ssh.args(["-q", "-T", "-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"])
            .args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-i"])
            .arg(self.path(key))
            .args(["-p", &self.port.to_string()])
            .args(options)
            .arg("root@127.0.0.1");
        if let Some(line) = line {
            ssh.arg("--").arg(line);
        }
        let out = ssh.stdin(Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (out.status.code().unwrap_or(-1), text(&out.stdout), text(&out.stderr))
    }

    /// Runs the script by hand on the node, as the boot unit does.
    pub fn by_hand(&self, argument: &str, input: &str) -> (bool, String, String) {
        let mut child = Command::new("nsenter")
            .args(["-t", &self.net.pid().to_string(), "-n"])
            .arg(self.path("bin/gantry-node"))
            .arg(argument)
            .env_remove("SSH_CONNECTION")
            .envs(self.places())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let out = child.wait_with_output().unwrap();
        let _ = writer.join();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (out.status.success(), text(&out.stdout), text(&out.stderr))
    }

    pub fn read(&self, name: &str) -> String {
        let mut text = String::new();
        if let Ok(mut file) = std::fs::File::open(self.path(name)) {
            file.read_to_string(&mut text).unwrap();
        }
        text
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }
}

pub fn node() -> NodeName {
    "pve1".parse().unwrap()
}

/// Makes the plain name of a word's type readable in tests.
pub fn word<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text}"))
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
