//! The node shell against real ends: OpenSSH's sshd with the shipped script as forced command, the kernel's bridges
//! and nftables in network namespaces of the tests' own, qemu-img, skopeo and a registry.
//!
//! Everything listens on 127.0.0.1 or inside those namespaces. A test that finds something missing says so loudly and
//! passes, unless GANTRY_REQUIRE_SSHD=1 (sshd, ssh) or GANTRY_REQUIRE_NETNS=1 (namespaces, nft, qemu-img, skopeo,
//! docker-registry, python3) is set.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod bridges;
mod containers;
mod door;
mod forwards;
mod grammar;
mod images;
mod net;
mod trouble;
mod twin;
mod yard;
