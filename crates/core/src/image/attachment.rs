//! A file somebody attached to a message: what Discord says of it, checked before any of it reaches a path or a
//! form. Its address is signed and valid for about a day; it is never shown.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::reference::{BadImage, Content, is_file_name};

/// Largest attachment that is taken, bytes: what Discord takes from the most boosted servers.
pub const ATTACHMENT_MAX: u64 = 500 << 20;
/// Longest address Discord gives; theirs have some 300 characters.
const URL_MAX: usize = 2048;

/// A file that was attached. Whoever fetches it holds its address against Discord's own hosts.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attachment {
    url: String,
    file: String,
    bytes: u64,
}

/// The address holds a signature: whoever has it has the file.
impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attachment({}, {} bytes)", self.file, self.bytes)
    }
}

impl Attachment {
    /// What Discord says of a file: its address, its name, its size in bytes.
    ///
    /// # Errors
    /// [`BadImage`] when it is no image, empty, or larger than [`ATTACHMENT_MAX`].
    pub fn new(url: &str, file: &str, bytes: u64) -> Result<Self, BadImage> {
        let bad = |rule: String| Err(BadImage::new(file, rule));
        if !is_file_name(file) || Content::of_file(file).is_none() {
            return bad(
                "its name has letters, digits, ., _, + and -, and ends in .iso, .img, .qcow2, .raw, .vmdk, .ova, .tar.zst, .tar.gz, .tar.xz or .tar"
                    .to_owned(),
            );
        }
        if bytes == 0 {
            return bad("it is empty".to_owned());
        }
        if bytes > ATTACHMENT_MAX {
            return bad(format!(
                "attachments of up to {} MiB are taken; give a larger file an address and its checksum",
                ATTACHMENT_MAX >> 20
            ));
        }
        if url.len() > URL_MAX || url.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return bad("Discord gave no address for it".to_owned());
        }
        Ok(Self { url: url.to_owned(), file: file.to_owned(), bytes })
    }

    /// Where it can be fetched; never for people or logs.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same without its address: what is kept once it was handed on.
    #[must_use]
    pub fn without_address(&self) -> Self {
        Self { url: String::new(), ..self.clone() }
    }

    /// Its name.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What it is for, by its ending.
    pub fn content(&self) -> Content {
        // Held by `new`; what was stored by hand is taken for the kind nothing is made from by itself.
        Content::of_file(&self.file).unwrap_or(Content::Import)
    }

    /// Its size, bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://cdn.discordapp.com/attachments/1/2/x.iso?hm=secret";

    #[test]
    fn only_files_that_can_be_images_are_taken() {
        let file = Attachment::new(URL, "x.iso", 5).unwrap();
        assert_eq!((file.file(), file.bytes(), file.content()), ("x.iso", 5, Content::Iso));
        assert!(!format!("{file:?}").contains("secret"), "a signature must not be printed");
        for (url, name, bytes, says) in [
            (URL, "x.exe", 5, "ends in"),
            (URL, "../x.iso", 5, "ends in"),
            (URL, "x y.iso", 5, "ends in"),
            (URL, "x.iso", 0, "empty"),
            (URL, "x.iso", ATTACHMENT_MAX + 1, "500 MiB"),
            ("https://cdn.discordapp.com/a\r\nX: y", "x.iso", 5, "no address"),
        ] {
            let why = Attachment::new(url, name, bytes).unwrap_err().to_string();
            assert!(why.contains(says), "{why}");
        }
    }
}
