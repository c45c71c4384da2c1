//! Every rule of the forms: the path and code Discord answers with, and what is fine.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{APP, OPS, Rest, bot, register};

fn long(n: usize) -> String {
    "ä".repeat(n)
}

/// Path of the first `_errors` leaf and its code.
fn first_error(errors: &Value, path: &str) -> Option<(String, String)> {
    let map = errors.as_object()?;
    if let Some(list) = map.get("_errors") {
        return Some((path.to_owned(), list[0]["code"].as_str()?.to_owned()));
    }
    map.iter().find_map(|(key, inner)| {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        first_error(inner, &path)
    })
}

async fn refused(rest: &Rest, method: Method, path: &str, body: Value, at: &str, code: &str) {
    let shown: String = body.to_string().chars().take(160).collect();
    let reply = rest.send(method, path, body).await;
    assert_eq!((reply.status, reply.code()), (400, 50_035), "{shown}: {}", reply.text);
    let found = first_error(&reply.json["errors"], "").unwrap();
    assert_eq!(found, (at.to_owned(), code.to_owned()), "{shown}");
}

fn button(id: &str) -> Value {
    json!({"type": 2, "style": 1, "label": "B", "custom_id": id})
}

fn rows(rows: Value) -> Value {
    json!({"content": "x", "components": rows})
}

fn row(components: Value) -> Value {
    rows(json!([{"type": 1, "components": components}]))
}

fn select(extra: &Value) -> Value {
    let mut select =
        json!({"type": 3, "custom_id": "s", "options": [{"label": "A", "value": "a"}]});
    for (key, value) in extra.as_object().unwrap() {
        select[key] = value.clone();
    }
    row(json!([select]))
}

fn v2(components: Value) -> Value {
    json!({"flags": 32_768, "components": components})
}

#[tokio::test]
async fn messages_that_are_fine() {
    let (_twin, rest, _socket) = bot().await;
    let path = format!("/channels/{OPS}/messages");
    for body in [
        json!({"content": long(2000)}),
        json!({"embeds": [{"title": long(256), "description": long(4096), "color": 0xff_ff_ff, "timestamp": "2026-11-21T05:00:00Z"}]}),
        json!({"embeds": [{"description": long(3000)}, {"description": long(3000)}]}),
        json!({"embeds": [{"fields": [{"name": long(256), "value": long(1024), "inline": true}], "footer": {"text": "f"}, "author": {"name": "a", "url": "https://example.invalid"}}]}),
        row(json!([button("1"), button("2"), button("3"), button("4"), button("5")])),
        row(json!([{"type": 2, "style": 5, "label": "Docs", "url": "https://example.invalid"}])),
        row(json!([{"type": 2, "style": 1, "emoji": {"name": "✅"}, "custom_id": "x"}])),
        row(json!([{"type": 5, "custom_id": "u", "min_values": 1, "max_values": 3}])),
        row(json!([{"type": 8, "custom_id": "c", "channel_types": [0]}])),
        select(
            &json!({"options": (0..25).map(|n| json!({"label": n.to_string(), "value": n.to_string()})).collect::<Vec<_>>(), "max_values": 25}),
        ),
        v2(
            json!([{"type": 17, "accent_color": 1, "components": [{"type": 10, "content": "hi"}, {"type": 14},
            {"type": 9, "components": [{"type": 10, "content": "a"}], "accessory": button("y")},
            {"type": 12, "items": [{"media": {"url": "https://example.invalid/a.png"}}]},
            {"type": 1, "components": [button("z")]}]}]),
        ),
        // Ignored in messages, meant for modals; discord.py sends it.
        select(&json!({"required": true})),
        // As discord.py sends it.
        json!({"embeds": [{"title": "x", "flags": 0}]}),
        // As serenity sends it: nulls and empty lists beside what is meant.
        json!({"content": "x", "tts": false, "embeds": [], "sticker_ids": [], "components": [], "attachments": [], "enforce_nonce": false, "nonce": null}),
    ] {
        let reply = rest.post(&path, body.clone()).await;
        assert_eq!(reply.status, 200, "{body}: {}", reply.text);
    }
}

