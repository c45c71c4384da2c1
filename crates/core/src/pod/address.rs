//! Where a pod is reached: the addresses its specification fixes, or those the container says it has.
//!
//! A container's word is not believed for what is not its own to have: this machine itself, the link it stands on,
//! whole groups. Otherwise whoever is root inside could let gantry ask something else.

use std::net::IpAddr;

use super::{Ipv4, Ipv6, PodSpec};
use crate::image::forbidden;

/// A network card as the container tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InnerCard {
    /// Its name inside: `eth0`.
    pub name: String,
    /// Its addresses, without their prefixes.
    pub addresses: Vec<IpAddr>,
}

/// Which addresses health checks may ask.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HealthRules {
    /// Addresses of this machine itself, 127.0.0.0/8 and ::1. For a simulated cluster.
    pub loopback: bool,
}

impl HealthRules {
    /// Whether it may be asked.
    pub fn may_ask(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        (self.loopback && address.is_loopback()) || forbidden(address).is_none()
    }

    /// The address a pod is asked at: that of its first card with a fixed one, else the first that the container has on
    /// one of its cards. `Err` says why there is none.
    pub fn address(self, spec: &PodSpec, inner: Option<&[InnerCard]>) -> Result<IpAddr, String> {
        if let Some(fixed) = fixed(spec) {
            return match self.may_ask(fixed) {
                true => Ok(fixed),
                false => Err(format!("{fixed} is not an address that may be asked")),
            };
        }
        let cards = &spec.template.networks;
        let mine =
            |card: &&InnerCard| cards.iter().enumerate().any(|(n, c)| c.inner_name(n) == card.name);
        let told = || inner.unwrap_or_default().iter().filter(mine).flat_map(|c| &c.addresses);
        let may = |a: &&IpAddr| self.may_ask(**a);
        // IPv4 first: an address of IPv6 that it gave itself may be one that nobody routes.
        let best = told().filter(|a| a.is_ipv4()).find(may);
        best.or_else(|| told().find(may)).copied().ok_or_else(|| "it has no address yet".to_owned())
    }
}

/// The address of the first card that has a fixed one.
fn fixed(spec: &PodSpec) -> Option<IpAddr> {
    spec.template.networks.iter().find_map(|card| match (card.ipv4, card.ipv6) {
        (Ipv4::Fixed(cidr), _) => Some(IpAddr::V4(cidr.address)),
        (_, Ipv6::Fixed(cidr)) => Some(IpAddr::V6(cidr.address)),
        _ => None,
    })
}

/// Whether the container has to be asked where it is reached.
pub fn is_told_inside(spec: &PodSpec) -> bool {
    fixed(spec).is_none()
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn card(name: &str, addresses: &[&str]) -> InnerCard {
        InnerCard { name: name.into(), addresses: addresses.iter().map(|a| ip(a)).collect() }
    }

    #[test]
    fn only_addresses_that_can_be_a_pods_own_are_asked() {
        let strict = HealthRules::default();
        for bad in [
            "127.0.0.1",
            "127.20.0.9",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            // Clouds keep their secrets there; 6to4 and NAT64 lead to an IPv4 address.
            "fd00:ec2::254",
            "2002:7f00:1::1",
            "64:ff9b::169.254.169.254",
        ] {
            assert!(!strict.may_ask(ip(bad)), "{bad}");
        }
        for good in
            ["10.0.0.5", "192.168.1.7", "100.64.0.1", "203.0.113.9", "fd00::5", "2001:db8::1"]
        {
            assert!(strict.may_ask(ip(good)), "{good}");
        }
        let demo = HealthRules { loopback: true };
        assert!(demo.may_ask(ip("127.20.0.9")) && !demo.may_ask(ip("169.254.169.254")));
    }

    #[test]
    fn a_fixed_address_goes_before_what_the_container_says() {
        let rules = HealthRules::default();
        let mut spec = sample();
        spec.template.networks[0].ipv4 = "10.0.0.5/24".parse().unwrap();
        assert!(!is_told_inside(&spec));
        let lies = [card("eth0", &["10.0.0.1"])];
        assert_eq!(rules.address(&spec, Some(&lies)), Ok(ip("10.0.0.5")));
        spec.template.networks[0].ipv4 = "169.254.169.254/16".parse().unwrap();
        assert!(rules.address(&spec, None).is_err());
    }

    #[test]
    fn else_one_of_its_cards_says_where_it_is() {
        let rules = HealthRules::default();
        let spec = sample();
        assert!(is_told_inside(&spec) && rules.address(&spec, None).is_err());
        let inner = [
            card("lo", &["10.9.9.9"]),
            card("docker0", &["172.17.0.1"]),
            card("eth0", &["fe80::1", "127.0.0.1", "2001:db8::7", "10.0.0.9"]),
        ];
        assert_eq!(rules.address(&spec, Some(&inner)), Ok(ip("10.0.0.9")));
        let inner = [card("eth0", &["fe80::1", "2001:db8::7"])];
        assert_eq!(rules.address(&spec, Some(&inner)), Ok(ip("2001:db8::7")));
    }
}
