//! Images: the appliance index, downloads from URLs, pulls from OCI registries, uploads.
//!
//! What the server refuses before it forks is refused here; everything that shows only while fetching fails in the
//! task, with the lines `wget` and `skopeo` would have left in its log.

use serde_json::{Value, json};
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::{Call, storage};
use crate::effect::Effect;
use crate::internet::{full_reference, host_of};
use crate::reply::{Refusal, Reply};
use crate::task::Script;
use crate::volume::Volume;

/// Bytes a second of the simulated line.
const LINE: f64 = 60.0 * 1024.0 * 1024.0;

/// File name endings by content type.
fn endings(content: &str) -> &'static [&'static str] {
    match content {
        "iso" => &[".iso", ".img"],
        "vztmpl" => &[".tar.gz", ".tar.xz", ".tar.zst", ".tar.bz2", ".tgz", ".tar"],
        _ => &[".ova", ".ovf", ".qcow2", ".raw", ".vmdk"],
    }
}

/// The last path segment, with everything unusual replaced.
pub(super) fn normal_name(name: &str) -> String {
    let last = name.trim_end_matches('\n').rsplit(['/', '\\']).next().unwrap_or_default();
    last.chars()
        .map(|c| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '_' })
        .collect()
}

/// Where files of a content type lie.
fn folder(content: &str) -> &'static str {
    match content {
        "iso" => "/var/lib/vz/template/iso",
        "vztmpl" => "/var/lib/vz/template/cache",
        _ => "/var/lib/vz/import",
    }
}

/// A file-based storage with that content, or the refusal.
fn place(call: &Call<'_>, content: &str, uploading: bool) -> Result<String, Refusal> {
    let name = call.text("storage").unwrap_or_default();
    let found = storage::here(call, &name)?;
    if !matches!(found.spec.plugin.as_str(), "dir" | "nfs" | "cifs" | "cephfs" | "btrfs") {
        let plugin = &found.spec.plugin;
        return Err(Refusal::failed(if uploading {
            format!("can't upload to storage type '{plugin}'")
        } else {
            format!("can't upload to storage type '{plugin}', not a file based storage!")
        }));
    }
    if !found.holds(content) {
        return Err(Refusal::failed(if uploading {
            format!("storage '{name}' does not support '{content}' content")
        } else {
            format!("storage '{name}' is not configured for content-type '{content}'")
        }));
    }
    Ok(name)
}

fn ending_fits(content: &str, filename: &str) -> Result<(), Refusal> {
    let fits = endings(content).iter().any(|e| filename.ends_with(e) && filename.len() > e.len());
    if fits {
        return Ok(());
    }
    Err(Refusal::parameter(
        "filename",
        if content == "import" {
            "invalid filename or wrong extension"
        } else {
            "wrong file extension"
        },
    ))
}

/// Either the old right on `/` or the newer one on the node.
fn may_reach_out(call: &Call<'_>) -> Result<(), Refusal> {
    if call.need("/", &["Sys.Audit", "Sys.Modify"]).is_ok() {
        return Ok(());
    }
    call.need(&format!("/nodes/{}", call.node()), &["Sys.AccessNetwork"])
}

/// The lines and the time of `wget`, up to the file being there.
fn wget(mut script: Script, url: &str, target: &str, bytes: u64) -> Script {
    let host = host_of(url);
    script = script
        .say(0.1, format!("downloading {url} to {target}"))
        .say(0.0, format!("--{{ts}}--  {url}"))
        .say(0.1, format!("Resolving {host} ({host})... 203.0.113.10"))
        .say(0.0, format!("Connecting to {host} ({host})|203.0.113.10|:443... connected."))
        .say(0.2, "HTTP request sent, awaiting response... 200 OK")
        .say(0.0, format!("Length: {bytes} ({}M)", bytes >> 20))
        .say(0.0, format!("Saving to: '{target}.tmp_dwnl'"));
    let seconds = (bytes as f64 / LINE).max(0.5);
    for part in 1..=20_u64 {
        let (done, percent) = (bytes / 20 * part / 1024, part * 5);
        script = script.say(
            seconds / 20.0,
            format!("{done:>6}K ........ ........ ........ ........ {percent:>3}% 60.0M"),
        );
    }
    script
}