#[tokio::test]
async fn messages_that_are_not() {
    let (_twin, rest, _socket) = bot().await;
    let path = format!("/channels/{OPS}/messages");
    let text_7 = json!({"type": 10, "content": long(3999)});
    let cases: Vec<(Value, &str, &str)> = vec![
        (json!({"content": long(2001)}), "content", "BASE_TYPE_MAX_LENGTH"),
        (json!({"content": 5}), "content", "STRING_TYPE_CONVERT"),
        (json!({"contents": "x"}), "contents", "TWIN_UNKNOWN_KEY"),
        (json!({"content": "x", "tts": "no"}), "tts", "BOOLEAN_TYPE_CONVERT"),
        (json!({"content": "x", "nonce": long(26)}), "nonce", "BASE_TYPE_MAX_LENGTH"),
        (json!({"content": "x", "flags": 64}), "flags", "MESSAGE_FLAGS_NOT_ALLOWED"),
        (json!({"embeds": {}}), "embeds", "LIST_TYPE_CONVERT"),
        (
            json!({"embeds": (0..11).map(|_| json!({"title": "x"})).collect::<Vec<_>>()}),
            "embeds",
            "BASE_TYPE_MAX_LENGTH",
        ),
        (json!({"embeds": [{}]}), "embeds.0.description", "BASE_TYPE_REQUIRED"),
        (json!({"embeds": [{"title": long(257)}]}), "embeds.0.title", "BASE_TYPE_MAX_LENGTH"),
        (
            json!({"embeds": [{"description": long(4097)}]}),
            "embeds.0.description",
            "BASE_TYPE_MAX_LENGTH",
        ),
        (
            json!({"embeds": [{"title": "x", "color": 0x1_00_00_00}]}),
            "embeds.0.color",
            "NUMBER_TYPE_MAX",
        ),
        (
            json!({"embeds": [{"title": "x", "timestamp": "yesterday"}]}),
            "embeds.0.timestamp",
            "DATE_TIME_TYPE_PARSE",
        ),
        (
            json!({"embeds": [{"title": "x", "url": "ftp://x"}]}),
            "embeds.0.url",
            "URL_TYPE_INVALID_SCHEME",
        ),
        (
            json!({"embeds": [{"title": "x", "url": "nothing"}]}),
            "embeds.0.url",
            "URL_TYPE_INVALID_URL",
        ),
        (
            json!({"embeds": [{"title": "x", "footer": {"text": long(2049)}}]}),
            "embeds.0.footer.text",
            "BASE_TYPE_BAD_LENGTH",
        ),
        (
            json!({"embeds": [{"title": "x", "author": {"name": long(257)}}]}),
            "embeds.0.author.name",
            "BASE_TYPE_BAD_LENGTH",
        ),
        (
            json!({"embeds": [{"title": "x", "fields": (0..26).map(|_| json!({"name": "a", "value": "b"})).collect::<Vec<_>>()}]}),
            "embeds.0.fields",
            "BASE_TYPE_MAX_LENGTH",
        ),
        (
            json!({"embeds": [{"title": "x", "fields": [{"name": "a", "value": ""}]}]}),
            "embeds.0.fields.0.value",
            "BASE_TYPE_REQUIRED",
        ),
        (
            json!({"embeds": [{"title": "x", "fields": [{"name": long(257), "value": "b"}]}]}),
            "embeds.0.fields.0.name",
            "BASE_TYPE_BAD_LENGTH",
        ),
        (
            json!({"embeds": [{"title": "x", "fields": [{"name": "a", "value": long(1025)}]}]}),
            "embeds.0.fields.0.value",
            "BASE_TYPE_BAD_LENGTH",
        ),
        (json!({"embeds": [{"title": "x", "colour": 1}]}), "embeds.0.colour", "TWIN_UNKNOWN_KEY"),
        (
            json!({"embeds": [{"description": long(3001)}, {"description": long(3000)}]}),
            "embeds",
            "MAX_EMBED_SIZE_EXCEEDED",
        ),
        (
            json!({"content": "x", "allowed_mentions": {"parse": ["everybody"]}}),
            "allowed_mentions.parse.0",
            "BASE_TYPE_CHOICES",
        ),
        (
            json!({"content": "x", "allowed_mentions": {"parse": ["users"], "users": ["1"]}}),
            "allowed_mentions",
            "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE",
        ),
        (
            json!({"content": "x", "allowed_mentions": {"users": (0..101).map(|n| n.to_string()).collect::<Vec<_>>()}}),
            "allowed_mentions.users",
            "BASE_TYPE_MAX_LENGTH",
        ),
        (
            rows(
                (0..6)
                    .map(|n| json!({"type": 1, "components": [button(&n.to_string())]}))
                    .collect(),
            ),
            "components",
            "BASE_TYPE_BAD_LENGTH",
        ),
        (row(json!([])), "components.0.components", "BASE_TYPE_REQUIRED"),
        (
            row((0..6).map(|n| button(&n.to_string())).collect()),
            "components.0.components",
            "BASE_TYPE_BAD_LENGTH",
        ),
        (
            row(json!([button("a"), button("a")])),
            "components.0.components.1.custom_id",
            "COMPONENT_CUSTOM_ID_DUPLICATED",
        ),
        (
            row(json!([button(&long(101))])),
            "components.0.components.0.custom_id",
            "BASE_TYPE_BAD_LENGTH",
        ),
        (
            row(json!([{"type": 2, "style": 1, "label": "B"}])),
            "components.0.components.0.custom_id",
            "BASE_TYPE_REQUIRED",
        ),
        (
            row(json!([{"type": 2, "style": 9, "label": "B", "custom_id": "x"}])),
            "components.0.components.0.style",
            "NUMBER_TYPE_MAX",
        ),
        (
            row(json!([{"type": 2, "style": 1, "label": long(81), "custom_id": "x"}])),
            "components.0.components.0.label",
            "BASE_TYPE_MAX_LENGTH",
        ),
        (
            row(json!([{"type": 2, "style": 1, "custom_id": "x"}])),
            "components.0.components.0",
            "BUTTON_COMPONENT_INVALID_LABEL_OR_EMOJI",
        ),
        (
            row(json!([{"type": 2, "style": 5, "label": "B"}])),
            "components.0.components.0.url",
            "BASE_TYPE_REQUIRED",
        ),
        (
            row(
                json!([{"type": 2, "style": 5, "label": "B", "url": "https://a.invalid", "custom_id": "x"}]),
            ),
            "components.0.components.0.custom_id",
            "BUTTON_COMPONENT_FIELD_NOT_ALLOWED",
        ),
        (
            row(
                json!([{"type": 2, "style": 5, "label": "B", "url": format!("https://a.invalid/{}", "x".repeat(500))}]),
            ),
            "components.0.components.0.url",
            "BASE_TYPE_MAX_LENGTH",
        ),
        (
            row(json!([button("a"), {"type": 5, "custom_id": "u"}])),
            "components.0.components",
            "COMPONENT_LAYOUT_WIDTH_EXCEEDED",
        ),
        (
            row(json!([{"type": 4, "custom_id": "t", "style": 1, "label": "T"}])),
            "components.0.components.0.type",
            "UNION_TYPE_CHOICES",
        ),
        (rows(json!([button("a")])), "components.0.type", "UNION_TYPE_CHOICES"),
        (
            rows(json!([{"type": 10, "content": "V2 without the flag"}])),
            "components.0.type",
            "UNION_TYPE_CHOICES",
        ),
        (
            select(&json!({"options": []})),
            "components.0.components.0.options",
            "BASE_TYPE_REQUIRED",
        ),
        (
            select(
                &json!({"options": (0..26).map(|n| json!({"label": "x", "value": n.to_string()})).collect::<Vec<_>>()}),
            ),
            "components.0.components.0.options",
            "BASE_TYPE_BAD_LENGTH",
        ),
        (
            select(&json!({"options": [{"label": long(101), "value": "a"}]})),
            "components.0.components.0.options.0.label",
            "BASE_TYPE_BAD_LENGTH",
        ),
        (
            select(
                &json!({"options": [{"label": "a", "value": "a"}, {"label": "b", "value": "a"}]}),
            ),
            "components.0.components.0.options.1.value",
            "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED",
        ),
        (
            select(&json!({"max_values": 2})),
            "components.0.components.0.max_values",
            "SELECT_COMPONENT_MAX_VALUES_EXCEED_OPTIONS",
        ),
        (
            select(&json!({"placeholder": long(151)})),
            "components.0.components.0.placeholder",
            "BASE_TYPE_MAX_LENGTH",
        ),
        (
            json!({"flags": 32_768, "content": "x", "components": [{"type": 10, "content": "y"}]}),
            "content",
            "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2",
        ),
        (v2((0..41).map(|_| json!({"type": 14})).collect()), "components", "BASE_TYPE_MAX_LENGTH"),
        (
            v2(
                json!([{"type": 17, "components": (0..40).map(|_| json!({"type": 14})).collect::<Vec<_>>()}]),
            ),
            "components",
            "COMPONENT_MAX_TOTAL_COMPONENTS_EXCEEDED",
        ),
        (
            v2(json!([text_7, {"type": 10, "content": "ab"}])),
            "components",
            "COMPONENT_MAX_TOTAL_TEXT_EXCEEDED",
        ),
        (v2(json!([{"type": 12, "items": []}])), "components.0.items", "BASE_TYPE_REQUIRED"),
        (
            v2(json!([{"type": 9, "components": [{"type": 10, "content": "a"}]}])),
            "components.0.accessory",
            "BASE_TYPE_REQUIRED",
        ),
    ];
    for (body, at, code) in cases {
        refused(&rest, Method::POST, &path, body, at, code).await;
    }
    for body in [json!({}), json!({"content": "  "}), json!({"content": "", "embeds": []})] {
        assert_eq!(rest.post(&path, body).await.code(), 50_006);
    }
    let plain = rest.post(&path, json!({"content": "x"})).await;
    let one = format!("{path}/{}", plain.id());
    // discord.js sends every key through every door; idle ones are fine, others are not.
    let idle = json!({"content": "y", "tts": false, "enforce_nonce": false, "nonce": null});
    assert_eq!(rest.patch(&one, idle).await.status, 200);
    refused(
        &rest,
        Method::PATCH,
        &one,
        json!({"content": "y", "tts": true}),
        "tts",
        "TWIN_UNKNOWN_KEY",
    )
    .await;
    let sent = rest.post(&path, v2(json!([{"type": 10, "content": "hi"}]))).await;
    let one = format!("{path}/{}", sent.id());
    refused(
        &rest,
        Method::PATCH,
        &one,
        json!({"flags": 0}),
        "flags",
        "MESSAGE_FLAG_CANNOT_BE_REMOVED",
    )
    .await;
    let legacy = "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2";
    refused(&rest, Method::PATCH, &one, json!({"content": "x"}), "content", legacy).await;
    let twelve: Vec<(String, Vec<u8>)> =
        (0..11).map(|n| (format!("{n}.txt"), vec![b'x'])).collect();
    let files: Vec<(&str, &[u8])> =
        twelve.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    assert_eq!(rest.upload(&path, &json!({}), &files).await.code(), 50_035);
    let heavy = vec![0_u8; (10 << 20) + 1];
    assert_eq!(rest.upload(&path, &json!({}), &[("big.bin", &heavy)]).await.code(), 40_005);
}

