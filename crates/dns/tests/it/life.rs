//! A service comes, its pods come and go, and it goes; read with dig, at every kind of server.

use gantry_core::dns::Name;
use gantry_core::service::plan::Why;

use crate::lab::{Lab, Sort, name, nginx, rfc2136_config, web, webs};

/// The same story at each kind of server.
macro_rules! everywhere {
    ($($story:ident),* $(,)?) => {
        everywhere!(@ powerdns_api, PowerDnsApi, $($story),*);
        everywhere!(@ powerdns_update, PowerDnsUpdate, $($story),*);
        everywhere!(@ bind, Bind, $($story),*);
        everywhere!(@ knot, Knot, $($story),*);
    };
    (@ $module:ident, $sort:ident, $($story:ident),*) => {
        mod $module {
            $(#[tokio::test]
            async fn $story() {
                let Some(lab) = super::Lab::start(super::Sort::$sort) else { return };
                super::$story(lab).await;
            })*
        }
    };
}

everywhere!(
    a_service_is_published_and_read_back,
    what_other_people_wrote_stays,
    a_wildcard_is_not_taken_for_records,
    a_check_changes_nothing,
);

async fn a_service_is_published_and_read_back(lab: Lab) {
    let publisher = lab.publisher();
    let before = lab.everything();

    let looked = publisher.look(&nginx(), &webs(2)).await.unwrap();
    assert!(looked.is_changed());
    assert_eq!(lab.everything(), before, "looking changed something");

    let published =
        publisher.publish(&nginx(), &[web(0, true), web(1, true), web(2, false)]).await.unwrap();
    assert_eq!((&published.failed, &published.unserved), (&vec![], &vec![]));
    assert_eq!(lab.dig(&["web-0.nginx.lab.example", "A"]), ["10.0.0.10"]);
    assert_eq!(lab.dig(&["web-0.nginx.lab.example", "AAAA"]), ["2001:db8::10"]);
    assert_eq!(lab.dig(&["nginx.lab.example", "A"]), ["10.0.0.10", "10.0.0.11"]);
    assert_eq!(lab.dig(&["nginx.lab.example", "AAAA"]), ["2001:db8::10", "2001:db8::11"]);
    let srv = |n| format!("0 100 8080 web-{n}.nginx.lab.example.");
    assert_eq!(lab.dig(&["_http._tcp.nginx.lab.example", "SRV"]), [srv(0), srv(1)]);
    assert_eq!(lab.dig(&["-x", "10.0.0.11"]), ["web-1.nginx.lab.example."]);
    assert_eq!(lab.dig(&["-x", "2001:db8::11"]), ["web-1.nginx.lab.example."]);
    let nobody: [&str; 0] = [];
    assert_eq!(lab.dig(&["web-2.nginx.lab.example", "A"]), nobody);
    assert_eq!(lab.dig(&["-x", "10.0.0.12"]), nobody);

    // Again: nothing to do, and nothing is done.
    let serial = lab.serial("lab.example");
    let again =
        publisher.publish(&nginx(), &[web(0, true), web(1, true), web(2, false)]).await.unwrap();
    assert!(!again.is_changed(), "{again:?}");
    assert_eq!(lab.serial("lab.example"), serial);

    // web-0 fails its health check; web-2 passes it.
    publisher.publish(&nginx(), &[web(0, false), web(1, true), web(2, true)]).await.unwrap();
    assert_eq!(lab.dig(&["nginx.lab.example", "A"]), ["10.0.0.11", "10.0.0.12"]);
    assert_eq!(lab.dig(&["web-0.nginx.lab.example", "A"]), nobody);
    assert_eq!(lab.dig(&["_http._tcp.nginx.lab.example", "SRV"]), [srv(1), srv(2)]);
    assert_eq!(lab.dig(&["-x", "10.0.0.10"]), nobody);
    assert_eq!(lab.dig(&["-x", "2001:db8::10"]), nobody);

    // Up, down, another TTL.
    publisher.publish(&nginx(), &webs(5)).await.unwrap();
    assert_eq!(lab.dig(&["nginx.lab.example", "A"]).len(), 5);
    let mut slower = nginx();
    slower.ttl_s = 120;
    publisher.publish(&slower, &webs(1)).await.unwrap();
    assert_eq!(lab.dig(&["nginx.lab.example", "A"]), ["10.0.0.10"]);
    let ours = "nginx.lab.example. 120 IN A 10.0.0.10".to_owned();
    assert!(lab.whole("lab.example").contains(&ours), "{:#?}", lab.whole("lab.example"));

    // Gone without a trace.
    let gone = publisher.withdraw(&slower).await.unwrap();
    assert!(gone.zones.iter().all(|z| z.ours.is_empty()));
    assert_eq!(lab.everything(), before);
}

