//! Wrong keys, wrong zones, lost answers, servers that die: what people read, and that nothing is done twice.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gantry_core::advice::Advice;
use gantry_core::dns::{Change, Data, Key, Kind, Set};
use gantry_dns::{Algorithm, Clock, Error, KeyProblem, Provider, Publisher};

use crate::lab::{
    Lab, OTHER_SECRET, Sort, ZONES, name, nginx, powerdns_config, rfc2136_config, webs,
};
use crate::line::Line;

const UPDATERS: [Sort; 3] = [Sort::PowerDnsUpdate, Sort::Bind, Sort::Knot];
const ALL: [Sort; 4] = [Sort::PowerDnsApi, Sort::PowerDnsUpdate, Sort::Bind, Sort::Knot];

fn zones() -> Vec<gantry_core::dns::Name> {
    ZONES.iter().map(|z| name(z)).collect()
}

fn alone(provider: Provider) -> Publisher {
    Publisher::new(vec![provider]).unwrap()
}

/// What publishing and checking say, which is the same.
async fn says(publisher: &Publisher) -> Error {
    let error = publisher.publish(&nginx(), &webs(1)).await.unwrap_err();
    let checked = publisher.check().await.into_iter().next().unwrap().2.unwrap_err();
    assert_eq!(checked, error);
    assert!(!error.to_string().contains(OTHER_SECRET) && !format!("{error:?}").contains("nope"));
    error
}

#[tokio::test]
async fn a_wrong_api_key_is_said_to_be_one() {
    let Some(lab) = Lab::start(Sort::PowerDnsApi) else { return };
    let mut config = powerdns_config(lab.api_port);
    config.key = secrecy::Secret::new("nope".to_owned());
    let error = says(&alone(Provider::powerdns("lab", zones(), config).unwrap())).await;
    assert!(matches!(&error, Error::Key { problem: KeyProblem::ApiKey, .. }), "{error:?}");
    assert_eq!(error.advice(), Advice::GiveUp);
}

#[tokio::test]
async fn a_wrong_tsig_key_is_said_to_be_one() {
    for sort in UPDATERS {
        let Some(lab) = Lab::start(sort) else { return };
        let before = lab.everything();
        let right = || rfc2136_config(lab.dns_port);
        let with = |config| alone(Provider::rfc2136("lab", zones(), config).unwrap());

        let secret = secrecy::Secret::new(OTHER_SECRET.to_owned());
        let error = says(&with(gantry_dns::Rfc2136Config { secret, ..right() })).await;
        let Error::Key { problem, .. } = &error else { panic!("{sort:?}: {error:?}") };
        match sort {
            Sort::PowerDnsUpdate => assert!(matches!(problem, KeyProblem::Rejected { .. })),
            _ => assert!(matches!(problem, KeyProblem::Secret { .. }), "{sort:?}: {error}"),
        }

        let key_name = "nobody".to_owned();
        let error = says(&with(gantry_dns::Rfc2136Config { key_name, ..right() })).await;
        let Error::Key { problem, .. } = &error else { panic!("{sort:?}: {error:?}") };
        match sort {
            Sort::PowerDnsUpdate => assert!(matches!(problem, KeyProblem::Rejected { .. })),
            _ => assert!(matches!(problem, KeyProblem::Unknown { .. }), "{sort:?}: {error}"),
        }

        let algorithm = Algorithm::HmacSha512;
        let error = says(&with(gantry_dns::Rfc2136Config { algorithm, ..right() })).await;
        assert!(matches!(error, Error::Key { .. }), "{sort:?}: {error}");

        let now = Clock::system();
        let clock = Clock(Arc::new(move || (now.0)() - 7200));
        let error = says(&with(gantry_dns::Rfc2136Config { clock, ..right() })).await;
        assert!(matches!(error, Error::Key { .. }), "{sort:?}: {error:?}");
        // PowerDNS does not say that it is about the clock.
        if sort != Sort::PowerDnsUpdate {
            assert!(error.to_string().contains("ahead of this machine's"), "{sort:?}: {error}");
        }
        assert_eq!(lab.everything(), before, "{sort:?}");
    }
}

