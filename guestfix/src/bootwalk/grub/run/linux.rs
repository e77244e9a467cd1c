//! `linux` and `initrd`: what an entry has set up to load.

use super::{Run, Status};
use crate::bootwalk::grub::device::File;
use crate::place::Place;
use crate::{Result, limits};

/// What a script has set up to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bootwalk::grub) struct Loaded {
    pub(in crate::bootwalk::grub) place: Place,
    pub(in crate::bootwalk::grub) kernel: File,
    pub(in crate::bootwalk::grub) cmdline: String,
    pub(in crate::bootwalk::grub) initrds: Vec<File>,
    /// Why some of this is not sure.
    pub(in crate::bootwalk::grub) unsure: Option<String>,
}

impl Run<'_> {
    pub(super) fn linux(&mut self, kernel: &str, arguments: &[&str], place: &Place) -> Result<Status> {
        let (place, kernel) = (place.clone(), self.locate(kernel)?);
        let cmdline = arguments.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        self.state.loaded = Some(Loaded { place, kernel, cmdline, initrds: Vec::new(), unsure: None });
        Ok(Status::Yes)
    }

    pub(super) fn initrd(&mut self, paths: &[&str]) -> Result<Status> {
        let found = paths.len() as u64;
        limits::at_most(&self.file, found, limits::INITRDS, "initramfs images of one entry")?;
        let paths = paths.iter().filter(|path| !path.starts_with("--") && !path.starts_with("newc:"));
        let files = paths.map(|path| self.locate(path)).collect::<Result<Vec<_>>>()?;
        if let Some(loaded) = &mut self.state.loaded {
            // the last command counts
            loaded.initrds = files;
        }
        Ok(Status::Yes)
    }
}

/// A word of a kernel's command line, in quotes if it has blanks.
fn quoted(word: &str) -> String {
    if word.contains(' ') { format!("\"{word}\"") } else { word.to_owned() }
}
