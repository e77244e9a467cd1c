//! The text of a .reg file, which `hivexregedit` merges into a hive.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What goes into one hive: keys by path without the hive's own name, each with its values by name. A value's
/// text is what stands behind the `=` of a .reg file.
#[derive(Clone, Debug, Default)]
pub(super) struct Reg {
    keys: BTreeMap<String, BTreeMap<String, String>>,
}

/// UTF-16 in little-endian order, with a zero at the end.
fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

fn hex(kind: u32, bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("hex({kind:x}):{}", bytes.join(","))
}

impl Reg {
    /// A key, and those above it.
    pub(super) fn key(&mut self, path: &str) -> &mut Self {
        for (at, _) in path.match_indices('\\') {
            self.keys.entry(path[..at].to_owned()).or_default();
        }
        self.keys.entry(path.to_owned()).or_default();
        self
    }

    fn value(&mut self, path: &str, name: &str, text: String) -> &mut Self {
        self.key(path).keys.entry(path.to_owned()).or_default().insert(name.to_owned(), text);
        self
    }

    /// A REG_DWORD.
    pub(super) fn dword(&mut self, path: &str, name: &str, value: u32) -> &mut Self {
        self.value(path, name, format!("dword:{value:08x}"))
    }

    /// A REG_SZ.
    pub(super) fn text(&mut self, path: &str, name: &str, text: &str) -> &mut Self {
        self.value(path, name, hex(1, &utf16(text)))
    }

    /// A REG_EXPAND_SZ.
    pub(super) fn expand(&mut self, path: &str, name: &str, text: &str) -> &mut Self {
        self.value(path, name, hex(2, &utf16(text)))
    }

    /// A REG_MULTI_SZ.
    pub(super) fn texts(&mut self, path: &str, name: &str, texts: &[&str]) -> &mut Self {
        let mut bytes: Vec<u8> = texts.iter().flat_map(|text| utf16(text)).collect();
        bytes.extend([0, 0]);
        self.value(path, name, hex(7, &bytes))
    }

    /// A REG_BINARY.
    pub(super) fn binary(&mut self, path: &str, name: &str, bytes: &[u8]) -> &mut Self {
        self.value(path, name, hex(3, bytes))
    }

    /// Copies all below `from` to below `to`, as the control sets of a system are alike.
    pub(super) fn copy(&mut self, from: &str, to: &str) {
        let below = format!("{from}\\");
        let copies: Vec<_> = self
            .keys
            .iter()
            .filter(|(path, _)| *path == from || path.starts_with(&below))
            .map(|(path, values)| (format!("{to}{}", &path[from.len()..]), values.clone()))
            .collect();
        self.keys.extend(copies);
    }

    /// The file, its keys below [`ROOT`], a key before those in it.
    pub(super) fn render(&self) -> String {
        let mut out = "Windows Registry Editor Version 5.00\n".to_owned();
        for (path, values) in &self.keys {
            // Into a String it does not fail.
            let _ = writeln!(out, "\n[{ROOT}\\{path}]");
            for (name, value) in values {
                let _ = match name.as_str() {
                    "" => writeln!(out, "@={value}"),
                    name => writeln!(out, "\"{}\"={value}", name.replace('\\', "\\\\").replace('"', "\\\"")),
                };
            }
        }
        out
    }
}

/// What the root of a hive is called in the text.
pub(super) const ROOT: &str = "HKEY_LOCAL_MACHINE\\HIVE";
