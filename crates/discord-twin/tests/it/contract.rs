//! The twin's own rules beside Discord's official OpenAPI document. Every test that uses
//! `harness::bot` is checked request by request as well; here the two are compared on purpose.

use discord_twin::contract::Checker;
use serde_json::{Value, json};

use crate::harness::{APP, OPS, bot, checker};

const CREATE: &str = "POST /channels/{channel_id}/messages";
const COMMAND: &str = "POST /applications/{application_id}/commands";

fn agrees(checker: &Checker, route: &str, body: &Value) -> bool {
    checker.request(route, body).is_empty()
}

#[tokio::test]
async fn the_twin_is_never_laxer_than_the_schema() {
    let Some(checker) = checker() else { return };
    let (_twin, rest, _socket) = bot().await;
    let messages = format!("/channels/{OPS}/messages");
    let commands = format!("/applications/{APP}/commands");
    let button = |id: &str| json!({"type": 2, "style": 1, "label": "B", "custom_id": id});
    let row =
        |list: Vec<Value>| json!({"content": "x", "components": [{"type": 1, "components": list}]});
    let bad = [
        (CREATE, &messages, row((0..6).map(|n| button(&n.to_string())).collect())),
        (CREATE, &messages, row(vec![button(&"x".repeat(101))])),
        (CREATE, &messages, json!({"embeds": [{"description": "x".repeat(4097)}]})),
        (CREATE, &messages, json!({"embeds": [{"title": "x", "color": -1}]})),
        (CREATE, &messages, json!({"content": "x", "allowed_mentions": {"users": vec!["1"; 101]}})),
        (CREATE, &messages, json!({"content": "x", "nonce": "x".repeat(26)})),
        (COMMAND, &commands, json!({"name": "x".repeat(33), "description": "x"})),
        (
            COMMAND,
            &commands,
            json!({"name": "x", "description": "x", "options": [{"type": 3, "name": "a"}]}),
        ),
        (
            COMMAND,
            &commands,
            json!({"name": "x", "description": "x", "options": [{"type": 3, "name": "a", "description": "x", "choices": vec![json!({"name": "a", "value": "a"}); 26]}]}),
        ),
        (COMMAND, &commands, json!({"description": "x"})),
    ];
    for (route, path, body) in bad {
        assert!(!agrees(checker, route, &body), "the schema refuses {body}");
        let reply = rest.post(path, body.clone()).await;
        assert_eq!(reply.status, 400, "so does the twin: {body}");
    }
}

#[tokio::test]
async fn what_only_the_documentation_forbids() {
    let Some(checker) = checker() else { return };
    let (_twin, rest, _socket) = bot().await;
    let messages = format!("/channels/{OPS}/messages");
    let twice = json!({"type": 2, "style": 1, "label": "B", "custom_id": "same"});
    for body in [
        json!({"content": "x".repeat(2001)}),
        json!({"contents": "misspelt"}),
        json!({}),
        json!({"embeds": [{"description": "x".repeat(4000)}, {"description": "x".repeat(4000)}]}),
        json!({"content": "x", "components": [{"type": 1, "components": [twice.clone(), twice]}]}),
    ] {
        // When the schema learns the rule, the row can go.
        assert!(agrees(checker, CREATE, &body), "the schema knows now: {body}");
        assert_eq!(rest.post(&messages, body.clone()).await.status, 400, "{body}");
    }
    let spaced = json!({"name": "Pod Stop", "description": "x"});
    assert!(agrees(checker, COMMAND, &spaced));
}

#[test]
fn a_violation_names_its_place() {
    let Some(checker) = checker() else { return };
    let callback = "POST /interactions/{interaction_id}/{interaction_token}/callback";
    let body = json!({"type": 4, "data": {"embeds": [{"title": "x".repeat(257)}]}});
    let found = checker.request(callback, &body);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].at, "/data/embeds/0/title");
    let modal = json!({"type": 9, "data": {"custom_id": "m", "title": "x".repeat(46), "components": [
        {"type": 1, "components": [{"type": 4, "custom_id": "i", "style": 1, "label": "x".repeat(46)}]}]}});
    let places: Vec<String> =
        checker.request(callback, &modal).into_iter().map(|one| one.at).collect();
    assert_eq!(places, ["/data/components/0/components/0/label", "/data/title"]);
}

#[test]
fn the_listed_deviations_pass() {
    let Some(checker) = checker() else { return };
    for (route, body) in [
        (COMMAND, json!({"name": "x", "description": "x", "default_member_permissions": "8"})),
        (CREATE, json!({"content": "x", "attachments": [{"id": 0, "filename": "a.txt"}]})),
        (CREATE, json!({"content": "x", "allowed_mentions": {"users": [1]}})),
        (CREATE, json!({"content": "x", "message_reference": {"message_id": 1}})),
    ] {
        assert_eq!(checker.request(route, &body), [], "{body}");
    }
}
