//! Each exact error form: status line and body.

use proxmox_twin::{GuestSpec, Options, Trouble, World};
use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::{Desk, Got, read};

async fn raw(
    desk: &Desk,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &'static str,
) -> Got {
    let url = format!("{}{path}", desk.twin.endpoints()[0]);
    let mut request = desk.client.request(Method::from_bytes(method.as_bytes()).unwrap(), url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if !body.is_empty() {
        request = request.body(body);
    }
    read(request.send().await.unwrap()).await.unwrap()
}

fn message(got: &Got) -> &str {
    assert_eq!(got.body["data"], Value::Null);
    got.body["message"].as_str().unwrap()
}

#[tokio::test]
async fn credentials() {
    let desk = Desk::new(World::empty()).await;
    let version = "/api2/json/version";
    let none = raw(&desk, "GET", version, &[], "").await;
    assert_eq!((none.line().as_str(), none.text.as_str(), none.close), ("401 No ticket", "", true));
    let bearer = raw(&desk, "GET", version, &[("authorization", "Bearer abc")], "").await;
    assert_eq!(bearer.line(), "401 No ticket");
    for bad in ["PVEAPIToken=gantry@pve!bot=wrong", "PVEAPIToken=x@y!z=1", "PVEAPIToken=garbage"] {
        let got = raw(&desk, "GET", version, &[("authorization", bad)], "").await;
        assert_eq!(
            (got.line().as_str(), got.text.as_str()),
            ("401 Authentication failed!", ""),
            "{bad}"
        );
    }
    let ticket = raw(&desk, "GET", version, &[("cookie", "PVEAuthCookie=PVE%3Ax")], "").await;
    assert_eq!(ticket.line(), "401 Authentication failed!");
    // The word may be followed by a space, and the value is URL-encoded.
    let (id, secret) = desk.twin.token();
    let spaced = format!("PVEAPIToken {}={secret}", id.replace('@', "%40").replace('!', "%21"));
    assert_eq!(raw(&desk, "GET", version, &[("authorization", &spaced)], "").await.status, 200);
}

#[tokio::test]
async fn a_401_waits_and_nothing_else_does() {
    let mut options = Options::quick(World::empty());
    options.unauthorised_delay = std::time::Duration::from_millis(400);
    let desk = Desk::with(options).await;
    let began = std::time::Instant::now();
    assert_eq!(raw(&desk, "GET", "/api2/json/version", &[], "").await.status, 401);
    assert!(began.elapsed().as_millis() >= 400);
    let began = std::time::Instant::now();
    assert_eq!(desk.get("/version").await.status, 200);
    assert!(began.elapsed().as_millis() < 300);
}

#[tokio::test]
async fn unknown_paths_and_verbs() {
    let desk = Desk::new(World::empty()).await;
    for (method, path) in [
        ("GET", "/nope"),
        ("DELETE", "/version"),
        ("GET", "/nodes/pve1/lxc/100/nope"),
        ("PUT", "/nodes"),
    ] {
        let got = desk.call(method, path, &[]).await;
        let sentence = format!("Method '{method} {path}' not implemented");
        assert_eq!(got.line(), format!("501 {sentence}"));
        assert_eq!(message(&got), format!("{sentence}\n"));
        assert!(got.close);
    }
    for method in ["HEAD", "PATCH", "OPTIONS"] {
        let got =
            raw(&desk, method, "/api2/json/version", &[("authorization", &desk.auth)], "").await;
        assert_eq!(
            (got.line(), got.text.as_str()),
            (format!("501 method '{method}' not available"), "")
        );
    }
    let xml = raw(&desk, "GET", "/api2/xml/version", &[("authorization", &desk.auth)], "").await;
    assert_eq!(xml.line(), "501 no formatter for uri /version, xml");
    let query = desk.get("/version?foo=1").await;
    assert_eq!(query.line(), "400 Parameter verification failed.");
    assert_eq!(
        query.error("foo"),
        "property is not defined in schema and the schema does not allow additional properties"
    );
    assert_eq!(message(&query), "Parameter verification failed.\n");
}

#[tokio::test]
async fn bodies() {
    let desk = Desk::new(World::empty()).await;
    let auth = desk.auth.clone();
    let call = async |method: &str, kind: &str, body: &'static str| {
        raw(
            &desk,
            method,
            "/api2/json/pools",
            &[("authorization", &auth), ("content-type", kind)],
            body,
        )
        .await
    };
    assert_eq!(
        call("POST", "text/plain", "a=1").await.line(),
        "506 upload 'Content-Type 'text/plain' not implemented"
    );
    assert!(
        call("POST", "application/json", "{bad")
            .await
            .line()
            .starts_with("500 malformed JSON string")
    );
    assert_eq!(
        call("DELETE", "application/json", "{}").await.line(),
        "501 Unexpected content for method 'DELETE'"
    );
    let large: &'static str = Box::leak("x".repeat(512 * 1024 + 1).into_boxed_str());
    let outcome = desk
        .client
        .post(format!("{}/api2/json/pools", desk.twin.endpoints()[0]))
        .header(header::AUTHORIZATION, &auth)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(large)
        .send()
        .await;
    // The server may answer and close before everything is sent.
    if let Ok(response) = outcome {
        assert_eq!(read(response).await.unwrap().line(), "501 for data too large");
    }
    let real = call("POST", "application/json", "{\"poolid\":\"p1\",\"comment\":\"ä\"}").await;
    assert_eq!(real.status, 200, "{}", real.text);
    let flag = call("PUT", "application/json", "{\"poolid\":\"p1\",\"delete\":true}").await;
    assert_eq!(flag.status, 200, "JSON booleans pass: {}", flag.text);
    let word = desk.put("/pools", &[("poolid", "p1"), ("delete", "true")]).await;
    assert_eq!(word.error("delete"), "type check ('boolean') failed - got 'true'");
}

