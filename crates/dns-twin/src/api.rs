//! The calls: `/api/v1/servers`, and zones of the server `localhost`. Answers and errors as PowerDNS 4.7.3 gives them:
//! 400, 401, 404, 405 and 409 as plain text, 422 as JSON, and every answer closes its connection.

use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONNECTION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Response};
use http_body_util::Full;
use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::State;
use crate::zone::{Set, Zone, bad_content};

type Answer = Response<Full<Bytes>>;

pub(crate) fn route(
    state: &mut State,
    method: &Method,
    path: &str,
    query: &str,
    key: Option<&str>,
    body: &[u8],
) -> Answer {
    if key != Some(state.key.as_str()) {
        return plain(401, "Unauthorized");
    }
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let server = server_json();
    match (method, parts.as_slice()) {
        (&Method::GET, ["api", "v1", "servers"]) => sheet(200, &json!([server])),
        (&Method::GET, ["api", "v1", "servers", "localhost"]) => sheet(200, &server),
        (&Method::GET, ["api", "v1", "servers", "localhost", "zones"]) => {
            let all: Vec<Value> =
                state.zones.iter().map(|z| zone_json(z, "rrsets=false")).collect();
            sheet(200, &json!(all))
        }
        (&Method::POST, ["api", "v1", "servers", "localhost", "zones"]) => create(state, body),
        (method, ["api", "v1", "servers", "localhost", "zones", name]) => {
            let name = if name.ends_with('.') { (*name).to_owned() } else { format!("{name}.") };
            one_zone(state, method, &name, query, body)
        }
        (_, ["api", "v1", "servers"])
        | (_, ["api", "v1", "servers", "localhost"])
        | (_, ["api", "v1", "servers", "localhost", "zones"]) => plain(405, "Method Not Allowed"),
        _ => plain(404, "Not Found"),
    }
}

fn one_zone(state: &mut State, method: &Method, name: &str, query: &str, body: &[u8]) -> Answer {
    let Some(place) = state.zones.iter().position(|z| z.name == name) else {
        return plain(404, "Not Found");
    };
    match *method {
        Method::GET => match state.zones.get(place) {
            Some(zone) => sheet(200, &zone_json(zone, query)),
            None => plain(404, "Not Found"),
        },
        Method::DELETE => {
            state.zones.remove(place);
            state.writes.push(format!("DELETE {name}"));
            empty()
        }
        Method::PATCH => {
            let Ok(body) = serde_json::from_slice::<Value>(body) else {
                return plain(400, "Bad Request");
            };
            // One transaction: the zone is changed when everything was accepted.
            let Some(mut zone) = state.zones.get(place).cloned() else {
                return plain(404, "Not Found");
            };
            if let Err(why) = patch(&mut zone, &body) {
                return unprocessable(&why);
            }
            zone.count_up();
            if let Some(here) = state.zones.get_mut(place) {
                *here = zone;
            }
            state.writes.push(format!("PATCH {name}"));
            empty()
        }
        _ => plain(405, "Method Not Allowed"),
    }
}

fn create(state: &mut State, body: &[u8]) -> Answer {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return plain(400, "Bad Request");
    };
    let (Some(name), Some(kind)) = (body["name"].as_str(), body["kind"].as_str()) else {
        let missing = if body["name"].is_string() { "kind" } else { "name" };
        return unprocessable(&format!("Key '{missing}' not present or not a String"));
    };
    if !name.ends_with('.') {
        return unprocessable(&format!("DNS Name '{name}' is not canonical"));
    }
    if state.zones.iter().any(|z| z.name == name) {
        return plain(409, "Conflict");
    }
    let nameservers = body["nameservers"].as_array().into_iter().flatten();
    let nameservers: Vec<String> =
        nameservers.filter_map(|n| n.as_str().map(str::to_owned)).collect();
    let zone = Zone::new(name, kind, &nameservers);
    let answer = sheet(201, &zone_json(&zone, ""));
    state.zones.push(zone);
    state.writes.push(format!("POST {name}"));
    answer
}

fn patch(zone: &mut Zone, body: &Value) -> Result<(), String> {
    let Some(sets) = body["rrsets"].as_array() else {
        return Err("No rrsets given in update request".to_owned());
    };
    for set in sets {
        let text = |key: &str| {
            set[key].as_str().ok_or_else(|| format!("Key '{key}' not present or not a String"))
        };
        let (name, kind) = (text("name")?, text("type")?);
        if !name.ends_with('.') {
            return Err(format!("DNS Name '{name}' is not canonical"));
        }
        let changetype = text("changetype")?;
        let out_of_zone = || format!("RRset {name} IN {kind}: Name is out of zone");
        match changetype.to_uppercase().as_str() {
            // What is not in the zone is not there already (204 by PowerDNS, too).
            "DELETE" => {
                let (name, kind) = (name.to_owned(), kind.to_owned());
                zone.put(Set { name, kind, ttl: 0, records: Vec::new() });
            }
            "REPLACE" => {
                if !zone.holds(name) {
                    return Err(out_of_zone());
                }
                let set = replacement(set, name, kind)?;
                if let Some(why) = zone.refuses(&set) {
                    return Err(why);
                }
                zone.put(set);
            }
            _ => return Err("Changetype not understood".to_owned()),
        }
    }
    Ok(())
}