fn command(extra: &Value) -> Value {
    let mut command = json!({"name": "pod", "description": "Pods"});
    for (key, value) in extra.as_object().unwrap() {
        command[key] = value.clone();
    }
    command
}

fn option(extra: &Value) -> Value {
    let mut option = json!({"type": 3, "name": "pod", "description": "Which"});
    for (key, value) in extra.as_object().unwrap() {
        option[key] = value.clone();
    }
    command(&json!({"options": [option]}))
}

#[tokio::test]
async fn commands_that_are_fine() {
    let (_twin, rest, _socket) = bot().await;
    let path = format!("/applications/{APP}/commands");
    for body in [
        command(&json!({"name": long(32)})),
        command(&json!({"name": "größe-2_x'"})),
        command(&json!({"name": "ポッド"})),
        command(
            &json!({"name_localizations": {"de": "kapsel"}, "description_localizations": {"de": "Kapseln"}}),
        ),
        command(
            &json!({"default_member_permissions": "8", "contexts": [0], "integration_types": [0], "nsfw": false}),
        ),
        command(&json!({"default_member_permissions": null, "dm_permission": false})),
        json!({"name": "Show Details", "type": 3}),
        option(
            &json!({"required": true, "autocomplete": true, "choices": [], "channel_types": []}),
        ),
        option(&json!({"type": 4, "min_value": 1.0, "max_value": 10})),
        option(&json!({"type": 10, "min_value": 0.5})),
        option(&json!({"min_length": 0, "max_length": 6000})),
        option(
            &json!({"choices": (0..25).map(|n| json!({"name": n.to_string(), "value": n.to_string()})).collect::<Vec<_>>()}),
        ),
        option(&json!({"type": 1, "options": []})),
    ] {
        let reply = rest.post(&path, body.clone()).await;
        assert!((200..300).contains(&reply.status), "{body}: {}", reply.text);
    }
}

