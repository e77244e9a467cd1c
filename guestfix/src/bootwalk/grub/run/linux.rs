//! `linux` and `initrd`: what an entry has set up to load.

use super::{Run, Status};
use crate::bootwalk::grub::device::File;
use crate::place::Place;
use crate::{Result, limits};

/// What a script has set up to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bootwalk::grub) struct Loaded {
    pub(in crate::bootwalk::grub) place: Place,
    /// By which it is started: each has an `initrd` of its own.
    pub(in crate::bootwalk::grub) protocol: Protocol,
    pub(in crate::bootwalk::grub) kernel: File,
    pub(in crate::bootwalk::grub) cmdline: String,
    pub(in crate::bootwalk::grub) initrds: Vec<File>,
    /// Why some of this is not sure.
    pub(in crate::bootwalk::grub) unsure: Option<String>,
}

/// How a kernel is started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::bootwalk::grub) enum Protocol {
    /// By its entry in 32 or 64 bits, or by its EFI stub.
    #[default]
    Plain,
    /// In 16 bits, by a BIOS.
    Real,
}

impl Run<'_> {
    fn protocol(&self, command: &str) -> Protocol {
        // under UEFI these are other names of the same
        if command.ends_with("16") && self.started.platform == "pc" {
            Protocol::Real
        } else {
            Protocol::Plain
        }
    }

    pub(super) fn linux(
        &mut self,
        command: &str,
        kernel: &str,
        arguments: &[&str],
        place: &Place,
    ) -> Result<Status> {
        let protocol = self.protocol(command);
        let (place, kernel) = (place.clone(), self.locate(kernel)?);
        let cmdline = arguments.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        self.state.loaded =
            Some(Loaded { place, protocol, kernel, cmdline, initrds: Vec::new(), unsure: None });
        Ok(Status::Yes)
    }

    pub(super) fn initrd(&mut self, command: &str, paths: &[&str], place: &Place) -> Result<Status> {
        let protocol = self.protocol(command);
        if let Some(loaded) = self.state.loaded.as_mut().filter(|loaded| loaded.protocol != protocol) {
            let why = format!("{command} finds no kernel: that was loaded by another command");
            loaded.unsure = Some(why.clone());
            return Ok(self.fail(place, why));
        }
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
