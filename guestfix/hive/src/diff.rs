//! What differs between two hives, and how that reads: as lines of a `.reg` file, gone ones with `-` and new
//! ones with `+` in front.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};

use crate::error::Result;
use crate::hive::Hive;
use crate::key::Key;
use crate::name;
use crate::value::{Kind, Value};

/// A value as it is stored: its type and its data.
pub type Stored = (Kind, Vec<u8>);

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A key that was made; what is in it follows.
    KeyMade {
        /// Its path from the root.
        path: String,
    },
    /// A key that is gone, with all that was in it.
    KeyGone {
        /// Its path from the root.
        path: String,
    },
    /// A value.
    Value {
        /// The path of its key.
        path: String,
        /// Its name.
        name: String,
        /// What it was, if it was there.
        before: Option<Stored>,
        /// What it is, if it is there.
        after: Option<Stored>,
    },
}

/// What differs between two hives, in the order of their keys.
///
/// # Errors
/// `Corrupt` if one is damaged.
pub fn diff(before: &Hive, after: &Hive) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    let mut todo = vec![(String::new(), Some(before.root()?), after.root()?)];
    while let Some((path, before, after)) = todo.pop() {
        values(&mut changes, &path, before, after)?;
        let olds = before.map_or_else(|| Ok(Vec::new()), |key| key.subkeys())?;
        let mut olds = named(olds)?;
        let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!(r"{path}\{name}") };
        let mut deeper = Vec::new();
        for new in after.subkeys()? {
            let new_name = new.name()?;
            let old = olds.remove(&name::capitals(&new_name).collect::<Vec<_>>());
            if old.is_none() {
                // Values of a new key are told when its turn comes.
                changes.push(Change::KeyMade { path: below(&new_name) });
            }
            deeper.push((below(&new_name), old, new));
        }
        for gone in olds.values() {
            changes.push(Change::KeyGone { path: below(&gone.name()?) });
        }
        todo.extend(deeper.into_iter().rev());
    }
    Ok(changes)
}

/// Keys by the capitals of their names.
fn named(keys: Vec<Key<'_>>) -> Result<BTreeMap<Vec<u16>, Key<'_>>> {
    keys.into_iter().map(|key| Ok((name::capitals(&key.name()?).collect(), key))).collect()
}

fn values(changes: &mut Vec<Change>, path: &str, before: Option<Key<'_>>, after: Key<'_>) -> Result<()> {
    let olds = before.map_or_else(|| Ok(Vec::new()), |key| key.values())?;
    let mut olds: Vec<(String, Value<'_>)> =
        olds.into_iter().map(|value| Ok((value.name()?, value))).collect::<Result<_>>()?;
    for new in after.values()? {
        let new_name = new.name()?;
        let old =
            olds.iter().position(|(name, _)| name::same(name, &new_name)).map(|at| olds.swap_remove(at).1);
        let (before, after) = (old.map(|value| stored(&value)).transpose()?, Some(stored(&new)?));
        if before != after {
            changes.push(Change::Value { path: path.to_owned(), name: new_name, before, after });
        }
    }
    for (name, gone) in olds {
        let before = Some(stored(&gone)?);
        changes.push(Change::Value { path: path.to_owned(), name, before, after: None });
    }
    Ok(())
}

fn stored(value: &Value<'_>) -> Result<Stored> {
    Ok((value.kind(), value.data()?.into_owned()))
}

/// The key that a change is of, and the mark of its line.
fn marked(change: &Change) -> (&String, &'static str) {
    match change {
        Change::KeyMade { path } => (path, "+"),
        Change::KeyGone { path } => (path, "-"),
        Change::Value { path, .. } => (path, " "),
    }
}

/// Changes as lines of a `.reg` file, below the path at which the hive is loaded, as in
/// `HKEY_LOCAL_MACHINE\SYSTEM`.
pub fn render(changes: &[Change], loaded_at: &str) -> String {
    let mut text = String::new();
    let mut section = None;
    let full =
        |path: &str| if path.is_empty() { loaded_at.to_owned() } else { format!(r"{loaded_at}\{path}") };
    // What is in a key that was made stands below it.
    let mut in_order: Vec<&Change> = changes.iter().collect();
    // A separator comes before all letters, and capitals and small letters are the same.
    let rank = |unit: u16| if unit == u16::from(b'\\') { 0 } else { unit };
    in_order.sort_by_cached_key(|change| name::capitals(marked(change).0).map(rank).collect::<Vec<u16>>());
    for change in in_order {
        let (path, mark) = marked(change);
        if section != Some(path) || mark != " " {
            let gap = if section.is_some() { "\n" } else { "" };
            let _ = writeln!(text, "{gap}{mark}[{}]", full(path));
            section = Some(path);
        }
        if let Change::Value { name, before, after, .. } = change {
            for (mark, stored) in [("-", before), ("+", after)] {
                if let Some((kind, data)) = stored {
                    let _ = writeln!(text, "{mark}{}={}", Name(name), Data(*kind, data));
                }
            }
        }
    }
    text
}

struct Name<'n>(&'n str);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("@") } else { quoted(f, self.0) }
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            f.write_char('\\')?;
        }
        f.write_char(c)?;
    }
    f.write_char('"')
}

/// Data as `.reg` files have it (Microsoft Learn, "How to add, modify, or delete registry subkeys and values
/// by using a .reg file").
struct Data<'d>(Kind, &'d [u8]);

impl Display for Data<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(kind, data) = *self;
        if kind == Kind::DWORD
            && let Ok(word) = data.try_into()
        {
            return write!(f, "dword:{:08x}", u32::from_le_bytes(word));
        }
        let text = name::utf16(data);
        if kind == Kind::SZ
            && let Some(line) = text.strip_suffix('\0')
            && !line.contains(char::is_control)
            && line.encode_utf16().flat_map(u16::to_le_bytes).chain([0, 0]).eq(data.iter().copied())
        {
            return quoted(f, line);
        }
        match kind {
            Kind::BINARY => f.write_str("hex:")?,
            Kind(other) => write!(f, "hex({other:x}):")?,
        }
        let bytes: Vec<String> = data.iter().map(|byte| format!("{byte:02x}")).collect();
        f.write_str(&bytes.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{text_data, texts_data};

    #[test]
    fn data_reads_as_in_reg_files() {
        let said = |kind, data: &[u8]| Data(kind, data).to_string();
        assert_eq!(said(Kind::DWORD, &[0x1f, 0, 0, 0]), "dword:0000001f");
        assert_eq!(said(Kind::DWORD, &[1]), "hex(4):01");
        assert_eq!(said(Kind::SZ, &text_data(r#"C:\"x""#)), r#""C:\\\"x\"""#);
        assert_eq!(said(Kind::SZ, b"a"), "hex(1):61");
        assert_eq!(said(Kind::BINARY, &[1, 255]), "hex:01,ff");
        assert_eq!(said(Kind::MULTI_SZ, &texts_data(["a"])), "hex(7):61,00,00,00,00,00");
        let value = |before, after| Change::Value { path: "a".into(), name: String::new(), before, after };
        let one = Some((Kind::DWORD, vec![1, 0, 0, 0]));
        let text =
            render(&[Change::KeyMade { path: "a".into() }, value(None, one.clone()), value(one, None)], "X");
        assert_eq!(text, "+[X\\a]\n+@=dword:00000001\n-@=dword:00000001\n");
    }
}
