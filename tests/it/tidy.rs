//! Holds the rules of the house over the files of the repository: who may import whom, what every file and every
//! migration must have, which licences and crates may come in. Reads text only; a failing test lists every place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use toml::{Table, Value};

/// A package: its folder, what of ours it may import, and what it must never import.
struct Room {
    name: &'static str,
    folder: &'static str,
    ours: &'static [&'static str],
    never: &'static [&'static str],
}

/// Anything that speaks to Discord.
const FACE: [&str; 2] = ["serenity", "poise"];

/// Who may import whom. A crate exists because of something it must not be able to import.
const ROOMS: &[Room] = &[
    Room {
        name: "gantry-core",
        folder: "crates/core",
        ours: &[],
        never: &[
            "tokio",
            "sqlx",
            "reqwest",
            "hyper",
            "serenity",
            "poise",
            "chrono",
            "getrandom",
            "tracing",
        ],
    },
    Room {
        name: "gantry-proxmox",
        folder: "crates/proxmox",
        ours: &["gantry-core"],
        never: &["sqlx", "serenity", "poise"],
    },
    Room {
        name: "gantry-dns",
        folder: "crates/dns",
        ours: &["gantry-core"],
        never: &["sqlx", "serenity", "poise"],
    },
    Room {
        name: "gantry-nodeshell",
        folder: "crates/nodeshell",
        ours: &["gantry-core"],
        never: &["sqlx", "reqwest", "hyper", "serenity", "poise"],
    },
    Room {
        name: "gantry-store",
        folder: "crates/store",
        ours: &["gantry-core"],
        never: &["reqwest", "hyper", "serenity", "poise"],
    },
    Room {
        name: "gantry-engine",
        folder: "crates/engine",
        ours: &["gantry-core", "gantry-store", "gantry-proxmox", "gantry-nodeshell", "gantry-dns"],
        never: &["serenity", "poise", "axum", "sqlx", "reqwest"],
    },
    Room {
        name: "gantry-commands",
        folder: "commands",
        ours: &["gantry-core", "gantry-engine", "gantry-chart"],
        never: &["sqlx", "reqwest", "hyper"],
    },
    Room {
        name: "gantry-http",
        folder: "crates/http",
        ours: &["gantry-core", "gantry-engine"],
        never: &["sqlx", "serenity", "poise"],
    },
    Room {
        name: "gantry-chart",
        folder: "crates/chart",
        ours: &[],
        never: &["tokio", "sqlx", "reqwest", "hyper", "serenity", "poise", "tracing", "getrandom"],
    },
    Room { name: "proxmox-twin", folder: "crates/proxmox-twin", ours: &[], never: &FACE },
    Room { name: "discord-twin", folder: "crates/discord-twin", ours: &[], never: &FACE },
    Room { name: "dns-twin", folder: "crates/dns-twin", ours: &[], never: &FACE },
    Room {
        name: "gantry",
        folder: ".",
        ours: &[
            "gantry-core",
            "gantry-proxmox",
            "gantry-nodeshell",
            "gantry-dns",
            "gantry-store",
            "gantry-engine",
            "gantry-commands",
            "gantry-http",
            "proxmox-twin",
            "discord-twin",
            "dns-twin",
        ],
        never: &["sqlx", "axum"],
    },
];

/// Packages that tests of any of our crates may start; never part of what they are made of.
const TWINS: [&str; 3] = ["proxmox-twin", "discord-twin", "dns-twin"];

/// Longest file; past 500 lines a noun asks to be split, past this one it is split.
const FILE_MAX_LINES: usize = 700;

/// Licences that may come in: permissive ones. The same list stands in deny.toml.
const LICENCES: &[&str] = &[
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Unicode-3.0",
    "Zlib",
    "0BSD",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "Unlicense",
];

/// Crates under another licence, each with the reason in deny.toml.
const LICENCE_EXCEPTIONS: &[(&str, &str)] = &[("webdriver", "MPL-2.0")];

