//! Commands, autocomplete, buttons, selects, modals; deadlines and token lives.

use std::time::Duration;

use discord_twin::{Outcome, Twin};
use serde_json::{Value, json};

use crate::harness::{APP, OPS, PATIENCE, Rest, Socket, bot, quick, register, used};

fn buttons() -> Value {
    json!({"content": "sure?", "components": [{"type": 1, "components": [
        {"type": 2, "style": 4, "label": "Delete", "custom_id": "yes"},
        {"type": 2, "style": 2, "label": "Off", "custom_id": "off", "disabled": true}]},
        {"type": 1, "components": [{"type": 3, "custom_id": "pick", "options": [
            {"label": "One", "value": "1"}, {"label": "Two", "value": "2"}]}]}]})
}

#[tokio::test]
async fn a_command_arrives_as_the_documentation_shows() {
    let (twin, rest, mut socket) = bot().await;
    register(&rest).await;
    let text = "/pod net set vlan:12 who:@viewer role:operator where:#alerts rate:1.5";
    let (event, answer) =
        used(&twin, &rest, &mut socket, text, json!({"type": 4, "data": {"content": "done"}}))
            .await;
    assert_eq!(answer.outcome, Outcome::Message);
    assert_eq!(answer.text(), "done");
    assert_eq!(event["type"], 2);
    assert_eq!(event["data"]["options"][0]["name"], "net");
    let set = &event["data"]["options"][0]["options"][0];
    assert_eq!(set["options"][0], json!({"name": "vlan", "type": 4, "value": 12}));
    assert_eq!(set["options"][1]["value"], "1100000000000000303");
    assert_eq!(set["options"][4]["value"], 1.5);
    assert_eq!(event["data"]["resolved"]["users"]["1100000000000000303"]["username"], "viewer");
    assert_eq!(event["data"]["resolved"]["roles"]["1100000000000000202"]["name"], "operator");
    assert_eq!(event["member"]["user"]["username"], "operator");
    assert_eq!(event["member"]["roles"], json!(["1100000000000000202"]));
    let bits: u64 = event["member"]["permissions"].as_str().unwrap().parse().unwrap();
    assert_eq!(bits & (1 << 11), 1 << 11);
    assert!(event["app_permissions"].is_string());
    for key in [
        "guild_id",
        "channel_id",
        "channel",
        "locale",
        "guild_locale",
        "entitlements",
        "context",
        "authorizing_integration_owners",
        "attachment_size_limit",
    ] {
        assert!(!event[key].is_null(), "{key}");
    }
}

#[tokio::test]
async fn what_the_client_would_not_send_is_refused_with_a_sentence() {
    let (twin, rest, _socket) = bot().await;
    register(&rest).await;
    for (user, text, why) in [
        ("viewer", "help", "starts with a slash"),
        ("viewer", "/nope", "no command /nope"),
        ("viewer", "/secret", "no command /secret"),
        ("viewer", "/pod", "needs one of"),
        ("viewer", "/pod delete", "needs the option \"pod\""),
        ("viewer", "/pod delete pod:a nope:1", "no option \"nope\""),
        ("viewer", "/pod delete pod:a purge:maybe", "neither true nor false"),
        ("viewer", "/pod net set vlan:9999", "between"),
        ("viewer", "/help topic:Weather", "choose one of"),
        ("viewer", "/pod delete pod:\"open", "quote"),
        ("viewer", "/pod delete pod:a b", "quotes"),
    ] {
        let refused = twin.run(user, "#ops", text).await.unwrap_err().to_string();
        assert!(refused.contains(why), "{text}: {refused}");
    }
    assert!(twin.commands("admin", "#ops").unwrap().iter().any(|one| one["name"] == "secret"));
}

