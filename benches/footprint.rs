//! What `gantry run` costs: memory, CPU an acknowledgement, time to acknowledge, CPU when idle, time until people are told
//! what happened, memory in a storm of alerts.
//!
//! Starts the real program between the two twins, each a process of its own, acts through the twins' control APIs and
//! reads `/proc`. Prints each figure with its bar and PASS or MISS; a miss is not a failure, since a busy machine
//! makes every time longer. Only 127.0.0.1; every wait has an end. See `benches/README.md`.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Ids of the Discord twin's demo world: its server, its `#ops`, its admin and the admin's role.
const GUILD: &str = "1100000000000000100";
const CHANNEL: &str = "1100000000000000401";
const ADMIN: &str = "1100000000000000301";
const ADMIN_ROLE: &str = "1100000000000000201";
/// Its channel of alerts.
const ALERTS: &str = "1100000000000000402";
/// The secret of the bench's webhook.
const HOOK: &str = "bench-secret-of-the-webhook";
/// Alerts of a storm, and its groups.
const STORM: usize = 5_000;
/// See [`STORM`].
const GROUPS: usize = 4;
/// A storm is told within this, and a change at Proxmox.
const TOLD_WITHIN: Duration = Duration::from_secs(60);
/// Guests of the Proxmox twin's demo world.
const DEMO_GUESTS: u32 = 25;
/// A twin prints its addresses within this.
const TWIN_WITHIN: Duration = Duration::from_secs(20);
/// gantry is online and has read the clusters within this.
const READY_WITHIN: Duration = Duration::from_secs(40);
/// Quiet before memory is read: one round of polling more, and what only the start needed is given back.
const SETTLE: Duration = Duration::from_secs(15);
/// How long each load lasts.
const LOAD: Duration = Duration::from_secs(20);
/// How long an idle process is watched.
const IDLE: Duration = Duration::from_secs(30);
/// A control call, the bot's 3 s included.
const CALL: Duration = Duration::from_secs(15);
/// People that act at the same time.
const PEOPLE: usize = 24;
/// Bytes of a MiB.
const MIB: f64 = 1_048_576.0;
/// Ticks a second of `/proc/PID/stat`: fixed in Linux' interface.
const TICK_MS: f64 = 10.0;

fn main() -> Fallible<()> {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let mut programs = Path::new(env!("CARGO_BIN_EXE_gantry")).parent().map(Path::to_owned);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--programs" => programs = words.next().map(PathBuf::from),
            _ => return Err(format!("{word}? usage: footprint [--programs DIR]").into()),
        }
    }
    // gantry is started in a folder of its own, where a relative path would mean something else.
    let programs = programs.ok_or("--programs needs a folder")?.canonicalize()?;
    let mut report = Report(std::io::stdout());

    report.title("memory, 25 guests in 5 nodes")?;
    // Promised in MB, shown in MiB.
    for (guilds, bar) in [(0, 25e6 / MIB), (2_500, 40e6 / MIB)] {
        let bench = Bench::start(&programs, Some(guilds), 0, false)?;
        std::thread::sleep(SETTLE);
        let memory = bench.memory()?;
        report.memory(&format!("{guilds} guilds"), &memory, Some(bar))?;
    }

    report.title("acknowledging: policy, store, card, log; SQLite")?;
    let bench = Bench::start(&programs, None, 0, false)?;
    for (command, rate, bars) in [
        ("/whoami", 50, Some((0.6, 5.0))),
        ("/node list", 50, Some((0.6, 5.0))),
        ("/whoami", 500, Some((0.3, 5.0))),
    ] {
        let load = bench.load(command, rate)?;
        report.load(command, rate, &load, bars)?;
    }
    report.memory("after these", &bench.memory()?, None)?;
    drop(bench);

    for (guests, bar) in [(10_000, 3.0), (1_000, 0.5)] {
        report.title(&format!("idle, 5 nodes with {guests} guests read every 10 s, alerts on"))?;
        let bench = Bench::start(&programs, None, guests - DEMO_GUESTS, true)?;
        std::thread::sleep(SETTLE);
        let (before, began) = (bench.cpu_ms()?, Instant::now());
        std::thread::sleep(IDLE);
        let percent = (bench.cpu_ms()? - before) / began.elapsed().as_secs_f64() / 10.0;
        report.line("CPU of one core", percent, "%", Some(bar))?;
        report.memory(&format!("{guests} guests"), &bench.memory()?, None)?;
        if guests == 1_000 {
            report.title("alerts, polled every 10 s, with Discord's limits")?;
            report.line("from a dead node to its message", bench.told()?, "s", Some(12.0))?;
            bench.storm(&mut report)?;
        }
    }
    Ok(())
}