/// The lines of `wget` when there is nothing to fetch.
fn wget_fails(call: &Call<'_>, url: &str, target: &str) -> Script {
    let host = host_of(url);
    let mut script = Script::new()
        .say(0.1, format!("downloading {url} to {target}"))
        .say(0.0, format!("--{{ts}}--  {url}"));
    let code = if call.state.internet.knows_host(host) {
        script = script
            .say(0.2, "HTTP request sent, awaiting response... 404 Not Found")
            .say(0.0, "{ts} ERROR 404: Not Found.");
        8
    } else {
        script = script
            .say(0.3, format!("Resolving {host} ({host})... failed: Name or service not known."))
            .say(0.0, format!("wget: unable to resolve host address '{host}'"));
        4
    };
    script.act(0.1, Effect::Fail(format!("download failed: exit code {code}")))
}

pub(super) fn appliances(call: &mut Call<'_>) -> Reply {
    let rows = call
        .state
        .internet
        .appliances
        .iter()
        .map(|a| {
            json!({
                "type": "lxc", "section": a.section, "source": "http://download.proxmox.com/images",
                "architecture": "amd64", "package": a.template.split('_').next().unwrap_or_default(),
                "os": a.os, "version": a.version, "template": a.template, "headline": a.headline,
                "infopage": "https://pve.proxmox.com/wiki/Linux_Container",
                "location": format!("http://download.proxmox.com/images/system/{}", a.template),
                "sha512sum": hex::encode(Sha512::digest(a.template.as_bytes())),
                "description": a.headline, "maintainer": "Proxmox Support Team <support@proxmox.com>",
            })
        })
        .collect();
    Ok(Value::Array(rows).into())
}

pub(super) fn appliance_download(call: &mut Call<'_>) -> Reply {
    let template = call.text("template").unwrap_or_default();
    let found = call.state.internet.appliances.iter().find(|a| a.template == template).cloned();
    let Some(appliance) = found else {
        return Err(Refusal::parameter("template", "no such template"));
    };
    let name = call.text("storage").unwrap_or_default();
    let found = storage::here(call, &name)?;
    if !matches!(found.spec.plugin.as_str(), "dir" | "nfs" | "cifs" | "cephfs" | "btrfs") {
        let text = format!("cannot download to storage type '{}'", found.spec.plugin);
        return Err(Refusal::failed(text));
    }
    if !found.holds("vztmpl") {
        return Err(Refusal::failed(format!("storage '{name}' does not support templates")));
    }
    let node = call.node();
    let volid = format!("{name}:vztmpl/{template}");
    let target = format!("{}/{template}", folder("vztmpl"));
    let source = format!("http://download.proxmox.com/images/system/{template}");
    let sha = hex::encode(Sha512::digest(template.as_bytes()));
    let script = if call.state.volume_exists(&node, &volid) {
        Script::new().say(0.8, format!("OK, got correct file already, no need to download: {sha}"))
    } else {
        let volume = Volume {
            bytes: appliance.bytes,
            reference: Some(source.clone()),
            digest: Some(sha),
            ..Volume::default()
        };
        wget(Script::new(), &source, &target, appliance.bytes)
            .say(0.5, "calculating checksum...OK, checksum verified")
            .act(0.1, Effect::PutVolume { node, volid, volume })
            .say(0.0, format!("download of '{source}' to '{target}' finished"))
    };
    call.task("download", "", script)
}

pub(super) fn url_metadata(call: &mut Call<'_>) -> Reply {
    may_reach_out(call)?;
    let url = call.text("url").unwrap_or_default();
    let host = host_of(&url);
    if let Some(file) = call.state.internet.file(&url) {
        let name = normal_name(url.split('?').next().unwrap_or_default());
        return Ok(json!({"filename": name, "size": file.bytes, "mimetype": file.mimetype}).into());
    }
    Err(Refusal::failed(if call.state.internet.knows_host(host) {
        "invalid server response: '404 Not Found'".to_owned()
    } else {
        let port = if url.starts_with("https") { 443 } else { 80 };
        format!(
            "invalid server response: '500 Can't connect to {host}:{port} (Name or service not known)'"
        )
    }))
}

