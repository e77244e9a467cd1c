//! Where the parent of a differencing image is: the image knows its id, and VirtualBox its place.

use std::path::{Path, PathBuf};

use block::{Error, ErrorKind, Result};

use super::LAYER;
use super::read::{Id, Image};
use crate::backing::Chain;

/// As many files are looked at.
const MOST_FILES: usize = 1000;

/// The image that `id` tells of, among the files of the allowed folder and of that of the image `from`.
///
/// # Errors
/// `Refused` if no folder is allowed, or the parent is in none; `Corrupt` if it was written since; `Io`.
pub(super) fn find(from: &Path, id: &Id, chain: &mut Chain<'_>) -> Result<PathBuf> {
    let Some(allowed) = chain.folder().map(Path::to_owned) else { return Err(refused().in_file(from)) };
    let beside = from.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for folder in [beside, &allowed] {
        let failed = |cause| Error::io(LAYER, "cannot look for the parent", cause).in_file(folder);
        let entries = std::fs::read_dir(folder).map_err(failed)?.take(MOST_FILES);
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("vdi")));
        files.sort();
        for file in files {
            // What is no image, or cannot be opened, is not the parent.
            let Ok(found) = block::open_file(&file).and_then(Image::read) else { continue };
            if found.id.image != id.image {
                continue;
            }
            let file = file.canonicalize().map_err(failed)?;
            let parent = chain.admit(LAYER, from, "parent", file.as_os_str())?;
            if found.id.content != id.content {
                let what =
                    "the parent was written since the snapshot, which does not tell the difference to that";
                return Err(Error::corrupt(LAYER, what).in_file(&parent));
            }
            chain.enter(LAYER, &parent)?;
            return Ok(parent);
        }
    }
    let what =
        format!("the parent of this image is in none of the files *.vdi of {}", block::shown(&allowed));
    Err(Error::new(ErrorKind::Refused, LAYER, what).in_file(from))
}

/// What is said of a differencing image whose parent may not be looked for.
pub(super) fn refused() -> Error {
    let what =
        "a differencing image (a snapshot), whose parent is looked for in a folder only if that is allowed";
    Error::new(ErrorKind::Refused, LAYER, what)
}
