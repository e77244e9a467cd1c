//! The proof, from the written bytes alone, that an initramfs can load what it was given.

use std::collections::{BTreeMap, BTreeSet};

use crate::archive::{Archive, Limits};
use crate::closure::unpack;
use crate::error::{Error, Result};
use crate::kmod::alias::{Aliases, Table};
use crate::kmod::dep::{Dep, Line};
use crate::kmod::index;
use crate::kmod::modinfo::Modinfo;
use crate::modules::normalise;

/// What was proven.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// The module directory in the initramfs.
    pub directory: String,
    /// For each wanted module the files in the order in which `modprobe` inserts them, below the directory.
    pub order: BTreeMap<String, Vec<String>>,
    /// The aliases of wanted modules that were looked up, each with the module it leads to.
    pub aliases: Vec<(String, String)>,
}

/// Reads an initramfs back and asserts that each of the `wanted` modules (none of them built in) can be
/// loaded in it: there is an `/init`; the indexes lead from the name to the file, and from each of the
/// module's own aliases to its name; every file is there and fits the kernel; and no directory took a link's
/// place. Both forms of the indexes are asked where both are there, as libkmod reads the binary ones and
/// busybox the text.
pub fn verify(bytes: &[u8], kver: &str, wanted: &[&str]) -> Result<Verified> {
    prove(&Archive::parse(bytes, &Limits::default())?, kver, wanted)
}

/// [`verify`] of an initramfs that was read back already.
pub fn prove(archive: &Archive<'_>, kver: &str, wanted: &[&str]) -> Result<Verified> {
    if !archive.has_init() {
        return Err(failed("init", "there is no /init"));
    }
    if let Some(path) = archive.replaced().first() {
        return Err(failed("directories", format!("a directory record takes the place of {path}")));
    }
    let indexes = Indexes::of(archive, kver)?;
    let mut verified = Verified { directory: archive.module_dir(kver), ..Verified::default() };
    for name in wanted.iter().map(|name| normalise(name)) {
        let line = indexes.dep(&name, kver)?;
        let mut order: Vec<String> = line.needs.into_iter().rev().collect();
        order.push(line.path);
        verified.order.insert(name, order);
    }
    let paths: Vec<String> =
        verified.order.values().flatten().map(|path| format!("{}/{path}", verified.directory)).collect();
    archive.load(paths.iter().map(String::as_str))?;
    for (name, order) in &verified.order {
        let mut aliases = Vec::new();
        for path in order {
            let full = format!("{}/{path}", verified.directory);
            let file =
                archive.find(&full).ok_or_else(|| failed("files", format!("{full} is not there")))?.data()?;
            let unpacked = unpack(file, path)?;
            let info = Modinfo::parse(unpacked.as_deref().unwrap_or(file), path)?;
            info.check(kver, path)?;
            aliases = info.aliases;
        }
        for alias in aliases {
            indexes.alias(&alias, name)?;
            verified.aliases.push((alias, name.clone()));
        }
    }
    Ok(verified)
}

/// The indexes as they were written.
struct Indexes<'a> {
    dep: Option<&'a [u8]>,
    dep_text: Option<Vec<Line>>,
    alias: Option<&'a [u8]>,
    /// Normalised alias and module.
    alias_text: Option<BTreeSet<(String, String)>>,
}

impl<'a> Indexes<'a> {
    fn of(archive: &'a Archive<'_>, kver: &str) -> Result<Self> {
        let directory = archive.module_dir(kver);
        let read =
            |name: &str| archive.find(&format!("{directory}/{name}")).map(|file| file.data()).transpose();
        let alias_text = read("modules.alias")?.map(|text| {
            let lines = Aliases::parse(text).lines.into_iter();
            lines.map(|(alias, module)| (Table::Alias.key(&alias), module)).collect()
        });
        let indexes = Self {
            dep: read("modules.dep.bin")?,
            dep_text: read("modules.dep")?.map(|text| Dep::parse(text, kver).lines),
            alias: read("modules.alias.bin")?,
            alias_text,
        };
        if indexes.dep.is_none() && indexes.dep_text.is_none() {
            return Err(failed("indexes", format!("{directory} has no modules.dep")));
        }
        Ok(indexes)
    }

    /// The line of a module, which every index must have.
    fn dep(&self, name: &str, kver: &str) -> Result<Line> {
        let mut found = None;
        if let Some(lines) = &self.dep_text {
            let line = lines.iter().find(|line| normalise(&line.path) == name);
            let line = line.ok_or_else(|| failed("modules.dep", format!("it has no line for {name}")))?;
            found = Some(line.clone());
        }
        if let Some(bytes) = self.dep {
            let values = index::lookup(bytes, "modules.dep.bin", name)?;
            let line = values.first().and_then(|value| Line::parse(value, kver));
            let line = line.ok_or_else(|| failed("modules.dep.bin", format!("it has no line for {name}")))?;
            if found.is_some_and(|text| text != line) {
                return Err(failed(
                    "modules.dep.bin",
                    format!("its line for {name} is not that of modules.dep"),
                ));
            }
            found = Some(line);
        }
        found.ok_or_else(|| failed("indexes", format!("none has a line for {name}")))
    }

    /// The way from an alias to its module, which every index must have.
    fn alias(&self, alias: &str, module: &str) -> Result<()> {
        let key = Table::Alias.key(alias);
        if let Some(bytes) = self.alias
            && !index::lookup(bytes, "modules.alias.bin", &key)?.iter().any(|other| other == module)
        {
            return Err(failed("modules.alias.bin", format!("{alias} does not lead to {module}")));
        }
        if let Some(text) = &self.alias_text
            && !text.contains(&(key, module.to_owned()))
        {
            return Err(failed("modules.alias", format!("{alias} does not lead to {module}")));
        }
        Ok(())
    }
}

fn failed(check: &'static str, why: impl Into<String>) -> Error {
    Error::Verify { check, why: why.into() }
}