pub(super) fn download_url(call: &mut Call<'_>) -> Reply {
    call.need(
        &format!("/storage/{}", call.text("storage").unwrap_or_default()),
        &["Datastore.AllocateTemplate"],
    )?;
    may_reach_out(call)?;
    let content = call.text("content").unwrap_or_default();
    let name = place(call, &content, false)?;
    let filename = normal_name(&call.text("filename").unwrap_or_default());
    ending_fits(&content, &filename)?;
    let url = call.text("url").unwrap_or_default();
    let node = call.node();
    let volid = format!("{name}:{content}/{filename}");
    let target = format!("{}/{filename}", folder(&content));
    let compression = call.text("compression");
    let wanted = call.text("checksum").zip(call.text("checksum-algorithm"));
    let there = call.state.volume(&node, &volid).cloned();
    let script = if compression.is_some() && content != "iso" {
        Script::new().act(0.1, Effect::Fail(format!("decompression not supported for {content}")))
    } else if let Some(volume) = there {
        existing(&volume, &target, wanted)
    } else if let Some(file) = call.state.internet.file(&url).cloned() {
        let mut script = wget(Script::new(), &url, &target, file.bytes);
        let got = wanted.as_ref().map(|(_, algorithm)| file.checksum(algorithm));
        match (&wanted, got) {
            (Some((expected, _)), Some(got)) if !expected.eq_ignore_ascii_case(&got) => {
                script.say(0.8, "calculating checksum...").act(
                    0.0,
                    Effect::Fail(format!("checksum mismatch: got '{got}' != expect '{expected}'")),
                )
            }
            (wanted, _) => {
                if wanted.is_some() {
                    script = script.say(0.8, "calculating checksum...OK, checksum verified");
                }
                let mut bytes = file.bytes;
                if let Some(kind) = compression {
                    bytes *= 3;
                    script = script.say(1.0, format!("decompressing downloaded file ({kind})"));
                }
                let volume = Volume {
                    bytes,
                    reference: Some(url.clone()),
                    digest: Some(file.sha256.clone()),
                    ..Volume::default()
                };
                script
                    .act(0.2, Effect::PutVolume { node, volid, volume })
                    .say(0.0, format!("download of '{url}' to '{target}' finished"))
            }
        }
    } else {
        wget_fails(call, &url, &target)
    };
    call.task("download", &filename, script)
}

/// A file that is there is taken when its checksum is right, and never overwritten.
fn existing(volume: &Volume, target: &str, wanted: Option<(String, String)>) -> Script {
    let Some((expected, algorithm)) = wanted else {
        let text = format!("refusing to override existing file '{target}'");
        return Script::new().act(0.1, Effect::Fail(text));
    };
    let got = crate::internet::checksum(volume.digest.as_deref().unwrap_or_default(), &algorithm);
    let script = Script::new().say(0.8, "calculating checksum of existing file...");
    if got.eq_ignore_ascii_case(&expected) {
        return script.say(0.0, "OK, got correct file already, no need to download");
    }
    script.act(
        0.0,
        Effect::Fail(format!(
            "mismatch - file already exists with wrong checksum: got '{got}' != expect '{expected}'"
        )),
    )
}

pub(super) fn oci_tags(call: &mut Call<'_>) -> Reply {
    let reference = call.text("reference").unwrap_or_default();
    match call.state.internet.tags(&reference) {
        Some(tags) => Ok(json!(tags).into()),
        None => Err(Refusal::failed(format!(
            "command 'skopeo list-tags docker://{reference}' failed: exit code 1"
        ))),
    }
}