async fn what_other_people_wrote_stays(lab: Lab) {
    let publisher = lab.publisher();
    let before = lab.everything();
    // The zone holds an address of somebody at web-9 and an alias at web-8.
    let members: Vec<_> = [0, 8, 9].map(|n| web(n, true)).to_vec();
    let published = publisher.publish(&nginx(), &members).await.unwrap();
    let home = published.zones.first().unwrap();
    let kept: Vec<_> = home.kept.iter().map(|k| (k.key.to_string(), k.why)).collect();
    assert_eq!(
        kept,
        [
            ("web-8.nginx.lab.example CNAME".to_owned(), Why::Alias),
            ("web-9.nginx.lab.example A".to_owned(), Why::NotOurs),
        ]
    );
    assert_eq!(lab.dig(&["web-9.nginx.lab.example", "A"]), ["192.0.2.9"]);
    assert_eq!(lab.dig(&["web-0.nginx.lab.example", "A"]), ["10.0.0.10"]);
    assert_eq!(lab.dig(&["nginx.lab.example", "A"]).len(), 3);
    // Somebody adds an address to the service by hand: it stays beside gantry's, and is told.
    lab.nsupdate("lab.example", "update add nginx.lab.example 30 A 192.0.2.77");
    let published = publisher.publish(&nginx(), &webs(1)).await.unwrap();
    assert_eq!(lab.dig(&["nginx.lab.example", "A"]), ["10.0.0.10", "192.0.2.77"]);
    let home = published.zones.first().unwrap();
    assert!(home.kept.iter().any(|k| k.why == Why::Beside), "{:?}", home.kept);
    // The service of another owner is not taken over.
    let mut other = nginx();
    other.owner = "elsewhere/web".into();
    let error = publisher.publish(&other, &webs(2)).await.unwrap_err();
    assert!(error.to_string().contains("belongs to lab/web"), "{error}");
    publisher.withdraw(&nginx()).await.unwrap();
    lab.nsupdate("lab.example", "update delete nginx.lab.example A 192.0.2.77");
    assert_eq!(lab.everything(), before);
}

async fn a_wildcard_is_not_taken_for_records(lab: Lab) {
    let publisher = lab.publisher();
    let before = lab.everything();
    let mut service = nginx();
    service.zone = name("wild.example");
    assert_eq!(lab.dig(&["web-0.nginx.wild.example", "A"]), ["192.0.2.99"]);
    let published = publisher.publish(&service, &webs(2)).await.unwrap();
    assert_eq!(published.zones.first().unwrap().kept, []);
    assert_eq!(lab.dig(&["web-0.nginx.wild.example", "A"]), ["10.0.0.10"]);
    assert_eq!(lab.dig(&["nginx.wild.example", "A"]), ["10.0.0.10", "10.0.0.11"]);
    publisher.withdraw(&service).await.unwrap();
    assert_eq!(lab.everything(), before);
}

async fn a_check_changes_nothing(lab: Lab) {
    let publisher = lab.publisher();
    let (before, serial) = (lab.everything(), lab.serial("lab.example"));
    for (_, zone, health) in publisher.check().await {
        let health = health.unwrap_or_else(|e| panic!("{zone}: {e}"));
        assert_eq!(health.note, None);
    }
    assert_eq!((lab.everything(), lab.serial("lab.example")), (before, serial));
}

/// 100 members with two addresses each: sets of 100 records, a claim of many kilobytes, answers that need TCP.
#[tokio::test]
async fn the_largest_service_fits() {
    let Some(lab) = Lab::start(Sort::Bind) else { return };
    let mut config = rfc2136_config(lab.dns_port);
    config.key_name = "big".to_owned();
    config.algorithm = gantry_dns::Algorithm::HmacSha512;
    let zones: Vec<Name> = crate::lab::ZONES.iter().map(|z| name(z)).collect();
    let provider = gantry_dns::Provider::rfc2136("lab", zones, config).unwrap();
    let publisher = gantry_dns::Publisher::new(vec![provider]).unwrap();
    let published = publisher.publish(&nginx(), &webs(100)).await.unwrap();
    assert_eq!(published.failed, []);
    assert_eq!(lab.dig(&["nginx.lab.example", "A"]).len(), 100);
    assert_eq!(lab.dig(&["_http._tcp.nginx.lab.example", "SRV"]).len(), 100);
    assert!(!publisher.publish(&nginx(), &webs(100)).await.unwrap().is_changed());
    let error = publisher.publish(&nginx(), &webs(101)).await.unwrap_err();
    assert!(error.to_string().contains("at most 100"), "{error}");
}