/// A process that ends with its handle.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The bot between its twins.
struct Bench {
    gantry: Program,
    discord: String,
    proxmox: String,
    hook: String,
    _twins: [Program; 2],
    _folder: tempfile::TempDir,
}

impl Bench {
    /// Starts all three; returns once the bot is online and has read the cluster.
    /// With alerts, the twin of Discord keeps its limits.
    fn start(programs: &Path, guilds: Option<u32>, guests: u32, alerts: bool) -> Fallible<Self> {
        let folder = tempfile::Builder::new().prefix("gantry-footprint-").tempdir()?;
        let at = |name: &str| folder.path().join(name);
        let mut command = Command::new(programs.join("discord-twin"));
        command.args(["--token", "bench-token"]);
        if !alerts {
            command.arg("--no-rate-limits");
        }
        if let Some(guilds) = guilds {
            command.args(["--guilds", &guilds.to_string()]);
        }
        let (discord_twin, discord) = twin(command)?;
        let mut command = Command::new(programs.join("proxmox-twin"));
        command.args(["--port", "0", "--control-port", "0"]).arg("--ca-file").arg(at("ca.pem"));
        if guests > 0 {
            command.args(["--guests", &guests.to_string()]);
        }
        let (proxmox_twin, proxmox) = twin(command)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (discord, control) = (text(&discord["url"]), text(&proxmox["control_url"]));

        let config = format!(
            "[discord]\ntoken = \"bench-token\"\napi_url = \"{discord}\"\n\n\
             [[clusters]]\nid = \"bench\"\nendpoints = {}\ntoken_id = {}\ntoken_secret = {}\n\
             tls = {{ ca_file = \"ca.pem\" }}\n\n\
             [[policy.rules]]\nname = \"admins\"\nroles = [{ADMIN_ROLE}]\nverbs = [\"*\"]\non = [\"*\"]\n",
            proxmox["endpoints"], proxmox["token_id"], proxmox["token_secret"],
        );
        // A port that nobody listens on.
        let hook = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let alerts = match alerts {
            true => format!(
                "\n[[alerts.servers]]\nguild = {GUILD}\nchannel = {ALERTS}\n\n[http]\nlisten = \"{hook}\"\n\n\
                 [[http.hooks]]\nname = \"bench\"\nkind = \"alertmanager\"\ntoken = \"{HOOK}\"\n"
            ),
            false => String::new(),
        };
        std::fs::write(at("gantry.toml"), format!("{config}{alerts}"))?;
        let gantry = Command::new(programs.join("gantry"))
            .arg("run")
            .arg("--config")
            .arg(at("gantry.toml"))
            .current_dir(folder.path())
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(at("gantry.log"))?)
            .spawn()
            .map_err(|error| format!("gantry in {}: {error}", programs.display()))?;
        let mut bench = Self {
            gantry: Program(gantry),
            discord,
            proxmox: control.clone(),
            hook,
            _twins: [discord_twin, proxmox_twin],
            _folder: folder,
        };
        bench.until_ready(&control)?;
        Ok(bench)
    }

    fn until_ready(&mut self, control: &str) -> Fallible<()> {
        let (mut discord, mut proxmox) = (Line::to(&self.discord)?, Line::to(control)?);
        let end = Instant::now() + READY_WITHIN;
        let log = self._folder.path().join("gantry.log");
        loop {
            let online = discord.get("/control/state")?["bot_online"] == true;
            let asked = proxmox.get("/control/requests")?;
            let read = asked["requests"].as_array().is_some_and(|all| {
                all.iter().any(|one| one["path"] == "/cluster/resources" && one["status"] == 200)
            });
            let registered = discord.get("/control/log")?.as_array().is_some_and(|all| {
                all.iter().any(|one| one["path"].as_str().is_some_and(|p| p.ends_with("/commands")))
            });
            if online && read && registered {
                return Ok(());
            }
            if let Some(status) = self.gantry.0.try_wait()? {
                return Err(format!("gantry ended: {status}\n{}", tail(&log)).into());
            }
            if Instant::now() > end {
                let what =
                    format!("online: {online}, cluster read: {read}, commands: {registered}");
                return Err(format!("gantry is not ready; {what}\n{}", tail(&log)).into());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Milliseconds of CPU the bot has used, all its threads together.
    fn cpu_ms(&self) -> Fallible<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.gantry.0.id()))?;
        // The name in parentheses may hold blanks; utime and stime are the 12th and 13th word after it.
        let words = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()).ok_or("stat")?;
        let ticks = words.skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
        Ok(ticks * TICK_MS)
    }

    /// Headings of the messages in the channel of alerts.
    fn headings(&self) -> Fallible<Vec<String>> {
        let path = format!("/control/channels/{ALERTS}/messages?as={ADMIN}&limit=100");
        let all = Line::to(&self.discord)?.get(&path)?;
        let all = all.as_array().cloned().unwrap_or_default();
        let heading = |m: &Value| m["embeds"][0]["title"].as_str().map(str::to_owned);
        Ok(all.iter().filter_map(heading).collect())
    }

    /// Waits until `many` messages' headings contain `text`; seconds.
    fn until_told(&self, text: &str, many: usize) -> Fallible<f64> {
        let began = Instant::now();
        while began.elapsed() < TOLD_WITHIN {
            if self.headings()?.iter().filter(|h| h.contains(text)).count() >= many {
                return Ok(began.elapsed().as_secs_f64());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = tail(&self._folder.path().join("gantry.log"));
        Err(format!("“{text}” was not told {many} times; told was {:?}\n{log}", self.headings()?)
            .into())
    }

    /// A node dies: seconds until people are told, the longest of three.
    fn told(&self) -> Fallible<f64> {
        let mut longest: f64 = 0.0;
        for node in ["pve3", "pve4", "pve5"] {
            let down = json!({"kind": "node_down", "node": node}).to_string();
            Line::to(&self.proxmox)?.post("/control/trouble", &down)?;
            longest = longest.max(self.until_told(node, 1)?);
        }
        Ok(longest)
    }

    /// Thousands of alerts in ten seconds, a hundred at a time.
    fn storm(&self, report: &mut Report<impl Write>) -> Fallible<()> {
        let before = self.memory()?;
        let (began, mut line) = (Instant::now(), Line::to(&format!("http://{}", self.hook))?);
        for part in 0..STORM / 100 {
            let due = began + Duration::from_secs(10) * part as u32 / (STORM / 100) as u32;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let title = format!("Flood {}", part % GROUPS);
            let alerts: Vec<Value> = (0..100)
                .map(|n| {
                    let name = format!("host-{part}-{n}");
                    let labels = json!({"alertname": title, "host": name, "severity": "error"});
                    json!({"status": "firing", "fingerprint": name, "labels": labels,
                           "startsAt": "2026-11-21T01:29:58Z"})
                })
                .collect();
            let body = json!({"version": "4", "groupKey": title, "alerts": alerts}).to_string();
            line.call("POST", "/hooks/alertmanager/bench", HOOK, &body)?;
        }
        report.line(
            "a storm of 5,000: taken in",
            began.elapsed().as_secs_f64(),
            "s",
            Some(11.0),
        )?;
        let more = format!("{} more", STORM / GROUPS - 1);
        let told = self.until_told(&more, GROUPS)?;
        report.line("told to the last one after it", told, "s", Some(20.0))?;
        let after = self.memory()?;
        report.line(
            "memory more than before (RssAnon)",
            after.own - before.own,
            "MiB",
            Some(20.0),
        )?;
        report.line("highest so far (VmHWM)", after.peak, "MiB", None)?;
        let log = Line::to(&self.discord)?.get("/control/log")?;
        let limited =
            log.as_array().map_or(0, |all| all.iter().filter(|e| e["status"] == 429).count());
        report.line("limits run into (429)", limited as f64, "", Some(0.0))
    }

    fn memory(&self) -> Fallible<Memory> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.gantry.0.id()))?;
        let field = |name: &str| -> Fallible<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("status")?;
            let word = line.trim_start_matches(':').split_whitespace().next().ok_or("status")?;
            Ok(word.parse()?)
        };
        Ok(Memory {
            all: field("VmRSS")? / 1024.0,
            own: field("RssAnon")? / 1024.0,
            peak: field("VmHWM")? / 1024.0,
            threads: field("Threads")?,
        })
    }

    /// Uses `command` as the admin, `rate` times a second, at a pace that does not wait for answers.
    fn load(&self, command: &str, rate: u32) -> Fallible<Load> {
        let order =
            json!({"guild_id": GUILD, "channel_id": CHANNEL, "user_id": ADMIN, "text": command});
        let body = order.to_string();
        let many = u64::from(rate) * LOAD.as_secs();
        let next = AtomicU64::new(0);
        // Warm: connections, caches.
        Line::to(&self.discord)?.post("/control/interactions/command", &body)?;
        let (cpu, began) = (self.cpu_ms()?, Instant::now());
        let people: Vec<Fallible<Vec<f64>>> = std::thread::scope(|scope| {
            let person = || -> Fallible<Vec<f64>> {
                let (mut line, mut took) = (Line::to(&self.discord)?, Vec::new());
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    if turn >= many {
                        return Ok(took);
                    }
                    let due = began + Duration::from_secs_f64(turn as f64 / f64::from(rate));
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    let answer = line.post("/control/interactions/command", &body)?;
                    if answer["outcome"] == "failed" || !answer["error"].is_null() {
                        return Err(format!("{command} failed: {answer}").into());
                    }
                    took.push(answer["took_ms"].as_f64().ok_or("no took_ms")?);
                }
            };
            let people: Vec<_> = (0..PEOPLE).map(|_| scope.spawn(person)).collect();
            people.into_iter().map(|one| one.join().unwrap_or(Err("panicked".into()))).collect()
        });
        let seconds = began.elapsed().as_secs_f64();
        let mut took = Vec::new();
        for person in people {
            took.extend(person?);
        }
        // What an answer still has to do after its acknowledgement belongs to it.
        std::thread::sleep(Duration::from_secs(1));
        let cpu_ms = self.cpu_ms()? - cpu;
        took.sort_by(f64::total_cmp);
        let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
        Ok(Load {
            each_ms: cpu_ms / took.len() as f64,
            per_second: took.len() as f64 / seconds,
            p50: at(0.5),
            p99: at(0.99),
            longest: at(1.0),
        })
    }
}

