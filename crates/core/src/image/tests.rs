//! References, the malicious list, and plans.

use proptest::prelude::*;

use super::*;
use crate::id::ClusterId;
use crate::plan::Planned;

fn image(text: &str) -> Result<ImageRef, BadImage> {
    text.parse()
}

#[test]
fn each_form_is_told_apart_and_written_one_way() {
    for (text, want) in [
        ("debian-12-standard_12.7-1_amd64.tar.zst", "debian-12-standard_12.7-1_amd64.tar.zst"),
        ("alpine:3", "docker.io/library/alpine:3"),
        ("nginx", "docker.io/library/nginx:latest"),
        ("docker://ghcr.io/shop/web:2", "ghcr.io/shop/web:2"),
        ("grafana/grafana:11.2.0", "docker.io/grafana/grafana:11.2.0"),
        ("registry.example.org:5000/a/b_c/d-e:v1", "registry.example.org:5000/a/b_c/d-e:v1"),
        ("local:vztmpl/alpine_3.tar", "local:vztmpl/alpine_3.tar"),
        ("nas:iso/debian-12.iso", "nas:iso/debian-12.iso"),
        (
            "https://Cloud.Example.org/images/noble.img?sig=a%2Fb",
            "https://cloud.example.org/images/noble.img?sig=a%2Fb",
        ),
    ] {
        let parsed = image(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(parsed.to_string(), want, "{text}");
        assert_eq!(image(want).as_ref(), Ok(&parsed), "{want} does not read back");
    }
    assert!(matches!(image("alpine:3"), Ok(ImageRef::Oci(_))));
    assert!(matches!(image("local:vztmpl/x.tar.zst"), Ok(ImageRef::Volume(_))));
    let Ok(ImageRef::Oci(oci)) = image("docker.io/library/alpine:3") else { panic!() };
    assert_eq!(oci.file(), "alpine_3.tar");
    assert_eq!(oci.repository(), "docker.io/library/alpine");
}

/// What an attacker types where an address is asked for.
const ADDRESSES: &[&str] = &[
    "http://127.0.0.1/x.iso",
    "http://127.1/x.iso",
    "http://localhost/x.iso",
    "http://LOCALHOST/x.iso",
    "http://a.localhost/x.iso",
    "http://0.0.0.0/x.iso",
    "http://0/x.iso",
    "http://2130706433/x.iso",
    "http://017700000001/x.iso",
    "http://0177.0.0.1/x.iso",
    "http://0x7f.0.0.1/x.iso",
    "http://0x7f000001/x.iso",
    "http://127.0.0.1.:80/x.iso",
    "http://169.254.169.254/latest/x.iso",
    "http://[::1]/x.iso",
    "http://[::]/x.iso",
    "http://[::ffff:127.0.0.1]/x.iso",
    "http://[::ffff:a9fe:a9fe]/x.iso",
    "http://[::127.0.0.1]/x.iso",
    "http://[64:ff9b::7f00:1]/x.iso",
    "http://[2002:7f00:1::]/x.iso",
    "http://[fe80::1]/x.iso",
    "http://[fe80::1%25eth0]/x.iso",
    "http://[fd00:ec2::254]/x.iso",
    "http://[ff02::1]/x.iso",
    "http://metadata.google.internal/x.iso",
    "http://good.example@127.0.0.1/x.iso",
    "https://user:secret@good.example/x.iso",
    "https://good.example\\@evil.example/x.iso",
    "https://good.example#@evil.example/x.iso",
    "https://good.example/x.iso#y",
    "https://good.example/a/../../etc/x.iso",
    "https://good.example/%2e%2e/x.iso",
    "https://good.example/x.iso\r\nHost: evil",
    "https://good.example/x.iso%0d%0aX: y",
    "https://good.example/ x.iso",
    "https://good.example:0/x.iso",
    "https://good.example:99999/x.iso",
    "https://good.example:80:80/x.iso",
    "https://good.example",
    "https://good.example/",
    "https://good.example/x.sh",
    "https://good.example/-x.iso",
    "https://good.example//x.iso",
    "https://göod.example/x.iso",
    "https://good.example。evil/x.iso",
    "https:///x.iso",
    "https://-a/x.iso",
    "file:///etc/passwd",
    "file://localhost/x.iso",
    "ftp://good.example/x.iso",
    "gopher://good.example/x.iso",
    "dict://good.example:11211/x.iso",
    "javascript://good.example/x.iso",
];

#[test]
fn no_malicious_address_passes_even_where_everything_below_is_listed() {
    for text in ADDRESSES {
        assert!(image(text).is_err(), "{text} passed as {:?}", image(text));
    }
}

#[test]
fn no_malicious_host_can_be_listed() {
    for text in [
        "*",
        "*.org",
        "127.0.0.1",
        "[::1]",
        "169.254.169.254",
        "localhost",
        "2130706433",
        "0x7f.1",
        "a b",
        "",
        "*.127.0.0.1",
        "a.example/x",
        "user@a.example",
        "[::ffff:127.0.0.1]:80",
    ] {
        assert!(text.parse::<HostPattern>().is_err(), "{text} was taken");
    }
}

#[test]
fn only_listed_hosts_pass() {
    let list = |all: &[&str]| all.iter().map(|h| h.parse().unwrap()).collect::<Vec<HostPattern>>();
    let rules = ImageRules {
        hosts: list(&["cloud.example.org", "*.mirror.example", "10.0.0.5:8080"]),
        registries: list(&["docker.io", "registry.lan:5000"]),
    };
    for (text, passes) in [
        ("https://cloud.example.org/a.img", true),
        ("https://cloud.example.org:443/a.img", true),
        ("http://cloud.example.org/a.img", true),
        ("https://cloud.example.org:8443/a.img", false),
        ("http://cloud.example.org:443/a.img", false),
        ("https://xcloud.example.org/a.img", false),
        ("https://cloud.example.org.evil.example/a.img", false),
        ("https://de.mirror.example/a.img", true),
        ("https://mirror.example/a.img", false),
        ("https://evilmirror.example/a.img", false),
        ("http://10.0.0.5:8080/a.img", true),
        ("http://10.0.0.5/a.img", false),
        ("http://10.0.0.6:8080/a.img", false),
        ("alpine:3", true),
        ("ghcr.io/a/b:1", false),
        ("registry.lan:5000/a/b:1", true),
        ("registry.lan/a/b:1", false),
        ("debian-12-standard_12.7-1_amd64.tar.zst", true),
    ] {
        let parsed = image(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(rules.check(&parsed).is_ok(), passes, "{text}");
    }
    assert!(
        ImageRules::default().check(&image("alpine:3").unwrap()).is_err(),
        "nothing listed, nowhere"
    );
    let said = rules
        .check(&image("https://evil.example/a.img?token=secret").unwrap())
        .unwrap_err()
        .to_string();
    assert!(said.contains("images.hosts") && !said.contains("secret"), "{said}");
}

#[test]
fn what_is_no_reference_says_its_rule() {
    for text in [
        "",
        " ",
        "a b",
        "../etc",
        "local:vztmpl/../x.tar",
        "local:vztmpl/a/b.tar",
        "local:vztmpl/.x.tar",
        "local:iso/x\0.iso",
        "local:iso/%2e%2e.iso",
        "local:iso/a:b.iso",
        "/etc/passwd",
        "Alpine:3",
        "alpine:",
        "alpine:3 4",
        "alpine@sha256:0",
        "a//b:1",
        "-a:1",
        "a:-1",
        "127.0.0.1:5000/a:1",
        "localhost:5000/a:1",
        "localhost/a:1",
        "[::1]:5000/a:1",
        "169.254.169.254/a:1",
        "2130706433:80/a:1",
        "a/../b:1",
        "a\n:1",
    ] {
        let error = image(text).expect_err(text).to_string();
        assert!(error.contains("cannot be used") && !error.contains('\n'), "{text}: {error}");
    }
}

#[test]
fn weak_checksums_are_refused() {
    let sum = "a".repeat(64);
    assert_eq!(sum.parse::<Checksum>().unwrap().to_string(), format!("sha256:{sum}"));
    assert_eq!(format!("SHA256:{}", sum.to_uppercase()).parse::<Checksum>().unwrap().hex(), sum);
    for bad in [
        "",
        "sha256:abc",
        "d41d8cd98f00b204e9800998ecf8427e",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
    ] {
        assert!(bad.parse::<Checksum>().is_err(), "{bad}");
    }
    assert!(format!("sha512:{sum}").parse::<Checksum>().is_err());
    assert!("g".repeat(64).parse::<Checksum>().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4_000) })]

    #[test]
    fn whatever_passes_reads_back_as_itself(text in "\\PC{0,80}|[a-z0-9:/._@%\\[\\]-]{0,60}|https?://[a-z0-9.:\\[\\]@-]{1,30}/[a-z./%-]{1,20}") {
        if let Ok(parsed) = image(&text) {
            let written = parsed.to_string();
            let again = image(&written);
            prop_assert_eq!(again.as_ref(), Ok(&parsed));
            prop_assert!(!written.contains(|c: char| c.is_control() || c.is_whitespace() || !c.is_ascii()));
            prop_assert!(!written.contains("..") || matches!(parsed, ImageRef::Url(_)));
        }
    }

    /// Every spelling of an address that must not be reached is refused, as number, octal, hexadecimal or mapped.
    #[test]
    fn no_spelling_of_an_inner_address_passes(a in prop_oneof![Just(127u8), Just(0), Just(169)], c in 0u8.., d in 0u8..) {
        let b = if a == 169 { 254 } else { c };
        let n = u32::from_be_bytes([a, b, c, d]);
        for host in [
            format!("{a}.{b}.{c}.{d}"), n.to_string(), format!("0x{n:x}"), format!("0{n:o}"),
            format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"), format!("0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}"),
            format!("{a}.{}", u32::from_be_bytes([0, b, c, d])), format!("[::ffff:{a}.{b}.{c}.{d}]"),
            format!("[64:ff9b::{:x}:{:x}]", n >> 16, n & 0xffff), format!("[2002:{:x}:{:x}::1]", n >> 16, n & 0xffff),
        ] {
            let url = format!("http://{}/x.iso", host);
            prop_assert!(image(&url).is_err(), "{} passed", url);
            let pattern = host.parse::<HostPattern>();
            prop_assert!(pattern.is_err());
        }
    }
}

