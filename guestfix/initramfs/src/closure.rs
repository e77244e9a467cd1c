//! The guest's own modules: where each is, what it needs, and all that must come along with it.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::codec::Codec;
use crate::error::{Error, Result};
use crate::kmod::alias::Aliases;
use crate::kmod::dep::{Dep, Line};
use crate::kmod::modinfo::Modinfo;
use crate::modules::{ModuleTree, normalise};

/// The largest module, unpacked, that is taken: twice that of the largest known (`nouveau`, `amdgpu` with
/// symbols).
const MAX_MODULE: u64 = 256 << 20;

/// The longest chain of modules that need each other; real ones are shorter than 20.
const MAX_DEPTH: usize = 100;

/// Is this the path of a module file, compressed or not?
pub(crate) fn is_module(path: &str) -> bool {
    suffix(path).is_some()
}

/// What follows `.ko` in a module's path: nothing, or `.xz` and the like.
pub(crate) fn suffix(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let (_, suffix) = name.rsplit_once(".ko")?;
    matches!(suffix, "" | ".gz" | ".xz" | ".zst" | ".bz2").then_some(suffix)
}

/// A module of the guest's.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) name: String,
    /// Relative to `/lib/modules/<kver>`.
    pub(crate) path: String,
    /// The file as it is.
    pub(crate) file: Vec<u8>,
    /// The file unpacked, if it is compressed.
    pub(crate) unpacked: Option<Vec<u8>>,
    pub(crate) info: Modinfo,
    /// Names of the modules it needs, those needed last first, as in `modules.dep`.
    pub(crate) needs: Vec<String>,
}

/// The guest's module directory with its indexes read.
pub(crate) struct Root<'a> {
    tree: &'a dyn ModuleTree,
    kver: &'a str,
    dep: BTreeMap<String, Line>,
    builtin: BTreeSet<String>,
    listed: OnceCell<BTreeMap<String, String>>,
    aliases: OnceCell<BTreeMap<String, Vec<String>>>,
}

impl<'a> Root<'a> {
    pub(crate) fn open(tree: &'a dyn ModuleTree, kver: &'a str) -> Result<Self> {
        let dep = Dep::parse(&tree.read("modules.dep")?.unwrap_or_default(), kver);
        let dep = dep.lines.into_iter().map(|line| (normalise(&line.path), line)).collect();
        let builtin = tree.read("modules.builtin")?.unwrap_or_default();
        let builtin = String::from_utf8_lossy(&builtin).lines().map(normalise).collect();
        Ok(Self { tree, kver, dep, builtin, listed: OnceCell::new(), aliases: OnceCell::new() })
    }

    pub(crate) fn is_builtin(&self, name: &str) -> bool {
        self.builtin.contains(name)
    }

    /// The path and content of a module's file: from `modules.dep`, or by looking through the directory if
    /// that is missing or stale.
    pub(crate) fn file(&self, name: &str) -> Result<Option<(String, Vec<u8>)>> {
        if let Some(line) = self.dep.get(name)
            && let Some(file) = self.tree.read(&line.path)?
        {
            return Ok(Some((line.path.clone(), file)));
        }
        let listed = match self.listed.get() {
            Some(listed) => listed,
            None => {
                let modules = self.tree.list()?.into_iter().filter(|path| is_module(path));
                self.listed.get_or_init(|| modules.map(|path| (normalise(&path), path)).collect())
            }
        };
        let Some(path) = listed.get(name) else { return Ok(None) };
        Ok(self.tree.read(path)?.map(|file| (path.clone(), file)))
    }

    /// A module, read and checked to be one of this kernel.
    fn module(&self, name: &str) -> Result<Option<Module>> {
        let Some((path, file)) = self.file(name)? else { return Ok(None) };
        let unpacked = unpack(&file, &path)?;
        let info = Modinfo::parse(unpacked.as_deref().unwrap_or(&file), &path)?;
        info.check(self.kver, &path)?;
        let line = self.dep.get(name).filter(|line| line.path == path);
        let needs = line.map(|line| line.needs.iter().map(|path| normalise(path)).collect());
        let needs = needs.unwrap_or_else(|| info.depends.clone());
        Ok(Some(Module { name: name.to_owned(), path, file, unpacked, info, needs }))
    }