#[tokio::test]
async fn without_an_answer_in_three_seconds_it_failed() {
    let (twin, rest, mut socket) = bot().await;
    register(&rest).await;
    let (answer, event) = tokio::join!(twin.run("viewer", "#ops", "/help"), async {
        let event = socket.expect("INTERACTION_CREATE").await;
        twin.advance(Duration::from_millis(3100));
        event
    });
    assert_eq!(answer.unwrap().outcome, Outcome::Failed);
    let late = rest.callback(&event, json!({"type": 4, "data": {"content": "late"}})).await;
    assert_eq!((late.status, late.code()), (404, 10_062));
    let seen = twin.messages("#ops", "viewer").unwrap();
    assert_eq!(seen[0]["twin"]["failed"], "The application did not respond");
    assert!(twin.messages("#ops", "admin").unwrap().is_empty(), "only the asker is told");
}

#[tokio::test]
async fn without_a_bot_it_fails_at_once() {
    let twin = Twin::start(quick()).await.unwrap();
    register(&Rest::new(&twin)).await;
    let answer = twin.run("viewer", "#ops", "/help").await.unwrap();
    assert_eq!(answer.outcome, Outcome::Failed);
}

#[tokio::test]
async fn the_second_answer_is_40060_and_a_wrong_token_unknown() {
    let (twin, rest, mut socket) = bot().await;
    register(&rest).await;
    let body = json!({"type": 5, "data": {"flags": 64}});
    let (event, answer) = used(&twin, &rest, &mut socket, "/help", body.clone()).await;
    assert_eq!(answer.outcome, Outcome::Deferred);
    assert!(answer.is_ephemeral());
    let again = rest.callback(&event, body.clone()).await;
    assert_eq!((again.status, again.code()), (400, 40_060));
    let mut wrong = event.clone();
    wrong["token"] = json!("0000");
    assert_eq!(rest.callback(&wrong, body).await.code(), 10_062);
}

#[tokio::test]
async fn a_deferred_answer_is_filled_in_until_the_token_dies() {
    let (twin, rest, mut socket) = bot().await;
    register(&rest).await;
    let (event, answer) = used(&twin, &rest, &mut socket, "/help", json!({"type": 5})).await;
    let id = answer.message_id().unwrap();
    assert_eq!(answer.message.unwrap()["twin"]["thinking"], true);
    let original = Rest::hook(&event, "/messages/@original");
    let edited = rest.patch(&original, json!({"content": "ready"})).await;
    assert_eq!(edited.status, 200);
    assert_eq!(edited.json["flags"], 0);
    assert!(edited.json["edited_timestamp"].is_null(), "filling in is no edit");
    assert_eq!(twin.message(id).unwrap()["twin"]["thinking"], false);
    assert_eq!(rest.get(&original).await.json["content"], "ready");
    let edited = rest.patch(&original, json!({"content": "changed"})).await;
    assert!(edited.json["edited_timestamp"].is_string());

    twin.advance(Duration::from_secs(15 * 60 + 1));
    let dead = rest.patch(&original, json!({"content": "too late"})).await;
    assert_eq!((dead.status, dead.code()), (401, 50_027));
    let own = rest
        .patch(&format!("/channels/{OPS}/messages/{id}"), json!({"content": "by bot token"}))
        .await;
    assert_eq!(own.status, 200, "the stored message can still be edited with the bot token");
}

#[tokio::test]
async fn a_deferred_answer_never_filled_in_ends_as_failed() {
    let (twin, rest, mut socket) = bot().await;
    register(&rest).await;
    let (_, answer) = used(&twin, &rest, &mut socket, "/help", json!({"type": 5})).await;
    twin.advance(Duration::from_secs(15 * 60 + 1));
    let message = twin.message(answer.message_id().unwrap()).unwrap();
    assert_eq!(message["twin"]["failed"], "The application did not respond");
}