/// Crates that must not come in, and why.
const BANNED: &[(&str, &str)] = &[
    ("aws-lc-rs", "needs cmake, and two TLS providers make every ClientConfig::builder() panic"),
    ("aws-lc-sys", "see aws-lc-rs"),
    ("openssl-sys", "one TLS stack: rustls on ring"),
    ("native-tls", "one TLS stack: rustls on ring"),
];

/// The only place packages come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files that are tracked or could be, relative to the root.
fn files() -> Vec<PathBuf> {
    let out = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git is needed to list the files of the repository");
    assert!(out.status.success(), "git ls-files failed");
    let names = String::from_utf8(out.stdout).unwrap();
    let files: Vec<PathBuf> =
        names.split('\0').filter(|n| !n.is_empty()).map(PathBuf::from).collect();
    assert!(files.len() > 50, "only {} files: is this a clone?", files.len());
    files.into_iter().filter(|f| root().join(f).is_file()).collect()
}

fn rust_files() -> Vec<(PathBuf, String)> {
    files()
        .into_iter()
        .filter(|f| f.extension().is_some_and(|e| e == "rs"))
        .map(|f| {
            let text = std::fs::read_to_string(root().join(&f)).unwrap();
            (f, text)
        })
        .collect()
}

fn manifest(folder: &str) -> Table {
    let path = root().join(folder).join("Cargo.toml");
    std::fs::read_to_string(&path)
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        .parse()
        .unwrap()
}

/// The names in a dependency table, `[target.….dependencies]` included.
fn dependencies(manifest: &Table, kind: &str) -> Vec<(String, Value)> {
    let mut tables: Vec<&Table> =
        manifest.get(kind).and_then(Value::as_table).into_iter().collect();
    if let Some(targets) = manifest.get("target").and_then(Value::as_table) {
        tables.extend(targets.values().filter_map(|t| t.get(kind)?.as_table()));
    }
    tables.into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// Fails with every complaint, one a line.
fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn crates_import_only_what_their_room_allows() {
    let ours: BTreeSet<&str> = ROOMS.iter().map(|r| r.name).collect();
    let mut wrong = Vec::new();
    for room in ROOMS {
        let manifest = manifest(room.folder);
        let name = manifest["package"]["name"].as_str().unwrap();
        assert_eq!(name, room.name, "{} holds another package", room.folder);
        for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
            for (dependency, _) in dependencies(&manifest, kind) {
                let dependency = dependency.as_str();
                if dependency == name && kind == "dev-dependencies" {
                    continue; // a crate's own tests with a feature of its own switched on
                }
                let test_only = kind == "dev-dependencies"
                    && TWINS.contains(&dependency)
                    && room.name != "gantry-core"
                    && !TWINS.contains(&room.name);
                if ours.contains(dependency) && !room.ours.contains(&dependency) && !test_only {
                    wrong.push(format!("{name} must not import {dependency} ([{kind}])"));
                }
                if room.never.contains(&dependency) && kind != "dev-dependencies" {
                    wrong.push(format!("{name} must never import {dependency}"));
                }
            }
        }
    }
    let members: BTreeSet<String> = files()
        .into_iter()
        .filter(|f| f.ends_with("Cargo.toml"))
        .map(|f| f.parent().unwrap().to_string_lossy().into_owned())
        .map(|f| if f.is_empty() { ".".to_owned() } else { f })
        .collect();
    for folder in members {
        if !ROOMS.iter().any(|r| r.folder == folder) {
            wrong.push(format!("{folder} is a crate without a room in tests/it/tidy.rs"));
        }
    }
    none(wrong);
}

