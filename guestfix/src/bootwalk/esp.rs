//! The EFI system partition, as the firmware of a new machine looks at it.

use crate::facts::Volume;
use crate::place::Place;
use crate::{Guest, Result};

use super::grub::{File, on_volume};

/// What one kind of machine calls its loaders.
#[derive(Debug)]
pub(super) struct Names {
    /// "x86_64".
    pub(super) arch: &'static str,
    /// GRUB's name of the processor.
    pub(super) cpu: &'static str,
    pub(super) fallback: &'static str,
    /// What shim starts, beside itself.
    pub(super) second_stage: &'static str,
    /// shim's program that makes boot entries of what vendors have left in their folders.
    pub(super) maker: &'static str,
    /// The list that it reads.
    pub(super) list: &'static str,
}

const X64: Names = Names {
    arch: "x86_64",
    cpu: "x86_64",
    fallback: "BOOTX64.EFI",
    second_stage: "grubx64.efi",
    maker: "fbx64.efi",
    list: "BOOTX64.CSV",
};
const AA64: Names = Names {
    arch: "aarch64",
    cpu: "arm64",
    fallback: "BOOTAA64.EFI",
    second_stage: "grubaa64.efi",
    maker: "fbaa64.efi",
    list: "BOOTAA64.CSV",
};

/// The names for the guest's processor.
pub(super) fn names(guest: &Guest<'_>) -> &'static Names {
    // Where a Windows says its processor, no loader looks.
    let os = match super::windows::is(guest) {
        true => guest.facts.os.peek(),
        false => &guest.facts.os,
    };
    match os.as_ref().and_then(|os| os.arch) {
        Some("aarch64") => &AA64,
        _ => &X64,
    }
}

/// The EFI system partitions of the disk that the machine starts from.
pub(super) fn partitions<'g>(guest: &'g Guest<'_>) -> Vec<&'g Volume> {
    let machine = guest.view.machine();
    machine.volumes_on(0).filter(|volume| volume.type_name.as_deref() == Some("EFI system")).collect()
}

/// A file on an EFI system partition: its path in the guest's tree, and what is there.
pub(super) enum On {
    /// Something is.
    At(String),
    /// Nothing is; where it would be.
    Absent(Place),
    /// It cannot be looked at, and why.
    Unseen(String),
}

/// Looks for a file by its path on the partition, in whatever case it is written there.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn find(guest: &Guest<'_>, esp: &Volume, path: &str) -> Result<On> {
    Ok(match on_volume(guest.view, esp, path)? {
        File::At(path) => On::At(path),
        File::Absent(path) => On::Absent(Place::file(path)),
        File::NoDevice(_) => On::Unseen("there is no file system on it".into()),
        File::Unseen(why) => On::Unseen(why),
    })
}
