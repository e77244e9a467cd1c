//! How Windows names the parent of a differencing disk, and where that is looked for.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use block::{Error, ErrorKind, Result};

use crate::backing::Chain;

/// What the file is to the disk above it.
const ROLE: &str = "parent";

/// Names of a file, the best first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names(Vec<OsString>);

impl Names {
    /// Adds a path that counts from the folder of the image: `.\base\parent.vhdx`.
    pub(crate) fn add_relative(&mut self, path: &str) {
        self.add(path.replace('\\', "/").into());
    }

    /// Adds a path of the machine that the image comes from, `C:\disks\parent.vhdx`: here the file can only
    /// be beside the image.
    pub(crate) fn add_absolute(&mut self, path: &str) {
        self.add(path.rsplit(['\\', '/']).next().unwrap_or_default().into());
    }

    fn add(&mut self, name: OsString) {
        if !name.is_empty() && !self.0.contains(&name) {
            self.0.push(name);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The real path of the first of them that there is, if it may be opened.
    ///
    /// # Errors
    /// `Refused` behind a gate that is shut; `Io` if there is none.
    pub(crate) fn find(&self, layer: &'static str, from: &Path, chain: &mut Chain<'_>) -> Result<PathBuf> {
        let mut missing: Option<Error> = None;
        for name in &self.0 {
            match chain.admit(layer, from, ROLE, OsStr::new(name)) {
                Err(error) if error.kind() == ErrorKind::Io => drop(missing.get_or_insert(error)),
                found => return found,
            }
        }
        Err(missing.unwrap_or_else(|| Error::corrupt(layer, "the image does not name its parent")))
    }
}

/// Text in UTF-16, up to its first zero; what is no text in it becomes U+FFFD.
pub(crate) fn utf16(units: impl Iterator<Item = u16>) -> String {
    char::decode_utf16(units.take_while(|unit| *unit != 0))
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_windows() {
        let mut names = Names::default();
        names.add_relative(r".\base\parent.vhdx");
        names.add_absolute(r"C:\disks\parent.vhdx");
        names.add_absolute(r"\\?\Volume{26a21bda-a627-11d7-9931-806e6f6e6963}\x\parent.vhdx");
        names.add_absolute("");
        assert_eq!(names.0, ["./base/parent.vhdx", "parent.vhdx"]);
        assert_eq!(utf16([0x61, 0xd83d, 0xde00, 0xd800, 0, 0x62].into_iter()), "a\u{1f600}\u{fffd}");
    }
}