#[tokio::test]
async fn nodes_that_cannot_be_asked() {
    let desk = Desk::new(World::empty()).await;
    let unknown = desk.get("/nodes/nope/lxc").await;
    assert!(
        unknown.line().starts_with(
            "500 hostname lookup 'nope' failed - failed to get address info for: nope: "
        ),
        "{}",
        unknown.line()
    );
    let id = desk.twin.trouble(Trouble::NodeDown { node: "pve2".into() }).unwrap();
    let down = desk.get("/nodes/pve2/lxc").await;
    assert_eq!((down.line().as_str(), down.text.as_str()), ("595 Network is unreachable", ""));
    desk.twin.clear_trouble(id);
    assert_eq!(desk.get("/nodes/pve2/lxc").await.data(), &json!([]));
    desk.twin.trouble(Trouble::NodeSilent { node: "pve2".into() }).unwrap();
    let began = std::time::Instant::now();
    assert_eq!(desk.get("/nodes/pve2/lxc").await.line(), "595 Connection timed out");
    assert!(began.elapsed().as_millis() >= 300);
}

#[tokio::test]
async fn privileges() {
    let desk = Desk::new(World::empty().guest(GuestSpec::lxc(100, "a").pool("lab"))).await;
    let (id, _) = desk.twin.token();
    desk.twin.revoke(&id);
    // Separated: the user still has everything, the token nothing.
    let got = desk.post("/nodes/pve1/lxc/100/status/start", &[]).await;
    assert_eq!(got.line(), "403 Permission check failed (/vms/100, VM.PowerMgmt)");
    assert_eq!(message(&got), "Permission check failed (/vms/100, VM.PowerMgmt)\n");
    let create = desk
        .post(
            "/nodes/pve1/lxc",
            &[("vmid", "105"), ("ostemplate", "local:vztmpl/x"), ("rootfs", "local-lvm:4")],
        )
        .await;
    assert_eq!(create.line(), "403 Permission check failed");
    assert_eq!(desk.get("/cluster/resources?type=vm").await.data(), &json!([]));
    let config = desk.put("/nodes/pve1/lxc/100/config", &[("cores", "1")]).await;
    assert_eq!(
        config.line(),
        "403 Permission check failed (/vms/100, VM.Config.Disk|VM.Config.CPU|VM.Config.Memory|VM.Config.Network|VM.Config.Options)"
    );
    // A right on the pool reaches the guests in it.
    desk.twin.role("Power", &["VM.PowerMgmt", "VM.Config.CPU"]);
    desk.twin.grant(&id, "/pool/lab", "Power");
    let start = desk.post("/nodes/pve1/lxc/100/status/start", &[]).await;
    assert_eq!(desk.exit(&start).await, "OK");
    let memory = desk.put("/nodes/pve1/lxc/100/config", &[("memory", "512")]).await;
    assert_eq!(memory.line(), "403 Permission check failed (/vms/100, VM.Config.Memory)");
    // 403 stands before 400.
    assert_eq!(desk.delete("/nodes/pve1/lxc/100?force=maybe").await.status, 403);
}

#[tokio::test]
async fn no_quorum() {
    let desk = Desk::new(World::empty().guest(GuestSpec::lxc(100, "a"))).await;
    desk.twin.trouble(Trouble::NoQuorum).unwrap();
    for (method, path, form) in [
        ("POST", "/nodes/pve1/lxc/100/status/start", vec![]),
        ("PUT", "/nodes/pve1/lxc/100/config", vec![("cores", "1")]),
        ("DELETE", "/nodes/pve1/lxc/100", vec![]),
    ] {
        assert_eq!(
            desk.call(method, path, &form).await.line(),
            "500 cluster not ready - no quorum?"
        );
    }
    let pool = desk.post("/pools", &[("poolid", "p1")]).await;
    assert_eq!(pool.line(), "500 create pool failed: cfs-lock 'file-user_cfg' error: no quorum!");
    assert_eq!(desk.get("/cluster/resources").await.status, 200, "reads go on");
    assert_eq!(desk.get("/cluster/nextid").await.data(), "101");
    let ha = desk.get("/cluster/ha/status/current").await;
    assert_eq!(
        (ha.data()[0]["quorate"].as_u64(), ha.data()[0]["status"].as_str()),
        (Some(0), Some("No quorum on node 'pve1'!"))
    );
    assert_eq!(desk.get("/cluster/status").await.data()[0]["quorate"], 0);
}
