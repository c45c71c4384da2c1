//! The demo in a real, headless Chromium, as a person meets it: typing, clicking, looking. Every wait is bounded and
//! fails with what the page shows.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

/// Longest anything on the page may take on a loaded machine; the simulated tasks take some seconds by design, and the
/// demo calls for help after a minute.
const PATIENCE: Duration = Duration::from_secs(90);
/// Pause between two looks at the page.
const LOOK: Duration = Duration::from_millis(50);
/// Size of the window unless a picture wants another.
const WINDOW: (u32, u32) = (1280, 800);
/// What the programs of the browser are called on Debian and elsewhere.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// Where a program of one of these names is.
fn program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    names.iter().find_map(|n| folders.iter().map(|f| f.join(n)).find(|p| p.is_file()))
}

/// The driver and the browser, or why this test is left out.
pub fn installed() -> Option<(PathBuf, PathBuf)> {
    let found = program(&["chromedriver"]).zip(program(&BROWSERS));
    if found.is_none() {
        let required = std::env::var("GANTRY_REQUIRE_BROWSER").is_ok_and(|v| v == "1");
        assert!(!required, "chromium or chromedriver is not installed, and it is required here");
        eprintln!(
            "!!!!!! chromium or chromedriver is not installed: the demo page was NOT tried in a browser"
        );
    }
    found
}

/// Whether pictures for docs/ are to be written.
pub fn paints() -> bool {
    std::env::var("GANTRY_WRITE_SCREENSHOTS").is_ok_and(|v| v == "1")
}

/// A process with all its children, ended when dropped.
struct Group(Child);

