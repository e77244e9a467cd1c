//! The drivers that an initramfs needs to see the root and what it mounts beside it, and where they are.

use initramfs::ModuleState;

use super::{Image, failed};
use crate::facts::{Driver, SignatureKind, Volume};
use crate::modules::Modules;
use crate::text::bytes;
use crate::{Device, Guest, Result};

/// Any one of these computes the checksum of ext4, XFS and btrfs.
const CHECKSUM: &[&str] = &["crc32c_generic", "crc32c_intel"];

/// What is needed to see the volumes that come before init.
#[derive(Default)]
pub(super) struct Needed {
    /// Why it is not to be had, if it is not.
    pub(super) lacking: Option<String>,
    /// Those of the drivers that are modules.
    pub(super) modules: Vec<Module>,
}

/// A module, and those that it needs.
pub(super) struct Module {
    pub(super) name: String,
    pub(super) needs: Vec<String>,
}

impl Image<'_> {
    /// What it needs for them, as far as that is not in the kernel.
    pub(super) fn needed(&self) -> Result<Needed> {
        let drivers = &self.guest.goal.target.platform.drivers;
        let mut wanted: Vec<Vec<&str>> = drivers.required.iter().map(|name| vec![*name]).collect();
        for volume in &self.volumes {
            let names = filesystem_drivers(volume);
            if !names.is_empty() && !wanted.contains(&names) {
                wanted.push(names);
            }
        }
        if self.volumes.iter().any(|volume| matches!(volume.device, Device::Logical(_))) {
            wanted.push(vec!["dm_mod"]);
        }
        let mut needed = Needed::default();
        let mut lacking = Vec::new();
        let states = self.states(&wanted.concat())?;
        let mut states = states.into_iter();
        for names in &wanted {
            let of_these: Vec<_> = states.by_ref().take(names.len()).collect();
            match of_these.into_iter().find(|(_, state)| is_there(state)) {
                Some((name, ModuleState::InInitramfs { needs })) => {
                    needed.modules.push(Module { name, needs });
                }
                Some(_) => {}
                None => lacking.extend(names.first().map(|name| (*name).to_owned())),
            }
        }
        for Module { name, .. } in &needed.modules {
            if self.lacks_checksum(name)? {
                lacking.push(format!("crc32c_generic, without which {name} mounts nothing"));
            }
        }
        needed.lacking = (!lacking.is_empty()).then(|| format!("it lacks {}", lacking.join(", ")));
        Ok(needed)
    }

    /// Whether a file system asks for a checksum that nothing in the initramfs brings. Its module does so when it
    /// is loaded, by a soft dependency, so modules.dep does not tell.
    fn lacks_checksum(&self, module: &str) -> Result<bool> {
        // XFS asks through this module.
        let asking =
            |name: &str| name == module || (name == "libcrc32c" && matches!(module, "xfs" | "btrfs"));
        let name = format!("{}/modules.softdep", self.archive.module_dir(&self.kernel.release));
        let own = self.archive.find(&name).map(|file| file.data()).transpose().map_err(failed)?;
        let text = match own {
            Some(bytes) => bytes::decode(bytes),
            None => {
                self.guest.view.text(&format!("{}/modules.softdep", self.kernel.dir))?.unwrap_or_default()
            }
        };
        let asks = text.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some("softdep")
                && words.next().is_some_and(asking)
                && words.any(|word| matches!(word, "crc32c" | "crypto-crc32c"))
        });
        Ok(asks && !self.states(CHECKSUM)?.iter().any(|(_, state)| is_there(state)))
    }

    /// Where these modules are, in their order.
    pub(super) fn states(&self, names: &[&str]) -> Result<Vec<(String, ModuleState)>> {
        let tree = Modules::new(self.guest.view, &self.kernel.dir);
        let coverage =
            initramfs::missing(self.archive, &self.kernel.release, names, &tree).map_err(failed)?;
        let mut states = coverage.modules;
        for (name, state) in &mut states {
            if !matches!(state, ModuleState::InInitramfs { .. }) && self.is_built_in(name)? {
                *state = ModuleState::Builtin;
            }
        }
        Ok(states)
    }

    /// Whether the kernel's configuration has a driver in the kernel: one that is older than modules.builtin
    /// says it nowhere else.
    fn is_built_in(&self, name: &str) -> Result<bool> {
        built_in_by_config(self.guest, &self.kernel.release, name)
    }
}

/// Whether a driver is to be had.
fn is_there(state: &ModuleState) -> bool {
    matches!(state, ModuleState::Builtin | ModuleState::InInitramfs { .. })
}

/// The drivers of the volume's file system, any one of which will do.
pub(in crate::bootwalk) fn filesystem_drivers(volume: &Volume) -> Vec<&'static str> {
    match volume.kind {
        Some(kind @ (SignatureKind::Ext2 | SignatureKind::Ext3)) => vec![kind.name(), "ext4"],
        Some(kind) => vec![kind.name()],
        None => Vec::new(),
    }
}

/// Whether /boot/config of this kernel has this driver in the kernel itself.
pub(super) fn built_in_by_config(guest: &Guest<'_>, release: &str, name: &str) -> Result<bool> {
    let known = guest.facts.kernels.iter().find(|kernel| kernel.version == release);
    if known.and_then(|kernel| kernel.drivers.get(name)) == Some(&Driver::BuiltIn) {
        return Ok(true);
    }
    let option = match name {
        "dm_mod" => "CONFIG_BLK_DEV_DM=y".to_owned(),
        name => format!("CONFIG_{}_FS=y", name.to_ascii_uppercase()),
    };
    let text = guest.view.text(&format!("/boot/config-{release}"))?.unwrap_or_default();
    Ok(text.lines().any(|line| line == option))
}