#[test]
fn versions_stand_in_one_place_each_with_its_reason() {
    let mut wrong = Vec::new();
    for room in ROOMS {
        let manifest = manifest(room.folder);
        for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
            for (name, value) in dependencies(&manifest, kind) {
                let own = value.get("path").and_then(Value::as_str) == Some(".");
                if !own && value.get("workspace").and_then(Value::as_bool) != Some(true) {
                    wrong.push(format!(
                        "{}: `{name}` must be `{name}.workspace = true`",
                        room.folder
                    ));
                }
            }
        }
    }
    let text = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let table = text
        .split("[workspace.dependencies]")
        .nth(1)
        .and_then(|rest| rest.split("\n[").next())
        .unwrap();
    for line in table.lines().filter(|l| l.contains(" = ") && !l.starts_with('#')) {
        if !line.contains("path = ") && !line.contains(" # ") {
            wrong.push(format!("Cargo.toml: say why: {line}"));
        }
    }
    none(wrong);
}

#[test]
fn every_file_opens_with_its_job_and_stays_readable() {
    let mut wrong = Vec::new();
    for (file, text) in rust_files() {
        let file = file.display();
        let first = text.lines().find(|l| !l.trim().is_empty() && !l.starts_with("#!["));
        if !first.is_some_and(|l| l.starts_with("//! ")) {
            wrong.push(format!("{file} does not open with //! and its job"));
        }
        let lines = text.lines().count();
        if lines > FILE_MAX_LINES {
            wrong
                .push(format!("{file} has {lines} lines; split it at a noun (≤ {FILE_MAX_LINES})"));
        }
    }
    none(wrong);
}

