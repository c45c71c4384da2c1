//! Images: what a node fetches, what is refused, what a guest made from one is like.

use proxmox_twin::{Meddling, RemoteFile, RemoteImage, Trouble, World};
use serde_json::json;

use crate::{Desk, read};

const ISO: &str = "https://iso.demo/debian-13.1.0-amd64-netinst.iso";

async fn log(desk: &Desk, got: &crate::Got) -> String {
    let upid = got.data().as_str().unwrap();
    desk.get(&format!("/nodes/pve1/tasks/{upid}/log?limit=0")).await.text
}

#[tokio::test]
async fn a_template_is_downloaded_once_and_found_the_second_time() {
    let desk = Desk::new(World::empty()).await;
    let index = desk.get("/nodes/pve1/aplinfo").await;
    assert!(index.data().as_array().unwrap().len() >= 5);
    let template = "debian-13-standard_13.1-1_amd64.tar.zst";
    let form = [("storage", "local"), ("template", template)];
    let first = desk.post("/nodes/pve1/aplinfo", &form).await;
    assert!(first.data().as_str().unwrap().contains(":download::"));
    assert_eq!(desk.exit(&first).await, "OK");
    assert!(log(&desk, &first).await.contains("100% 60.0M"));
    let second = desk.post("/nodes/pve1/aplinfo", &form).await;
    assert_eq!(desk.exit(&second).await, "OK");
    assert!(log(&desk, &second).await.contains("no need to download"));
    let fetched: Vec<_> = desk.twin.changes().into_iter().filter(|c| c.what == "image").collect();
    assert_eq!(fetched.len(), 1);
    let path = format!("/nodes/pve1/storage/local/content/vztmpl/{template}");
    assert_eq!(desk.get(&path).await.data()["format"], "tzst");
    // Local to the node that fetched it.
    let other = desk.get("/nodes/pve2/storage/local/content?content=vztmpl").await;
    assert!(!other.text.contains(template));
    let none = desk.post("/nodes/pve1/aplinfo", &[("storage", "local"), ("template", "x")]).await;
    assert_eq!(none.error("template"), "no such template");
    let lvm = [("storage", "local-lvm"), ("template", template)];
    assert_eq!(
        desk.post("/nodes/pve1/aplinfo", &lvm).await.line(),
        "500 cannot download to storage type 'lvmthin'"
    );
}

