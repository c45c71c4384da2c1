//! The whole story as a person sees it: the program's demo in a real, headless Chromium.
//!
//! Everything is done as a person does it, by typing and clicking; every wait is for something that can be seen on
//! the page and is bounded. Left out, loudly, where Chromium or its driver is not installed.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

/// Longest anything on the page may take on a loaded machine; the simulated tasks take some seconds by design.
const PATIENCE: Duration = Duration::from_secs(45);
/// Pause between two looks at the page.
const LOOK: Duration = Duration::from_millis(50);
/// What the programs of the browser are called on Debian and elsewhere.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];
/// An image that the simulated cluster has.
const IMAGE: &str = "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst";
/// The pod of this story.
const POD: &str = "web-7";

/// Where a program of one of these names is.
fn program(names: &[&str]) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    names.iter().find_map(|n| folders.iter().map(|f| f.join(n)).find(|p| p.is_file()))
}

/// The driver and the browser, or why this test is left out.
fn installed() -> Option<(std::path::PathBuf, std::path::PathBuf)> {
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
struct Page {
    client: Client,
    url: String,
    _profile: Profile,
    _driver: Group,
    _demo: Group,
    _folder: tempfile::TempDir,
}

impl Page {
    async fn open(driver: &Path, browser: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let said = folder.path().join("demo.log");
        let mut demo = Command::new(env!("CARGO_BIN_EXE_gantry"));
        demo.args(["demo", "--port", &free_port().to_string()])
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
                "--window-size=1280,800", "--hide-scrollbars", "--lang=en-GB", data,
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
    async fn visit(&self, query: &str) {
        self.client.goto(&format!("{}{query}", self.url)).await.unwrap();
        self.find("[data-testid=composer]").await;
        self.until("the bot is online and its commands are known", READY, vec![]).await;
    }

    /// What `script` returns as soon as that is something.
    async fn until(&self, what: &str, script: &str, args: Vec<Value>) -> Value {
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

    async fn find(&self, css: &str) -> Element {
        let found = self.client.wait().at_most(PATIENCE).every(LOOK);
        match found.for_element(Locator::Css(css)).await {
            Ok(element) => element,
            Err(error) => panic!("never seen: {css}: {error}"),
        }
    }

    async fn click(&self, css: &str) {
        self.find(css).await.click().await.unwrap();
    }

    /// Types into the composer and sends it.
    async fn types(&self, text: &str) {
        let composer = self.find("[data-testid=composer]").await;
        composer.send_keys(text).await.unwrap();
        self.click(".send").await;
    }

    /// The ids of the messages on the page that a server sent.
    async fn messages(&self) -> Value {
        self.client.execute(MESSAGES, vec![]).await.unwrap()
    }

    /// The message that was not there before and is not a placeholder.
    async fn new_message(&self, before: Value) -> String {
        let script = format!(
            "const ids = (() => {{ {MESSAGES} }})(); return ids.find((id) => !arguments[0].includes(id)) ?? null;"
        );
        self.until("a new message", &script, vec![before]).await.as_str().unwrap().to_owned()
    }

    /// Types a command and waits for the bot's answer.
    async fn asks(&self, text: &str) -> String {
        let before = self.messages().await;
        self.types(text).await;
        self.new_message(before).await
    }

    /// Waits until a message shows `text`; what all of it says then.
    async fn says(&self, id: &str, text: &str) -> String {
        let what = format!("“{text}”");
        self.until(&what, SAYS, vec![json!(id), json!(text)]).await.as_str().unwrap().to_owned()
    }

    /// Presses a button of a message, as soon as it is there and alive.
    async fn presses(&self, id: &str, label: &str) {
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

    async fn fills(&self, name: &str, text: &str) {
        let field = self.find(&format!("[data-testid=modal] [name={name}]")).await;
        field.send_keys(text).await.unwrap();
    }

    async fn submits(&self) {
        self.click("[data-testid=modal-submit]").await;
        let gone = "return !document.querySelector('[data-testid=modal]')";
        self.until("the form closes", gone, vec![]).await;
    }

    async fn becomes(&self, who: &str) {
        self.click(&format!("[data-testid=persona-{who}]")).await;
        self.find(&format!("[data-testid=persona-{who}][aria-checked=true]")).await;
        let read = "return !document.querySelector('[aria-busy]')";
        self.until("what the person may see", read, vec![]).await;
    }

    /// Keeps what is to be seen as the picture of the README, when asked to by `GANTRY_WRITE_DOCS=1`.
    async fn is_painted(&self) {
        if std::env::var("GANTRY_WRITE_DOCS").is_ok_and(|v| v == "1") {
            self.client.set_window_size(1280, 1100).await.unwrap();
            let latest = "document.activeElement.blur(); const log = document.getElementById('scroller'); \
                 return log.scrollHeight - log.scrollTop - log.clientHeight < 2";
            self.until("the latest message", latest, vec![]).await;
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/demo.png");
            std::fs::write(file, self.client.screenshot().await.unwrap()).unwrap();
        }
    }

    /// What the simulated cluster itself says of the pod; `state` may be “gone”.
    async fn pod_is(&self, state: &str) {
        let what = format!("the cluster says {POD} is {state}");
        let script = "const guests = [...document.querySelectorAll('[data-testid=guest]')]; \
             const pod = guests.find((one) => one.dataset.name === arguments[0]); \
             return guests.length > 0 && (pod?.dataset.status ?? 'gone') === arguments[1]";
        self.until(&what, script, vec![json!(POD), json!(state)]).await;
    }
}

/// True when the bot is shown as online and the hints offer what it has registered.
const READY: &str = "const bot = document.querySelector('[data-testid=member][data-name=gantry]'); \
     return bot?.dataset.online === 'true' && !document.querySelector('[data-testid^=banner]')";
const MESSAGES: &str = "return [...document.querySelectorAll('[data-testid=message][data-thinking=false]')] \
     .map((one) => one.dataset.messageId).filter((id) => /^\\d+$/.test(id));";
const SAYS: &str = "const text = document.querySelector(`[data-message-id='${arguments[0]}']`)?.innerText ?? ''; \
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

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_story_in_a_browser() {
    let Some((driver, browser)) = installed() else { return };
    let page = Page::open(&driver, &browser).await;
    page.visit("?as=admin&panel=1").await;
    // Commands are registered after the bot is online: typing a slash offers them.
    let composer = page.find("[data-testid=composer]").await;
    composer.send_keys("/pod cr").await.unwrap();
    let offered = "return document.querySelector('[data-testid=suggestions]').innerText.includes('/pod create')";
    page.until("the command is offered", offered, vec![]).await;
    composer.clear().await.unwrap();

    creates(&page).await;
    deletes(&page).await;
    refuses(&page).await;
    fits_a_phone(&page).await;
    page.client.clone().close().await.unwrap();
}

/// The admin creates a pod: options, form, plan, button, progress, outcome.
async fn creates(page: &Page) {
    let before = page.messages().await;
    page.types(&format!("/pod create name:{POD} image:{IMAGE} cores:2 memory:1024")).await;
    page.fills("tags", "shop").await;
    page.fills("note", "Seen in a browser").await;
    page.submits().await;
    let card = page.new_message(before).await;
    let plan = page.says(&card, &format!("Create {POD}?")).await;
    assert!(plan.contains(IMAGE), "{plan}");
    page.pod_is("gone").await;
    page.presses(&card, &format!("Create {POD}")).await;
    page.says(&card, &format!("Creating {POD}")).await;
    let outcome = page.says(&card, &format!("{POD} created")).await;
    assert!(outcome.contains("Result: OK") && outcome.contains("is running"), "{outcome}");
    page.pod_is("running").await;
}

/// The admin deletes it: a wrong name does nothing, the right one does; the audit log tells all of it.
async fn deletes(page: &Page) {
    let card = page.asks(&format!("/pod delete pod:{POD}")).await;
    page.says(&card, &format!("Delete {POD}?")).await;
    page.is_painted().await;
    let before = page.messages().await;
    page.presses(&card, &format!("Delete {POD}")).await;
    page.fills("name", "web-8").await;
    page.submits().await;
    let wrong = page.new_message(before).await;
    page.says(&wrong, "does not match").await;
    page.pod_is("running").await;

    page.presses(&card, &format!("Delete {POD}")).await;
    page.fills("name", POD).await;
    page.submits().await;
    let outcome = page.says(&card, &format!("{POD} deleted")).await;
    assert!(outcome.contains("Result: OK") && outcome.contains("is gone"), "{outcome}");
    page.pod_is("gone").await;

    let audit = page.asks("/audit list").await;
    let told = page.says(&audit, "ended pod.delete").await;
    assert!(told.contains("confirmed pod.delete") && told.contains(POD), "{told}");
}

/// The operator is asked to confirm; the viewer, pressing that button, is refused with the reason.
async fn refuses(page: &Page) {
    page.becomes("operator").await;
    let card = page.asks("/guest reboot guest:cache-0").await;
    page.says(&card, "Restart cache-0?").await;
    page.becomes("viewer").await;
    let before = page.messages().await;
    page.presses(&card, "Restart cache-0").await;
    let refusal = page.new_message(before).await;
    let told = page.says(&refusal, "Not allowed").await;
    assert!(told.contains("no rule gives your roles guest.reboot"), "{told}");
    assert!(told.contains("Only you can see this"), "{told}");
    page.says(&card, "Restart cache-0?").await;
}

/// On a phone nothing is wider than the screen, and one can still type and be answered.
async fn fits_a_phone(page: &Page) {
    page.client.set_window_size(420, 900).await.unwrap();
    page.visit("?as=admin").await;
    let width = page.client.execute("return innerWidth", vec![]).await.unwrap();
    assert_eq!(width, 420);
    let help = page.asks("/help").await;
    page.says(&help, "/pod create").await;
    let wide = "const most = innerWidth + 1; const wide = [...document.querySelectorAll('main *')] \
         .filter((one) => one.checkVisibility() && !one.closest('.code, .sr') && one.getBoundingClientRect().right > most); \
         return [document.scrollingElement.scrollWidth, wide.slice(0, 3).map((one) => one.outerHTML.slice(0, 120))]";
    let seen = page.client.execute(wide, vec![]).await.unwrap();
    assert!(seen[0].as_u64().unwrap() <= 420 && seen[1] == json!([]), "{seen}");
}