fn replacement(set: &Value, name: &str, kind: &str) -> Result<Set, String> {
    let given = set["records"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ttl = set["ttl"].as_u64().and_then(|t| u32::try_from(t).ok());
    let ttl = ttl.ok_or("Key 'ttl' not an Integer or not present")?;
    let mut records: Vec<(String, bool)> = Vec::new();
    for record in given {
        let content =
            record["content"].as_str().ok_or("Key 'content' not present or not a String")?;
        if let Some(why) = bad_content(name, kind, content) {
            return Err(why);
        }
        if records.iter().any(|(c, _)| c == content) {
            return Err(format!(
                "Duplicate record in RRset {name} IN {kind} with content \"{content}\""
            ));
        }
        records.push((content.to_owned(), record["disabled"].as_bool().unwrap_or(false)));
    }
    Ok(Set { name: name.to_owned(), kind: kind.to_owned(), ttl, records })
}

fn zone_json(zone: &Zone, query: &str) -> Value {
    let asked = |key: &str| {
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
            .map(str::to_owned)
    };
    let mut out = json!({
        "account": "", "api_rectify": false, "catalog": "", "dnssec": false,
        "edited_serial": zone.serial, "id": zone.name, "kind": zone.kind, "last_check": 0,
        "master_tsig_key_ids": [], "masters": [], "name": zone.name, "notified_serial": 0,
        "nsec3narrow": false, "nsec3param": "", "serial": zone.serial,
        "slave_tsig_key_ids": [], "soa_edit": "", "soa_edit_api": "DEFAULT",
        "url": format!("/api/v1/servers/localhost/zones/{}", zone.name),
    });
    if asked("rrsets").as_deref() == Some("false") {
        return out;
    }
    let (name, kind) = (asked("rrset_name"), asked("rrset_type"));
    let wanted = |set: &&Set| {
        name.as_ref().is_none_or(|n| set.name == *n) && kind.as_ref().is_none_or(|k| set.kind == *k)
    };
    let mut sets: Vec<&Set> = zone.sets.iter().filter(wanted).collect();
    sets.sort_by(|a, b| (&a.name, &a.kind).cmp(&(&b.name, &b.kind)));
    let set = |set: &Set| {
        let record = |(content, disabled): &(String, bool)| json!({ "content": content, "disabled": disabled });
        let records: Vec<Value> = set.records.iter().map(record).collect();
        json!({ "comments": [], "name": set.name, "type": set.kind, "ttl": set.ttl, "records": records })
    };
    out["rrsets"] = sets.into_iter().map(set).collect();
    out
}

fn server_json() -> Value {
    json!({
        "autoprimaries_url": "/api/v1/servers/localhost/autoprimaries{/autoprimary}",
        "config_url": "/api/v1/servers/localhost/config{/config_setting}",
        "daemon_type": "authoritative", "id": "localhost", "type": "Server",
        "url": "/api/v1/servers/localhost", "version": "4.7.3",
        "zones_url": "/api/v1/servers/localhost/zones{/zone}",
    })
}

/// What a page shows beside the API: every record but SOA and NS, sorted. Never part of what is simulated.
pub(crate) fn records(state: &State) -> Answer {
    let mut sets: Vec<&Set> = state.zones.iter().flat_map(|z| &z.sets).collect();
    sets.retain(|s| s.kind != "SOA" && s.kind != "NS");
    sets.sort_by(|a, b| (&a.name, &a.kind).cmp(&(&b.name, &b.kind)));
    let row = |set: &Set, content: &str| json!({ "name": set.name, "kind": set.kind, "ttl": set.ttl, "content": content });
    let rows: Vec<Value> =
        sets.iter().flat_map(|s| s.records.iter().map(|(c, _)| row(s, c))).collect();
    let mut answer = sheet(200, &json!(rows));
    // The page comes from another port of this machine.
    answer.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    answer
}

fn response(status: u16, kind: Option<&'static str>, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    if let Some(kind) = kind {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    if status == 401 {
        let realm = HeaderValue::from_static("X-API-Key realm=\"PowerDNS\"");
        headers.insert(WWW_AUTHENTICATE, realm);
    }
    answer
}

pub(crate) fn plain(status: u16, words: &str) -> Answer {
    response(status, Some("text/plain; charset=utf-8"), words.to_owned())
}

fn sheet(status: u16, value: &Value) -> Answer {
    response(status, Some("application/json"), value.to_string())
}

fn unprocessable(why: &str) -> Answer {
    sheet(422, &json!({ "error": why }))
}

fn empty() -> Answer {
    response(204, None, String::new())
}
