//! GRUB's modules: those built into its image, and those that it loads from below its prefix.

use std::collections::{BTreeMap, BTreeSet};

use object::{Object, ObjectSection};

use super::device::File;
use crate::{Result, View};

/// The module of each command that menus are made of, where GRUB has it built in and asks no list.
const COMMANDS: [(&str, &str); 18] = [
    ("[", "test"),
    ("blscfg", "blscfg"),
    ("configfile", "configfile"),
    ("initrd", "linux"),
    ("initrd16", "linux16"),
    ("initrdefi", "linuxefi"),
    ("linux", "linux"),
    ("linux16", "linux16"),
    ("linuxefi", "linuxefi"),
    ("load_env", "loadenv"),
    ("normal", "normal"),
    ("search", "search"),
    ("search.file", "search_fs_file"),
    ("search.fs_label", "search_label"),
    ("search.fs_uuid", "search_fs_uuid"),
    ("source", "configfile"),
    ("test", "test"),
    (".", "configfile"),
];

/// What is known of the modules that this GRUB can have.
#[derive(Debug, Default)]
pub(super) struct Modules {
    built_in: BTreeSet<String>,
    /// Those that `insmod` was told to load.
    inserted: BTreeSet<String>,
    /// What became of those that were asked for: why one cannot be had, if it cannot.
    asked: BTreeMap<String, Result<(), String>>,
    /// Those that come from files.
    loaded: Vec<String>,
    /// What its `command.lst` says, once it was read.
    commands: Option<BTreeMap<String, String>>,
}

impl Modules {
    pub(super) fn new(built_in: &[String]) -> Self {
        Self { built_in: built_in.iter().cloned().collect(), ..Self::default() }
    }

    /// Whether it is in GRUB's image.
    pub(super) fn is_built_in(&self, name: &str) -> bool {
        self.built_in.contains(name)
    }

    /// A module is asked for by its name.
    pub(super) fn insert(&mut self, name: &str) {
        self.inserted.insert(name.to_owned());
    }

    /// Those that were loaded from files, in this order.
    pub(super) fn loaded(&self) -> &[String] {
        &self.loaded
    }

    /// What was read of files counts no more: the prefix has changed.
    pub(super) fn forget(&mut self) {
        self.asked.clear();
        self.loaded.clear();
        self.commands = None;
    }

    /// Whether a command can be had, from its module below `dir`; else the inner error says why not.
    ///
    /// # Errors
    /// If the guest cannot be read.
    pub(super) fn command(
        &mut self,
        view: &dyn View,
        dir: &File,
        command: &str,
    ) -> Result<Result<(), String>> {
        let known = of_command(command);
        // Red Hat's GRUB has linuxefi within linux
        let built_in = known
            .filter(|module| self.is_built_in(module) || *module == "linuxefi" && self.is_built_in("linux"));
        if built_in.is_some() {
            return Ok(Ok(()));
        }
        if let Some(module) = known.filter(|module| self.inserted.contains(*module)) {
            return self.load(view, dir, module);
        }
        let File::At(folder) = dir else {
            return Ok(Err(format!("{} is not built in", known.unwrap_or(command))));
        };
        if self.commands.is_none() {
            let text = view.text(&format!("{folder}/command.lst"))?;
            let text = text.unwrap_or_default();
            let pairs = text.lines().filter_map(|line| line.trim_start_matches('*').split_once(':'));
            self.commands =
                Some(pairs.map(|(name, module)| (name.to_owned(), module.trim().to_owned())).collect());
        }
        let module = self.commands.as_ref().and_then(|commands| commands.get(command)).cloned();
        match module {
            Some(module) => self.load(view, dir, &module),
            None => Ok(Err(format!("{folder}/command.lst does not name the command {command}"))),
        }
    }

    /// Whether a module can be had, with all that it needs; else the inner error says why not.
    ///
    /// # Errors
    /// If the guest cannot be read.
    pub(super) fn load(&mut self, view: &dyn View, dir: &File, name: &str) -> Result<Result<(), String>> {
        if self.is_built_in(name) {
            return Ok(Ok(()));
        }
        if let Some(known) = self.asked.get(name) {
            return Ok(known.clone());
        }
        // A module that needs itself is there if its file is.
        self.asked.insert(name.to_owned(), Ok(()));
        let found = self.load_file(view, dir, name)?;
        self.asked.insert(name.to_owned(), found.clone());
        Ok(found)
    }

    fn load_file(&mut self, view: &dyn View, dir: &File, name: &str) -> Result<Result<(), String>> {
        let folder = match dir {
            File::At(folder) => folder,
            File::Absent(folder) => return Ok(Err(format!("there is no {folder}/{name}.mod"))),
            File::NoDevice(device) => return Ok(Err(format!("{name}.mod is looked for on {device}"))),
            File::Unseen(why) => return Ok(Err(why.clone())),
        };
        let file = format!("{folder}/{name}.mod");
        let Some(content) = view.read(&file)? else { return Ok(Err(format!("there is no {file}"))) };
        let Some(needs) = needs(&content) else { return Ok(Err(format!("{file} is no whole module"))) };
        for needed in needs {
            if let Err(why) = self.load(view, dir, &needed)? {
                return Ok(Err(why));
            }
        }
        self.loaded.push(name.to_owned());
        Ok(Ok(()))
    }
}

/// The module of a command that menus are made of.
pub(super) fn of_command(command: &str) -> Option<&'static str> {
    COMMANDS.iter().find(|(known, _)| *known == command).map(|(_, module)| *module)
}

/// The modules that this one needs; `None` if it is no object file, or not all of one.
fn needs(module: &[u8]) -> Option<Vec<String>> {
    let file = object::File::parse(module).ok()?;
    file.section_by_name(".modname")?.data().ok()?;
    let needs = match file.section_by_name(".moddeps") {
        Some(section) => section.data().ok()?,
        None => &[],
    };
    let names = needs.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Some(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_modules_say_what_they_need() {
        if testimages::loader::grub().is_none() {
            return;
        }
        let read = |name: &str| std::fs::read(format!("{}/{name}.mod", testimages::loader::GRUB)).unwrap();
        let linux = read("linux");
        let found = needs(&linux).unwrap();
        assert!(
            found.iter().any(|name| name == "boot") && found.iter().any(|name| name == "video"),
            "{found:?}"
        );
        assert!(needs(&linux[..linux.len() - 1]).is_none() && needs(&linux[..64]).is_none());
        assert!(needs(&[]).is_none());
    }
}