struct Memory {
    all: f64,
    own: f64,
    peak: f64,
    threads: f64,
}

struct Load {
    each_ms: f64,
    per_second: f64,
    p50: f64,
    p99: f64,
    longest: f64,
}

/// Starts a twin; its first line says where it is.
fn twin(mut command: Command) -> Fallible<(Program, Value)> {
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command.env("RUST_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = Program(child.map_err(|error| {
        format!(
            "{name}: {error}\nbuild it first: cargo build --release -p discord-twin -p proxmox-twin"
        )
    })?);
    let out = child.0.stdout.take().ok_or("no pipe")?;
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut out = BufReader::new(out);
        let mut line = String::new();
        let _ = out.read_line(&mut line);
        let _ = tell.send(line);
        // Kept open, so that a twin that prints more is not ended by it.
        let _ = std::io::copy(&mut out, &mut std::io::sink());
    });
    let line = told.recv_timeout(TWIN_WITHIN).map_err(|_| format!("{name} said nothing"))?;
    Ok((child, serde_json::from_str(&line).map_err(|error| format!("{name}: {error}: {line}"))?))
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// One HTTP connection to a control API.
struct Line {
    host: String,
    stream: BufReader<TcpStream>,
}

impl Line {
    fn to(url: &str) -> Fallible<Self> {
        let host = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let stream = TcpStream::connect(&host)?;
        stream.set_read_timeout(Some(CALL))?;
        stream.set_write_timeout(Some(CALL))?;
        stream.set_nodelay(true)?;
        Ok(Self { host, stream: BufReader::new(stream) })
    }

