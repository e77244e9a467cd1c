//! Mutants: real guests, each with one fault sown into it, to compare a verdict with a boot.
//!
//! A fault is a few lines of shell, run on the mounted file systems of the guest: no parser of ours has a hand
//! in it. Which files are hit is drawn by a seed, so that the same [`all`] comes every time.

mod faults;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::judge::hex;
use crate::real;

const SOW: &str = include_str!("sow.sh");

/// Of each deed that is done to files, this many files are hit in each guest.
const FILES_HIT: usize = 6;

/// The kinds of which each guest gets one fault as it came, too: those that do more than hit a file.
const AS_IT_CAME: [Kind; 9] = [
    Kind::Renamed,
    Kind::Drivers,
    Kind::Menu,
    Kind::Firmware,
    Kind::Fstab,
    Kind::Units,
    Kind::Network,
    Kind::Table,
    Kind::Kernel,
];

/// What kind of fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A file is gone.
    Removed,
    /// A file is there and has no bytes.
    Emptied,
    /// A file has lost its second half.
    Truncated,
    /// A file has the bytes of another.
    Swapped,
    /// A name or UUID is not what others call it.
    Renamed,
    /// A driver is missing from the initramfs, or forbidden in one of the places that can.
    Drivers,
    /// The menu, its default, its entries.
    Menu,
    /// What the firmware starts, up to the menu: boot code, core.img, the chain on the ESP.
    Firmware,
    /// Mounts that the boot waits for.
    Fstab,
    /// Targets and units, masked or replaced, and arguments that lead elsewhere.
    Units,
    /// The card's name, its address, the DHCP client.
    Network,
    /// The partition table.
    Table,
    /// The kernel, the inside of the initramfs, drivers for Hyper-V.
    Kernel,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

/// On which guests a fault can be sown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    All,
    Bios,
    Uefi,
    Ext4,
    Xfs,
    Lvm,
    SeparateBoot,
    /// A partition table, and so a GRUB of ours or the guest's.
    Table,
    Mbr,
    Gpt,
    /// A grub.cfg that says where its volumes are.
    Grub,
    /// A grub.cfg as grub-mkconfig writes it.
    GrubMkconfig,
    /// Entries of the Boot Loader Specification.
    Bls,
    InitramfsTools,
    Dracut,
}

/// A fault that can be sown.
#[derive(Debug, Clone, Copy)]
struct Fault {
    on: On,
    kind: Kind,
    name: &'static str,
    script: &'static str,
}

/// A real guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guest {
    /// What it is called.
    pub name: &'static str,
    /// The target that its machine is for.
    pub target: &'static str,
    traits: &'static [On],
}

/// The guests, each with what it has.
pub const GUESTS: &[Guest] = &[
    Guest {
        name: "debian",
        target: "azure-gen1",
        traits: &[On::Bios, On::Ext4, On::Table, On::Mbr, On::Grub, On::GrubMkconfig, On::InitramfsTools],
    },
    Guest {
        name: "debian-uefi",
        target: "azure-gen2",
        traits: &[On::Uefi, On::Ext4, On::Table, On::Gpt, On::Grub, On::GrubMkconfig, On::InitramfsTools],
    },
    Guest {
        name: "dracut-lvm",
        target: "azure-gen1",
        traits: &[
            On::Bios,
            On::Xfs,
            On::Lvm,
            On::SeparateBoot,
            On::Table,
            On::Mbr,
            On::Grub,
            On::Bls,
            On::Dracut,
        ],
    },
    Guest {
        name: "dracut-xfs",
        target: "azure-gen1",
        traits: &[On::Bios, On::Xfs, On::Table, On::Mbr, On::Grub, On::Bls, On::Dracut],
    },
    Guest {
        name: "debian-pv",
        target: "azure-gen1",
        traits: &[On::Bios, On::Ext4, On::Mbr, On::InitramfsTools],
    },
];

impl Guest {
    /// The guest as it came out of EC2, built if it was not before; `None`, after a visible skip, where it
    /// cannot be.
    ///
    /// # Panics
    /// When its recipe fails.
    #[track_caller]
    pub fn image(&self) -> Option<PathBuf> {
        match self.name {
            "debian" => real::debian(),
            "debian-uefi" => real::debian_uefi(),
            "dracut-lvm" => real::dracut_lvm().map(|guest| guest.image),
            "dracut-xfs" => real::dracut_xfs().map(|guest| guest.image),
            "debian-pv" => real::debian_pv(),
            other => panic!("no guest is called {other}"),
        }
    }

