//! The text form of TXT records: strings in quotes with `\"`, `\\` and `\DDD` inside (RFC 1035 §5.1).

/// Reads `"one" "two"`. Nothing where it is written otherwise or is not text: then it is not gantry's.
pub(crate) fn strings(text: &str) -> Option<Vec<String>> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while let Some(inside) = rest.strip_prefix('"') {
        let mut bytes = Vec::new();
        let mut letters = inside.bytes().enumerate();
        let end = loop {
            match letters.next()? {
                (end, b'"') => break end,
                (_, b'\\') => {
                    let (_, first) = letters.next()?;
                    if first.is_ascii_digit() {
                        let (_, second) = letters.next()?;
                        let (_, third) = letters.next()?;
                        let digits = [first, second, third];
                        let number = std::str::from_utf8(&digits).ok()?.parse::<u8>().ok()?;
                        bytes.push(number);
                    } else {
                        bytes.push(first);
                    }
                }
                (_, byte) => bytes.push(byte),
            }
        };
        out.push(String::from_utf8(bytes).ok()?);
        rest = inside.get(end + 1..)?.trim_start();
    }
    rest.is_empty().then_some(out)
}

#[cfg(test)]
mod tests {
    use super::strings;
    use gantry_core::dns::Data;

    #[test]
    fn texts_come_back_as_they_were() {
        for all in [vec!["a b", "c"], vec!["with \" and \\"], vec![""], vec!["heritage=gantry,v=1"]]
        {
            let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
            assert_eq!(strings(&Data::Txt(all.clone()).to_string()), Some(all));
        }
        assert_eq!(strings(r#""\065\"""#), Some(vec!["A\"".to_owned()]));
        for bad in ["a", "\"a", "\"a\" b", r#""\25""#, r#""\999""#, r#""\255""#] {
            assert_eq!(strings(bad), None, "{bad}");
        }
    }
}
