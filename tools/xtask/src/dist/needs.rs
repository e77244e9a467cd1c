//! What a binary asks of the system that it starts on.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::{Context, Result, bail, ensure};
use object::Endianness;
use object::elf::{DT_NEEDED, FileHeader64};
use object::read::elf::{Dyn, FileHeader};

/// The libraries of glibc, by the beginnings of their names: nothing else is on every Linux.
const LIBRARIES: &[&str] =
    &["libc.so.", "libm.so.", "libdl.so.", "librt.so.", "libpthread.so.", "libutil.so.", "ld-linux-"];

/// What the dynamic section of a binary says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Needs {
    libraries: BTreeSet<String>,
    /// The versions of symbols, as in `GLIBC_2.17`.
    versions: BTreeSet<String>,
}

impl Needs {
    /// Reads an ELF file of 64 bits.
    pub(super) fn of(file: &[u8]) -> Result<Self> {
        let header = FileHeader64::<Endianness>::parse(file).context("no ELF file of 64 bits")?;
        let endian = header.endian()?;
        let sections = header.sections(endian, file)?;
        let mut needs = Self { libraries: BTreeSet::new(), versions: BTreeSet::new() };
        if let Some((entries, strings)) = sections.dynamic(endian, file)? {
            let strings = sections.strings(endian, file, strings)?;
            for entry in entries.iter().filter(|entry| entry.tag32(endian) == Some(DT_NEEDED)) {
                needs.libraries.insert(String::from_utf8(entry.string(endian, strings)?.to_vec())?);
            }
        }
        if let Some((mut libraries, strings)) = sections.gnu_verneed(endian, file)? {
            let strings = sections.strings(endian, file, strings)?;
            while let Some((_, mut versions)) = libraries.next()? {
                while let Some(version) = versions.next()? {
                    needs.versions.insert(String::from_utf8(version.name(endian, strings)?.to_vec())?);
                }
            }
        }
        Ok(needs)
    }

    /// Insists that a system with this glibc, and nothing else, has it all.
    pub(super) fn check(&self, glibc: [u32; 2]) -> Result<()> {
        for library in &self.libraries {
            let known = LIBRARIES.iter().any(|name| library.starts_with(name));
            ensure!(known, "the binary needs {library}, which is no part of glibc");
        }
        // A binary that names none is no dynamic one, or was not read.
        ensure!(!self.versions.is_empty(), "the binary names no versions of glibc's symbols");
        for version in &self.versions {
            let [major, minor] = glibc;
            ensure!(
                number(version)? <= vec![major, minor],
                "the binary needs {version}, newer than {major}.{minor}"
            );
        }
        Ok(())
    }
}

/// The numbers of a version of glibc's symbols.
fn number(version: &str) -> Result<Vec<u32>> {
    let Some(numbers) = version.strip_prefix("GLIBC_") else { bail!("{version} is no version of glibc's") };
    numbers.split('.').map(|part| part.parse().with_context(|| version.to_owned())).collect()
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let newest = self.versions.iter().max_by_key(|version| number(version).unwrap_or_default());
        let libraries: Vec<&str> = self.libraries.iter().map(String::as_str).collect();
        write!(f, "{} ({})", newest.map_or("no glibc", String::as_str), libraries.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::Needs;

    fn needs(libraries: &[&str], versions: &[&str]) -> Needs {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Needs { libraries: set(libraries), versions: set(versions) }
    }

    #[test]
    fn what_an_old_system_lacks_is_refused() {
        let libraries = ["libc.so.6", "ld-linux-x86-64.so.2"];
        assert!(needs(&libraries, &["GLIBC_2.2.5", "GLIBC_2.17"]).check([2, 17]).is_ok());
        for versions in
            [&["GLIBC_2.18"][..], &["GLIBC_2.17.1"], &["GLIBC_3.0"], &["GLIBC_PRIVATE"], &["GCC_3.0"], &[]]
        {
            assert!(needs(&libraries, versions).check([2, 17]).is_err(), "{versions:?}");
        }
        assert!(needs(&["libgcc_s.so.1"], &["GLIBC_2.17"]).check([2, 17]).is_err());
    }

    /// This very test is a program that was linked here: it needs a glibc, and not a newer one than it runs on.
    #[test]
    fn a_program_is_read() {
        let needs = Needs::of(&std::fs::read(std::env::current_exe().unwrap()).unwrap()).unwrap();
        assert!(needs.libraries.iter().any(|name| name.starts_with("libc.so.")), "{needs}");
        assert!(needs.versions.iter().any(|name| name.starts_with("GLIBC_2.")), "{needs}");
        assert!(needs.check([2, 0]).is_err(), "{needs}");
        assert!(Needs::of(b"#!/bin/sh\n").is_err());
    }
}