impl Group {
    fn start(command: &mut Command, log: &Path) -> Self {
        let log = std::fs::File::create(log).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
        Self(command.spawn().unwrap())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-s", "KILL", "--", &group]).status();
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ends the browser even when its driver could not: it is known by the folder of its profile, which only it has.
struct Profile(tempfile::TempDir);

impl Drop for Profile {
    fn drop(&mut self) {
        let folder = self.0.path().display().to_string();
        let Ok(processes) = std::fs::read_dir("/proc") else { return };
        for process in processes.flatten() {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let id = process.file_name().to_string_lossy().into_owned();
            if String::from_utf8_lossy(&line).contains(&folder) && id.parse::<u32>().is_ok() {
                let _ = Command::new("kill").args(["-s", "KILL", &id]).status();
            }
        }
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The demo and a browser that looks at it. Fields are dropped in this order.
pub struct Page {
    pub client: Client,
    url: String,
    _profile: Profile,
    _driver: Group,
    _demo: Group,
    _folder: tempfile::TempDir,
}

impl Page {
    /// Starts the demo with `options` and a browser.
    pub async fn open((driver, browser): (PathBuf, PathBuf), options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let said = folder.path().join("demo.log");
        let mut demo = Command::new(env!("CARGO_BIN_EXE_gantry"));
        demo.args(["demo", "--port", &free_port().to_string()])
            .args(options)
            .current_dir(folder.path())
            .env_remove("RUST_LOG")
            .env_remove("GANTRY_CONFIG");
        let demo = Group::start(&mut demo, &said);
        let url = bounded("the demo's address", async || {
            let text = std::fs::read_to_string(&said).unwrap();
            let (_, rest) = text.split_once("demo is ready: ")?;
            rest.split_once('\n').map(|(url, _)| url.trim().to_owned())
        })
        .await;

        let port = free_port();
        let driver = Group::start(
            Command::new(driver).arg(format!("--port={port}")),
            &folder.path().join("driver.log"),
        );
        let profile = Profile(tempfile::tempdir().unwrap());
        let data = format!("--user-data-dir={}", profile.0.path().display());
        let options = json!({
            "binary": browser,
            "args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                format!("--window-size={},{}", WINDOW.0, WINDOW.1), "--hide-scrollbars", "--lang=en-GB", data,
            ],
        });
        let wanted: serde_json::Map<String, Value> =
            [("goog:chromeOptions".to_owned(), options)].into_iter().collect();
        let client = bounded("the browser", async || {
            ClientBuilder::new(HttpConnector::new())
                .capabilities(wanted.clone())
                .connect(&format!("http://127.0.0.1:{port}"))
                .await
                .ok()
        })
        .await;
        Self { client, url, _profile: profile, _driver: driver, _demo: demo, _folder: folder }
    }

    /// Opens the page anew and waits until the bot is there.
    pub async fn visit(&self, query: &str) {
        self.client.goto(&format!("{}{query}", self.url)).await.unwrap();
        self.find("[data-testid=composer]").await;
        self.until("the bot is online and its commands are known", READY, vec![]).await;
    }

    /// What `script` returns as soon as that is something.
    pub async fn until(&self, what: &str, script: &str, args: Vec<Value>) -> Value {
        let begin = Instant::now();
        loop {
            match self.client.execute(script, args.clone()).await {
                Ok(Value::Null | Value::Bool(false)) | Err(_) => {}
                Ok(found) => return found,
            }
            if begin.elapsed() > PATIENCE {
                let seen = self.client.execute("return document.body.innerText", vec![]).await;
                panic!("never seen: {what}. The page shows:\n{}", seen.unwrap().as_str().unwrap());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    pub async fn find(&self, css: &str) -> Element {
        let found = self.client.wait().at_most(PATIENCE).every(LOOK);
        match found.for_element(Locator::Css(css)).await {
            Ok(element) => element,
            Err(error) => panic!("never seen: {css}: {error}"),
        }
    }

    pub async fn click(&self, css: &str) {
        self.find(css).await.click().await.unwrap();
    }

    /// Types into the composer and sends it.
    pub async fn types(&self, text: &str) {
        let composer = self.find("[data-testid=composer]").await;
        composer.send_keys(text).await.unwrap();
        self.click(".send").await;
    }

    /// The ids of the messages on the page that a server sent.
    pub async fn messages(&self) -> Value {
        self.client.execute(MESSAGES, vec![]).await.unwrap()
    }

    /// The message that was not there before and is not a placeholder.
    pub async fn new_message(&self, before: Value) -> String {
        let script = format!(
            "const ids = (() => {{ {MESSAGES} }})(); return ids.find((id) => !arguments[0].includes(id)) ?? null;"
        );
        self.until("a new message", &script, vec![before]).await.as_str().unwrap().to_owned()
    }

    /// Types a command and waits for the bot's answer.
    pub async fn asks(&self, text: &str) -> String {
        let before = self.messages().await;
        self.types(text).await;
        self.new_message(before).await
    }

    /// Waits until a message shows `text`; what all of it says then.
    pub async fn says(&self, id: &str, text: &str) -> String {
        let what = format!("“{text}”");
        self.until(&what, SAYS, vec![json!(id), json!(text)]).await.as_str().unwrap().to_owned()
    }

    /// Presses a button of a message, as soon as it is there and alive.
    pub async fn presses(&self, id: &str, label: &str) {
        self.says(id, label).await;
        let button = format!(
            "//*[@data-message-id='{id}']//button[not(@disabled)][contains(@class,'btn')][contains(.,'{label}')]"
        );
        bounded(label, async || {
            let button = self.client.find(Locator::XPath(&button)).await.ok()?;
            button.click().await.ok() // a card that is drawn anew at this moment is found again
        })
        .await;
    }

    /// Presses a button until the message says `text`: again where the application did not answer in time, as a person
    /// does, three times at most.
    pub async fn presses_for(&self, id: &str, label: &str, text: &str) -> String {
        for _ in 0..3 {
            self.presses(id, label).await;
            let what = format!("“{text}” after “{label}”");
            let seen = self.until(&what, SAYS_OR_FAILED, vec![json!(id), json!(text)]).await;
            match seen.as_str() {
                Some("failed") => {}
                told => return told.unwrap().to_owned(),
            }
        }
        panic!("“{label}” was never answered in time");
    }

    pub async fn fills(&self, name: &str, text: &str) {
        let field = self.find(&format!("[data-testid=modal] [name={name}]")).await;
        field.send_keys(text).await.unwrap();
    }

    /// Chooses in one of the panel's lists.
    pub async fn picks(&self, list: &str, value: &str) {
        let list = self.find(&format!("select[data-pick={list}]")).await;
        list.select_by_value(value).await.unwrap();
    }

    /// Brings a section of the panel into sight.
    pub async fn scrolls_panel_to(&self, section: &str) {
        let script =
            "document.querySelector(`[data-testid=panel-${arguments[0]}]`).scrollIntoView()";
        self.client.execute(script, vec![json!(section)]).await.unwrap();
    }

    pub async fn submits(&self) {
        self.click("[data-testid=modal-submit]").await;
        let gone = "return !document.querySelector('[data-testid=modal]')";
        self.until("the form closes", gone, vec![]).await;
    }

    pub async fn becomes(&self, who: &str) {
        self.click(&format!("[data-testid=persona-{who}]")).await;
        self.find(&format!("[data-testid=persona-{who}][aria-checked=true]")).await;
        let read = "return !document.querySelector('[aria-busy]')";
        self.until("what the person may see", read, vec![]).await;
    }

    /// Keeps what is to be seen as a picture in docs/, when asked to by `GANTRY_WRITE_SCREENSHOTS=1`; see
    /// scripts/screenshots.
    pub async fn is_painted(&self, name: &str, (width, height): (u32, u32)) {
        if !paints() {
            return;
        }
        // A narrow window shuts the panel, which would lie over the conversation.
        let is_open = "return document.body.dataset.cluster === 'on'";
        let was_open = self.client.execute(is_open, vec![]).await.unwrap();
        self.client.set_window_size(width, height).await.unwrap();
        let latest = "document.activeElement.blur(); const log = document.getElementById('scroller'); \
             if (log.scrollHeight - log.scrollTop - log.clientHeight < 2) return true; log.scrollTop = log.scrollHeight; return false";
        self.until("the latest message", latest, vec![]).await;
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, self.client.screenshot().await.unwrap()).unwrap();
        self.client.set_window_size(WINDOW.0, WINDOW.1).await.unwrap();
        if self.client.execute(is_open, vec![]).await.unwrap() != was_open {
            self.click("[data-testid=panel-toggle]").await;
        }
    }

    /// What the simulated cluster itself says of a guest; `state` may be “gone”.
    pub async fn guest_is(&self, name: &str, state: &str) {
        let what = format!("the cluster says {name} is {state}");
        let script = "const guests = [...document.querySelectorAll('[data-testid=guest]')]; \
             const pod = guests.find((one) => one.dataset.name === arguments[0]); \
             return guests.length > 0 && (pod?.dataset.status ?? 'gone') === arguments[1]";
        self.until(&what, script, vec![json!(name), json!(state)]).await;
    }
}

/// True when the bot is shown as online and the hints offer what it has registered.
const READY: &str = "const bot = document.querySelector('[data-testid=member][data-name=gantry]'); \
     return bot?.dataset.online === 'true' && !document.querySelector('[data-testid^=banner]')";
const MESSAGES: &str = "return [...document.querySelectorAll('[data-testid=message][data-thinking=false]')] \
     .map((one) => one.dataset.messageId).filter((id) => /^\\d+$/.test(id));";
const SAYS_OR_FAILED: &str = "const message = document.querySelector(`[data-message-id='${arguments[0]}']`); \
     const text = (message?.innerText ?? '').replaceAll('\\u00a0', ' '); \
     return text.includes(arguments[1]) ? text : message?.querySelector('.failed') ? 'failed' : null";
const SAYS: &str = "const text = (document.querySelector(`[data-message-id='${arguments[0]}']`)?.innerText ?? '').replaceAll('\\u00a0', ' '); \
     return text.includes(arguments[1]) ? text : null";

/// What `look` finds as soon as it finds something.
async fn bounded<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "never there: {what}");
        tokio::time::sleep(LOOK).await;
    }
}
