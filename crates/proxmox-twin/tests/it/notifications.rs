//! Webhook targets and matchers as proxmox-notify has them, and what they really send.

use proxmox_twin::World;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::Desk;

const HOOKS: &str = "/cluster/notifications/endpoints/webhook";
const MATCHERS: &str = "/cluster/notifications/matchers";

/// Somebody who takes one request, answers with `status`, and gives what was sent.
async fn receiver(status: &'static str) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/in", listener.local_addr().unwrap());
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut text = String::new();
        let mut part = [0_u8; 4096];
        while !text.ends_with("|end") {
            let n = stream.read(&mut part).await.unwrap();
            text.push_str(&String::from_utf8_lossy(&part[..n]));
        }
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        text
    });
    (url, heard)
}

/// `{{ escape title }} {{ json fields }} {{ severity }}|end` and `Bearer {{ secrets.token }}` in Base64.
const BODY: &str = "e3sgZXNjYXBlIHRpdGxlIH19IHt7IGpzb24gZmllbGRzIH19IHt7IHNldmVyaXR5IH19fGVuZA==";
const BEARER: &str = "name=Authorization,value=QmVhcmVyIHt7IHNlY3JldHMudG9rZW4gfX0=";

async fn target(desk: &Desk, name: &str, url: &str) {
    let form = [
        ("name", name),
        ("method", "post"),
        ("url", url),
        ("header", BEARER),
        ("body", BODY),
        ("secret", "name=token,value=czNjcjN0"),
    ];
    desk.post(HOOKS, &form).await.data();
}

#[tokio::test]
async fn a_test_is_really_sent_and_its_failure_told() {
    let desk = Desk::new(World::empty()).await;
    let (url, heard) = receiver("200 OK").await;
    target(&desk, "t1", &url).await;
    assert!(desk.post("/cluster/notifications/targets/t1/test", &[]).await.data().is_null());
    let text = heard.await.unwrap();
    assert!(text.starts_with("POST /in HTTP/1.1\r\n"), "{text}");
    assert!(text.contains("Authorization: Bearer s3cr3t\r\n"), "{text}");
    assert!(text.ends_with("Test notification {} info|end"), "{text}");
    let (url, _heard) = receiver("401 Unauthorized").await;
    desk.put(&format!("{HOOKS}/t1"), &[("url", &url)]).await.data();
    let refused = desk.post("/cluster/notifications/targets/t1/test", &[]).await;
    assert_eq!(refused.line(), format!("500 Could not test target: {url}: status code 401"));
    let away = "http://127.0.0.1:1/s3cr3t";
    desk.put(&format!("{HOOKS}/t1"), &[("url", away)]).await.data();
    let refused = desk.post("/cluster/notifications/targets/t1/test", &[]).await;
    assert!(
        refused.line().contains("<masked>") && !refused.text.contains("s3cr3t"),
        "{}",
        refused.text
    );
    let none = desk.post("/cluster/notifications/targets/t2/test", &[]).await;
    assert_eq!(none.line(), "404 endpoint 't2' does not exist");
}

#[tokio::test]
async fn one_file_one_name_one_digest() {
    let desk = Desk::new(World::empty()).await;
    target(&desk, "t1", "http://127.0.0.1:1/").await;
    let taken = desk.post(MATCHERS, &[("name", "t1"), ("target", "t1")]).await;
    assert_eq!(taken.line(), "400 Cannot create 't1', an entity with the same name already exists");
    let lost = desk.post(MATCHERS, &[("name", "m1"), ("target", "t9")]).await;
    assert_eq!(lost.line(), "404 endpoint 't9' does not exist");
    desk.post(MATCHERS, &[("name", "m1"), ("target", "t1"), ("match-severity", "error")])
        .await
        .data();
    let used = desk.delete(&format!("{HOOKS}/t1")).await;
    assert_eq!(used.line(), "400 cannot delete 't1', referenced by: m1");

    let read = desk.get(&format!("{HOOKS}/t1")).await;
    assert_eq!(read.data()["secret"], json!(["name=token"]), "values are never told");
    let digest = read.data()["digest"].as_str().unwrap().to_owned();
    let change = [("comment", "new"), ("digest", digest.as_str())];
    desk.put(&format!("{HOOKS}/t1"), &change).await.data();
    let stale = desk.put(&format!("{HOOKS}/t1"), &change).await;
    assert_eq!(
        stale.line(),
        "400 detected modified configuration - file changed by other user? Try again."
    );
    assert_eq!(desk.twin.webhook_secret("t1", "token").as_deref(), Some("s3cr3t"), "kept");
    let strange = desk.put(&format!("{HOOKS}/t1"), &[("secret", "name=other")]).await;
    assert_eq!(strange.line(), "400 secret 'other' not known");
    desk.put(&format!("{MATCHERS}/m1"), &[("delete", "match-severity")]).await.data();
    let matcher = desk.get(&format!("{MATCHERS}/m1")).await;
    assert!(matcher.data().get("match-severity").is_none(), "{}", matcher.text);
    desk.delete(&format!("{MATCHERS}/m1")).await.data();
    desk.delete(&format!("{HOOKS}/t1")).await.data();
    let gone = desk.get(&format!("{HOOKS}/t1")).await;
    assert_eq!(gone.line(), "404 endpoint 't1' not found");
}

#[tokio::test]
async fn what_a_node_notices_goes_where_a_matcher_says() {
    let desk = Desk::new(World::empty()).await;
    let (url, heard) = receiver("200 OK").await;
    target(&desk, "t1", &url).await;
    let form = [("name", "m1"), ("target", "t1"), ("match-severity", "warning,error")];
    desk.post(MATCHERS, &form).await.data();
    desk.twin.ran("vzdump", "", "pve1", "root@pam", "OK");
    desk.twin.ran("vzdump", "", "pve1", "root@pam", "job errors");
    let text = heard.await.unwrap();
    assert!(
        text.ends_with("vzdump backup status (pve1): backup failed: job errors {\"hostname\":\"pve1\",\"type\":\"vzdump\"} error|end"),
        "{text}"
    );
}

#[tokio::test]
async fn it_takes_the_privilege_and_a_node_that_is_new_enough() {
    let desk = Desk::new(World::empty()).await;
    desk.twin.installs("pve1", "8.2.7");
    let old = desk.get(&format!("{HOOKS}/t1")).await;
    assert_eq!(old.line(), format!("501 Method 'GET {HOOKS}/t1' not implemented"));
    assert_eq!(desk.get(MATCHERS).await.status, 200, "matchers there were before");
    desk.twin.installs("pve1", "8.3.0");
    assert_eq!(desk.get(&format!("{HOOKS}/t1")).await.status, 404);
    desk.twin.role("GantryNotify", &[]);
    let denied = desk.get(&format!("{HOOKS}/t1")).await;
    assert_eq!(
        denied.line(),
        "403 Permission check failed (/mapping/notifications, Mapping.Modify|Mapping.Audit)"
    );
}
