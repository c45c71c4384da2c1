//! Documentation that is true: every command, variable, key and file it names exists.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use gantry::cli::Cli;
use gantry::config::{Config, Error};
use gantry_core::action::{Tier, Verb};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Markdown file for readers, with its text.
fn papers() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for folder in [".", "docs", "docs/decisions"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "md") {
                found.push((path.clone(), std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    assert!(found.len() > 8);
    found
}

/// Words of `text` that start with `prefix` and consist of capitals, digits and underscores.
fn variables<'t>(text: &'t str, prefix: &'t str) -> impl Iterator<Item = &'t str> {
    text.match_indices(prefix).map(move |(at, _)| {
        let rest = &text[at..];
        let end = rest
            .find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
            .unwrap_or(rest.len());
        &rest[..end]
    })
}

#[test]
fn every_variable_named_in_a_paper_is_read() {
    let example = root().join("config/gantry.example.toml");
    // With the name server, which nobody has to have.
    let text = std::fs::read_to_string(&example).unwrap();
    let text = text
        + "\n[[dns]]\nname = \"ns1\"\nprovider = \"powerdns\"\nzones = [\"lab.example\"]\nurl = \"http://ns1.lab.example:8081\"\n";
    let mut seen = 0;
    for (path, paper) in papers().into_iter().chain([(example.clone(), text.clone())]) {
        for name in variables(&paper, "GANTRY__").filter(|n| *n != "GANTRY__SECTION__KEY") {
            seen += 1;
            let env = [(name.to_owned(), "x".to_owned())];
            let mistakes = match Config::parse(&text, &example, env) {
                Err(Error::Wrong { mistakes, .. }) => mistakes,
                other => panic!("{other:?}"),
            };
            let unknown = mistakes
                .iter()
                .any(|m| m.at == name && m.what.starts_with("no key of this name exists"));
            assert!(!unknown, "{} names {name}, which nothing reads", path.display());
        }
    }
    assert!(seen > 5, "only {seen} variables were found");
}

#[test]
fn every_invocation_in_a_paper_is_understood() {
    let mut seen = 0;
    for (path, paper) in papers() {
        for line in paper.lines().map(str::trim) {
            let line = line.split(" #").next().unwrap_or_default();
            let words = match line.split_once("-- ") {
                Some((cargo, rest)) if cargo.starts_with("cargo run") => rest,
                _ => match line.strip_prefix("gantry ") {
                    Some(rest) if !rest.contains(['`', '.', ',']) => rest,
                    _ => continue,
                },
            };
            seen += 1;
            let words = ["gantry"].into_iter().chain(words.split_whitespace());
            if let Err(error) = Cli::try_parse_from(words) {
                assert!(!error.use_stderr(), "{}: {line}\n{error}", path.display());
            }
        }
    }
    assert!(seen > 4, "only {seen} invocations were found");
}

#[test]
fn every_file_a_paper_points_at_exists() {
    for (path, paper) in papers() {
        for (at, _) in paper.match_indices("](") {
            let target = paper[at + 2..].split(')').next().unwrap_or_default();
            let target = target.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let file = path.parent().unwrap().join(target);
            assert!(file.exists(), "{} points at {target}", path.display());
        }
    }
}

fn table() -> String {
    let mut text = String::from(
        "# Commands\n\n\
         What each command is called, what it does, the right it asks for (see [policy.md](policy.md)) and how it is\n\
         confirmed. Options in brackets may be left out. `/help` shows a person only what they may run.\n\n\
         | command | what it does | right | confirmed by |\n|---|---|---|---|\n",
    );
    for command in gantry_commands::commands() {
        rows(&mut text, &command.name, &command);
    }
    text.push_str(
        "\n`stop` and `shutdown` are the same: the guest's own system is asked. `kill` pulls the plug. A policy rule can ask\n\
         for more confirmation than the table says, never for less.\n",
    );
    text
}

fn rows<U, E>(text: &mut String, name: &str, command: &poise::Command<U, E>) {
    if command.subcommands.is_empty() {
        row(text, name, command);
    }
    for sub in &command.subcommands {
        rows(text, &format!("{name} {}", sub.name), sub);
    }
}

fn row<U, E>(text: &mut String, name: &str, command: &poise::Command<U, E>) {
    let options: String = command
        .parameters
        .iter()
        .map(|p| if p.required { format!(" {}", p.name) } else { format!(" [{}]", p.name) })
        .collect();
    let verb: Verb = name.replace(' ', ".").parse().unwrap();
    let confirmed = match verb.tier() {
        Tier::None => "",
        Tier::Button => "a button",
        Tier::TypedName => "typing the name",
    };
    let what = command.description.as_deref().unwrap_or_default();
    let _ = writeln!(text, "| `/{name}{options}` | {what} | `{verb}` | {confirmed} |");
}

#[test]
fn the_list_of_commands_is_complete() {
    let path = root().join("docs/commands.md");
    let wanted = table();
    if std::env::var("GANTRY_WRITE_DOCS").is_ok_and(|v| v == "1") {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/commands.md is out of date: GANTRY_WRITE_DOCS=1 cargo test --test it docs"
    );
}