fn lab() -> ClusterId {
    "lab".parse().unwrap()
}

fn place(node: &str, volid: &str, shared: bool) -> Place {
    Place { node: node.parse().unwrap(), shared, volid: volid.parse().unwrap() }
}

fn fetch(bytes: Option<u64>) -> Fetch {
    let Ok(ImageRef::Oci(reference)) = image("alpine:3") else { panic!() };
    Fetch {
        place: place("pve1", "local:vztmpl/alpine_3.tar", false),
        source: Source::Oci { reference },
        bytes,
    }
}

fn empty(free: u64) -> LivePlace {
    LivePlace {
        online: true,
        version: Some((9, 1)),
        room: Some(Room { active: true, holds: true, free }),
        others: vec!["nas".into()],
        file: None,
        record: None,
        shell: false,
        listed: None,
        read_ms: 1,
    }
}

fn rules() -> ImageRules {
    ImageRules { hosts: vec![], registries: vec!["docker.io".parse().unwrap()] }
}

fn refused(fetch: &Fetch, live: LivePlace) -> String {
    match plan_fetch(&lab(), std::slice::from_ref(fetch), &[live], &rules()) {
        Planned::Refused { why } => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn fetching_is_planned_only_where_it_can_end_well() {
    let gib = 1u64 << 30;
    let plan = plan_fetch(&lab(), &[fetch(None)], &[empty(gib)], &rules());
    let Planned::Ready(draft) = plan else { panic!("{plan:?}") };
    assert_eq!(draft.steps.len(), 1);
    assert!(draft.effects[0].contains("docker.io/library/alpine:3"), "{:?}", draft.effects);
    assert!(refused(&fetch(None), empty(gib - 1)).contains("not known before"));
    assert!(refused(&fetch(Some(gib)), empty(gib)).contains("must stay free"));
    let with = |change: &dyn Fn(&mut LivePlace)| {
        let mut live = empty(9 * gib);
        change(&mut live);
        live
    };
    assert!(refused(&fetch(None), with(&|l| l.online = false)).contains("not online"));
    assert!(refused(&fetch(None), with(&|l| l.room = None)).contains("no storage local"));
    assert!(refused(&fetch(None), with(&|l| l.version = Some((8, 4)))).contains("needs 9.1"));
    assert!(refused(&fetch(None), with(&|l| l.listed = Some(false))).contains("pveam update"));
    let not_taken = with(&|l| l.room = Some(Room { active: true, holds: false, free: gib }));
    assert!(refused(&fetch(None), not_taken).contains("nas"), "other storages are named");
    let unlisted = plan_fetch(&lab(), &[fetch(None)], &[empty(gib)], &ImageRules::default());
    assert!(matches!(unlisted, Planned::Refused { why } if why.contains("images.registries")));
}

fn record(source: &str, prepared_ms: i64) -> ImageRecord {
    let fetch = fetch(None);
    ImageRecord {
        cluster: lab(),
        owner: "pve1".into(),
        volid: fetch.place.volid.clone(),
        digest: None,
        bytes: 10,
        source: source.into(),
        origin: fetch.source,
        operation: "op".into(),
        prepared_ms,
        last_used_ms: 0,
    }
}

#[test]
fn a_file_that_is_there_is_this_one_or_another() {
    let there = |record: Option<ImageRecord>, bytes| LivePlace {
        file: Some(LiveVolume { bytes, created_s: 5 }),
        record,
        ..empty(1)
    };
    let same = fetch(None).now(&there(Some(record("docker.io/library/alpine:3", 0)), 10));
    assert!(matches!(same, FetchNow::There(_)), "{same:?}");
    assert!(
        matches!(fetch(None).now(&there(None, 10)), FetchNow::There(why) if why.contains("did not fetch"))
    );
    assert!(
        refused(&fetch(None), there(Some(record("ghcr.io/x/alpine:3", 0)), 10))
            .contains("came from ghcr.io")
    );
    assert!(refused(&fetch(Some(20)), there(None, 10)).contains("left over"));
}

#[test]
fn pruning_takes_only_what_gantry_fetched_and_nothing_needs() {
    let day = 86_400_000;
    let there = [
        Doomed {
            place: place("pve1", "local:vztmpl/alpine_3.tar", false),
            bytes: 10,
            created_s: 1,
        },
        Doomed {
            place: place("pve2", "local:vztmpl/alpine_3.tar", false),
            bytes: 20,
            created_s: 1,
        },
    ];
    let usage = |node: Option<&str>| Usage {
        volid: "local:vztmpl/alpine_3.tar".into(),
        node: node.map(str::to_owned),
        who: "pod web-0".into(),
        of: None,
    };
    let filter = PruneFilter { days: 30, ..PruneFilter::default() };
    let find =
        |usages: &[Usage], now_ms| unused(&there, &[record("x", 0)], usages, &filter, now_ms).len();
    assert_eq!(find(&[], 31 * day), 1, "the copy on pve2 has no record");
    assert_eq!(find(&[], 29 * day), 0, "too young");
    assert_eq!(find(&[usage(Some("pve1"))], 31 * day), 0);
    assert_eq!(find(&[usage(Some("pve2"))], 31 * day), 1);
    assert_eq!(find(&[usage(None)], 31 * day), 0, "what may need any copy needs this one");
    let touched = ImageRecord { last_used_ms: 20 * day, ..record("x", 0) };
    assert!(unused(&there, &[touched], &[], &filter, 31 * day).is_empty());
    let found = unused(&there, &[record("x", 0)], &[], &filter, 31 * day);
    let Planned::Ready(draft) = plan_prune(&lab(), &filter, &found, 1, 31 * day) else { panic!() };
    assert_eq!(draft.steps.len(), 1);
    assert!(draft.changes[0].before.contains("31 days"), "{:?}", draft.changes);
    assert!(draft.warnings.iter().any(|w| w.contains("left alone")), "{:?}", draft.warnings);
    let Planned::Ready(later) = plan_prune(&lab(), &filter, &found[..0], 1, 0) else { return };
    panic!("{later:?}");
}

#[test]
fn what_is_used_is_not_deleted_and_its_users_are_named() {
    let at = place("pve1", "local:vztmpl/alpine_3.tar", false);
    let file = Some(LiveVolume { bytes: 10, created_s: 1 });
    let live = |users: &[&str]| LiveDoomed {
        file,
        record: None,
        users: users.iter().map(|u| (*u).to_owned()).collect(),
        others: vec!["local:vztmpl/alpine_3.22.tar".into()],
    };
    let plan = plan_delete(&lab(), &at, &live(&["pod web-0 (lab/201)"]));
    assert!(matches!(plan, Planned::Refused { why } if why.contains("web-0")));
    assert!(
        matches!(plan_delete(&lab(), &at, &live(&[])), Planned::Ready(d) if d.name == "alpine_3.tar")
    );
    let gone = LiveDoomed { file: None, ..live(&[]) };
    assert!(
        matches!(plan_delete(&lab(), &at, &gone), Planned::Nothing { why } if why.contains("It has: local:vztmpl/alpine_3.22.tar"))
    );
    let doomed = Doomed { place: at, bytes: 10, created_s: 1 };
    assert_eq!(doomed.changed(LiveVolume { bytes: 10, created_s: 1 }, &[]), None);
    assert!(doomed.changed(LiveVolume { bytes: 10, created_s: 2 }, &[]).is_some());
}

#[test]
fn steps_survive_the_database() {
    let steps = [
        crate::operation::StepKind::Image(Box::new(ImageStep::Fetch(fetch(Some(3))))),
        crate::operation::StepKind::Image(Box::new(ImageStep::MakeTemplate)),
    ];
    for step in steps {
        let text = serde_json::to_string(&step).unwrap();
        assert_eq!(
            serde_json::from_str::<crate::operation::StepKind>(&text).unwrap(),
            step,
            "{text}"
        );
    }
    let action = crate::action::Action::Image(ImageAction::Fetch {
        cluster: lab(),
        fetches: vec![fetch(None)],
    });
    let text = serde_json::to_string(&action).unwrap();
    assert_eq!(serde_json::from_str::<crate::action::Action>(&text).unwrap(), action, "{text}");
    assert_eq!(action.turn().as_deref(), Some("image lab/pve1/local:vztmpl/alpine_3.tar"));
}
