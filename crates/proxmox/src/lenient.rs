//! Decoders for loosely typed answers: a number may be a string, a boolean 0, 1, "0", "1" or true, and any key
//! may be absent, null or of another kind. None of these functions fails on valid JSON: what cannot be
//! understood is `None`. Used by every type under `answer`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use gantry_core::id::Vmid;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Any JSON value, of which only scalars are kept.
pub(crate) enum Scalar<'a> {
    /// null, a list or an object.
    Nothing,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(Cow<'a, str>),
}

impl Scalar<'_> {
    fn into_u64(self) -> Option<u64> {
        match self {
            Self::Nothing => None,
            Self::Bool(b) => Some(u64::from(b)),
            Self::Unsigned(n) => Some(n),
            Self::Signed(n) => u64::try_from(n).ok(),
            Self::Float(x) => whole(x),
            Self::Text(t) => {
                let t = t.trim();
                t.parse().ok().or_else(|| t.parse().ok().and_then(whole))
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "shown to people, never compared for equality")]
    fn into_f64(self) -> Option<f64> {
        match self {
            Self::Nothing => None,
            Self::Bool(b) => Some(f64::from(u8::from(b))),
            Self::Unsigned(n) => Some(n as f64),
            Self::Signed(n) => Some(n as f64),
            Self::Float(x) => Some(x),
            Self::Text(t) => t.trim().parse().ok(),
        }
        .filter(|x| x.is_finite())
    }

    fn into_bool(self) -> Option<bool> {
        match self {
            Self::Nothing => None,
            Self::Bool(b) => Some(b),
            Self::Unsigned(n) => Some(n != 0),
            Self::Signed(n) => Some(n != 0),
            Self::Float(x) => Some(x != 0.0),
            Self::Text(t) => match t.trim() {
                "1" | "true" | "yes" | "on" => Some(true),
                "0" | "false" | "no" | "off" | "" => Some(false),
                _ => None,
            },
        }
    }

    fn into_text(self) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Bool(b) => Some(u8::from(b).to_string()),
            Self::Unsigned(n) => Some(n.to_string()),
            Self::Signed(n) => Some(n.to_string()),
            Self::Float(x) => Some(x.to_string()),
            Self::Text(t) => Some(t.into_owned()),
        }
    }
}

/// A float as whole number, when it is one that fits.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the range is checked; a fraction of a byte is no information"
)]
fn whole(x: f64) -> Option<u64> {
    (x.is_finite() && x >= 0.0 && x < u64::MAX as f64).then_some(x as u64)
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_bool<E>(self, v: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Bool(v))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Unsigned(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Signed(v))
    }
    fn visit_f64<E>(self, v: f64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Float(v))
    }
    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Borrowed(v)))
    }
    fn visit_str<E>(self, v: &str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Owned(v.to_owned())))
    }
    fn visit_string<E>(self, v: String) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Owned(v)))
    }
    fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Nothing)
    }
    fn visit_none<E>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Nothing)
    }
    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Scalar<'de>, D::Error> {
        d.deserialize_any(self)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Nothing)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Nothing)
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(ScalarVisitor)
    }
}

/// A whole number, zero or more.
pub(crate) fn u64<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u64>, D::Error> {
    Ok(Scalar::deserialize(d)?.into_u64())
}

/// A finite number.
pub(crate) fn f64<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
    Ok(Scalar::deserialize(d)?.into_f64())
}

/// Yes or no.
pub(crate) fn bool<'de, D: Deserializer<'de>>(d: D) -> Result<Option<bool>, D::Error> {
    Ok(Scalar::deserialize(d)?.into_bool())
}

/// Yes; anything else, absence included, is no.
pub(crate) fn flag<'de, D: Deserializer<'de>>(d: D) -> Result<bool, D::Error> {
    Ok(Scalar::deserialize(d)?.into_bool().unwrap_or(false))
}

/// A text; numbers become their digits.
pub(crate) fn text<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    Ok(Scalar::deserialize(d)?.into_text())
}

/// A text that has a grammar; what breaks it is `None`.
pub(crate) fn parsed<'de, D: Deserializer<'de>, T: FromStr>(d: D) -> Result<Option<T>, D::Error> {
    Ok(match Scalar::deserialize(d)? {
        Scalar::Text(t) => t.parse().ok(),
        other => other.into_text().and_then(|t| t.parse().ok()),
    })
}

/// A VMID as number or text.
pub(crate) fn vmid<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Vmid>, D::Error> {
    Ok(Scalar::deserialize(d)?
        .into_u64()
        .and_then(|n| u32::try_from(n).ok())
        .and_then(|n| Vmid::try_from(n).ok()))
}

/// A list that may also be null or absent; an object gives its values.
pub(crate) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    d: D,
) -> Result<Vec<T>, D::Error> {
    struct ListVisitor<T>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }
        fn visit_unit<E>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut all = Vec::new();
            while let Some(item) = seq.next_element()? {
                all.push(item);
            }
            Ok(all)
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<T>, A::Error> {
            let mut all = Vec::new();
            while let Some((_, item)) = map.next_entry::<IgnoredAny, T>()? {
                all.push(item);
            }
            Ok(all)
        }
    }
    d.deserialize_any(ListVisitor(std::marker::PhantomData))
}