#[tokio::test]
async fn commands_that_are_not() {
    let (_twin, rest, _socket) = bot().await;
    let path = format!("/applications/{APP}/commands");
    let name = "APPLICATION_COMMAND_INVALID_NAME";
    let kind = "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID";
    let field = "APPLICATION_COMMAND_OPTIONS_FIELD_NOT_ALLOWED";
    let sub = |name: &str| json!({"type": 1, "name": name, "description": "x"});
    let big: Vec<Value> = (0..25)
        .map(|n| json!({"type": 3, "name": format!("o{n}"), "description": "x",
            "choices": (0..4).map(|m| json!({"name": format!("{m}{}", "y".repeat(50)), "value": "z".repeat(40)})).collect::<Vec<_>>()}))
        .collect();
    let cases: Vec<(Value, &str, &str)> = vec![
        (command(&json!({"name": "Pod Stop"})), "name", name),
        (command(&json!({"name": "Pod"})), "name", name),
        (command(&json!({"name": "pod!"})), "name", name),
        (command(&json!({"name": ""})), "name", "BASE_TYPE_REQUIRED"),
        (command(&json!({"name": long(33)})), "name", "BASE_TYPE_BAD_LENGTH"),
        (command(&json!({"description": ""})), "description", "BASE_TYPE_REQUIRED"),
        (command(&json!({"description": long(101)})), "description", "BASE_TYPE_MAX_LENGTH"),
        (command(&json!({"permissions": "8"})), "permissions", "TWIN_UNKNOWN_KEY"),
        (
            command(&json!({"default_member_permissions": "admin"})),
            "default_member_permissions",
            "NUMBER_TYPE_COERCE",
        ),
        (command(&json!({"contexts": [0, 0]})), "contexts.1", "SET_TYPE_CONTAINS_DUPLICATES"),
        (command(&json!({"contexts": [7]})), "contexts.0", "NUMBER_TYPE_MAX"),
        (
            command(&json!({"name_localizations": {"de": "Kapsel Neu"}})),
            "name_localizations.de",
            name,
        ),
        (
            command(&json!({"name_localizations": {"xx": "a"}})),
            "name_localizations.xx",
            "APPLICATION_COMMAND_INVALID_LOCALE",
        ),
        (
            json!({"name": "x", "type": 3, "description": "no"}),
            "description",
            "APPLICATION_COMMAND_DESCRIPTION_NOT_ALLOWED",
        ),
        (
            command(
                &json!({"options": (0..26).map(|n| json!({"type": 3, "name": format!("o{n}"), "description": "x"})).collect::<Vec<_>>()}),
            ),
            "options",
            "BASE_TYPE_MAX_LENGTH",
        ),
        (command(&json!({"options": big})), "", "APPLICATION_COMMAND_TOO_LARGE"),
        (
            command(
                &json!({"options": [{"type": 3, "name": "a", "description": "x"}, {"type": 3, "name": "b", "description": "x", "required": true}]}),
            ),
            "options.1",
            "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID",
        ),
        (
            command(
                &json!({"options": [{"type": 3, "name": "a", "description": "x"}, {"type": 3, "name": "a", "description": "x"}]}),
            ),
            "options.1",
            "APPLICATION_COMMAND_OPTIONS_NAME_ALREADY_EXISTS",
        ),
        (
            command(&json!({"options": [sub("a"), {"type": 3, "name": "b", "description": "x"}]})),
            "options",
            kind,
        ),
        (
            command(
                &json!({"options": [{"type": 2, "name": "g", "description": "x", "options": [{"type": 3, "name": "b", "description": "x"}]}]}),
            ),
            "options.0.options",
            kind,
        ),
        (
            command(
                &json!({"options": [{"type": 1, "name": "s", "description": "x", "options": [sub("t")]}]}),
            ),
            "options.0.options",
            kind,
        ),
        (option(&json!({"type": 12})), "options.0.type", "NUMBER_TYPE_MAX"),
        (option(&json!({"description": ""})), "options.0.description", "BASE_TYPE_REQUIRED"),
        (option(&json!({"name": "No Good"})), "options.0.name", name),
        (
            option(
                &json!({"choices": (0..26).map(|n| json!({"name": n.to_string(), "value": "x"})).collect::<Vec<_>>()}),
            ),
            "options.0.choices",
            "BASE_TYPE_MAX_LENGTH",
        ),
        (
            option(&json!({"choices": [{"name": "a", "value": 1}]})),
            "options.0.choices.0.value",
            "STRING_TYPE_CONVERT",
        ),
        (
            option(&json!({"choices": [{"name": "a", "value": "1"}, {"name": "a", "value": "2"}]})),
            "options.0.choices.1",
            "APPLICATION_COMMAND_OPTIONS_CHOICES_NAME_ALREADY_EXISTS",
        ),
        (
            option(&json!({"choices": [{"name": "a", "value": "1"}], "autocomplete": true})),
            "options.0.autocomplete",
            field,
        ),
        (option(&json!({"type": 5, "autocomplete": true})), "options.0.autocomplete", field),
        (option(&json!({"type": 4, "min_length": 1})), "options.0.min_length", field),
        (option(&json!({"channel_types": [0]})), "options.0.channel_types", field),
        (
            option(&json!({"type": 4, "min_value": 5, "max_value": 1})),
            "options.0.min_value",
            "APPLICATION_COMMAND_OPTIONS_BOUNDS_INVALID",
        ),
        (
            option(&json!({"type": 4, "min_value": 0.5})),
            "options.0.min_value",
            "NUMBER_TYPE_COERCE",
        ),
        (option(&json!({"max_length": 6001})), "options.0.max_length", "NUMBER_TYPE_MAX"),
        (
            option(&json!({"options": [{"type": 3, "name": "a", "description": "x"}]})),
            "options.0.options",
            field,
        ),
    ];
    for (body, at, code) in cases {
        refused(&rest, Method::POST, &path, body, at, code).await;
    }
    let twice = json!([command(&json!({})), command(&json!({}))]);
    refused(&rest, Method::PUT, &path, twice, "1", "APPLICATION_COMMANDS_DUPLICATE_NAME").await;
    let many: Value =
        (0..101).map(|n| json!({"name": format!("c{n}"), "description": "x"})).collect();
    refused(&rest, Method::PUT, &path, many, "", "APPLICATION_COMMANDS_MAX_EXCEEDED").await;
    refused(&rest, Method::PUT, &path, json!({}), "", "LIST_TYPE_CONVERT").await;
}

