//! What loads the drivers of an initramfs: a list, the daemon that knows devices, or a mount; and what keeps them
//! from being loaded (modprobe(8), modprobe.d(5), dracut.cmdline(7), initramfs-tools(7), systemd-modules-load(8)).

use std::collections::BTreeSet;
use std::iter::once;

use initramfs::kmod::alias::{Aliases, Table};
use initramfs::{Generator, ModuleState};

use super::drivers::{Module, filesystem_drivers};
use super::{Image, failed, modprobe_files, texts};
use crate::Result;
use crate::text::modprobe::Ban;
use crate::text::{cmdline, modprobe, shell_assign};

/// Where an initramfs has the daemon that loads the driver of each device.
const UDEV: &[&str] = &[
    "lib/systemd/systemd-udevd",
    "usr/lib/systemd/systemd-udevd",
    "sbin/udevd",
    "usr/sbin/udevd",
    "sbin/nlplug-findfs",
    "usr/sbin/nlplug-findfs",
];
/// By these dracut loads modules by their names.
const OF_DRACUT: &[&str] = &["rd.driver.pre", "rd.driver.post", "rdloaddriver", "rdinsmodpost"];
/// By these systemd does.
const OF_SYSTEMD: &[&str] = &["modules-load", "modules_load", "rd.modules-load", "rd.modules_load"];

/// Why a module is not loaded, as far as that can be told.
pub(super) enum Loading {
    Never(String),
    NotKnown(String),
}

/// What keeps a module from being loaded.
pub(in crate::bootwalk) struct Forbidden {
    pub(in crate::bootwalk) module: String,
    /// The token or the line.
    pub(in crate::bootwalk) place: String,
    ban: Ban,
}

impl Image<'_> {
    /// Why one of these modules is not loaded although it is there.
    pub(super) fn not_loaded(&self, modules: &[Module]) -> Result<Option<Loading>> {
        if modules.is_empty() {
            return Ok(None);
        }
        let forbidden = self.forbidden()?;
        let banned = |name: &str, ban: Ban| {
            let found = forbidden.iter().find(|one| one.module == name && one.ban == ban)?;
            Some(Loading::Never(format!("{} keeps {name} from being loaded", found.place)))
        };
        let with_needs = modules.iter().flat_map(|module| once(&module.name).chain(&module.needs));
        if let Some(never) = with_needs.into_iter().find_map(|name| banned(name, Ban::Always)) {
            return Ok(Some(never));
        }
        if matches!(self.generator, Generator::Unknown | Generator::Booster) {
            let names: Vec<&str> = modules.iter().map(|module| module.name.as_str()).collect();
            let why = format!(
                "it was made by {}: nobody can tell what loads {} in it",
                self.generator,
                names.join(", ")
            );
            return Ok(Some(Loading::NotKnown(why)));
        }
        let (named, listed, by_alias) = (self.named()?, self.listed()?, self.by_alias()?);
        // File systems and the device mapper are loaded when they are mounted or opened.
        let mut by_use = vec!["dm_mod"];
        for volume in &self.volumes {
            by_use.extend(filesystem_drivers(volume));
        }
        for Module { name, .. } in modules {
            if named.contains(name) {
                continue;
            }
            let ban = banned(name, Ban::Asked);
            let is_asked_for =
                listed.contains(name) || by_alias.contains(name) || by_use.contains(&name.as_str());
            if is_asked_for && ban.is_none() {
                continue;
            }
            let may_load = |one: &&String| named.contains(*one) || banned(one, Ban::Asked).is_none();
            if self.is_needed_by(name, named.union(&listed).filter(may_load))? {
                continue;
            }
            let nothing = || {
                let why = format!("nothing in it loads {name}");
                match self.generator {
                    // Its scripts name modules in more ways than are known here.
                    Generator::Mkinitrd => Loading::NotKnown(why),
                    _ => Loading::Never(why),
                }
            };
            return Ok(Some(ban.unwrap_or_else(nothing)));
        }
        Ok(None)
    }

    /// Whether one of these brings the module in with it.
    fn is_needed_by<'a>(&self, name: &str, others: impl Iterator<Item = &'a String>) -> Result<bool> {
        let there = self.archive.modules(&self.kernel.release);
        let others: Vec<&str> =
            others.filter(|other| there.contains_key(*other)).map(String::as_str).collect();
        Ok(self.states(&others)?.into_iter().any(|(_, state)| match state {
            ModuleState::InInitramfs { needs } => needs.iter().any(|needed| needed == name),
            _ => false,
        }))
    }

    /// All modules that something keeps from being loaded.
    fn forbidden(&self) -> Result<Vec<Forbidden>> {
        let mut out = Vec::new();
        for (path, text) in modprobe_files(self.archive)? {
            let of = |(line, module, ban)| Forbidden { module, place: format!("its {path}:{line}"), ban };
            out.extend(modprobe::forbidden(&text).into_iter().map(of));
        }
        let is_read = |key: &str| match key {
            "rd.driver.blacklist" | "rdblacklist" => self.generator == Generator::Dracut,
            "blacklist" => matches!(self.generator, Generator::InitramfsTools | Generator::Mkinitfs),
            _ => true,
        };
        out.extend(forbidden_by(&self.cmdline, is_read));
        Ok(out)
    }

    /// The modules that are loaded by their names, whatever `blacklist` says.
    fn named(&self) -> Result<BTreeSet<String>> {
        let mut out = BTreeSet::new();
        match self.generator {
            Generator::Dracut => {
                out = self.on_cmdline(OF_DRACUT);
                let is_hook = |path: &str| path.contains("/pre-udev/") && path.ends_with("dm-pre-udev.sh");
                out.extend((!texts(self.archive, is_hook)?.is_empty()).then(|| "dm_mod".to_owned()));
            }
            Generator::Mkinitfs => out = self.on_cmdline(&["modules", "rootfstype"]),
            _ => {}
        }
        Ok(out)
    }

    /// The modules of lists that heed `blacklist`: initramfs-tools and mkinitcpio call `modprobe -b`, and so
    /// does systemd in its way.
    fn listed(&self) -> Result<BTreeSet<String>> {
        let mut out = match self.generator {
            Generator::Dracut | Generator::Mkinitcpio => self.on_cmdline(OF_SYSTEMD),
            _ => BTreeSet::new(),
        };
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

    /// The modules in the lists of the command line with these keys.
    fn on_cmdline(&self, keys: &[&str]) -> BTreeSet<String> {
        let values = keys.iter().flat_map(|key| cmdline::values(&self.cmdline, key));
        values.flat_map(|value| value.split(',')).map(|name| name.replace('-', "_")).collect()
    }

    /// The modules that a device brings in by its name.
    fn by_alias(&self) -> Result<BTreeSet<String>> {
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

/// The modules that the lists of a command line forbid whose keys somebody reads.
pub(in crate::bootwalk) fn forbidden_by(text: &str, is_read: impl Fn(&str) -> bool) -> Vec<Forbidden> {
    let mut out = Vec::new();
    for token in cmdline::tokens(text) {
        let Some((key, names)) = modprobe::list(token).filter(|(key, _)| is_read(key)) else { continue };
        let ban = modprobe::ban(key);
        out.extend(names.into_iter().map(|name| Forbidden {
            module: name.replace('-', "_"),
            place: format!("{token} on the command line"),
            ban,
        }));
    }
    out
}
