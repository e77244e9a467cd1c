//! The drivers that an initramfs needs to see the root and what it mounts beside it: there, allowed, and loaded by something.

use std::collections::BTreeSet;

use initramfs::{Generator, ModuleState};

use super::{Image, failed, modprobe_files, texts};
use crate::bootwalk::waits;
use crate::facts::{Driver, SignatureKind, Volume};
use crate::modules::Modules;
use crate::text::{bytes, cmdline, modprobe, shell_assign};
use crate::{Device, Guest, Result};

/// Where an initramfs has the daemon that loads the driver of each device.
const UDEV: &[&str] = &[
    "lib/systemd/systemd-udevd",
    "usr/lib/systemd/systemd-udevd",
    "sbin/udevd",
    "usr/sbin/udevd",
    "sbin/nlplug-findfs",
    "usr/sbin/nlplug-findfs",
];

/// Any one of these computes the checksum of ext4, XFS and btrfs.
const CHECKSUM: &[&str] = &["crc32c_generic", "crc32c_intel"];

/// What is needed to see the volumes that come before init.
#[derive(Default)]
pub(super) struct Needed {
    /// Why it is not to be had, if it is not.
    pub(super) lacking: Option<String>,
    /// Those of the drivers that are modules.
    pub(super) modules: Vec<String>,
}

/// Why a module is not loaded, as far as that can be told.
pub(super) enum Loading {
    Never(String),
    NotKnown(String),
}