#[test]
fn nothing_is_left_undone_or_silenced() {
    // Put together here, so that this file does not find itself.
    let words = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[", "allow("),
        concat!("#![", "allow("),
        concat!("placeholder", "\n"),
    ];
    let mut wrong = Vec::new();
    for (file, text) in rust_files() {
        for word in words.iter().filter(|w| text.contains(**w)) {
            wrong.push(format!("{} contains {}", file.display(), word.trim()));
        }
    }
    none(wrong);
}

#[test]
fn every_migration_exists_for_both_databases_with_sample_rows() {
    let mut names: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for folder in ["sqlite", "postgres", "samples"] {
        let path = root().join("migrations").join(folder);
        let found = std::fs::read_dir(&path)
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
            .map(|f| f.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|f| f.ends_with(".sql"));
        names.insert(folder, found.collect());
    }
    assert!(!names["sqlite"].is_empty());
    assert_eq!(names["sqlite"], names["postgres"], "a migration lacks its twin");
    assert_eq!(names["sqlite"], names["samples"], "a migration lacks its sample rows");
    for (n, name) in names["sqlite"].iter().enumerate() {
        assert!(name.starts_with(&format!("{:04}_", n + 1)), "{name} is out of order");
    }
}

#[test]
fn backoff_lives_in_one_file() {
    let users: Vec<String> = rust_files()
        .into_iter()
        .filter(|(file, text)| {
            !file.ends_with("tidy.rs")
                && text.lines().any(|l| {
                    let code = l.split("//").next().unwrap_or("");
                    code.contains("backoff::") || code.contains("use backoff")
                })
        })
        .map(|(file, _)| file.display().to_string())
        .collect();
    assert_eq!(users, ["crates/proxmox/src/retry.rs"], "backoff must stay replaceable");
}

#[test]
fn the_environment_is_read_by_the_configuration_only() {
    let mut wrong = Vec::new();
    for (file, text) in rust_files() {
        let in_test_folder = file.components().any(|c| c.as_os_str() == "tests");
        let test_file = file.file_stem().is_some_and(|s| s == "tests" || s == "testing");
        // The twins are programs for tests and take what they need from their command lines.
        // Cargo tells a build script everything by the environment.
        let build = file.as_os_str() == "build.rs";
        let exempt = file.starts_with("src/config") || in_test_folder || test_file || build;
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        if !exempt && (code.contains("env::var(") || code.contains("env::vars(")) {
            wrong.push(format!("{} reads the environment", file.display()));
        }
    }
    none(wrong);
}

#[test]
fn no_path_of_a_machine_is_written_down() {
    let words = [concat!("/wo", "rk/"), concat!("/tmp/", "target-"), concat!("/tmp/", "brief")];
    let mut wrong = Vec::new();
    for file in files() {
        let Ok(text) = std::fs::read_to_string(root().join(&file)) else { continue };
        for word in words.iter().filter(|w| text.contains(**w)) {
            wrong.push(format!("{} speaks of {word}", file.display()));
        }
    }
    none(wrong);
}

/// One locked package.
fn locked() -> Vec<(String, Option<String>)> {
    let text = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let lock: Table = text.parse().unwrap();
    let text = |v: &Value, key: &str| v.get(key).and_then(Value::as_str).map(str::to_owned);
    lock["package"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (text(p, "name").unwrap(), text(p, "source")))
        .collect()
}

#[test]
fn packages_come_from_the_registry_and_banned_ones_stay_out() {
    let mut wrong = Vec::new();
    for (name, source) in locked() {
        match source.as_deref() {
            Some(REGISTRY) => {}
            None if ROOMS.iter().any(|r| r.name == name) => {}
            other => wrong.push(format!("{name} comes from {other:?}")),
        }
        for (_, why) in BANNED.iter().filter(|(banned, _)| *banned == name) {
            wrong.push(format!("{name} is banned: {why}"));
        }
    }
    none(wrong);
}

#[test]
fn every_licence_is_permissive() {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--all-features"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let all: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let packages = all["packages"].as_array().unwrap();
    assert!(packages.len() > 100, "only {} packages", packages.len());
    let mut wrong = Vec::new();
    for package in packages {
        let text = |key: &str| package[key].as_str().unwrap_or("");
        let (name, licence) = (text("name"), text("license"));
        if !permits(licence) && !LICENCE_EXCEPTIONS.contains(&(name, licence)) {
            wrong.push(format!("{name}: licence `{licence}` is not in the list"));
        }
    }
    none(wrong);
}

#[test]
fn deny_toml_says_the_same() {
    let text = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    let deny: Table = text.parse().unwrap();
    let texts = |v: &Value, key: Option<&str>| -> Vec<String> {
        v.as_array()
            .unwrap()
            .iter()
            .map(|e| key.map_or(e, |k| &e[k]).as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(texts(&deny["licenses"]["allow"], None), LICENCES);
    let exceptions: Vec<_> = deny["licenses"]["exceptions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["crate"].as_str().unwrap(), e["allow"][0].as_str().unwrap()))
        .collect();
    assert_eq!(exceptions, LICENCE_EXCEPTIONS);
    let banned: Vec<_> = BANNED.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(texts(&deny["bans"]["deny"], Some("crate")), banned);
    for ignored in deny["advisories"]["ignore"].as_array().unwrap() {
        assert!(ignored["reason"].as_str().is_some_and(|r| r.len() > 20), "{ignored}: say why");
    }
}

/// Whether an SPDX expression can be satisfied with `LICENCES`.
fn permits(expression: &str) -> bool {
    // `/` is the old way of writing OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let ok = any_of(&words, &mut at);
    ok && at == words.len()
}

fn any_of(words: &[&str], at: &mut usize) -> bool {
    let mut ok = all_of(words, at);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        ok |= all_of(words, at);
    }
    ok
}

fn all_of(words: &[&str], at: &mut usize) -> bool {
    let mut ok = one(words, at);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        ok &= one(words, at);
    }
    ok
}

fn one(words: &[&str], at: &mut usize) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let ok = any_of(words, at);
        *at += 1;
        return ok;
    }
    let mut name = (*word).to_owned();
    if words.get(*at) == Some(&"WITH") {
        name = format!("{name} WITH {}", words.get(*at + 1).unwrap_or(&""));
        *at += 2;
    }
    LICENCES.contains(&name.as_str())
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    for (text, want) in [
        ("MIT", true),
        ("MIT/Apache-2.0", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("(MIT OR GPL-3.0) AND Unicode-3.0", true),
        ("Apache-2.0 WITH LLVM-exception OR GPL-2.0", true),
        ("GPL-2.0 WITH Classpath-exception-2.0", false),
        ("", false),
    ] {
        assert_eq!(permits(text), want, "{text}");
    }
}
