//! What an independent parser reads out of a request is what was meant, whatever people type.

use gantry_core::id::StorageId;
use gantry_proxmox::{CreateLxc, Error, Form, NetIf, PropertyString, RootFs, Volid};
use proptest::prelude::*;
use secrecy::Secret;

/// Written from the URL standard, not from the encoder.
fn parse(form: &str) -> Vec<(String, String)> {
    fn decode(text: &str) -> String {
        let mut out = Vec::new();
        let bytes = text.as_bytes();
        let mut n = 0;
        while n < bytes.len() {
            match bytes[n] {
                b'+' => out.push(b' '),
                b'%' => {
                    let hex = std::str::from_utf8(&bytes[n + 1..n + 3]).unwrap();
                    out.push(u8::from_str_radix(hex, 16).unwrap());
                    n += 2;
                }
                other => out.push(other),
            }
            n += 1;
        }
        String::from_utf8(out).unwrap()
    }
    if form.is_empty() {
        return Vec::new();
    }
    form.split('&')
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap();
            (decode(key), decode(value))
        })
        .collect()
}

/// As `PVE::JSONSchema::parse_property_string` splits: commas, then the first equals sign.
fn properties(text: &str) -> Vec<(Option<String>, String)> {
    text.split(',')
        .map(|part| match part.split_once('=') {
            Some((key, value)) => (Some(key.to_owned()), value.to_owned()),
            None => (None, part.to_owned()),
        })
        .collect()
}

fn nasty() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,20}",
        "[&=;,%+#?\\r\\n\\x00 /:@!a-z0-9]{0,24}",
        Just("x&vmid=999".to_owned()),
        Just("%26unprivileged%3D0".to_owned()),
        Just("a\r\nHost: evil".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn a_form_is_read_as_it_was_written(pairs in prop::collection::vec((nasty(), nasty()), 0..6)) {
        let mut form = Form::new();
        for (key, value) in &pairs {
            form.push(key, value);
        }
        let encoded = form.encode();
        prop_assert!(encoded.is_ascii());
        prop_assert!(!encoded.contains(['\r', '\n', ' ', '#', '?', ';']));
        prop_assert_eq!(parse(&encoded), pairs);
    }

    #[test]
    fn a_property_never_becomes_two(first in nasty(), second in nasty()) {
        let mut text = PropertyString::new();
        let clean = |s: &str| {
            !s.is_empty() && !s.contains([',', '=']) && !s.chars().any(char::is_control)
        };
        prop_assert_eq!(text.set("name", &first).is_ok(), clean(&first));
        prop_assert_eq!(text.set("bridge", &second).is_ok(), clean(&second));
        let mut expected = Vec::new();
        if clean(&first) { expected.push((Some("name".to_owned()), first)); }
        if clean(&second) { expected.push((Some("bridge".to_owned()), second)); }
        if expected.is_empty() {
            prop_assert!(text.is_empty());
        } else {
            prop_assert_eq!(properties(&text.to_string()), expected);
        }
    }

    #[test]
    fn a_created_container_is_the_one_that_was_typed(
        host in nasty(), bridge in nasty(), ip in nasty(), description in nasty(), tag in nasty(),
        password in nasty(), key in nasty(), pool in nasty(),
    ) {
        let template: Volid = "local:vztmpl/debian-12.tar.zst".parse().unwrap();
        let mut spec = CreateLxc::new("104".parse().unwrap(), template);
        spec.hostname = Some(host.clone());
        spec.rootfs = Some(RootFs { storage: "local-lvm".parse().unwrap(), size_gib: 8 });
        let net = NetIf {
            name: "eth0".into(),
            bridge: Some(bridge.clone()),
            ip: Some(ip.clone()),
            ..NetIf::default()
        };
        spec.net = vec![net];
        spec.description = Some(description.clone());
        spec.tags = vec!["gantry".into(), tag];
        spec.password = Some(Secret::new(password.clone()));
        spec.ssh_public_keys = vec![key];
        spec.pool = Some(pool.clone());
        match spec.form() {
            Err(Error::Invalid { .. }) => {}
            Err(other) => prop_assert!(false, "{:?}", other),
            Ok(form) => {
                let read = parse(&form.encode());
                let one = |key: &str| {
                    let all: Vec<_> = read.iter().filter(|(k, _)| k == key).collect();
                    assert_eq!(all.len(), 1, "{key}");
                    all[0].1.clone()
                };
                prop_assert_eq!(one("vmid"), "104");
                prop_assert_eq!(one("unprivileged"), "1");
                prop_assert_eq!(one("hostname"), host);
                prop_assert_eq!(one("description"), description);
                prop_assert_eq!(one("password"), password);
                prop_assert_eq!(one("pool"), pool);
                prop_assert_eq!(one("rootfs"), "local-lvm:8");
                let net = properties(&one("net0"));
                prop_assert_eq!(net.len(), 3);
                prop_assert_eq!(&net[1], &(Some("bridge".to_owned()), bridge));
                prop_assert_eq!(&net[2], &(Some("ip".to_owned()), ip));
                prop_assert_eq!(one("tags").split(';').count(), 2);
            }
        }
    }

    #[test]
    fn a_volume_id_stays_inside_its_storage(text in "[a-z.:/%~ -]{0,24}") {
        if let Ok(volid) = text.parse::<Volid>() {
            let (storage, rest) = volid.as_str().split_once(':').unwrap();
            prop_assert!(storage.parse::<StorageId>().is_ok());
            prop_assert!(!rest.contains("..") && !rest.starts_with('/') && !rest.contains('%'));
            prop_assert!(!rest.contains(':'));
        }
    }
}

#[test]
fn a_plain_container_can_be_written_down() {
    let mut spec =
        CreateLxc::new("104".parse().unwrap(), "local:vztmpl/debian-12.tar.zst".parse().unwrap());
    spec.hostname = Some("web-0.lab".into());
    spec.cores = Some(2);
    spec.memory_mib = Some(512);
    spec.net = vec![NetIf {
        name: "eth0".into(),
        bridge: Some("vmbr0".into()),
        ip: Some("10.0.0.5/24".into()),
        gw: Some("10.0.0.1".parse().unwrap()),
        tag: Some(7),
        ..NetIf::default()
    }];
    spec.nesting = true;
    spec.start = Some(true);
    let read = parse(&spec.form().unwrap().encode());
    let text: Vec<String> = read.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(
        text,
        [
            "vmid=104",
            "ostemplate=local:vztmpl/debian-12.tar.zst",
            "hostname=web-0.lab",
            "net0=name=eth0,bridge=vmbr0,ip=10.0.0.5/24,gw=10.0.0.1,tag=7",
            "cores=2",
            "memory=512",
            "unprivileged=1",
            "features=nesting=1",
            "start=1",
        ]
    );
}

#[test]
fn volume_ids() {
    for good in [
        "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst",
        "local-lvm:vm-104-disk-0",
        "pbs:backup/ct/100/2024-01-01T00:00:00Z",
    ] {
        assert!(good.parse::<Volid>().is_ok(), "{good}");
    }
    for bad in [
        "",
        "local",
        "local:",
        "local:../../etc/passwd",
        "local:backup/../../etc/x",
        "local:/etc/passwd",
        "local:%2e%2e/x",
        "local:a:b",
        "local:a,b",
        "local:a=b",
        "local:a\0",
        "/dev/sda:x",
    ] {
        assert!(bad.parse::<Volid>().is_err(), "{bad}");
    }
}
