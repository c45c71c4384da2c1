//! The whole story as a person sees it: the program's demo in a real, headless Chromium.
//!
//! Everything is done as a person does it, by typing and clicking; every wait is for something that can be seen on
//! the page and is bounded. Left out, loudly, where Chromium or its driver is not installed.

mod alerts;
mod page;
mod service;

use serde_json::json;

use self::page::{Page, installed};

/// An image that the simulated cluster has.
const IMAGE: &str = "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst";
/// The pod of this story.
const POD: &str = "web-7";

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_story_in_a_browser() {
    let Some(programs) = installed() else { return };
    let page = Page::open(programs, &[]).await;
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
    page.guest_is(POD, "gone").await;
    page.presses(&card, &format!("Create {POD}")).await;
    page.says(&card, &format!("Creating {POD}")).await;
    let outcome = page.says(&card, &format!("{POD} created")).await;
    assert!(outcome.contains("Result: OK") && outcome.contains("is running"), "{outcome}");
    page.guest_is(POD, "running").await;
}

/// The admin deletes it: a wrong name does nothing, the right one does; the audit log tells all of it.
async fn deletes(page: &Page) {
    let card = page.asks(&format!("/pod delete pod:{POD}")).await;
    page.says(&card, &format!("Delete {POD}?")).await;
    page.is_painted("demo.png", (1280, 957)).await;
    let before = page.messages().await;
    page.presses(&card, &format!("Delete {POD}")).await;
    page.fills("name", "web-8").await;
    page.submits().await;
    let wrong = page.new_message(before).await;
    page.says(&wrong, "does not match").await;
    page.guest_is(POD, "running").await;

    page.presses(&card, &format!("Delete {POD}")).await;
    page.fills("name", POD).await;
    page.submits().await;
    let outcome = page.says(&card, &format!("{POD} deleted")).await;
    assert!(outcome.contains("Result: OK") && outcome.contains("is gone"), "{outcome}");
    page.guest_is(POD, "gone").await;

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