    fn get(&mut self, path: &str) -> Fallible<Value> {
        self.call("GET", path, "", "")
    }

    fn post(&mut self, path: &str, body: &str) -> Fallible<Value> {
        self.call("POST", path, "", body)
    }

    fn call(&mut self, method: &str, path: &str, token: &str, body: &str) -> Fallible<Value> {
        let (host, length) = (&self.host, body.len());
        let secret = match token {
            "" => String::new(),
            token => format!("Authorization: Bearer {token}\r\n"),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{secret}Content-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (mut status, mut length) = (String::new(), 0);
        self.stream.read_line(&mut status)?;
        loop {
            let mut header = String::new();
            self.stream.read_line(&mut header)?;
            let Some((name, value)) = header.trim_end().split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            }
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer)?;
        if !status.contains(" 200 ") {
            let answer = String::from_utf8_lossy(&answer);
            return Err(format!("{method} {path}: {} {answer}", status.trim_end()).into());
        }
        Ok(serde_json::from_slice(&answer)?)
    }
}

/// What people read.
struct Report<W>(W);

impl<W: Write> Report<W> {
    fn title(&mut self, text: &str) -> Fallible<()> {
        Ok(writeln!(self.0, "\n{text}")?)
    }

    fn line(&mut self, what: &str, value: f64, unit: &str, bar: Option<f64>) -> Fallible<()> {
        let judged = bar.map_or_else(String::new, |bar| {
            format!("  bar {bar:>5} {unit:<3} {}", if value <= bar { "PASS" } else { "MISS" })
        });
        Ok(writeln!(self.0, "  {what:<44} {value:>8.2} {unit:<3}{judged}")?)
    }

    fn memory(&mut self, when: &str, memory: &Memory, bar: Option<f64>) -> Fallible<()> {
        self.line(&format!("{when}: resident (VmRSS)"), memory.all, "MiB", bar)?;
        self.line(&format!("{when}: of it its own (RssAnon)"), memory.own, "MiB", None)?;
        self.line(&format!("{when}: highest so far (VmHWM)"), memory.peak, "MiB", None)?;
        self.line(&format!("{when}: threads"), memory.threads, "", None)
    }

    fn load(
        &mut self,
        command: &str,
        rate: u32,
        load: &Load,
        bars: Option<(f64, f64)>,
    ) -> Fallible<()> {
        let name = format!("{command} at {rate}/s");
        self.line(&format!("{name}: CPU each"), load.each_ms, "ms", bars.map(|b| b.0))?;
        self.line(&format!("{name}: p50 until acknowledged"), load.p50, "ms", None)?;
        self.line(&format!("{name}: p99"), load.p99, "ms", bars.map(|b| b.1))?;
        self.line(&format!("{name}: longest"), load.longest, "ms", Some(3_000.0))?;
        self.line(&format!("{name}: reached"), load.per_second, "/s", None)
    }
}