#[tokio::test]
async fn follow_ups() {
    let (twin, rest, mut socket) = bot().await;
    register(&rest).await;
    let defer = json!({"type": 5, "data": {"flags": 64}});
    let (event, answer) = used(&twin, &rest, &mut socket, "/help", defer).await;
    let first = rest.post(&Rest::hook(&event, ""), json!({"content": "one"})).await;
    assert_eq!(
        Some(first.id()),
        answer.message_id(),
        "the first follow-up fills the deferred answer"
    );
    assert_eq!(first.json["flags"], 64, "and stays as visible as that");
    let second = rest.post(&Rest::hook(&event, ""), json!({"content": "two"})).await;
    assert_ne!(second.id(), first.id());
    assert_eq!(second.json["flags"], 0);
    let path = Rest::hook(&event, &format!("/messages/{}", second.id()));
    assert_eq!(rest.patch(&path, json!({"content": "three"})).await.json["content"], "three");
    assert_eq!(rest.delete(&path).await.status, 204);
    assert_eq!(rest.get(&path).await.code(), 10_008);
}

#[tokio::test]
async fn webhooks_of_unanswered_or_foreign_tokens() {
    let (twin, rest, mut socket) = bot().await;
    register(&rest).await;
    let (answer, ()) = tokio::join!(twin.run("viewer", "#ops", "/help"), async {
        let event = socket.expect("INTERACTION_CREATE").await;
        assert_eq!(
            rest.post(&Rest::hook(&event, ""), json!({"content": "x"})).await.code(),
            10_015
        );
        rest.callback(&event, json!({"type": 4, "data": {"content": "ok"}})).await;
        let foreign = Rest::hook(&event, "").replace(APP, "42");
        assert_eq!(rest.post(&foreign, json!({"content": "x"})).await.code(), 10_015);
    });
    assert_eq!(answer.unwrap().outcome, Outcome::Message);
    assert_eq!(
        rest.post(&format!("/webhooks/{APP}/nonsense"), json!({"content": "x"})).await.code(),
        50_027
    );
}

#[tokio::test]
async fn autocomplete() {
    let (twin, rest, mut socket) = bot().await;
    register(&rest).await;
    let (offered, event) =
        tokio::join!(twin.autocomplete("viewer", "#ops", "/pod delete pod:we", "pod"), async {
            let event = socket.expect("INTERACTION_CREATE").await;
            let wrong = rest.callback(&event, json!({"type": 4, "data": {"content": "x"}})).await;
            assert_eq!(wrong.code(), 50_035, "autocomplete is answered with choices only");
            let choices = json!([{"name": "web-0", "value": "web-0"}]);
            rest.callback(&event, json!({"type": 8, "data": {"choices": choices}})).await;
            event
        });
    assert_eq!(event["type"], 4);
    let option = &event["data"]["options"][0]["options"][0];
    assert_eq!(*option, json!({"name": "pod", "type": 3, "value": "we", "focused": true}));
    assert_eq!(offered.unwrap().choices[0]["value"], "web-0");

    let (offered, ()) =
        tokio::join!(twin.autocomplete("viewer", "#ops", "/pod delete", "pod"), async {
            socket.expect("INTERACTION_CREATE").await;
            twin.advance(Duration::from_secs(4));
        });
    assert!(offered.unwrap_err().to_string().contains("Loading options failed"));
    assert!(
        twin.autocomplete("viewer", "#ops", "/pod delete pod:a purge:x", "purge").await.is_err()
    );
}

#[tokio::test]
async fn pressing_a_button() {
    let (twin, rest, mut socket) = bot().await;
    register(&rest).await;
    let (_, answer) =
        used(&twin, &rest, &mut socket, "/help", json!({"type": 4, "data": buttons()})).await;
    let message = answer.message_id().unwrap();
    let (pressed, event) = tokio::join!(twin.press(message, "viewer", "Delete"), async {
        let event = socket.expect("INTERACTION_CREATE").await;
        let body = json!({"type": 7, "data": {"content": "gone", "components": []}});
        assert_eq!(rest.callback(&event, body).await.status, 204);
        event
    });
    let pressed = pressed.unwrap();
    assert_eq!((pressed.outcome, pressed.text().as_str()), (Outcome::Updated, "gone"));
    assert_eq!(event["type"], 3);
    assert_eq!(event["data"]["custom_id"], "yes");
    assert_eq!(event["data"]["component_type"], 2);
    assert_eq!(event["message"]["id"], message.to_string());
    assert_eq!(event["member"]["user"]["username"], "viewer", "the presser, not the asker");
    let refused = twin.press(message, "viewer", "yes").await.unwrap_err();
    assert!(refused.to_string().contains("no component"), "{refused}");
    let (forged, _) = tokio::join!(twin.press_forged(message, "viewer", "yes"), async {
        let event = socket.expect("INTERACTION_CREATE").await;
        rest.callback(&event, json!({"type": 6})).await
    });
    assert_eq!(forged.unwrap().outcome, Outcome::DeferredUpdate);
}

