//! A service of several pods from its image to its deletion: docs/walkthrough.md, done by a person in a browser.
//!
//! The cluster is empty at the beginning. Its tasks are ten times as fast as real ones, and the pods really answer, on
//! addresses of this machine.

use serde_json::{Value, json};

use super::page::{Page, installed, paints};

/// The set's service: its name, and the zone of the demo's name server.
const SERVICE: &str = "web.lab.internal";
/// The window of a picture, and that of a phone; the browser's own edge is part of the first height.
const WIDE: (u32, u32) = (1280, 943);
const PHONE: (u32, u32) = (420, 943);

/// What the simulated cluster says of a guest, as `GET /control/state` gives it; null when there is none.
const GUEST: &str = "const done = arguments[arguments.length - 1]; (async () => { \
     const { panel_url } = await (await fetch('/control/state')).json(); \
     const { guests } = await (await fetch(panel_url.replace(/\\/$/, '') + '/control/state')).json(); \
     done(guests.find((one) => one.name === arguments[0]) ?? null); })()";
/// The addresses the DNS records of a name hold, as the panel shows them.
const ADDRESSES: &str = "return [...document.querySelectorAll('[data-testid=record]')] \
     .filter((one) => one.dataset.name === arguments[0] && one.dataset.kind === 'A').map((one) => one.dataset.content).sort()";

#[tokio::test(flavor = "multi_thread")]
async fn a_service_from_its_image_to_its_deletion_in_a_browser() {
    let Some(programs) = installed() else { return };
    let page = Page::open(programs, &["--empty", "--speed", "10"]).await;
    page.visit("?as=admin&panel=1").await;
    let net = Net::of_this_run();

    fetches(&page, 1).await;
    page.is_painted("walkthrough/1-image.png", WIDE).await;
    for node in ["pve1", "pve2"] {
        makes_a_bridge(&page, node).await;
    }
    creates(&page, &net).await;
    survives_a_loss(&page, &net).await;
    scales(&page, &net).await;
    fetches(&page, 2).await;
    rolls_out_what_does_not_work(&page, &net).await;
    deletes(&page).await;
    page.client.clone().close().await.unwrap();
}

/// Addresses of the pods: others for every run, so that several can go on at the same time.
struct Net(u32);

impl Net {
    fn of_this_run() -> Self {
        Self(if paints() { 20 } else { std::process::id() % 200 + 21 })
    }

    fn address(&self, ordinal: u32) -> String {
        format!("127.{}.0.{}", self.0, 10 + ordinal)
    }

    fn addresses(&self, count: u32) -> Vec<String> {
        (0..count).map(|n| self.address(n)).collect()
    }
}

/// Pulls an image onto the storage that all nodes share.
async fn fetches(page: &Page, tag: u32) {
    let card = page.asks(&format!("/image pull image:registry.demo/shop/web:{tag}")).await;
    let plan = page.says(&card, "A tag can be moved").await;
    assert!(plan.contains(&format!("registry.demo/shop/web:{tag}")), "{plan}");
    let fetched = format!("web_{tag}.tar fetched");
    page.presses_for(&card, &format!("Fetch web_{tag}.tar"), &fetched).await;
}

/// Makes a bridge that reaches nothing but pods of its node, presses Keep, and lets it tell VLANs apart.
async fn makes_a_bridge(page: &Page, node: &str) {
    let first = node == "pve1";
    let card = page.asks(&format!("/bridge create name:vmbr9 node:{node} deployment:web")).await;
    page.says(&card, "If nobody presses Keep within 5 min").await;
    page.presses_for(&card, "Create vmbr9", "The change is real now").await;
    if first {
        page.scrolls_panel_to("networks").await;
        page.is_painted("walkthrough/2-keep.png", WIDE).await;
    }
    page.presses_for(&card, "Keep", "vmbr9 created").await;

    let card = page.asks(&format!("/bridge secure bridge:vmbr9 node:{node}")).await;
    page.says(&card, "Secure vmbr9?").await;
    if first {
        page.is_painted("walkthrough/3-secure.png", WIDE).await;
    }
    page.presses(&card, "Secure vmbr9").await;
    page.presses_for(&card, "Keep", "vmbr9 secured").await;
}

/// Three pods with a volume each and a name that answers with those that are ready.
async fn creates(page: &Page, net: &Net) {
    let card = page
        .asks(&format!(
            "/set create name:web replicas:3 image:nas:vztmpl/web_1.tar vmids:7000-7099 nodes:pve1,pve2 bridge:vmbr9 \
             address:{}/8 volume:data:4:/data health:http:8080/ deadline:15 service:{SERVICE}",
            net.address(0)
        ))
        .await;
    let plan = page.says(&card, "Create 3 pods").await;
    assert!(plan.contains("web-0 to web-2") && plan.contains(SERVICE), "{plan}");
    page.is_painted("walkthrough/4-set-plan.png", WIDE).await;
    page.presses_for(&card, "Create set web", "1 of 3 pods ready").await;
    page.is_painted("walkthrough/5-set-progress.png", WIDE).await;
    page.says(&card, "3 of 3 pods ready, revision 1: as it shall be").await;
    for ordinal in 0..3 {
        page.guest_is(&format!("web-{ordinal}"), "running").await;
        page.guest_is(&format!("web-{ordinal}-volumes"), "stopped").await;
    }
    answers_with(page, SERVICE, &net.addresses(3)).await;
    answers_with(page, &format!("web-1.{SERVICE}"), &[net.address(1)]).await;
    let show = page.asks("/set show set:web").await;
    let told = page.says(&show, "3 of 3 ready").await;
    assert!(told.contains(&format!("{SERVICE} answers with 3 of them")), "{told}");
    page.scrolls_panel_to("names").await;
    page.is_painted("walkthrough/6-set-ready.png", WIDE).await;
}

