//! Images: the real qemu-img, skopeo and docker-registry; `pvesm path` is a double.

use std::process::{Command, Stdio};

use gantry_nodeshell::{Error, Format, Progress, Volume};
use sha2::{Digest as _, Sha256};

use crate::yard::{Guarded, Yard, able, node, word};

const SIZE: usize = 24 * 1024 * 1024;

fn volume(name: &str) -> Volume {
    word(&format!("local:100/{name}"))
}

/// A disk with data in half of it, the same in every run.
fn disk() -> Vec<u8> {
    let mut x: u32 = 1;
    let mut bytes = vec![0; SIZE];
    for byte in &mut bytes[..SIZE / 2] {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = x.to_be_bytes()[0];
    }
    bytes
}

fn yard() -> Option<Yard> {
    able("GANTRY_REQUIRE_NETNS", &["qemu-img"]).then(Yard::new).flatten()
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_becomes_qcow2_and_back_without_losing_a_byte() {
    let Some(yard) = yard() else { return };
    let (shell, target) = (yard.shell(), node());
    let bytes = disk();
    let images = |name: &str| yard.path("storage/images/100").join(name);
    std::fs::write(images("a.raw"), &bytes).unwrap();

    let mut percents = Vec::new();
    let mut sink = |p| {
        if let Progress::Percent(n) = p {
            percents.push(n);
        }
    };
    let info = shell
        .convert_image(
            &target,
            (volume("a.raw"), Format::Raw),
            (volume("b.qcow2"), Format::Qcow2),
            &mut sink,
        )
        .await
        .unwrap();
    assert_eq!((info.format.as_str(), info.virtual_size), ("qcow2", SIZE as u64));
    assert!(percents.is_sorted() && percents.last() == Some(&100), "{percents:?}");
    shell
        .convert_image(
            &target,
            (volume("b.qcow2"), Format::Qcow2),
            (volume("c.raw"), Format::Raw),
            &mut |_| {},
        )
        .await
        .unwrap();
    assert!(std::fs::read(images("c.raw")).unwrap() == bytes, "the disk changed on the way");

    let sum = shell.checksum(&target, volume("c.raw"), &mut |_| {}).await.unwrap();
    assert_eq!((sum.sha256, sum.size), (hex::encode(Sha256::digest(&bytes)), SIZE as u64));
    let info = shell.image(&target, volume("b.qcow2"), Format::Qcow2).await.unwrap();
    assert_eq!(info.virtual_size, SIZE as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_converted_leaves_nothing_behind() {
    let Some(yard) = yard() else { return };
    let (shell, target) = (yard.shell(), node());
    let folder = yard.path("storage/images/100");
    std::fs::write(folder.join("a.raw"), b"not much of a disk, but 512 bytes would do").unwrap();
    std::fs::write(folder.join("taken.qcow2"), b"somebody's").unwrap();
    let secret = yard.path("secret");
    std::fs::write(&secret, vec![b's'; 4096]).unwrap();
    let made = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"])
        .args([&secret, &folder.join("evil.qcow2")])
        .status();
    assert!(made.unwrap().success());
    let before = || {
        let mut names: Vec<_> =
            std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let names = before();
    let convert = |from: &str, format, to: &str| {
        let (from, to) = (word(from), word(to));
        let (shell, target) = (&shell, &target);
        async move {
            shell
                .convert_image(target, (from, format), (to, Format::Qcow2), &mut |_| {})
                .await
                .unwrap_err()
        }
    };
    let new = "local:100/new.qcow2";
    let taken = convert("local:100/a.raw", Format::Raw, "local:100/taken.qcow2").await;
    assert!(matches!(taken, Error::Conflict { .. }), "{taken:?}");
    let missing = convert("local:100/none.raw", Format::Raw, new).await;
    assert_eq!(missing.to_string(), "volume local:100/none.raw does not exist (pve1)");
    let liar = convert("local:100/a.raw", Format::Qcow2, new).await;
    assert!(liar.to_string().contains("it is not a qcow2 image"), "{liar}");
    // An image that names a file of the node as its backing file would carry that file out.
    let evil = convert("local:100/evil.qcow2", Format::Qcow2, new).await;
    assert!(evil.to_string().contains("refers to another file"), "{evil}");
    let block = convert("local:100/a.raw", Format::Raw, "block:pve/vm-100-disk-0").await;
    assert!(block.to_string().contains("not a file"), "{block}");
    let odd = convert("odd:x", Format::Raw, new).await;
    assert!(matches!(odd, Error::Failed { .. }), "{odd:?}");
    let nowhere = convert("nosto:x", Format::Raw, new).await;
    assert!(nowhere.to_string().contains("storage 'nosto' does not exist"), "{nowhere}");
    assert_eq!(before(), names);
    assert_eq!(std::fs::read(folder.join("taken.qcow2")).unwrap(), b"somebody's");
}

/// Puts an image of one small layer into the registry and returns its digest.
fn push(yard: &Yard, registry: &str) -> String {
    let layout = yard.path("oci");
    let blobs = layout.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let blob = |bytes: &[u8]| {
        let digest = hex::encode(Sha256::digest(bytes));
        std::fs::write(blobs.join(&digest), bytes).unwrap();
        (format!("sha256:{digest}"), bytes.len())
    };
    std::fs::write(yard.path("hello"), "hello from a container\n").unwrap();
    let tar = Command::new("tar")
        .args(["-c", "--sort=name", "--mtime=@0", "-C"])
        .arg(yard.dir.path())
        .arg("hello")
        .output()
        .unwrap()
        .stdout;
    let (layer, layer_size) = blob(&tar);
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [layer] }
    });
    let (config, config_size) = blob(config.to_string().as_bytes());
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_size },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": layer_size }]
    });
    let (manifest, manifest_size) = blob(manifest.to_string().as_bytes());
    let index = serde_json::json!({
        "schemaVersion": 2,
        "manifests": [{ "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest,
            "size": manifest_size, "annotations": { "org.opencontainers.image.ref.name": "1" } }]
    });
    std::fs::write(layout.join("index.json"), index.to_string()).unwrap();
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    yard.net.sh(&format!(
        "skopeo --insecure-policy copy -q --preserve-digests --dest-tls-verify=false oci:{}:1 docker://{registry}/team/tiny:1 </dev/null",
        layout.display()
    ));
    manifest
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_a_registry_becomes_a_template_with_its_digest() {
    if !able("GANTRY_REQUIRE_NETNS", &["skopeo", "docker-registry", "tar"]) {
        return;
    }
    let Some(yard) = Yard::new() else { return };
    let registry = "127.0.0.1:5000";
    yard.write(
        "registry.yml",
        &format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {registry}\n",
            yard.path("registry").display()
        ),
    );
    let mut server = Guarded::sh(
        "nsenter -t \"$1\" -n docker-registry serve \"$2\" 2>&1 & server=$!; exec >/dev/null; read -r _; kill $server",
        &[&yard.net.pid().to_string(), &yard.path("registry.yml").display().to_string()],
    );
    assert!(server.says("listening on"), "the registry does not start");
    let digest = push(&yard, registry);

    let (shell, target) = (yard.shell(), node());
    let copy = |reference: String, name: &str| {
        let name = word(name);
        let (shell, target) = (&shell, &target);
        async move { shell.copy_image(target, word(&reference), word("local"), name, &mut |_| {}).await }
    };
    let by_tag = copy(format!("{registry}/team/tiny:1"), "tiny_1").await.unwrap();
    assert_eq!(by_tag.digest, digest);
    assert_eq!(by_tag.volume.as_str(), "local:vztmpl/tiny_1.tar");
    let file = yard.path("storage/template/cache/tiny_1.tar");
    assert_eq!(std::fs::metadata(&file).unwrap().len(), by_tag.size);
    let listed = Command::new("tar").arg("-tf").arg(&file).stdin(Stdio::null()).output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("index.json") && listed.contains("blobs/sha256/"), "{listed}");

    let by_digest = copy(format!("{registry}/team/tiny@{digest}"), "tiny_2").await.unwrap();
    assert_eq!(by_digest.digest, digest);
    let again = copy(format!("{registry}/team/tiny:1"), "tiny_1").await.unwrap_err();
    assert!(matches!(again, Error::Conflict { .. }), "{again:?}");
    let unknown = copy(format!("{registry}/team/tiny:2"), "tiny_3").await.unwrap_err();
    assert!(unknown.to_string().contains("manifest unknown"), "{unknown}");
    let left: Vec<_> = std::fs::read_dir(yard.path("storage/template/cache"))
        .unwrap()
        .map(|f| f.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");
}