#[tokio::test]
async fn selects_and_disabled_components() {
    let (twin, rest, mut socket) = bot().await;
    register(&rest).await;
    let (_, answer) =
        used(&twin, &rest, &mut socket, "/help", json!({"type": 4, "data": buttons()})).await;
    let message = answer.message_id().unwrap();
    assert!(
        twin.press(message, "viewer", "off").await.unwrap_err().to_string().contains("disabled")
    );
    assert!(twin.select(message, "viewer", "pick", &["9"]).await.is_err());
    assert!(twin.select(message, "viewer", "pick", &["1", "2"]).await.is_err());
    let (chosen, event) = tokio::join!(twin.select(message, "viewer", "pick", &["2"]), async {
        let event = socket.expect("INTERACTION_CREATE").await;
        rest.callback(&event, json!({"type": 4, "data": {"content": "two", "flags": 64}})).await;
        event
    });
    assert_eq!(event["data"]["values"], json!(["2"]));
    assert!(chosen.unwrap().is_ephemeral());
}

#[tokio::test]
async fn ephemeral_messages_are_seen_by_one_and_by_no_channel_endpoint() {
    let (twin, rest, mut socket) = bot().await;
    register(&rest).await;
    let mut data = buttons();
    data["flags"] = json!(64);
    let (_, answer) =
        used(&twin, &rest, &mut socket, "/help", json!({"type": 4, "data": data})).await;
    let id = answer.message_id().unwrap();
    assert_eq!(twin.messages("#ops", "operator").unwrap().len(), 1);
    assert!(twin.messages("#ops", "admin").unwrap().is_empty());
    let path = format!("/channels/{OPS}/messages/{id}");
    assert_eq!(rest.get(&path).await.code(), 10_008);
    assert_eq!(rest.patch(&path, json!({"content": "x"})).await.code(), 10_008);
    assert!(
        rest.get(&format!("/channels/{OPS}/messages")).await.json.as_array().unwrap().is_empty()
    );
    assert!(twin.press(id, "admin", "Delete").await.is_err(), "nobody else can press on it");
    socket.heartbeat().await;
}

#[tokio::test]
async fn a_modal_from_a_button_and_what_may_answer_it() {
    let (twin, rest, mut socket) = bot().await;
    register(&rest).await;
    let (_, answer) =
        used(&twin, &rest, &mut socket, "/help", json!({"type": 4, "data": buttons()})).await;
    let message = answer.message_id().unwrap();
    let modal = json!({"type": 9, "data": {"custom_id": "really", "title": "Really?", "components": [
        {"type": 1, "components": [{"type": 4, "custom_id": "name", "label": "Name", "style": 1, "min_length": 3, "max_length": 10}]},
        {"type": 18, "label": "Why", "component": {"type": 4, "custom_id": "why", "style": 2, "required": false}}]}});
    let (opened, ()) = tokio::join!(twin.press(message, "viewer", "Delete"), async {
        let event = socket.expect("INTERACTION_CREATE").await;
        assert_eq!(rest.callback(&event, modal.clone()).await.status, 204);
    });
    let opened = opened.unwrap();
    assert_eq!(opened.outcome, Outcome::Modal);
    assert_eq!(opened.modal.as_ref().unwrap()["title"], "Really?");
    let by = opened.interaction_id;
    for (values, why) in [
        (json!({}), "filled in"),
        (json!({"name": "ab"}), "3 to 10"),
        (json!({"name": "web-0", "nope": "x"}), "no input"),
    ] {
        let refused = twin.submit(by, "viewer", &values).await.unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
    }
    assert!(
        twin.submit(by, "admin", &json!({"name": "web-0"})).await.is_err(),
        "somebody else's modal"
    );
    let values = json!({"name": "web-0"});
    let (sent, event) = tokio::join!(twin.submit(by, "viewer", &values), async {
        let event = socket.expect("INTERACTION_CREATE").await;
        assert_eq!(
            rest.callback(&event, modal.clone()).await.code(),
            50_035,
            "no modal from a modal"
        );
        let body = json!({"type": 7, "data": {"content": "deleting"}});
        assert_eq!(rest.callback(&event, body).await.status, 204);
        event
    });
    assert_eq!(sent.unwrap().text().lines().next(), Some("deleting"));
    assert_eq!(event["type"], 5);
    assert_eq!(event["data"]["custom_id"], "really");
    assert_eq!(event["data"]["components"][0]["components"][0]["value"], "web-0");
    assert_eq!(event["data"]["components"][1]["component"]["custom_id"], "why");
    assert_eq!(event["message"]["id"], message.to_string());
}

