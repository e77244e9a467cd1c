//! GRUB 2 from its own image to the entry that it starts: its scripts are run as GRUB runs them, on the files
//! as they are.

mod condition;
mod device;
mod image;
mod menu;
mod modules;
mod run;
mod script;

pub(super) use device::{File, on_volume};
pub(super) use image::of_section;
pub(crate) use image::{Embedded, of_core};
pub(super) use menu::boot;

use super::{Hop, MenuEntry};
use crate::facts::{Machine, Volume};

/// GRUB as the firmware has started it.
#[derive(Debug)]
pub(super) struct Started {
    /// "pc", "efi".
    pub(super) platform: &'static str,
    /// "i386", "x86_64", "arm64".
    pub(super) cpu: &'static str,
    /// What is built in; `None` where that cannot be told.
    pub(super) embedded: Option<Embedded>,
    /// The device that its image is on, as it calls it.
    pub(super) device: String,
    /// The folder of its image there: "/EFI/BOOT".
    pub(super) folder: String,
}

impl Started {
    /// The folder of its modules below the prefix: "i386-pc".
    fn module_folder(&self) -> String {
        format!("{}-{}", self.cpu, self.platform)
    }
}

/// An entry of the menu, and what was met on the way through it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) entry: MenuEntry,
    /// Nothing, where it can be followed to its kernel.
    pub(super) hops: Vec<Hop>,
}

/// GRUB's name of a volume.
pub(super) fn device_of(machine: &Machine, volume: &Volume) -> String {
    device::name(machine, volume)
}
