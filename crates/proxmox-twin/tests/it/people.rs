//! Tickets, tokens, permissions.

use proxmox_twin::World;
use reqwest::header;

use crate::{Desk, read};

#[tokio::test]
async fn a_ticket_needs_its_csrf_token_to_write() {
    let desk = Desk::new(World::empty()).await;
    let base = format!("{}/api2/json", desk.twin.endpoints()[0]);
    let password = desk.twin.root_password();
    let login = async |body: String| {
        let request = desk
            .client
            .post(format!("{base}/access/ticket"))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
        read(request.send().await.unwrap()).await.unwrap()
    };
    let wrong = login("username=root@pam&password=wrong".into()).await;
    assert_eq!(
        (wrong.line().as_str(), wrong.text.contains("\"message\":\"authentication failure\\n\"")),
        ("401 authentication failure", true),
        "{}",
        wrong.text
    );
    let good = login(format!("username=root&realm=pam&password={password}")).await;
    let (ticket, csrf) = (
        good.data()["ticket"].as_str().unwrap(),
        good.data()["CSRFPreventionToken"].as_str().unwrap(),
    );
    assert!(ticket.starts_with("PVE:root@pam:"));
    let cookie: String = ticket
        .bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") }
        })
        .collect();
    let cookie = format!("PVEAuthCookie={cookie}");
    let write = async |token: Option<&str>| {
        let mut request = desk
            .client
            .post(format!("{base}/pools"))
            .header(header::COOKIE, &cookie)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body("poolid=p1");
        if let Some(token) = token {
            request = request.header("CSRFPreventionToken", token);
        }
        read(request.send().await.unwrap()).await.unwrap()
    };
    assert_eq!(write(None).await.line(), "401 Permission denied - invalid csrf token");
    assert_eq!(write(Some("x")).await.line(), "401 Permission denied - invalid csrf token");
    assert_eq!(write(Some(csrf)).await.status, 200);
    // Renewing: the ticket is the password.
    let again = login(format!(
        "username=root@pam&password={}",
        cookie.trim_start_matches("PVEAuthCookie=")
    ))
    .await;
    assert_eq!(again.status, 200, "{}", again.text);
}

#[tokio::test]
async fn permissions_are_the_effective_ones() {
    let desk = Desk::new(World::empty()).await;
    let all = desk.get("/access/permissions").await;
    assert_eq!(all.data()["/"]["VM.Audit"], 1);
    assert!(all.data()["/"].get("Sys.Modify").is_none());
    assert_eq!(all.data()["/vms"]["VM.PowerMgmt"], 1);
    let (id, _) = desk.twin.token();
    desk.twin.revoke(&id);
    desk.twin.grant(&id, "/vms", "PVEAuditor");
    let less = desk.get("/access/permissions").await;
    assert!(less.data().get("/").is_none());
    assert!(less.data()["/vms"].get("VM.PowerMgmt").is_none());
    assert_eq!(less.data()["/vms"]["VM.Audit"], 1);
}

#[tokio::test]
async fn a_user_makes_and_drops_tokens() {
    let desk = Desk::new(World::empty()).await;
    let made = desk
        .post("/access/users/gantry@pve/token/second", &[("privsep", "0"), ("comment", "c")])
        .await;
    assert_eq!(made.data()["full-tokenid"], "gantry@pve!second");
    assert_eq!(made.data()["info"]["privsep"], "0");
    let secret = made.data()["value"].as_str().unwrap();
    assert_eq!(secret.len(), 36);
    assert_eq!(
        desk.get("/access/users/gantry@pve/token").await.data().as_array().unwrap().len(),
        2
    );
    let twice = desk.post("/access/users/gantry@pve/token/second", &[]).await;
    assert_eq!(twice.error("tokenid"), "Token already exists.");
    desk.delete("/access/users/gantry@pve/token/second").await.data();
    assert_eq!(
        desk.delete("/access/users/gantry@pve/token/second").await.line(),
        "500 no such token 'second' for user 'gantry@pve'"
    );
    assert_eq!(
        desk.get("/access/users/root@pam/token").await.line(),
        "403 Permission check failed (/access/groups, User.Modify)"
    );
}
