//! What an operator sees of the configuration: every mistake at once, no secret, an example that is true.

use secrecy::ExposeSecret as _;

use super::*;

const EXAMPLE: &str = include_str!("../../config/gantry.example.toml");

/// A folder with the secret files that the example names.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("secrets")).unwrap();
    std::fs::write(dir.path().join("secrets/discord-token"), "canary-discord\n").unwrap();
    std::fs::write(dir.path().join("secrets/lab-token"), "canary-lab\n").unwrap();
    std::fs::write(dir.path().join("secrets/ns1-key"), "canary-ns1\n").unwrap();
    let rules = include_str!("../../config/demo-alerts.toml");
    std::fs::write(dir.path().join("demo-alerts.toml"), rules).unwrap();
    dir
}

fn parse(text: &str, env: &[(&str, &str)]) -> Result<Loaded, Error> {
    let dir = folder();
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Config::parse(text, &dir.path().join("gantry.toml"), env)
}

fn mistakes(text: &str, env: &[(&str, &str)]) -> Vec<String> {
    match parse(text, env) {
        Err(Error::Wrong { mistakes, .. }) => {
            mistakes.into_iter().map(|m| format!("{}: {}", m.at, m.what)).collect()
        }
        other => panic!("expected mistakes, got {other:?}"),
    }
}

/// The table of a section, `clusters[0].limits` included.
fn table<'t>(root: &'t toml::Table, section: &str) -> Option<&'t toml::Table> {
    let mut here = root;
    for part in section.split('.') {
        let (name, index) = match part.split_once('[') {
            Some((name, rest)) => (name, rest.trim_end_matches(']').parse::<usize>().ok()),
            None => (part, None),
        };
        here = match (here.get(name)?, index) {
            (toml::Value::Table(t), None) => t,
            (toml::Value::Array(a), Some(n)) => a.get(n)?.as_table()?,
            _ => return None,
        };
    }
    Some(here)
}

/// The example with the sections that nobody has to have: `#[[dns]]` and what follows it, without the first `#`.
fn example() -> String {
    let mut optional = false;
    let mut all = String::new();
    for line in EXAMPLE.lines() {
        optional = line.starts_with("#[[") || optional && !line.is_empty();
        let key = line.strip_prefix('#').filter(|rest| optional && !rest.starts_with(' '));
        all += key.unwrap_or(line);
        all.push('\n');
    }
    all
}

#[test]
fn the_example_as_it_is_needs_nothing_but_its_secrets() {
    let loaded = parse(EXAMPLE, &[]).unwrap();
    assert!(loaded.config.dns.is_empty());
}

#[test]
fn the_example_shows_every_key_with_its_default() {
    let example = example();
    let loaded = parse(&example, &[]).unwrap();
    assert_eq!(loaded.config.dns.len(), 1);
    let uncommented: String = example
        .lines()
        .map(|l| {
            l.strip_prefix('#').filter(|r| r.starts_with(|c: char| c.is_lowercase())).unwrap_or(l)
        })
        .map(|l| format!("{l}\n"))
        .collect();
    let live: toml::Table = example.parse().unwrap();
    let all: toml::Table = uncommented.parse().unwrap();
    // What a list element is called or may do has to be filled in; the example's words are no defaults.
    let filled_in = ["endpoints", "zones", "roles", "verbs", "on"];
    let mut seen = 0;
    for key in &loaded.keys {
        let at = format!("{}.{}", key.section, key.name);
        let shown = table(&all, &key.section).and_then(|t| t.get(key.name));
        assert!(shown.is_some(), "config/gantry.example.toml does not show `{at}`");
        if let Some(default) = key.default.as_ref().filter(|_| !filled_in.contains(&key.name)) {
            let live = table(&live, &key.section).and_then(|t| t.get(key.name));
            assert_eq!(live, Some(default), "the example's `{at}` is not the default");
        }
        seen += 1;
    }
    assert!(seen > 30, "only {seen} keys were asked for");
    // One comment before every key.
    let lines: Vec<&str> = example.lines().collect();
    for pair in lines.windows(2) {
        let is_key = pair[1].contains(" = ") && !pair[1].starts_with("# ");
        assert!(!is_key || pair[0].starts_with("# "), "no comment above: {}", pair[1]);
    }
}