impl Image<'_> {
    /// What it needs for them, as far as that is not in the kernel.
    pub(super) fn needed(&self) -> Result<Needed> {
        let drivers = &self.guest.goal.target.platform.drivers;
        let volumes = waits::before_init(self.guest, self.generator)?;
        let mut wanted: Vec<Vec<&str>> = drivers.required.iter().map(|name| vec![*name]).collect();
        for volume in &volumes {
            let names = filesystem_drivers(volume);
            if !names.is_empty() && !wanted.contains(&names) {
                wanted.push(names);
            }
        }
        if volumes.iter().any(|volume| matches!(volume.device, Device::Logical(_))) {
            wanted.push(vec!["dm_mod"]);
        }
        let mut needed = Needed::default();
        let mut lacking = Vec::new();
        let states = self.states(&wanted.concat())?;
        let mut states = states.iter();
        for names in &wanted {
            let has = |state: &&(String, ModuleState)| {
                matches!(state.1, ModuleState::Builtin | ModuleState::InInitramfs)
            };
            let of_these: Vec<_> = states.by_ref().take(names.len()).collect();
            match of_these.into_iter().find(has) {
                Some((_, ModuleState::Builtin)) => {}
                Some((name, _)) => needed.modules.push(name.clone()),
                None => lacking.extend(names.first().map(|name| (*name).to_owned())),
            }
        }
        for module in &needed.modules {
            if self.lacks_checksum(module)? {
                lacking.push(format!("crc32c_generic, without which {module} mounts nothing"));
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
        let has = |(_, state): &(String, ModuleState)| {
            matches!(state, ModuleState::Builtin | ModuleState::InInitramfs)
        };
        Ok(asks && !self.states(CHECKSUM)?.iter().any(has))
    }

    /// Where these modules are, in their order.
    fn states(&self, names: &[&str]) -> Result<Vec<(String, ModuleState)>> {
        let tree = Modules::new(self.guest.view, &self.kernel.dir);
        let coverage =
            initramfs::missing(self.archive, &self.kernel.release, names, &tree).map_err(failed)?;
        let mut states = coverage.modules;
        for (name, state) in &mut states {
            if !matches!(state, ModuleState::InInitramfs) && self.is_built_in(name)? {
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

    /// All modules that something keeps from being loaded, and what does.
    pub(super) fn forbidden(&self) -> Result<Vec<(String, String)>> {
        let mut out = Vec::new();
        for (path, text) in modprobe_files(self.archive)? {
            out.extend(
                modprobe::forbidden(&text)
                    .into_iter()
                    .map(|(line, name)| (name, format!("its {path}:{line}"))),
            );
        }
        out.extend(forbidden_by(&self.cmdline));
        Ok(out)
    }

    /// Why one of these modules is not loaded although it is there.
    pub(super) fn not_loaded(&self, modules: &[String]) -> Result<Option<Loading>> {
        if modules.is_empty() {
            return Ok(None);
        }
        if matches!(self.generator, Generator::Unknown | Generator::Booster) {
            let why = format!(
                "it was made by {}: nobody can tell what loads {} in it",
                self.generator,
                modules.join(", ")
            );
            return Ok(Some(Loading::NotKnown(why)));
        }
        let (listed, by_alias) = (self.listed()?, self.by_alias()?);
        // File systems and the device mapper are loaded when they are mounted or opened.
        let mut by_use = vec!["dm_mod"];
        for volume in waits::before_init(self.guest, self.generator)? {
            by_use.extend(filesystem_drivers(volume));
        }
        let is_loaded = |name: &&String| {
            listed.contains(*name) || by_alias.contains(*name) || by_use.contains(&name.as_str())
        };
        let Some(name) = modules.iter().find(|name| !is_loaded(name)) else { return Ok(None) };
        let why = format!("nothing in it loads {name}");
        Ok(Some(match self.generator {
            // Its scripts name modules in more ways than are known here.
            Generator::Mkinitrd => Loading::NotKnown(why),
            _ => Loading::Never(why),
        }))
    }

    /// The modules that it is told to load.
    fn listed(&self) -> Result<BTreeSet<String>> {
        let mut out = BTreeSet::new();
        let mut add = |name: &str| {
            out.insert(name.replace('-', "_"));
        };
        let is_list = |path: &str| {
            path == "conf/modules"
                || path == "etc/modules"
                || (path.contains("modules-load.d/") && path.ends_with(".conf"))
        };
        for (_, text) in texts(self.archive, is_list)? {
            for line in text.lines() {
                let word = line.split_whitespace().next().filter(|word| !word.starts_with(['#', ';']));
                word.map(&mut add);
            }
        }
        for key in
            ["modules", "rd.driver.pre", "rd.driver.post", "modules-load", "modules_load", "rd.modules_load"]
        {
            for value in cmdline::values(&self.cmdline, key) {
                value.split(',').for_each(&mut add);
            }
        }
        for (path, text) in texts(self.archive, |path| matches!(path, "config" | "config/start.sh" | "init"))?
        {
            match path.as_str() {
                "config" => {
                    let modules = shell_assign::get(&text, "MODULES").unwrap_or_default();
                    modules.split_whitespace().for_each(&mut add);
                }
                _ if self.generator == Generator::Mkinitrd => {
                    text.split(|c: char| !(c.is_ascii_alphanumeric() || "_-".contains(c))).for_each(&mut add);
                }
                _ => {}
            }
        }
        Ok(out)
    }

    /// The modules that a device brings in by its name.
    fn by_alias(&self) -> Result<BTreeSet<String>> {
        use initramfs::kmod::alias::{Aliases, Table};
        if !UDEV.iter().any(|path| self.archive.find(path).is_some()) {
            return Ok(BTreeSet::new());
        }
        let dir = self.archive.module_dir(&self.kernel.release);
        let read =
            |name: &str| self.archive.find(&format!("{dir}/{name}")).map(|file| file.data()).transpose();
        // libkmod reads the binary index; only busybox reads the text
        let aliases = match read("modules.alias.bin").map_err(failed)? {
            Some(bytes) => Aliases::from_index(bytes, Table::Alias).map_err(failed)?,
            None => Aliases::parse(read("modules.alias").map_err(failed)?.unwrap_or_default()),
        };
        Ok(aliases.lines.into_iter().map(|(_, module)| module.replace('-', "_")).collect())
    }
}

/// The drivers of the volume's file system, any one of which will do.
pub(in crate::bootwalk) fn filesystem_drivers(volume: &Volume) -> Vec<&'static str> {
    match volume.kind {
        Some(kind @ (SignatureKind::Ext2 | SignatureKind::Ext3)) => vec![kind.name(), "ext4"],
        Some(kind) => vec![kind.name()],
        None => Vec::new(),
    }
}

/// The modules that a command line forbids, and the token that does.
pub(in crate::bootwalk) fn forbidden_by(text: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for token in cmdline::tokens(text) {
        for name in modprobe::list(token).map(|(_, names)| names).unwrap_or_default() {
            out.push((name.replace('-', "_"), format!("{token} on the command line")));
        }
    }
    out
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