#[tokio::test]
async fn a_url_is_looked_at_and_downloaded_with_its_checksum() {
    let desk = Desk::new(World::empty()).await;
    let look = |url: &'static str| {
        let form = [("url", url)];
        let desk = &desk;
        async move { desk.call("GET", "/nodes/pve1/query-url-metadata", &form).await }
    };
    let facts = look(ISO).await;
    assert_eq!(facts.data()["filename"], "debian-13.1.0-amd64-netinst.iso");
    assert_eq!(facts.data()["size"], 783 << 20);
    assert_eq!(
        look("https://iso.demo/none.iso").await.line(),
        "500 invalid server response: '404 Not Found'"
    );
    assert_eq!(
        look("https://nowhere.example/x.iso").await.line(),
        "500 invalid server response: '500 Can't connect to nowhere.example:443 (Name or service not known)'"
    );
    assert_eq!(look("ftp://x/y").await.error("url"), "value does not match the regex pattern");

    let path = "/nodes/pve1/storage/local/download-url";
    let base = [("content", "iso"), ("filename", "deb ian.iso"), ("url", ISO)];
    let with = |more: &[(&'static str, &'static str)]| -> Vec<(&'static str, &'static str)> {
        base.iter().chain(more).copied().collect()
    };
    let wrong =
        desk.post(path, &with(&[("checksum", "abc"), ("checksum-algorithm", "sha256")])).await;
    let right = RemoteFile::new(ISO, 0).sha256;
    assert_eq!(
        desk.exit(&wrong).await,
        format!("checksum mismatch: got '{right}' != expect 'abc'")
    );
    assert!(desk.twin.changes().is_empty(), "a file with a wrong checksum is not kept");
    let md5 = RemoteFile::new(ISO, 0).checksum("md5");
    let mut form = with(&[("checksum-algorithm", "md5")]);
    form.push(("checksum", &md5));
    let fine = desk.post(path, &form).await;
    assert!(fine.data().as_str().unwrap().contains(":download:deb_ian.iso:"));
    assert_eq!(desk.exit(&fine).await, "OK");
    let again = desk.post(path, &form).await;
    assert_eq!(desk.exit(&again).await, "OK");
    let blind = desk.post(path, &with(&[])).await;
    assert_eq!(
        desk.exit(&blind).await,
        "refusing to override existing file '/var/lib/vz/template/iso/deb_ian.iso'"
    );
    let ending = [("content", "iso"), ("filename", "x.zip"), ("url", ISO)];
    assert_eq!(desk.post(path, &ending).await.error("filename"), "wrong file extension");
    assert_eq!(
        desk.post(path, &with(&[("checksum", "abc")])).await.error("checksum-algorithm"),
        "missing property - 'checksum' requires this property"
    );
    let lost = [("content", "iso"), ("filename", "x.iso"), ("url", "https://iso.demo/none.iso")];
    let lost = desk.post(path, &lost).await;
    assert_eq!(desk.exit(&lost).await, "download failed: exit code 8");
    assert!(log(&desk, &lost).await.contains("ERROR 404: Not Found."));
    let gone = desk.delete("/nodes/pve1/storage/local/content/iso/deb_ian.iso").await;
    assert_eq!(desk.exit(&gone).await, "OK");
}