#[test]
fn the_demo_policy_is_read_by_the_same_loader() {
    let demo = include_str!("../../config/demo.toml");
    let loaded = parse(
        demo,
        &[
            ("GANTRY__DISCORD__TOKEN", "t"),
            ("GANTRY__CLUSTERS__DEMO__TOKEN_SECRET", "s"),
            ("GANTRY__CLUSTERS__DEMO__TLS", "system"),
            ("GANTRY__CLUSTERS__DEMO__ENDPOINTS", "[\"https://127.0.0.1:1\"]"),
        ],
    )
    .unwrap();
    let names: Vec<_> = loaded.config.policy.rules.iter().map(|r| r.name.as_str()).collect();
    assert!(names.len() >= 3, "{names:?}");
}

#[test]
fn all_mistakes_are_told_together_with_path_and_remedy() {
    let text = r#"
colour = "blue"
[discord]
tokn = "canary"
api_url = "https://discord.com/api"
shards = { first = 2, last = 1, total = 4 }
register = []
[[clusters]]
id = "la b"
endpoints = ["http://pve1:8006", "https://pve2:8006"]
token_id = "gantry@pve"
token_secret = "canary"
token_secret_file = "secrets/lab-token"
tls = { fingerprints = ["AB:CD"] }
[clusters.limits]
concurrent = 0
[store]
url = "mysql://canary@db"
connections = 1000
[[policy.rules]]
name = "x"
verbs = ["gest.*", "read"]
on = ["web-*", "cluster:prod"]
[operations]
workers = "many"
[log]
format = "xml"
"#;
    let found = mistakes(text, &[("GANTRY__DISCORD__SHADRS", "auto")]);
    for part in [
        "colour: no key of this name exists here",
        "discord.tokn: no key of this name exists here; did you mean `token`?",
        "discord.token: is missing; set token_file to a file",
        "discord.api_url: must look like https://discord.com",
        "discord.shards: shards 2 to 1 of 4 do not exist",
        "discord.register: the list is empty",
        "clusters[0].id: `la b` is not a valid cluster name",
        "clusters[0].endpoints[0]: must look like https://pve1.example:8006",
        "clusters[0].token_id: must look like gantry@pve!bot",
        "clusters[0].token_secret: stands next to `token_secret_file`",
        "clusters[0].tls: `AB:CD` is not a SHA-256 fingerprint",
        "clusters[0].limits.concurrent: 0 is out of range; from 2 to 100",
        "store.url: must start with sqlite: or postgres://",
        "store.connections: 1000 is out of range; from 2 to 100",
        "policy.rules[0].roles: the rule is for nobody",
        "policy.rules[0].verbs[0]: `gest.*` covers no verb",
        "policy.rules[0].on[0]: `web-*` is not a selector",
        "policy.rules[0].on[0]: no cluster has the id `prod`",
        "operations.workers: must be a whole number, not text",
        "log.format: `xml` is not known here",
        "GANTRY__DISCORD__SHADRS: no key of this name exists; did you mean GANTRY__DISCORD__SHARDS?",
    ] {
        assert!(found.iter().any(|m| m.contains(part)), "missing: {part}\n{found:#?}");
    }
    assert!(!found.iter().any(|m| m.contains("canary")), "a secret was printed: {found:#?}");
}