#[tokio::test]
async fn a_key_without_rights_is_refused() {
    for sort in UPDATERS {
        let Some(lab) = Lab::start(sort) else { return };
        let mut config = rfc2136_config(lab.dns_port);
        config.key_name = "reader".to_owned();
        let publisher = alone(Provider::rfc2136("lab", zones(), config).unwrap());
        let before = lab.everything();
        let error = publisher.publish(&nginx(), &webs(1)).await.unwrap_err();
        // Knot answers NOTAUTH to a key that is not in the zone's ACL.
        match sort {
            Sort::Knot => assert!(
                matches!(error, Error::NoZone { .. } | Error::Refused { .. } | Error::Key { .. }),
                "{error:?}"
            ),
            _ => assert!(matches!(error, Error::Refused { .. }), "{sort:?}: {error:?}"),
        }
        assert!(publisher.check().await.into_iter().all(|(_, _, h)| h.is_err()), "{sort:?}");
        assert_eq!(error.advice(), Advice::GiveUp);
        assert_eq!(lab.everything(), before);
    }
}

#[tokio::test]
async fn a_zone_that_is_not_there_is_said_so() {
    for sort in ALL {
        let Some(lab) = Lab::start(sort) else { return };
        let elsewhere = vec![name("nowhere.example")];
        let provider = match sort {
            Sort::PowerDnsApi => {
                Provider::powerdns("lab", elsewhere, powerdns_config(lab.api_port))
            }
            _ => Provider::rfc2136("lab", elsewhere, rfc2136_config(lab.dns_port)),
        };
        let publisher = alone(provider.unwrap());
        let health = publisher.check().await.into_iter().next().unwrap().2;
        let error = health.unwrap_err();
        let plain = matches!(error, Error::NoZone { .. } | Error::Refused { .. });
        assert!(plain, "{sort:?}: {error:?}");
        let mut service = nginx();
        service.zone = name("nowhere.example");
        let error = publisher.publish(&service, &webs(1)).await.unwrap_err();
        let plain = matches!(error, Error::NoZone { .. } | Error::Refused { .. });
        assert!(plain, "{sort:?}: {error:?}");
        assert_eq!(error.advice(), Advice::GiveUp);
    }
}

#[tokio::test]
async fn a_name_outside_of_the_zone_is_refused_here_and_there() {
    for sort in ALL {
        let Some(lab) = Lab::start(sort) else { return };
        let mut service = nginx();
        service.zone = name("elsewhere.example");
        let error = lab.publisher().publish(&service, &webs(1)).await.unwrap_err();
        assert!(matches!(&error, Error::OutOfZone { .. }), "{sort:?}: {error:?}");
        assert!(error.to_string().contains("lab.example"), "{error}");
        // Past gantry's own check.
        let key = Key { name: name("web-0.elsewhere.example"), kind: Kind::A };
        let data = [Data::A(Ipv4Addr::new(10, 0, 0, 1))].into();
        let change = Change { key, before: None, after: Some(Set { ttl_s: 30, data }) };
        let error = lab.provider().apply(&name("lab.example"), &[change]).await.unwrap_err();
        assert!(matches!(&error, Error::OutOfZone { .. }), "{sort:?}: {error:?}");
    }
}

#[tokio::test]
async fn an_address_without_a_reverse_zone_is_told() {
    let Some(lab) = Lab::start(Sort::Knot) else { return };
    let mut members = webs(1);
    members[0].addresses.push("10.99.0.1".parse().unwrap());
    let published = lab.publisher().publish(&nginx(), &members).await.unwrap();
    assert_eq!(published.unserved, [name("1.0.99.10.in-addr.arpa")]);
    assert_eq!(lab.dig(&["web-0.nginx.lab.example", "A"]), ["10.0.0.10", "10.99.0.1"]);
}

#[tokio::test]
async fn a_server_that_is_down_was_sent_nothing() {
    let port = crate::daemon::free_port();
    for provider in [
        Provider::powerdns("lab", zones(), powerdns_config(port)).unwrap(),
        Provider::rfc2136("lab", zones(), rfc2136_config(port)).unwrap(),
    ] {
        let error = says(&alone(provider)).await;
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
        assert!(matches!(error.advice(), Advice::RetryAfter(_)));
    }
}