#[tokio::test]
async fn an_oci_image_is_pulled_and_run() {
    let desk = Desk::new(World::empty()).await;
    let tags = desk
        .call("GET", "/nodes/pve1/query-oci-repo-tags", &[("reference", "registry.demo/shop/web")])
        .await;
    assert_eq!(tags.data(), &json!(["1", "2", "3"]));
    let unknown = desk
        .call("GET", "/nodes/pve1/query-oci-repo-tags", &[("reference", "registry.demo/none")])
        .await;
    assert_eq!(
        unknown.line(),
        "500 command 'skopeo list-tags docker://registry.demo/none' failed: exit code 1"
    );
    let path = "/nodes/pve1/storage/local/oci-registry-pull";
    let pull = |reference: &'static str| {
        let desk = &desk;
        async move { desk.post(path, &[("reference", reference)]).await }
    };
    for tag in ["registry.demo/shop/web:1", "registry.demo/shop/web:2"] {
        let pulled = pull(tag).await;
        assert_eq!(desk.exit(&pulled).await, "OK", "{tag}");
    }
    assert_eq!(
        pull("registry.demo/shop/web:1").await.line(),
        "500 refusing to override existing file 'web_1.tar'"
    );
    let gone = pull("registry.demo/shop/web:9").await;
    assert!(gone.data().as_str().unwrap().contains(":ociregistrypull:web_9.tar:"));
    assert!(
        desk.exit(&gone)
            .await
            .starts_with("command 'skopeo copy docker://registry.demo/shop/web:9")
    );
    assert!(log(&desk, &gone).await.contains("manifest unknown"));
    let host = pull("nowhere.example/a:1").await;
    assert!(desk.exit(&host).await.ends_with("failed: exit code 1"));
    assert!(log(&desk, &host).await.contains("no such host"));
    assert_eq!(
        pull("registry.demo/shop/web").await.error("reference"),
        "value does not match the regex pattern"
    );

    for (vmid, tar, healthy) in [("101", "web_1.tar", true), ("102", "web_2.tar", false)] {
        let template = format!("local:vztmpl/{tar}");
        let form = [
            ("vmid", vmid),
            ("ostemplate", template.as_str()),
            ("rootfs", "local-lvm:4"),
            ("start", "1"),
        ];
        let made = desk.post("/nodes/pve1/lxc", &form).await;
        assert_eq!(desk.exit(&made).await, "OK");
        let number = vmid.parse().unwrap();
        for _ in 0..500 {
            if desk.twin.guest(number).unwrap().status == "running" {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let guest = desk.twin.guest(number).unwrap();
        assert_eq!((guest.status.as_str(), guest.healthy), ("running", healthy), "{vmid}");
        assert_eq!(guest.config["entrypoint"], "/sbin/entrypoint");
        assert!(guest.image.unwrap().starts_with("registry.demo/shop/web:"));
    }
    let volumes = desk.twin.volumes("pve1", "local");
    let web = volumes.iter().find(|v| v.volid == "local:vztmpl/web_1.tar").unwrap();
    assert_eq!(web.digest, Some(RemoteImage::new("registry.demo/shop/web", "1", 0).digest));
}

#[tokio::test]
async fn a_disk_image_is_imported_and_moved() {
    let desk = Desk::new(World::empty()).await;
    let url = "https://cloud.demo/images/debian-13-generic-amd64.qcow2";
    let source = "local:import/debian-13.qcow2";
    let form = [("vmid", "200"), ("scsi0", "local-lvm:0,import-from=local:import/debian-13.qcow2")];
    assert_eq!(
        desk.post("/nodes/pve1/qemu", &form).await.line(),
        format!("500 volume '{source}' does not exist")
    );
    let fetch = [("content", "import"), ("filename", "debian-13.qcow2"), ("url", url)];
    let got = desk.post("/nodes/pve1/storage/local/download-url", &fetch).await;
    assert_eq!(desk.exit(&got).await, "OK");
    let made = desk.post("/nodes/pve1/qemu", &form).await;
    assert_eq!(desk.exit(&made).await, "OK");
    assert_eq!(desk.twin.guest(200).unwrap().config["scsi0"], "local-lvm:vm-200-disk-0,size=2G");
    let path = "/nodes/pve1/qemu/200/move_disk";
    let moved = desk.post(path, &[("disk", "scsi0"), ("storage", "nas"), ("delete", "1")]).await;
    assert_eq!(desk.exit(&moved).await, "OK");
    let guest = desk.twin.guest(200).unwrap();
    assert_eq!(guest.config["scsi0"], "nas:200/vm-200-disk-0.qcow2,size=2G");
    assert_eq!(guest.lock, None);
    assert_eq!(
        desk.post(path, &[("disk", "scsi0"), ("storage", "nas")]).await.line(),
        "500 you can't move to the same storage with same format"
    );
}

#[tokio::test]
async fn a_download_finds_the_storage_full() {
    let desk = Desk::new(World::empty()).await;
    desk.twin
        .trouble(Trouble::FillStorage {
            node: "pve1".into(),
            storage: "local".into(),
            percent: 99.9,
        })
        .unwrap();
    let form = [("content", "iso"), ("filename", "x.iso"), ("url", ISO)];
    let full = desk.post("/nodes/pve1/storage/local/download-url", &form).await;
    assert!(desk.exit(&full).await.ends_with("No space left on device"));
    assert!(desk.twin.changes().is_empty());
}

#[tokio::test]
async fn a_file_is_uploaded() {
    let desk = Desk::new(World::empty()).await;
    let send = |name: &'static str, checksum: &'static str| {
        let mut body = String::new();
        for (key, value) in
            [("content", "iso"), ("checksum-algorithm", "sha256"), ("checksum", checksum)]
        {
            body += &format!(
                "--XyZ\r\nContent-Disposition: form-data; name=\"{key}\"\r\n\r\n{value}\r\n"
            );
        }
        body += &format!(
            "--XyZ\r\nContent-Disposition: form-data; name=\"filename\"; filename=\"{name}\"\r\nContent-Type: application/octet-stream\r\n\r\nhello iso\r\n--XyZ--\r\n"
        );
        let url = format!("{}/api2/json/nodes/pve1/storage/local/upload", desk.twin.endpoints()[0]);
        let request = desk
            .client
            .post(url)
            .header("authorization", &desk.auth)
            .header("content-type", "multipart/form-data; boundary=XyZ")
            .body(body);
        async move { read(request.send().await.unwrap()).await.unwrap() }
    };
    const RIGHT: &str = "0c0a49d1b1b8a4f4f4a3a8e1d94ab8dcd0c6b6a9f7d7e4b2e5c1a1d1c1b1a191";
    let wrong = send("tiny.iso", RIGHT).await;
    let text = desk.exit(&wrong).await;
    let got = text.split('\'').nth(1).unwrap().to_owned();
    assert_eq!(text, format!("checksum mismatch: got '{got}' != expect '{RIGHT}'"));
    assert_eq!(send("tiny.exe", RIGHT).await.error("filename"), "wrong file extension");
    let fine = send("tiny.iso", Box::leak(got.into_boxed_str())).await;
    assert!(fine.data().as_str().unwrap().contains(":imgcopy::"));
    assert_eq!(desk.exit(&fine).await, "OK");
    let list = desk.get("/nodes/pve1/storage/local/content?content=iso").await;
    let row = list.data().as_array().unwrap().iter().find(|r| r["volid"] == "local:iso/tiny.iso");
    assert_eq!(row.unwrap()["size"], 9);
}

/// What a visitor of a guest's port is told, or nothing when it refuses.
async fn visit(address: &str) -> Option<String> {
    reqwest::get(format!("http://{address}/healthz")).await.ok()?.text().await.ok()
}

async fn until_answers(address: &str, wanted: bool) {
    for _ in 0..300 {
        if visit(address).await.is_some() == wanted {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{address}: answers is never {wanted}");
}

#[tokio::test]
async fn a_guest_of_an_image_answers_its_health_check_while_it_is_well() {
    let desk = Desk::new(World::empty()).await;
    for tag in ["1", "2"] {
        let reference = format!("registry.demo/shop/web:{tag}");
        let form = [("reference", reference.as_str())];
        let pulled = desk.post("/nodes/pve1/storage/local/oci-registry-pull", &form).await;
        assert_eq!(desk.exit(&pulled).await, "OK");
    }
    let create = |vmid: &'static str, tag: &'static str, net: &'static str| {
        let desk = &desk;
        async move {
            let template = format!("local:vztmpl/web_{tag}.tar");
            let form = [
                ("vmid", vmid),
                ("hostname", "web-0"),
                ("ostemplate", template.as_str()),
                ("rootfs", "local-lvm:4"),
                ("net0", net),
                ("env", "PORT=18099\0MODE=test"),
                ("start", "1"),
            ];
            let made = desk.post("/nodes/pve1/lxc", &form).await;
            assert_eq!(desk.exit(&made).await, "OK");
        }
    };
    create("101", "1", "name=eth0,bridge=vmbr0,ip=127.93.7.101/8").await;
    until_answers("127.93.7.101:18099", true).await;
    assert_eq!(visit("127.93.7.101:18099").await.as_deref(), Some("web-0: ok\n"));
    // The update starts, and never answers.
    create("102", "2", "name=eth0,bridge=vmbr0,ip=127.93.7.102/8").await;
    for _ in 0..500 {
        if desk.twin.guest(102).unwrap().status == "running" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(visit("127.93.7.102:18099").await, None);
    let order = |action: &str| Meddling { action: action.into(), vmid: 102, ..Meddling::default() };
    desk.twin.meddle(&order("heal")).unwrap();
    until_answers("127.93.7.102:18099", true).await;
    desk.twin.meddle(&order("sicken")).unwrap();
    until_answers("127.93.7.102:18099", false).await;
    let stop = desk.post("/nodes/pve1/lxc/101/status/stop", &[]).await;
    assert_eq!(desk.exit(&stop).await, "OK");
    until_answers("127.93.7.101:18099", false).await;
}