#[tokio::test]
async fn a_modal_from_a_command_cannot_update_a_message() {
    let (twin, rest, mut socket) = bot().await;
    register(&rest).await;
    let modal = json!({"type": 9, "data": {"custom_id": "m", "title": "M", "components": [
        {"type": 1, "components": [{"type": 4, "custom_id": "a", "label": "A", "style": 1, "required": false}]}]}});
    let (_, opened) = used(&twin, &rest, &mut socket, "/help", modal).await;
    let nothing = json!({});
    let submitted = twin.submit(opened.interaction_id, "operator", &nothing);
    let (sent, ()) = tokio::join!(submitted, async {
        let event = socket.expect("INTERACTION_CREATE").await;
        assert!(event["message"].is_null());
        let body = json!({"type": 7, "data": {"content": "x"}});
        assert_eq!(rest.callback(&event, body).await.code(), 50_035);
        assert_eq!(rest.callback(&event, json!({"type": 5})).await.status, 204);
    });
    assert_eq!(sent.unwrap().outcome, Outcome::Deferred);
}

#[tokio::test]
async fn with_response_returns_the_message() {
    let (twin, rest, mut socket) = bot().await;
    register(&rest).await;
    let (answer, ()) = tokio::join!(twin.run("viewer", "#ops", "/help"), async {
        let event = socket.expect("INTERACTION_CREATE").await;
        let (id, token) = (event["id"].as_str().unwrap(), event["token"].as_str().unwrap());
        let path = format!("/interactions/{id}/{token}/callback?with_response=true");
        let reply =
            rest.post(&path, json!({"type": 4, "data": {"content": "x", "flags": 64}})).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.json["interaction"]["response_message_ephemeral"], true);
        assert_eq!(reply.json["resource"]["message"]["content"], "x");
    });
    answer.unwrap();
}

#[tokio::test]
async fn an_interaction_during_a_gap_arrives_with_the_resume() {
    let (twin, rest, mut socket) = bot().await;
    register(&rest).await;
    socket.expect("GUILD_CREATE").await;
    socket.expect("GUILD_CREATE").await;
    let session = twin.sessions()[0]["session_id"].clone();
    let seq = socket.seq;
    twin.trouble(discord_twin::Trouble::CutTcp);
    socket.closed().await;
    assert!(twin.until(PATIENCE, |twin| !twin.bot_online()).await);
    let (answer, ()) = tokio::join!(twin.run("viewer", "#ops", "/help"), async {
        let mut socket = Socket::plain(&twin).await;
        socket
            .send(
                &json!({"op": 6, "d": {"token": twin.token(), "session_id": session, "seq": seq}}),
            )
            .await;
        let event = socket.expect("INTERACTION_CREATE").await;
        rest.callback(&event, json!({"type": 4, "data": {"content": "back"}})).await;
    });
    assert_eq!(answer.unwrap().text(), "back");
}