#[tokio::test]
async fn a_server_that_keeps_silent_is_not_waited_for_forever() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let short = gantry_dns::Deadlines {
        connect: Duration::from_millis(500),
        read: Duration::from_millis(300),
        write: Duration::from_millis(300),
    };
    let mut api = powerdns_config(port);
    api.deadlines = short.clone();
    let mut update = rfc2136_config(port);
    update.deadlines = short;
    let key = Key { name: name("web-0.lab.example"), kind: Kind::A };
    let data = [Data::A(Ipv4Addr::new(10, 0, 0, 1))].into();
    let change = Change { key, before: None, after: Some(Set { ttl_s: 30, data }) };
    for provider in [
        Provider::powerdns("lab", zones(), api).unwrap(),
        Provider::rfc2136("lab", zones(), update).unwrap(),
    ] {
        let read = provider.read(&name("lab.example"), &[change.key.clone()].into()).await;
        assert!(matches!(read.unwrap_err().advice(), Advice::RetryAfter(_)));
        let error =
            provider.apply(&name("lab.example"), std::slice::from_ref(&change)).await.unwrap_err();
        assert!(matches!(error, Error::AnswerLost { write: true, .. }), "{error:?}");
        assert_eq!(error.advice(), Advice::Probe);
    }
}

#[tokio::test]
async fn a_lost_answer_is_looked_for_and_nothing_is_sent_twice() {
    for sort in ALL {
        let Some(lab) = Lab::start(sort) else { return };
        let target = if sort == Sort::PowerDnsApi { lab.api_port } else { lab.dns_port };
        let line = Line::to(target).await;
        let publisher = alone(lab.provider_at(line.port, line.port));
        line.loses_the_next_answer();
        let published = publisher.publish(&nginx(), &webs(2)).await.unwrap();
        assert_eq!(lab.dig(&["nginx.lab.example", "A"]), ["10.0.0.10", "10.0.0.11"], "{sort:?}");
        // One write for each of the three zones that say something about the service.
        assert_eq!(line.writes(), 3, "{sort:?}");
        assert!(published.is_changed() && published.failed.is_empty());
        publisher.publish(&nginx(), &webs(2)).await.unwrap();
        assert_eq!(line.writes(), 3, "{sort:?}");
    }
}

#[tokio::test]
async fn a_server_killed_before_it_answers_has_the_truth_when_it_is_back() {
    for sort in ALL {
        let Some(lab) = Lab::start(sort) else { return };
        let target = if sort == Sort::PowerDnsApi { lab.api_port } else { lab.dns_port };
        let line = Line::to(target).await;
        let publisher = alone(lab.provider_at(line.port, line.port));
        let lab = Arc::new(Mutex::new(lab));
        let victim = Arc::clone(&lab);
        line.after_the_next_write(move || victim.lock().unwrap().kill());
        let error = publisher.publish(&nginx(), &webs(2)).await.unwrap_err();
        let silent = matches!(error, Error::Unreachable { .. } | Error::AnswerLost { .. });
        assert!(silent, "{sort:?}: {error:?}");
        assert_eq!(line.writes(), 1);
        lab.lock().unwrap().restart();
        let published = publisher.publish(&nginx(), &webs(2)).await.unwrap();
        // The first write had been carried out; only the reverse zones were left.
        assert_eq!(published.zones.first().unwrap().changes, [], "{sort:?}");
        assert_eq!(line.writes(), 3, "{sort:?}");
        let lab = lab.lock().unwrap();
        assert_eq!(lab.dig(&["nginx.lab.example", "A"]), ["10.0.0.10", "10.0.0.11"], "{sort:?}");
        assert_eq!(lab.dig(&["-x", "10.0.0.10"]), ["web-0.nginx.lab.example."], "{sort:?}");
    }
}

/// Between gantry's read and its write somebody takes a name. With RFC 2136 the write is not carried out at all on a
/// state that was not looked at.
#[tokio::test]
async fn a_write_is_carried_out_only_on_what_was_read() {
    for sort in UPDATERS {
        let Some(lab) = Lab::start(sort) else { return };
        let line = Line::to(lab.dns_port).await;
        let publisher = alone(lab.provider_at(line.port, line.port));
        let lab = Arc::new(Mutex::new(lab));
        let by_hand = Arc::clone(&lab);
        line.before_the_next_write(move || {
            by_hand
                .lock()
                .unwrap()
                .nsupdate("lab.example", "update add web-1.nginx.lab.example 30 A 192.0.2.55");
        });
        let published = publisher.publish(&nginx(), &webs(2)).await.unwrap();
        let lab = lab.lock().unwrap();
        assert_eq!(lab.dig(&["web-1.nginx.lab.example", "A"]), ["192.0.2.55"], "{sort:?}");
        assert_eq!(lab.dig(&["web-0.nginx.lab.example", "A"]), ["10.0.0.10"], "{sort:?}");
        assert_eq!(published.zones.first().unwrap().kept.len(), 1, "{sort:?}");
        assert_eq!(line.writes(), 4, "one that was refused, and one for each zone ({sort:?})");
    }
}