pub(super) fn oci_pull(call: &mut Call<'_>) -> Reply {
    call.need(&format!("/nodes/{}", call.node()), &["Sys.AccessNetwork"])?;
    let name = place(call, "vztmpl", false)?;
    let reference = call.text("reference").unwrap_or_default();
    let filename =
        format!("{}.tar", normal_name(&call.text("filename").unwrap_or_else(|| reference.clone())));
    let node = call.node();
    let volid = format!("{name}:vztmpl/{filename}");
    if call.state.volume_exists(&node, &volid) {
        let text = format!("refusing to override existing file '{filename}'");
        return Err(Refusal::failed(text));
    }
    let full = full_reference(&reference);
    let path = format!("{}/{filename}.tmp.4711", folder("vztmpl"));
    let failed = Effect::Fail(format!(
        "command 'skopeo copy docker://{reference} oci-archive:{path}' failed: exit code 1"
    ));
    let script = match call.state.internet.image(&reference).cloned() {
        Some(image) => {
            let mut script = Script::new().say(0.6, "Getting image source signatures");
            let seconds = (image.bytes as f64 / LINE).max(0.3);
            for layer in 0..3_u8 {
                let blob = hex::encode(Sha256::digest(format!("{}/{layer}", image.digest)));
                script = script.say(seconds / 3.0, format!("Copying blob sha256:{blob}"));
            }
            let config = hex::encode(Sha256::digest(format!("{}/config", image.digest)));
            let volume = Volume {
                bytes: image.bytes,
                reference: Some(image.reference()),
                digest: Some(image.digest.clone()),
                unhealthy: image.unhealthy,
                ..Volume::default()
            };
            script
                .say(0.2, format!("Copying config sha256:{config}"))
                .say(0.1, "Writing manifest to image destination")
                .act(0.3, Effect::PutVolume { node, volid, volume })
        }
        None => {
            let (repository, tag) = full.rsplit_once(':').unwrap_or((&full, "latest"));
            let host = host_of(&full);
            let why = if call.state.internet.tags(repository).is_some() {
                format!("reading manifest {tag} in {repository}: manifest unknown")
            } else if call.state.internet.knows_host(host) {
                format!(
                    "reading manifest {tag} in {repository}: name unknown: repository name not known to registry"
                )
            } else {
                format!(
                    "pinging container registry {host}: Get \\\"https://{host}/v2/\\\": dial tcp: lookup {host}: no such host"
                )
            };
            Script::new()
                .say(
                    0.7,
                    format!(
                        "time=\"{{ts}}\" level=fatal msg=\"initializing source docker://{reference}: {why}\""
                    ),
                )
                .act(0.0, failed)
        }
    };
    call.task("ociregistrypull", &filename, script)
}

/// An uploaded file: its name, length and content, from the form.
pub(super) fn upload(call: &mut Call<'_>) -> Reply {
    let content = call.text("content").unwrap_or_default();
    let name = place(call, &content, true)?;
    let filename = normal_name(&call.text("filename").unwrap_or_default());
    ending_fits(&content, &filename)?;
    let Some(file) = call.upload.take() else {
        return Err(Refusal::failed("missing temporary file name"));
    };
    let node = call.node();
    let tmp = call.text("tmpfilename").unwrap_or_default();
    let mut script = Script::new().say(0.1, format!("starting file import from: {tmp}"));
    if let (Some(expected), Some(algorithm)) =
        (call.text("checksum"), call.text("checksum-algorithm"))
    {
        let got = match algorithm.as_str() {
            "sha224" => hex::encode(Sha224::digest(&file)),
            "sha256" => hex::encode(Sha256::digest(&file)),
            "sha384" => hex::encode(Sha384::digest(&file)),
            "sha512" => hex::encode(Sha512::digest(&file)),
            other => {
                return Err(Refusal::failed(format!("{other} is not part of this simulation")));
            }
        };
        if !got.eq_ignore_ascii_case(&expected) {
            let script = script.say(0.3, "calculating checksum...").act(
                0.0,
                Effect::Fail(format!("checksum mismatch: got '{got}' != expect '{expected}'")),
            );
            return call.task("imgcopy", "", script);
        }
        script = script.say(0.3, "calculating checksum...OK, checksum verified");
    }
    let volume = Volume {
        bytes: file.len() as u64,
        digest: Some(hex::encode(Sha256::digest(&file))),
        ..Volume::default()
    };
    let target = format!("{}/{filename}", folder(&content));
    let volid = format!("{name}:{content}/{filename}");
    let script = script
        .say(0.0, format!("target node: {node}"))
        .say(0.0, format!("target file: {target}"))
        .say(0.0, format!("file size is: {}", file.len()))
        .say(0.0, format!("command: cp -- {tmp} {target}"))
        .act(0.4, Effect::PutVolume { node, volid, volume })
        .say(0.0, "finished file import successfully");
    call.task("imgcopy", "", script)
}

#[cfg(test)]
mod tests {
    use super::normal_name;

    #[test]
    fn names_are_normalised_as_the_server_does() {
        assert_eq!(normal_name("registry.demo/shop/web:1"), "web_1");
        assert_eq!(normal_name("a b/c d?.iso"), "c_d_.iso");
    }
}
