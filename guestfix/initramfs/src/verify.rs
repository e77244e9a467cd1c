//! The proof, from the written bytes alone, that an initramfs can load what it was given.

use std::collections::BTreeMap;

use crate::archive::{Archive, Limits};
use crate::closure::unpack;
use crate::error::{Error, Result};
use crate::kmod::alias::{Aliases, Table};
use crate::kmod::dep::Line;
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

/// Reads an initramfs back and asserts that each of the `wanted` modules (none of them built in) can be loaded in it:
/// there is an `/init`; the tries lead from the name to the file, and from each of the module's own aliases to its
/// name; the text index agrees; every file is there and built for `kver`; and no directory took a link's place.
pub fn verify(bytes: &[u8], kver: &str, wanted: &[&str]) -> Result<Verified> {
    let archive = Archive::parse(bytes, &Limits::default())?;
    if !archive.has_init() {
        return Err(failed("init", "there is no /init"));
    }
    if let Some(path) = archive.replaced().first() {
        return Err(failed("directories", format!("a directory record takes the place of {path}")));
    }
    let directory = archive.module_dir(kver);
    let read = |name: &str| {
        let path = format!("{directory}/{name}");
        let file = archive.find(&path).ok_or_else(|| failed("files", format!("{path} is not there")))?;
        Ok::<_, Error>(file.data)
    };
    let (dep, alias) = (read("modules.dep.bin")?, read("modules.alias.bin")?);
    let dep_text = String::from_utf8_lossy(read("modules.dep")?);
    let alias_text = Aliases::parse(read("modules.alias")?);

    let mut verified = Verified { directory: directory.clone(), ..Verified::default() };
    for name in wanted.iter().map(|name| normalise(name)) {
        let values = index::lookup(dep, "modules.dep.bin", &name)?;
        let [value] = values.as_slice() else {
            return Err(failed("modules.dep.bin", format!("{name} has {} lines", values.len())));
        };
        if !dep_text.lines().any(|line| line == value) {
            return Err(failed(
                "modules.dep",
                format!("its line for {name} is not the one of modules.dep.bin"),
            ));
        }
        let line = Line::parse(value, kver)
            .ok_or_else(|| failed("modules.dep.bin", format!("{value:?} is not a line")))?;
        let mut order: Vec<String> = line.needs.iter().rev().cloned().collect();
        order.push(line.path);
        let mut aliases = Vec::new();
        for path in &order {
            let file = read(path)?;
            let unpacked = unpack(file, path)?;
            let info = Modinfo::parse(unpacked.as_deref().unwrap_or(file), path)?;
            if info.kver != kver {
                return Err(failed("vermagic", format!("{path} is for kernel {:?}", info.kver)));
            }
            aliases = info.aliases;
        }
        for own in aliases {
            let modules = index::lookup(alias, "modules.alias.bin", &Table::Alias.key(&own))?;
            if !modules.contains(&name) {
                return Err(failed("modules.alias.bin", format!("{own} does not lead to {name}")));
            }
            let key = Table::Alias.key(&own);
            if !alias_text
                .lines
                .iter()
                .any(|(other, module)| *module == name && Table::Alias.key(other) == key)
            {
                return Err(failed("modules.alias", format!("{own} does not lead to {name}")));
            }
            verified.aliases.push((own, name.clone()));
        }
        verified.order.insert(name, order);
    }
    Ok(verified)
}

fn failed(check: &'static str, why: impl Into<String>) -> Error {
    Error::Verify { check, why: why.into() }
}
