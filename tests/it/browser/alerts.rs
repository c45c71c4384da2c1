//! Alerts as people meet them in the demo: a storage fills, a node dies and returns, a backup fails; acknowledged,
//! silenced, looked at, escalated, over. docs/alerts.md has its pictures.

use serde_json::{Value, json};

use super::page::{Page, installed};

/// The window of a picture, and that of a phone; the browser's own edge is part of the height.
const WIDE: (u32, u32) = (1280, 1143);
const PHONE: (u32, u32) = (420, 1043);

/// The newest message whose card begins with a text; calls beside it only link to it.
const CARD: &str = "const found = [...document.querySelectorAll('[data-testid=message]')] \
     .filter((one) => one.querySelector('[data-testid=embed]')?.innerText.includes(arguments[0])).pop(); \
     return found?.dataset.messageId ?? null";

#[tokio::test(flavor = "multi_thread")]
async fn alerts_in_a_browser() {
    let Some(programs) = installed() else { return };
    let page = Page::open(programs, &[]).await;
    page.visit("?as=operator&panel=1&channel=alerts").await;

    // A node dies; nobody takes care of it for now.
    page.picks("Node", "pve3").await;
    page.click("[data-testid=trouble-node_down]").await;
    let node = card(&page, "Node down: pve3").await;
    let told = page.says(&node, "guests there").await;
    assert!(told.contains("Acknowledge") && told.contains("critical"), "{told}");
    called(&page, "@operator").await;

    // A storage fills: a card with its graph, taken care of by the operator.
    page.picks("Storage", "pve1/local-lvm").await;
    page.click("[data-testid=trouble-fill_storage]").await;
    let storage = card(&page, "Storage fills up: local-lvm on pve1").await;
    let drawn = "const image = document.querySelector(`[data-message-id='${arguments[0]}'] img`); return image?.complete && image.naturalWidth > 0";
    page.until("its graph", drawn, vec![json!(storage)]).await;
    page.presses(&storage, "Acknowledge").await;
    page.says(&storage, "Taken care of").await;
    let before = page.messages().await;
    page.presses(&storage, "Note").await;
    page.fills("text", "Old backups of the shop; I move them to the NAS.").await;
    page.submits().await;
    let kept = page.new_message(before).await;
    page.says(&kept, "stands in the incident's thread").await;
    page.says(&storage, "Old backups of the shop").await;
    page.click(&format!("[data-message-id='{kept}'] [data-testid=dismiss]")).await;
    page.is_painted("alerts/1-storage.png", WIDE).await;
    page.is_painted("alerts/2-phone.png", PHONE).await;
    let before = page.messages().await;
    page.presses(&storage, "Why").await;
    let why = page.new_message(before).await;
    page.says(&why, "storage-full").await;
    page.click(&format!("[data-message-id='{why}'] [data-testid=dismiss]")).await;

    // Its thread has the course.
    page.click(&format!("[data-message-id='{storage}'] .thread-card")).await;
    let course = "return document.querySelector('[data-testid=messages]').innerText.includes('Old backups of the shop') \
         && document.querySelector('[data-testid=messages]').innerText.includes('acknowledged by')";
    page.until("the thread's course", course, vec![]).await;
    page.is_painted("alerts/3-thread.png", (1280, 700)).await;
    page.visit("?as=operator&panel=1&channel=alerts").await;

    // A backup fails, and the next one does not.
    page.picks("Guest", "101").await;
    page.click("[data-testid=trouble-backup_fails]").await;
    let backup = card(&page, "Backup failed").await;
    page.says(&backup, "exit code 1").await;
    page.click("[data-testid=trouble-backup_ok]").await;
    page.says(&backup, "Over").await;
    page.picks("Storage", "pve1/local-lvm").await;
    page.click("[data-testid=trouble-fill_end]").await;
    page.says(&storage, "Over").await;
    page.says(&storage, "Post-mortem").await;

    // Nobody took care of the node within a minute: the admins are called; it comes back in the same message.
    page.says(&node, "nobody acknowledged within 1 min").await;
    called(&page, "@admin").await;
    page.picks("Node", "pve3").await;
    page.click("[data-testid=trouble-node_back]").await;
    let over = page.says(&node, "Over: Node down: pve3").await;
    assert!(over.contains("after"), "{over}");
    page.is_painted("alerts/4-over.png", WIDE).await;
    page.client.clone().close().await.unwrap();
}

/// The card that says `text`.
async fn card(page: &Page, text: &str) -> String {
    let what = format!("a card “{text}”");
    page.until(&what, CARD, vec![Value::from(text)]).await.as_str().unwrap().to_owned()
}

/// Somebody is called by a message of its own.
async fn called(page: &Page, whom: &str) {
    let script = "return [...document.querySelectorAll('[data-testid=message]')] \
         .some((one) => !one.querySelector('[data-testid=embed]') && one.innerText.includes(arguments[0]))";
    page.until(&format!("{whom} is called"), script, vec![json!(whom)]).await;
}