/// Somebody destroys a pod at Proxmox: it comes back as itself, with its volume.
async fn survives_a_loss(page: &Page, net: &Net) {
    let before = guest(page, "web-1").await;
    let messages = page.messages().await;
    page.picks("Guest", &before["vmid"].to_string()).await;
    page.click("[data-testid=trouble-guest_destroy]").await;
    let told = page.new_message(messages).await;
    page.says(&told, "web-1").await;
    page.says(&told, "web-1 was gone; it is made again as itself").await;
    page.says(&told, "web-1 (CT 7001 on pve2, demo) runs").await;
    page.guest_is("web-1", "running").await;
    let again = guest(page, "web-1").await;
    for what in ["/vmid", "/node", "/config/net0", "/config/mp0"] {
        assert_eq!(again.pointer(what), before.pointer(what), "its {what} is another one now");
    }
    answers_with(page, SERVICE, &net.addresses(3)).await;
    page.is_painted("walkthrough/7-made-again.png", WIDE).await;
}

async fn scales(page: &Page, net: &Net) {
    let card = page.asks("/set scale set:web replicas:5").await;
    page.says(&card, "Create 2 more pods").await;
    page.presses_for(&card, "Scale set web", "5 of 5 pods ready, revision 1: as it shall be").await;
    answers_with(page, SERVICE, &net.addresses(5)).await;
    page.scrolls_panel_to("guests").await;
    page.is_painted("walkthrough/8-scaled.png", WIDE).await;
}

/// Version 2 starts and never answers: the first pod of it halts the rollout, and the set goes back.
async fn rolls_out_what_does_not_work(page: &Page, net: &Net) {
    let card = page.asks("/set rollout start set:web image:nas:vztmpl/web_2.tar").await;
    page.says(&card, "Each must be ready within 15 s, or the rollout halts and goes back").await;
    let told = page.presses_for(&card, "Roll out set web", "web-4: not ready").await;
    assert!(told.contains("web-3, web-2, web-1, web-0: older than it shall be"), "{told}");
    answers_with(page, SERVICE, &net.addresses(4)).await;
    page.scrolls_panel_to("guests").await;
    page.is_painted("walkthrough/9-rollout.png", WIDE).await;
    let told = page.says(&card, "was halted and undone").await;
    assert!(told.contains("web-4 was not ready within 15 s"), "{told}");
    assert!(told.contains("5 of 5 pods ready"), "{told}");
    answers_with(page, SERVICE, &net.addresses(5)).await;
    let image = guest(page, "web-4").await["image"].clone();
    assert!(image.as_str().is_some_and(|i| i.ends_with("shop/web:1")), "{image}");
    page.scrolls_panel_to("guests").await;
    page.is_painted("walkthrough/10-undone.png", WIDE).await;
    let history = page.asks("/set history set:web").await;
    page.says(&history, "undo of 2 to 1").await;
    page.is_painted("walkthrough/11-history.png", PHONE).await;
}

/// All pods go, their names too; the volumes stay, and what is somebody else's in the zone.
async fn deletes(page: &Page) {
    let card = page.asks("/set delete set:web").await;
    page.says(&card, "The volumes of 5 ordinals stay").await;
    page.is_painted("walkthrough/12-delete.png", PHONE).await;
    page.presses(&card, "Delete set web").await;
    page.fills("name", "web").await;
    page.submits().await;
    page.says(&card, "was deleted").await;
    for ordinal in 0..5 {
        page.guest_is(&format!("web-{ordinal}"), "gone").await;
        page.guest_is(&format!("web-{ordinal}-volumes"), "stopped").await;
    }
    answers_with(page, SERVICE, &[]).await;
    answers_with(page, "nas.lab.internal", &["127.20.0.9".to_owned()]).await;
    page.scrolls_panel_to("names").await;
    page.is_painted("walkthrough/13-deleted.png", WIDE).await;
}

/// Waits until the simulated name server has exactly these addresses under a name.
async fn answers_with(page: &Page, name: &str, addresses: &[String]) {
    let what = format!("{name} answers with {addresses:?}");
    let script = format!(
        "const seen = (() => {{ {ADDRESSES} }})(); return JSON.stringify(seen) === JSON.stringify(arguments[1])"
    );
    page.until(&what, &script, vec![json!(name), json!(addresses)]).await;
}

async fn guest(page: &Page, name: &str) -> Value {
    let found = page.client.execute_async(GUEST, vec![json!(name)]).await.unwrap();
    assert!(found.is_object(), "the cluster has no guest {name}");
    found
}