    fn has(&self, what: On) -> bool {
        what == On::All || self.traits.contains(&what)
    }
}

/// What a fault is sown into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Base {
    /// The guest as it was migrated: it boots on the target, so its one fault is the only one.
    Migrated,
    /// The guest as it came out of EC2, which is what a user has: the migration meets the fault.
    AsItCame,
}

/// A guest with one fault, or with none: those say whether a sound guest is called so.
#[derive(Debug, Clone)]
pub struct Mutant {
    /// The guest.
    pub guest: &'static Guest,
    /// In which state it was when the fault was sown.
    pub base: Base,
    /// What kind of fault it is; `None` for a guest with none.
    pub kind: Option<Kind>,
    /// The name of the fault among those of its kind.
    pub name: String,
    script: String,
}

impl Mutant {
    /// Its one name: "debian/removed/kernel", or "debian-ec2/fstab/swap-of-none" of a guest as it came.
    pub fn id(&self) -> String {
        let kind = self.kind.map_or_else(|| "sound".to_owned(), |kind| kind.to_string());
        let base = match self.base {
            Base::Migrated => "",
            Base::AsItCame => "-ec2",
        };
        format!("{}{base}/{kind}/{}", self.guest.name, self.name)
    }

    /// A digest of how it is made, but for the image it is made of.
    pub fn recipe(&self) -> String {
        let mut digest = Sha256::new();
        digest.update(real::CHROOT);
        digest.update(SOW);
        digest.update(&self.script);
        hex(&digest.finalize()[..8])
    }

    /// Sows the fault into a raw image of the guest, as it came or as it was migrated.
    ///
    /// # Errors
    /// When it is not to be had there: the shell's last lines say why.
    pub fn sow(&self, image: &Path) -> Result<()> {
        let work = tempfile::tempdir_in(image.parent().context("an image in a folder")?)?;
        let recipe = [real::CHROOT, SOW, &self.script, "\nlet_go\n"].concat();
        let mut sh = Command::new("sh");
        sh.args(["-c", &recipe, "mutant"]).arg(work.path()).arg(image);
        let output = sh.output().context("sh cannot be started")?;
        let said = String::from_utf8_lossy(&output.stderr);
        let last: Vec<_> = said.lines().rev().take(3).collect();
        ensure!(output.status.success(), "{}: {}: {last:?}", self.id(), output.status);
        Ok(())
    }
}

/// All mutants of all guests, in their order.
pub fn all() -> Vec<Mutant> {
    GUESTS.iter().flat_map(of).collect()
}

/// Those of one guest: each fault that it can have, and for each deed to a file [`FILES_HIT`] files; then some
/// of the same faults in the guest as it came.
fn of(guest: &'static Guest) -> Vec<Mutant> {
    let migrated = |kind, name: &str, script: String| Mutant {
        guest,
        base: Base::Migrated,
        kind,
        name: name.into(),
        script,
    };
    let seed = guest.name.bytes().fold(11, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    let mut random = fastrand::Rng::with_seed(seed);
    let mut mutants = vec![migrated(None, "migrated", ":".into())];
    for (kind, deed) in faults::DEEDS {
        let mut files = faults::FILES.to_vec();
        random.shuffle(&mut files);
        mutants.extend(files[..FILES_HIT].iter().map(|(name, file)| {
            migrated(Some(*kind), name, format!("file={file}; test -e \"$file\"; {deed}"))
        }));
    }
    let faults = faults::FAULTS.iter().filter(|fault| guest.has(fault.on));
    mutants.extend(faults.map(|fault| migrated(Some(fault.kind), fault.name, fault.script.into())));

    let drawn = AS_IT_CAME.iter().filter_map(|kind| {
        let of_kind: Vec<_> = mutants.iter().filter(|mutant| mutant.kind == Some(*kind)).collect();
        random.choice(of_kind).map(|mutant| Mutant { base: Base::AsItCame, ..mutant.clone() })
    });
    let as_they_came: Vec<_> = drawn.collect();
    mutants.push(Mutant { base: Base::AsItCame, name: "as-it-came".into(), ..mutants[0].clone() });
    mutants.extend(as_they_came);
    mutants
}
