//! Names that are there, for somebody who named one that is not: the nearest first, as the end of a sentence.

use crate::world::distance;

/// Most names told; the rest is counted.
const TOLD: usize = 5;

/// The names, nearest to `wanted` first: those that contain it or are part of it, then those with the fewest letters
/// different, then by the alphabet.
pub fn nearest<'a>(wanted: &str, have: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let want = wanted.to_lowercase();
    let mut names: Vec<&str> = have.into_iter().filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    names.dedup();
    names.sort_by_cached_key(|name| {
        let have = name.to_lowercase();
        if !want.is_empty() && (have.contains(&want) || want.contains(&have)) {
            0
        } else {
            distance(&have, &want)
        }
    });
    names
}

/// ` It has: vmbr0, vmbr1 and 3 more.`, or ` It has none.`
pub fn it_has<'a>(wanted: &str, have: impl IntoIterator<Item = &'a str>) -> String {
    let names = nearest(wanted, have);
    let shown = names.iter().take(TOLD).copied().collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => " It has none.".to_owned(),
        n if n > TOLD => format!(" It has: {shown} and {} more.", n - TOLD),
        _ => format!(" It has: {shown}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_comes_first() {
        let have = ["nas", "local", "local-lvm", "local", ""];
        assert_eq!(nearest("locall", have), ["local", "local-lvm", "nas"]);
        assert_eq!(nearest("lvm", have), ["local-lvm", "local", "nas"]);
        assert_eq!(it_has("vmbr9", ["vmbr1", "vmbr0"]), " It has: vmbr0, vmbr1.");
        assert_eq!(it_has("x", []), " It has none.");
        let many = ["a", "b", "c", "d", "e", "f", "g"];
        assert_eq!(it_has("", many), " It has: a, b, c, d, e and 2 more.");
    }
}