#[test]
fn the_environment_goes_before_the_file_and_reaches_into_clusters() {
    let loaded = parse(
        EXAMPLE,
        &[
            ("GANTRY__DISCORD__TOKEN", "from-env"),
            ("GANTRY__DISCORD__REGISTER", "[42]"),
            ("GANTRY__CLUSTERS__LAB__LIMITS__CONCURRENT", "3"),
            ("GANTRY__OPERATIONS__WORKERS", "2"),
            ("GANTRY__STORE__MIGRATE", "false"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    let c = &loaded.config;
    assert_eq!(c.discord.token.expose_secret(), "from-env");
    assert_eq!(c.discord.register, Register::Guilds(vec![gantry_core::id::GuildId(42)]));
    assert_eq!(c.clusters[0].limits.concurrent, 3);
    assert_eq!(c.clusters[0].token_secret.expose_secret(), "canary-lab");
    assert_eq!(c.operations.workers, 2);
    assert!(!c.store.migrate);
    assert!(loaded.shown().contains("workers = 2  # GANTRY__OPERATIONS__WORKERS"));
}

#[test]
fn what_is_shown_can_be_read_again_and_holds_no_secret() {
    let loaded = parse(
        EXAMPLE,
        &[
            ("GANTRY__CLUSTERS__LAB__TOKEN_SECRET", "canary-env"),
            ("GANTRY__STORE__URL", "postgres://gantry:canary-db@db/gantry"),
        ],
    )
    .unwrap();
    for text in [loaded.shown(), format!("{loaded:?}"), format!("{:?}", loaded.config)] {
        assert!(!text.contains("canary"), "{text}");
    }
    let again: toml::Table = loaded.shown().parse().unwrap();
    assert_eq!(table(&again, "clusters[0]").unwrap()["token_secret"].as_str(), Some(MASK));
    assert_eq!(table(&again, "store").unwrap()["url"].as_str(), Some(MASK));
}

#[test]
fn a_text_that_is_not_toml_is_told_by_line_without_quoting_it() {
    let found = mistakes("[discord]\ntoken = canary-no-quotes\n", &[]);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("line 2 is not TOML"), "{found:?}");
    assert!(!found[0].contains("canary"), "{found:?}");
}

#[test]
fn paths_start_at_the_file() {
    let dir = folder();
    let path = dir.path().join("gantry.toml");
    let loaded = Config::parse(EXAMPLE, &path, []).unwrap();
    let url = loaded.config.store.url.expose_secret().clone();
    assert_eq!(url, format!("sqlite:{}", dir.path().join("gantry.db").display()));
}

#[test]
fn name_servers_are_read_with_their_mistakes() {
    let base = "[discord]\ntoken = \"t\"\n[[clusters]]\nid = \"lab\"\nendpoints = [\"https://pve1:8006\"]\n\
                token_id = \"gantry@pve!bot\"\ntoken_secret = \"s\"\n";
    let good = "[[dns]]\nname = \"api\"\nprovider = \"powerdns\"\nurl = \"http://ns1:8081\"\nzones = [\"Lab.example.\"]\nkey = \"k\"\n\
                [[dns]]\nname = \"bind\"\nprovider = \"rfc2136\"\nserver = \"ns2:53\"\nkey_name = \"gantry\"\n\
                zones = [\"0.0.10.in-addr.arpa\"]\n";
    let loaded = parse(&format!("{base}{good}"), &[("GANTRY__DNS__BIND__KEY", "s3cret")]).unwrap();
    let [api, bind] = loaded.config.dns.as_slice() else { panic!("{:?}", loaded.config.dns) };
    assert_eq!(api.zones.first().map(|z| z.as_str()), Some("lab.example"));
    assert!(matches!(&bind.provider, Provider::Rfc2136 { algorithm: Algorithm::HmacSha256, .. }));
    assert!(!loaded.shown().contains("s3cret"));

    let bad = "[[dns]]\nname = \"a b\"\nprovider = \"powerdns\"\nserver = \"x:53\"\nzones = [\"a..b\"]\n\
               [[dns]]\nname = \"c\"\nprovider = \"bind\"\nzones = [\"lab.example\"]\nkey = \"k\"\n\
               [[dns]]\nname = \"d\"\nprovider = \"rfc2136\"\nserver = \"x\"\nzones = [\"lab.example\"]\nkey = \"k\"\n";
    let told = mistakes(&format!("{base}{bad}"), &[]).join("\n");
    for at in [
        "dns[0].name",
        "dns[0].zones",
        "dns[0].provider",
        "dns[0].url",
        "dns[0].key",
        "dns[1].provider",
        "dns[2].server",
        "dns[2].key_name",
    ] {
        assert!(told.contains(at), "{at} is not told:\n{told}");
    }
    let twice = good
        .replace("0.0.10.in-addr.arpa", "lab.example")
        .replace("key_name", "key = \"k\"\nkey_name");
    assert!(mistakes(&format!("{base}{twice}"), &[]).join("").contains("another server"));
}

#[test]
fn the_node_shell_is_off_until_nodes_are_named_and_its_mistakes_are_told() {
    assert!(parse(EXAMPLE, &[]).unwrap().config.clusters[0].node_shell.is_none());
    let lines = |more: &str| {
        let on = format!("{more}\nuser = \"root\"");
        EXAMPLE.replace("\nuser = \"root\"", &format!("\n{on}"))
    };
    let host = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    let nodes =
        format!("nodes = {{ pve1 = {{ address = \"10.0.0.1:2222\", host_keys = [\"{host}\"] }} }}");
    let found = mistakes(&lines(&nodes), &[]);
    assert!(
        found.iter().any(|m| m.contains("node_shell.private_key_file: is missing; make a key")),
        "{found:?}"
    );
    let found =
        mistakes(&lines(&format!("{nodes}\nprivate_key_file = \"secrets/lab-token\"")), &[]);
    assert!(found.iter().any(|m| m.contains("private key cannot be read")), "{found:?}");
    assert!(!found.iter().any(|m| m.contains("canary")), "{found:?}");
    let wrong = "nodes = { \"pve 1\" = { address = \"ssh://x\", host_keys = [\"MD5:00\"] }, pve2 = { address = \"a\", host_keys = [] } }";
    let found = mistakes(&lines(wrong), &[]);
    for part in [
        "nodes.pve 1:",
        "nodes.pve 1.address: must look like",
        "nodes.pve 1.host_keys[0]: write the line",
        "nodes.pve2.host_keys: is empty",
    ] {
        assert!(found.iter().any(|m| m.contains(part)), "missing: {part}\n{found:#?}");
    }
    let found = mistakes(&lines("private_key_file = \"secrets/lab-token\""), &[]);
    assert!(found.iter().any(|m| m.contains("node_shell.nodes: is missing")), "{found:?}");
}

#[test]
fn a_node_shell_that_is_set_up_keeps_its_key_to_itself() {
    let dir = folder();
    let key = dir.path().join("secrets/lab-node-key");
    let mut keygen = std::process::Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key);
    if !keygen.status().is_ok_and(|s| s.success()) {
        eprintln!(
            "\n!!!!!! no ssh-keygen here: that the node shell's key stays unseen is NOT TESTED\n"
        );
        return;
    }
    let key = std::fs::read_to_string(key).unwrap();
    let host = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU";
    let nodes = format!(
        "nodes = {{ pve1 = {{ address = \"[fd00::1]:2222\", host_keys = [\"{host}\"] }} }}"
    );
    let text = EXAMPLE.replace(
        "\nuser = \"root\"",
        &format!("\n{nodes}\nprivate_key_file = \"secrets/lab-node-key\"\nuser = \"root\""),
    );
    let loaded = Config::parse(&text, &dir.path().join("gantry.toml"), []).unwrap();
    let shell = loaded.config.clusters[0].node_shell.as_ref().unwrap().config();
    let node = &shell.nodes[&"pve1".parse().unwrap()];
    assert_eq!((node.host.as_str(), node.port), ("fd00::1", 2222));
    let line = key.lines().nth(2).unwrap();
    for shown in [loaded.shown(), format!("{loaded:?}")] {
        assert!(!shown.contains(line), "{shown}");
    }
    assert!(loaded.shown().parse::<toml::Table>().is_ok(), "{}", loaded.shown());
    let painted = crate::cli::secrets_of(&loaded.config);
    assert!(painted.paint(line.as_bytes()).is_some());
}