fn modal(extra: &Value) -> Value {
    let mut data = json!({"custom_id": "m", "title": "M", "components": [input(&json!({}))]});
    for (key, value) in extra.as_object().unwrap() {
        data[key] = value.clone();
    }
    json!({"type": 9, "data": data})
}

fn input(extra: &Value) -> Value {
    let mut input = json!({"type": 4, "custom_id": "i", "label": "I", "style": 1});
    for (key, value) in extra.as_object().unwrap() {
        input[key] = value.clone();
    }
    json!({"type": 1, "components": [input]})
}

#[tokio::test]
async fn callbacks_that_are_not() {
    let (twin, rest, mut socket) = bot().await;
    register(&rest).await;
    let one = |extra: Value| modal(&json!({"components": [input(&extra)]}));
    let cases: Vec<(Value, &str, &str)> = vec![
        (json!({"type": 99}), "type", "BASE_TYPE_CHOICES"),
        (json!({"type": 6}), "type", "BASE_TYPE_CHOICES"),
        (json!({"type": 7, "data": {"content": "x"}}), "type", "BASE_TYPE_CHOICES"),
        (json!({"type": 8, "data": {"choices": []}}), "type", "BASE_TYPE_CHOICES"),
        (json!({"kind": 4}), "kind", "TWIN_UNKNOWN_KEY"),
        (json!({"type": 4}), "data", "BASE_TYPE_REQUIRED"),
        (
            json!({"type": 4, "data": {"content": long(2001)}}),
            "data.content",
            "BASE_TYPE_MAX_LENGTH",
        ),
        (json!({"type": 5, "data": {"flags": 32_768}}), "data.flags", "MESSAGE_FLAGS_NOT_ALLOWED"),
        (
            json!({"type": 5, "data": {"content": "shown never"}}),
            "data.content",
            "TWIN_DEFERRED_WITH_CONTENT",
        ),
        (modal(&json!({"title": long(46)})), "data.title", "BASE_TYPE_BAD_LENGTH"),
        (modal(&json!({"custom_id": ""})), "data.custom_id", "BASE_TYPE_REQUIRED"),
        (modal(&json!({"components": []})), "data.components", "BASE_TYPE_REQUIRED"),
        (
            modal(
                &json!({"components": (0..6).map(|n| input(&json!({"custom_id": n.to_string()}))).collect::<Vec<_>>()}),
            ),
            "data.components",
            "BASE_TYPE_BAD_LENGTH",
        ),
        (
            modal(&json!({"components": [input(&json!({})), input(&json!({}))]})),
            "data.components.1.components.0.custom_id",
            "COMPONENT_CUSTOM_ID_DUPLICATED",
        ),
        (
            modal(&json!({"components": [{"type": 1, "components": [button("b")]}]})),
            "data.components.0.components.0.type",
            "UNION_TYPE_CHOICES",
        ),
        (one(json!({"label": null})), "data.components.0.components.0.label", "BASE_TYPE_REQUIRED"),
        (
            one(json!({"label": long(46)})),
            "data.components.0.components.0.label",
            "BASE_TYPE_BAD_LENGTH",
        ),
        (one(json!({"style": 3})), "data.components.0.components.0.style", "NUMBER_TYPE_MAX"),
        (
            one(json!({"max_length": 4001})),
            "data.components.0.components.0.max_length",
            "NUMBER_TYPE_MAX",
        ),
        (
            one(json!({"placeholder": long(101)})),
            "data.components.0.components.0.placeholder",
            "BASE_TYPE_MAX_LENGTH",
        ),
        (
            one(json!({"min_length": 5, "max_length": 2})),
            "data.components.0.components.0.min_length",
            "TEXT_INPUT_INVALID_MIN_LENGTH",
        ),
        (
            one(json!({"value": "abc", "max_length": 2})),
            "data.components.0.components.0.value",
            "BASE_TYPE_MAX_LENGTH",
        ),
        (
            modal(
                &json!({"components": [{"type": 18, "label": "L", "component": {"type": 4, "custom_id": "a", "style": 1, "label": "own"}}]}),
            ),
            "data.components.0.component.label",
            "TEXT_INPUT_LABEL_NOT_ALLOWED",
        ),
    ];
    let (answer, ()) = tokio::join!(twin.run("viewer", "#ops", "/help"), async {
        let event = socket.expect("INTERACTION_CREATE").await;
        let (id, token) = (event["id"].as_str().unwrap(), event["token"].as_str().unwrap());
        let path = format!("/interactions/{id}/{token}/callback");
        for (body, at, code) in cases {
            refused(&rest, Method::POST, &path, body, at, code).await;
        }
        assert_eq!(rest.callback(&event, json!({"type": 4, "data": {}})).await.code(), 50_006);
        assert_eq!(rest.callback(&event, modal(&json!({}))).await.status, 204);
    });
    answer.unwrap();

    let completing = twin.autocomplete("viewer", "#ops", "/pod delete", "pod");
    let (offered, ()) = tokio::join!(completing, async {
        let event = socket.expect("INTERACTION_CREATE").await;
        let (id, token) = (event["id"].as_str().unwrap(), event["token"].as_str().unwrap());
        let path = format!("/interactions/{id}/{token}/callback");
        let choices = |list: Value| json!({"type": 8, "data": {"choices": list}});
        let many: Vec<Value> =
            (0..26).map(|n| json!({"name": n.to_string(), "value": "x"})).collect();
        refused(
            &rest,
            Method::POST,
            &path,
            choices(json!(many)),
            "data.choices",
            "BASE_TYPE_MAX_LENGTH",
        )
        .await;
        let long_name = choices(json!([{"name": long(101), "value": "x"}]));
        refused(
            &rest,
            Method::POST,
            &path,
            long_name,
            "data.choices.0.name",
            "BASE_TYPE_BAD_LENGTH",
        )
        .await;
        let number = choices(json!([{"name": "a", "value": 1}]));
        refused(&rest, Method::POST, &path, number, "data.choices.0.value", "STRING_TYPE_CONVERT")
            .await;
        assert_eq!(rest.callback(&event, choices(json!([]))).await.status, 204);
    });
    offered.unwrap();
}
