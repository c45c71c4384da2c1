//! What the TOML reader says about a value, in the words of people who write configurations.

/// `invalid type: string "5", expected u64` becomes `must be a whole number, not text ("5"); leave out the quotes`.
/// What is not of a known form stays as it is.
pub(super) fn plain(told: &str) -> String {
    let line = told.lines().find(|l| !l.trim().is_empty()).unwrap_or("cannot be read").trim();
    let wrong =
        ["invalid type: ", "invalid value: "].iter().find_map(|lead| line.strip_prefix(lead));
    if let Some((is, wanted)) = wrong.and_then(|rest| rest.rsplit_once(", expected ")) {
        let quoted = is.strip_prefix("string \"").and_then(|s| s.strip_suffix('"'));
        let number = is_number(wanted);
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        let hint = if number && quoted.is_some_and(digits) { "; leave out the quotes" } else { "" };
        return format!("must be {}, not {}{hint}", expected(wanted), found(is));
    }
    if let Some((is, wanted)) =
        line.strip_prefix("unknown variant ").and_then(|rest| rest.split_once(", expected "))
    {
        return format!("{is} is not known here; write {}", listed(wanted));
    }
    if let Some((is, wanted)) =
        line.strip_prefix("unknown field ").and_then(|rest| rest.split_once(", expected "))
    {
        return format!("no key {is} exists here; keys here: {}", listed(wanted));
    }
    if let Some(key) = line.strip_prefix("missing field ") {
        return format!("lacks the key {key}");
    }
    line.to_owned()
}

fn is_number(wanted: &str) -> bool {
    matches!(
        wanted,
        "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" | "isize"
    )
}

fn expected(wanted: &str) -> &str {
    match wanted {
        number if is_number(number) => "a whole number",
        "f32" | "f64" => "a number",
        "a string" => "text in quotes",
        "a boolean" | "bool" => "true or false",
        "a sequence" => "a list in [ ]",
        "a map" => "a table in { }",
        other => other,
    }
}

fn found(is: &str) -> String {
    let (kind, value) = is.split_once(' ').unwrap_or((is, ""));
    match kind {
        "string" => format!("text ({value})"),
        "integer" => format!("the number {}", value.trim_matches('`')),
        "floating" => {
            format!("the number {}", value.trim_start_matches("point ").trim_matches('`'))
        }
        "boolean" => value.trim_matches('`').to_owned(),
        "sequence" => "a list".to_owned(),
        "map" => "a table".to_owned(),
        _ => is.to_owned(),
    }
}

/// `one of `a`, `b`` and `` `a` or `b` `` alike.
fn listed(wanted: &str) -> &str {
    wanted.strip_prefix("one of ").unwrap_or(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_of_the_reader_s_own_is_left() {
        for (told, plainly) in [
            (
                "invalid type: string \"123\", expected u64\n",
                "must be a whole number, not text (\"123\"); leave out the quotes",
            ),
            (
                "invalid type: string \"x\", expected u64",
                "must be a whole number, not text (\"x\")",
            ),
            (
                "invalid type: integer `5`, expected a string",
                "must be text in quotes, not the number 5",
            ),
            (
                "invalid value: integer `-1`, expected u32",
                "must be a whole number, not the number -1",
            ),
            ("invalid type: sequence, expected a boolean", "must be true or false, not a list"),
            (
                "unknown variant `pink`, expected `allow` or `deny`",
                "`pink` is not known here; write `allow` or `deny`",
            ),
            (
                "unknown variant `x`, expected one of `a`, `b`",
                "`x` is not known here; write `a`, `b`",
            ),
            ("missing field `last`", "lacks the key `last`"),
            (
                "`a b` is not a valid cluster name: letters",
                "`a b` is not a valid cluster name: letters",
            ),
        ] {
            assert_eq!(plain(told), plainly);
        }
    }
}
