//! What an initramfs lacks: for each wanted module, where it is.

use std::collections::BTreeMap;

use crate::archive::Archive;
use crate::closure::Root;
use crate::error::Result;
use crate::kmod::dep::{Dep, Line};
use crate::modules::{ModuleTree, normalise};

/// Where a wanted module is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModuleState {
    /// In the kernel image itself: nothing to do.
    Builtin,
    /// In the initramfs, with all it needs, and found through its indexes: nothing to do.
    InInitramfs {
        /// The modules that it needs, and those that they need.
        needs: Vec<String>,
    },
    /// Not usable from the initramfs, but there in the guest: [`inject`](crate::inject()) can add it.
    Addable {
        /// Its file, relative to `/lib/modules/<kver>`.
        path: String,
    },
    /// The guest's kernel does not have it at all.
    Absent,
}

/// The state of every wanted module, in the order of the request; names are normalised (`-` is `_`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Name and state.
    pub modules: Vec<(String, ModuleState)>,
}

impl Coverage {
    /// Names of the modules that can and should be added.
    pub fn addable(&self) -> impl Iterator<Item = &str> {
        self.named(|state| matches!(state, ModuleState::Addable { .. }))
    }

    /// Names of the modules that the kernel does not have.
    pub fn absent(&self) -> impl Iterator<Item = &str> {
        self.named(|state| *state == ModuleState::Absent)
    }

    /// Names of the modules that are modules, and there or addable: what [`verify`](crate::verify()) can be
    /// asked for after the injection.
    pub fn loadable(&self) -> impl Iterator<Item = &str> {
        self.named(|state| !matches!(state, ModuleState::Builtin | ModuleState::Absent))
    }

    fn named(&self, accept: impl Fn(&ModuleState) -> bool) -> impl Iterator<Item = &str> {
        self.modules.iter().filter(move |(_, state)| accept(state)).map(|(name, _)| name.as_str())
    }
}

/// Tells where each of the `wanted` modules of kernel `kver` is.
pub fn missing(
    archive: &Archive<'_>,
    kver: &str,
    wanted: &[&str],
    tree: &dyn ModuleTree,
) -> Result<Coverage> {
    let root = Root::open(tree, kver)?;
    let present = Present::of(archive, kver)?;
    let mut coverage = Coverage::default();
    for name in wanted.iter().map(|name| normalise(name)) {
        let state = if root.is_builtin(&name) {
            ModuleState::Builtin
        } else if let Some(needs) = present.resolved(&name, &root) {
            ModuleState::InInitramfs { needs }
        } else if let Some((path, _)) = root.file(&name)? {
            ModuleState::Addable { path }
        } else {
            ModuleState::Absent
        };
        coverage.modules.push((name, state));
    }
    Ok(coverage)
}

/// The modules an initramfs has, as its indexes have them.
pub(crate) struct Present {
    /// The module files there are: name to path below the module directory.
    files: BTreeMap<String, String>,
    /// `modules.dep` and `modules.dep.bin`, each if it is there: busybox reads the one, libkmod the other.
    indexes: Vec<BTreeMap<String, Line>>,
}

impl Present {
    pub(crate) fn of(archive: &Archive<'_>, kver: &str) -> Result<Self> {
        let directory = archive.module_dir(kver);
        let read =
            |name: &str| archive.find(&format!("{directory}/{name}")).map(|file| file.data()).transpose();
        let text = read("modules.dep")?.map(|text| Dep::parse(text, kver));
        let binary = read("modules.dep.bin")?.map(|bytes| Dep::from_index(bytes, kver)).transpose()?;
        let by_name = |dep: Dep| dep.lines.into_iter().map(|line| (normalise(&line.path), line)).collect();
        let indexes = text.into_iter().chain(binary).map(by_name).collect();
        Ok(Self { files: archive.modules(kver), indexes })
    }

    /// What a module needs, if it is there and every index finds it there.
    pub(crate) fn needs(&self, name: &str) -> Option<Vec<String>> {
        let path = self.files.get(name)?;
        let mut needs = None;
        for index in &self.indexes {
            let line = index.get(name).filter(|line| line.path == *path)?;
            needs = Some(line.needs.iter().map(|path| normalise(path)).collect());
        }
        needs
    }

    /// What a module needs, if that is all there too.
    fn resolved(&self, name: &str, root: &Root<'_>) -> Option<Vec<String>> {
        let there = |need: &String| root.is_builtin(need) || self.needs(need).is_some();
        self.needs(name).filter(|needs| needs.iter().all(there))
    }

    /// Has the initramfs a module whose file name ends with this after `.ko`?
    pub(crate) fn has_suffix(&self, suffix: &str) -> bool {
        self.files.values().any(|path| crate::closure::suffix(path) == Some(suffix))
    }

    /// The path below the module directory.
    pub(crate) fn path(&self, name: &str) -> Option<&String> {
        self.files.get(name)
    }
}
