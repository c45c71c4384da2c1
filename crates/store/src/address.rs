//! Where the database is: reads `sqlite:PATH`, `sqlite::memory:` and `postgres://…`, and knows how to speak
//! of it without its password.

use std::path::PathBuf;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

use crate::error::StoreError;

/// What stands instead of a secret.
const STRUCK_OUT: &str = "***";

/// A database address, taken apart.
#[derive(Clone)]
pub(crate) enum Address {
    /// A SQLite file.
    File(PathBuf),
    /// A SQLite database that ends with the process; for trying things out.
    Memory,
    /// A PostgreSQL server.
    Server(Box<PgConnectOptions>),
}

/// How errors speak of the database, and what they must not say.
#[derive(Clone)]
pub(crate) struct Place {
    /// For people: file or server.
    pub(crate) name: String,
    secrets: Vec<String>,
}

impl Place {
    /// `text` without any spelling of the password.
    pub(crate) fn without_secrets(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            text = text.replace(secret.as_str(), STRUCK_OUT);
        }
        text
    }
}

fn bad(why: impl Into<String>) -> StoreError {
    StoreError::Address { why: why.into() }
}

/// Takes an address apart. The error never repeats the address: a slip may have put a password anywhere.
pub(crate) fn parse(url: &str) -> Result<(Address, Place), StoreError> {
    if let Some(rest) = url.strip_prefix("sqlite:") {
        if rest == ":memory:" {
            let place = Place { name: "the database in memory".into(), secrets: vec![] };
            return Ok((Address::Memory, place));
        }
        let path = rest.strip_prefix("//").unwrap_or(rest);
        if path.is_empty() || path.contains('\0') {
            return Err(bad("after `sqlite:` the path of a file is needed"));
        }
        let place = Place { name: format!("the database file {path}"), secrets: vec![] };
        return Ok((Address::File(path.into()), place));
    }
    if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
        return Err(bad("it must start with `sqlite:` or `postgres://`"));
    }
    let parsed = url::Url::parse(url).map_err(|e| bad(format!("not a valid address ({e})")))?;
    let mut secrets: Vec<String> = parsed.password().map(str::to_owned).into_iter().collect();
    // A password may also be given as a parameter, and stands in both decoded and encoded form.
    secrets
        .extend(parsed.query_pairs().filter(|(k, _)| k == "password").map(|(_, v)| v.into_owned()));
    let decoded: Vec<String> = secrets
        .iter()
        .map(|s| percent_encoding::percent_decode_str(s).decode_utf8_lossy().into_owned())
        .collect();
    secrets.extend(decoded);
    secrets.retain(|s| !s.is_empty());
    secrets.sort_by_key(|s| std::cmp::Reverse(s.len()));
    secrets.dedup();
    let mut place = Place { name: String::new(), secrets };
    let options = PgConnectOptions::from_str(url).map_err(|e| {
        bad(place.without_secrets(&format!("not a valid PostgreSQL address ({e})")))
    })?;
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => options.get_host().to_owned(),
    };
    let (port, database) = (options.get_port(), options.get_database());
    let database = database.unwrap_or_else(|| options.get_username());
    place.name =
        place.without_secrets(&format!("PostgreSQL at {host}:{port}, database {database}"));
    Ok((Address::Server(Box::new(options)), place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_in_no_text_about_the_place() {
        let (_, place) =
            parse("postgres://gantry:s%40crit-pw@db.example:5433/gantry?password=other-pw")
                .unwrap();
        assert_eq!(place.name, "PostgreSQL at db.example:5433, database gantry");
        let text = place.without_secrets("raw s%40crit-pw, decoded s@crit-pw, other-pw");
        assert_eq!(text, "raw ***, decoded ***, ***");
    }

    #[test]
    fn an_address_that_is_none_is_not_repeated() {
        for url in [
            "mysql://u:hunter2hunter2@h/d",
            "postgres://u:hunter2hunter2@h:notaport/d",
            "postgres://u:hunter2hunter2@[h/d",
            "hunter2hunter2",
            "sqlite:",
        ] {
            let error = parse(url).map(|_| ()).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}
