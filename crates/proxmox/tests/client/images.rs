//! Images, against the simulated cluster and its small internet.

use bytes::Bytes;
use futures::StreamExt as _;
use gantry_core::image::{Checksum, Content, ImageRef, OciRef, TemplateName};
use gantry_proxmox::{
    Advice, Client, DownloadUrl, Error, ExitStatus, Freshness, GuestRef, MoveDisk, Pieces, Upload,
};
use proxmox_twin::{GuestSpec, Options, RemoteFile, Twin, World};

use crate::twin::{configured, finished, node, vmid};

const FILE: &str = "https://cloud.demo/images/debian-13-generic-amd64.qcow2";

async fn cluster() -> (Twin, Client) {
    let mut world = World::demo();
    world.guests = vec![
        GuestSpec::lxc(104, "web-0").on("pve1"),
        GuestSpec::qemu(200, "db").on("pve1").disk("local-lvm", 4),
    ];
    for storage in world.storages.iter_mut().filter(|s| s.name == "local") {
        storage.content.push_str(",import");
    }
    let twin = Twin::start(Options::quick(world)).await.unwrap();
    let client = Client::new(configured(&twin)).unwrap();
    (twin, client)
}

async fn size(client: &Client, volid: &str) -> Option<u64> {
    let storage = volid.split(':').next().unwrap().parse().unwrap();
    let all =
        client.storage_content(&node("pve1"), &storage, None, Freshness::Fresh).await.unwrap();
    all.iter().find(|v| v.volid.as_deref() == Some(volid)).and_then(|v| v.size)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn templates_oci_images_and_files_are_fetched_and_deleted() {
    let (_twin, client) = cluster().await;
    let (pve1, local) = (node("pve1"), "local".parse().unwrap());
    let listed = client.aplinfo(&pve1).await.unwrap();
    let debian = listed.iter().find(|t| t.os.as_deref() == Some("debian-13")).unwrap();
    assert_eq!(debian.sha512sum.as_ref().map(String::len), Some(128));
    let name: TemplateName = debian.template.as_deref().unwrap().parse().unwrap();
    let upid = client.download_template(&pve1, &local, &name).await.unwrap().upid;
    assert_eq!((upid.kind(), finished(&client, &upid).await), ("download", ExitStatus::Ok));
    assert_eq!(size(&client, &format!("local:vztmpl/{name}")).await, Some(129_710_398));
    let log = client.task_log_tail(&upid, 5).await.unwrap();
    assert!(gantry_core::operation::percent_in(&log.lines).is_some(), "{:?}", log.lines);

    let alpine: OciRef = "alpine:3.22".parse().unwrap();
    assert_eq!(client.oci_tags(&pve1, &alpine).await.unwrap(), ["3.22"]);
    let upid = client.pull_oci(&pve1, &local, &alpine).await.unwrap().upid;
    assert_eq!((upid.kind(), finished(&client, &upid).await), ("ociregistrypull", ExitStatus::Ok));
    assert_eq!(upid.id(), alpine.file(), "the file is named as gantry expects");
    let volid = format!("local:vztmpl/{}", alpine.file()).parse().unwrap();
    assert!(size(&client, "local:vztmpl/alpine_3.22.tar").await.is_some());

    let upid = client.delete_image(&pve1, &volid).await.unwrap().upid;
    assert_eq!((upid.kind(), finished(&client, &upid).await), ("imgdel", ExitStatus::Ok));
    assert_eq!(size(&client, "local:vztmpl/alpine_3.22.tar").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_is_asked_fetched_and_its_checksum_held() {
    let (_twin, client) = cluster().await;
    let (pve1, local) = (node("pve1"), "local".parse().unwrap());
    let Ok(ImageRef::Url(url)) = FILE.parse() else { panic!() };
    let said = client.url_metadata(&pve1, &url).await.unwrap();
    assert_eq!(said.size, Some(410 << 20));
    let fetch = async |sum: &str| {
        let checksum: Checksum = sum.parse().unwrap();
        let what = DownloadUrl {
            url: &url,
            content: Content::Import,
            file: url.file(),
            checksum: Some(&checksum),
        };
        let upid = client.download_url(&pve1, &local, &what).await.unwrap().upid;
        finished(&client, &upid).await
    };
    let wrong = fetch(&"0".repeat(64)).await;
    assert!(
        matches!(&wrong, ExitStatus::Failed(text) if text.contains("checksum mismatch")),
        "{wrong:?}"
    );
    assert_eq!(size(&client, &format!("local:import/{}", url.file())).await, None);
    assert_eq!(fetch(&RemoteFile::new(FILE, 0).sha256).await, ExitStatus::Ok);
    assert_eq!(size(&client, &format!("local:import/{}", url.file())).await, Some(410 << 20));
    let Ok(ImageRef::Url(nowhere)) = "https://nowhere.demo/x.iso".parse() else { panic!() };
    assert!(client.url_metadata(&pve1, &nowhere).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disks_move_and_guests_become_templates() {
    let (_twin, client) = cluster().await;
    let web = GuestRef::new(node("pve1"), gantry_core::id::GuestKind::Lxc, vmid(104));
    let db = GuestRef::new(node("pve1"), gantry_core::id::GuestKind::Qemu, vmid(200));
    let nas = "nas".parse().unwrap();
    let config = client.guest_config(&web, Freshness::Fresh).await.unwrap();
    let what = MoveDisk {
        disk: "rootfs",
        storage: &nas,
        format: None,
        delete_original: true,
        digest: config.digest.as_deref().unwrap(),
    };
    let upid = client.move_guest_disk(&web, &what).await.unwrap().upid;
    assert_eq!((upid.kind(), finished(&client, &upid).await), ("move_volume", ExitStatus::Ok));
    let moved = client.guest_config(&web, Freshness::Fresh).await.unwrap();
    assert!(moved.raw["rootfs"].starts_with("nas:"), "{:?}", moved.raw);
    let stale = client.move_guest_disk(&web, &what).await;
    assert!(matches!(stale, Err(Error::Conflict)), "{stale:?}");
    assert_eq!(client.make_template(&web).await.unwrap(), None);
    assert!(client.guest_config(&web, Freshness::Fresh).await.unwrap().template);
    let upid = client.make_template(&db).await.unwrap().unwrap().upid;
    assert_eq!(finished(&client, &upid).await, ExitStatus::Ok);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_handed_over_piece_by_piece_and_nothing_is_kept_of_half_a_one() {
    let (_twin, client) = cluster().await;
    let (pve1, local) = (node("pve1"), "local".parse().unwrap());
    let pieces = |texts: &[Result<&'static str, &'static str>]| -> Pieces {
        let all: Vec<Result<Bytes, String>> = texts
            .iter()
            .map(|t| t.map(|t| Bytes::from_static(t.as_bytes())).map_err(str::to_owned))
            .collect();
        futures::stream::iter(all).boxed()
    };
    let what = |file, bytes| Upload { content: Content::Iso, file, bytes, checksum: None };
    let whole = pieces(&[Ok("hello "), Ok("iso")]);
    let upid = client.upload(&pve1, &local, &what("own.iso", 9), whole).await.unwrap().upid;
    assert_eq!((upid.kind(), finished(&client, &upid).await), ("imgcopy", ExitStatus::Ok));
    assert_eq!(size(&client, "local:iso/own.iso").await, Some(9));
    for (bytes, texts, says) in [
        (9, &[Ok("hello")][..], "ended after 5 of 9 bytes"),
        (4, &[Ok("hello")][..], "longer than the 4 bytes"),
        (9, &[Ok("hel"), Err("Discord fell silent")][..], "Discord fell silent"),
    ] {
        let error = client
            .upload(&pve1, &local, &what("half.iso", bytes), pieces(texts))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Broken { .. }), "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(error.advice(), Advice::GiveUp, "nothing was carried out");
    }
    assert_eq!(size(&client, "local:iso/half.iso").await, None);
}
