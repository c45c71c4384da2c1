//! Small values with one text each: a fraction that compares exactly, addresses with their prefix.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Thousandths, written as a decimal number (`1.5`); exact, so that two specifications can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Milli(pub u32);

impl TryFrom<f64> for Milli {
    type Error = String;
    fn try_from(n: f64) -> Result<Self, String> {
        let thousandths = (n * 1000.0).round();
        if !(0.0..=f64::from(u32::MAX)).contains(&thousandths) {
            return Err(format!("{n} is not a number from 0 to {}", u32::MAX / 1000));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within u32, checked on the line above"
        )]
        let whole = thousandths as u32;
        Ok(Self(whole))
    }
}

impl From<Milli> for f64 {
    fn from(n: Milli) -> Self {
        Self::from(n.0) / 1000.0
    }
}

impl FromStr for Milli {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.trim()
            .parse::<f64>()
            .map_err(|_| format!("`{text}` is not a number"))
            .and_then(Self::try_from)
    }
}

impl fmt::Display for Milli {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f64::from(*self).fmt(f)
    }
}

macro_rules! cidr {
    ($(#[$doc:meta])* $name:ident, $addr:ty, $max:literal, $like:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name {
            /// The address.
            pub address: $addr,
            /// Length of the network's prefix, bits.
            pub prefix: u8,
        }

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                let bad = || format!(concat!("`{}` is not an address with prefix such as ", $like), text);
                let (address, prefix) = text.trim().split_once('/').ok_or_else(bad)?;
                if !prefix.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(bad());
                }
                let prefix = prefix.parse::<u8>().ok().filter(|p| *p <= $max).ok_or_else(bad)?;
                Ok(Self { address: address.parse().map_err(|_| bad())?, prefix })
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(cidr: $name) -> Self {
                cidr.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}/{}", self.address, self.prefix)
            }
        }
    };
}

cidr!(
    /// An IPv4 address with its prefix: `10.0.0.5/24`.
    Cidr4, Ipv4Addr, 32, "10.0.0.5/24"
);
cidr!(
    /// An IPv6 address with its prefix: `fd00::5/64`.
    Cidr6, Ipv6Addr, 128, "fd00::5/64"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_come_back_exactly() {
        for n in [0, 1, 500, 1500, 8_192_000, u32::MAX] {
            let text = serde_json::to_string(&Milli(n)).unwrap();
            assert_eq!(serde_json::from_str::<Milli>(&text).unwrap(), Milli(n), "{text}");
            assert_eq!(Milli(n).to_string().parse(), Ok(Milli(n)));
        }
        assert_eq!(Milli(1500).to_string(), "1.5");
        assert!("-1".parse::<Milli>().is_err() && "NaN".parse::<Milli>().is_err());
    }

    #[test]
    fn an_address_needs_a_prefix_of_its_family() {
        assert_eq!("10.0.0.5/24".parse::<Cidr4>().unwrap().to_string(), "10.0.0.5/24");
        for bad in ["10.0.0.5", "10.0.0.5/33", "10.0.0.5/+1", "fd00::1/64", "10.0.0/8", ""] {
            assert!(bad.parse::<Cidr4>().is_err(), "{bad}");
        }
        assert!("fd00::1/64".parse::<Cidr6>().is_ok() && "fd00::1/129".parse::<Cidr6>().is_err());
    }
}