    /// The modules to add so that all of `wanted` load, those needed before those that need them. `there`
    /// tells of a module the initramfs already has what it needs. Wanted modules that do not exist are
    /// left out; the soft dependencies of what is added come along where they exist.
    pub(crate) fn closure(
        &self,
        wanted: impl Iterator<Item = String>,
        there: impl Fn(&str) -> Option<Vec<String>>,
    ) -> Result<Vec<Module>> {
        let mut closure = Closure { root: self, there, seen: BTreeSet::new(), modules: Vec::new(), depth: 0 };
        for name in wanted {
            closure.add(&name, None)?;
        }
        Ok(closure.modules)
    }

    /// The modules that a name in a soft dependency stands for: a module, or those that have it as an alias.
    fn soft(&self, name: &str) -> Result<Vec<String>> {
        let module = normalise(name);
        if self.dep.contains_key(&module) {
            return Ok(vec![module]);
        }
        let aliases = match self.aliases.get() {
            Some(aliases) => aliases,
            None => {
                let text = self.tree.read("modules.alias")?.unwrap_or_default();
                let mut modules: BTreeMap<String, Vec<String>> = BTreeMap::new();
                for (alias, module) in Aliases::parse(&text).lines {
                    modules.entry(alias).or_default().push(module);
                }
                self.aliases.get_or_init(|| modules)
            }
        };
        Ok(aliases.get(name).cloned().unwrap_or_default())
    }
}

/// The depth-first walk over what modules need.
struct Closure<'a, F> {
    root: &'a Root<'a>,
    there: F,
    seen: BTreeSet<String>,
    modules: Vec<Module>,
    depth: usize,
}

impl<F: Fn(&str) -> Option<Vec<String>>> Closure<'_, F> {
    /// Adds a module and all it needs. `needed_by` makes its absence an error. Each name is seen once, so
    /// cycles end.
    fn add(&mut self, name: &str, needed_by: Option<&str>) -> Result<()> {
        if self.root.is_builtin(name) || !self.seen.insert(name.to_owned()) {
            return Ok(());
        }
        self.depth = self.depth.saturating_add(1);
        let added = self.add_unseen(name, needed_by);
        self.depth = self.depth.saturating_sub(1);
        added
    }

    fn add_unseen(&mut self, name: &str, needed_by: Option<&str>) -> Result<()> {
        if self.depth > MAX_DEPTH {
            return Err(Error::Module {
                path: name.to_owned(),
                why: "modules need each other in too long a chain".into(),
            });
        }
        if let Some(needs) = (self.there)(name) {
            return needs.iter().try_for_each(|need| self.add(need, Some(name)));
        }
        let Some(mut module) = self.root.module(name)? else {
            return match needed_by {
                None => Ok(()),
                Some(by) => Err(Error::Module {
                    path: by.to_owned(),
                    why: format!("it needs {name}, which the kernel does not have"),
                }),
            };
        };
        for need in &module.needs {
            self.add(need, Some(name))?;
        }
        module.needs = self.all_needs(&module.needs);
        let words = module.info.softdeps.iter().flat_map(|line| line.split_whitespace());
        for soft in words.filter(|word| !word.ends_with(':')) {
            for name in self.root.soft(soft)? {
                self.add(&name, None)?;
            }
        }
        self.modules.push(module);
        Ok(())
    }

    /// What the `direct`ly needed modules need in turn, and they themselves; those needed last first. A line
    /// of `modules.dep` has it all already; the modules' own word names the direct ones only.
    fn all_needs(&self, direct: &[String]) -> Vec<String> {
        let mut order: Vec<String> = Vec::new();
        for need in direct.iter().rev() {
            let added = self.modules.iter().find(|module| module.name == *need);
            let below =
                added.map(|module| module.needs.clone()).or_else(|| (self.there)(need)).unwrap_or_default();
            for name in below.into_iter().rev().chain([need.clone()]) {
                if !self.root.is_builtin(&name) && !order.contains(&name) {
                    order.push(name);
                }
            }
        }
        order.reverse();
        order
    }
}

/// The content of a compressed module file; `None` if it is not compressed. The magic decides, not the name.
pub(crate) fn unpack(file: &[u8], path: &str) -> Result<Option<Vec<u8>>> {
    Codec::detect(file)
        .map(|codec| Ok(codec.decompress(file, MAX_MODULE, &format!("module {path}"))?.0))
        .transpose()
}
