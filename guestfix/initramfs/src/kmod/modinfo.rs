//! What a module says of itself: the `.modinfo` section (NUL-terminated `key=value` strings) and its exported
//! symbols.

use std::collections::BTreeSet;

use object::{Object, ObjectSection, ObjectSymbol};

use crate::error::{Error, Result};

/// What a module file says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Modinfo {
    /// The release of the kernel it was built for: the first word of `vermagic`.
    pub kver: String,
    /// Whether its symbols carry checksums (`modversions` in `vermagic`).
    pub modversions: bool,
    /// `alias=`, in order.
    pub aliases: Vec<String>,
    /// `depends=`: names of the modules it needs directly.
    pub depends: Vec<String>,
    /// `softdep=`: `pre: a b post: c`.
    pub softdeps: Vec<String>,
    /// The names of the symbols it exports.
    pub symbols: BTreeSet<String>,
}

impl Modinfo {
    /// Refuses a module, of this path below `/lib/modules/<kver>`, that the kernel would refuse. With symbol
    /// checksums it may be one of another release, which is what Red Hat's `weak-updates` directory is
    /// for.
    pub(crate) fn check(&self, kver: &str, path: &str) -> Result<()> {
        if self.kver == kver || self.modversions && path.starts_with("weak-updates/") {
            return Ok(());
        }
        let why = format!("it is for kernel {:?}, not {kver:?}", self.kver);
        Err(Error::Module { path: path.to_owned(), why })
    }

    /// Reads an uncompressed module. `path` is for errors.
    pub fn parse(module: &[u8], path: &str) -> Result<Self> {
        let bad = |why: String| Error::Module { path: path.to_owned(), why };
        let elf =
            object::File::parse(module).map_err(|error| bad(format!("it is not an ELF file: {error}")))?;
        let section =
            elf.section_by_name(".modinfo").ok_or_else(|| bad("it has no .modinfo section".into()))?;
        let data = section.data().map_err(|error| bad(format!("its .modinfo section: {error}")))?;
        let mut info = Self::default();
        for field in data.split(|byte| *byte == 0) {
            let field = String::from_utf8_lossy(field);
            let Some((key, value)) = field.split_once('=') else { continue };
            match key {
                "vermagic" => {
                    info.kver = value.split(' ').next().unwrap_or_default().to_owned();
                    info.modversions = value.split(' ').any(|word| word == "modversions");
                }
                "alias" => info.aliases.push(value.to_owned()),
                "depends" => {
                    let names = value.split(',').filter(|name| !name.is_empty());
                    info.depends.extend(names.map(|name| name.replace('-', "_")));
                }
                "softdep" => info.softdeps.push(value.to_owned()),
                _ => {}
            }
        }
        for symbol in elf.symbols() {
            // With module versions there is a `__crc_` symbol to each, and always a `__ksymtab_` one.
            let name = symbol.name().unwrap_or_default();
            let exported = name.strip_prefix("__crc_").or_else(|| name.strip_prefix("__ksymtab_"));
            info.symbols.extend(exported.map(str::to_owned));
        }
        Ok(info)
    }
}
