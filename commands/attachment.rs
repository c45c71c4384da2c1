//! A specification that somebody attached: fetched once, one way, for every command that takes one.

use gantry_core::document::{FILE_MAX, Format};
use serenity::all::Attachment;

use crate::face::FaceError;
use crate::visit::{Visit, said};

/// Takes the file out of the signed interaction: its address is Discord's own word, and is checked all the same.
/// `next` says where somebody finds a right one.
pub async fn read(
    visit: &Visit,
    file: &Attachment,
    next: &str,
) -> Result<(Format, String), FaceError> {
    let wrong = |why: &str| {
        said(
            &format!("Cannot read {}", file.filename),
            &format!("{why}. Nothing was done"),
            next,
            &visit.reference(),
        )
    };
    let Some(format) = Format::of(&file.filename) else {
        return Err(wrong("Its name does not end in .toml, .yaml or .yml"));
    };
    if file.size as usize > FILE_MAX {
        return Err(wrong(&format!("It is larger than {} KiB", FILE_MAX / 1024)));
    }
    let bytes =
        visit.face.wire().fetch(file.url.clone(), FILE_MAX).await.map_err(|why| wrong(&why))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("It is not UTF-8 text"))?;
    Ok((format, text))
}
