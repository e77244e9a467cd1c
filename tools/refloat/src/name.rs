//! Names of files: bytes that are most often UTF-8. A text stands for one without loss, so that it can be
//! taken apart, typed again, and turned back.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use guestfix::text::bytes;
use libdisk::block;
use libdisk::{Address, Location};

/// The text that stands for a name.
pub(crate) fn text(name: impl AsRef<OsStr>) -> String {
    bytes::decode(name.as_ref().as_bytes())
}

/// The path that a text stands for.
pub(crate) fn path(text: &str) -> PathBuf {
    OsString::from_vec(bytes::encode(text).into_owned()).into()
}

/// A path for people and for JSON: what is not UTF-8 as `\xE9`.
pub(crate) fn shown(path: impl AsRef<Path>) -> String {
    block::shown(path.as_ref()).to_string()
}

/// The path from the root on; as it is where there is no current folder.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The text of an address, as it can be typed again.
pub(crate) fn address(address: &Address) -> String {
    let mut typed = address.clone();
    if let Location::File { path, .. } = &mut typed.location {
        *path = text(&*path).into();
    }
    typed.to_string()
}
