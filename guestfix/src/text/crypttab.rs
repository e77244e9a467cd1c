//! `/etc/crypttab`: up to four fields between blanks, the last two optional (crypttab(5)).

use super::fstab::{fields, replace, with_options};
use super::{comment_out, lines, rewrite};

/// A line that names an encrypted volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// From 1.
    pub line: usize,
    /// What the volume is called below `/dev/mapper` once it is open.
    pub name: &'a str,
    /// What is encrypted: a device, a tag or a file.
    pub device: &'a str,
    /// Where its key is: a file, a device or "none"; empty where the line does not say.
    pub key: &'a str,
    /// Options; empty where the line gives none.
    pub options: &'a str,
}

impl Entry<'_> {
    /// Whether the volume is encrypted anew at each boot, as swap may be.
    pub fn has_random_key(&self) -> bool {
        matches!(self.key, "/dev/random" | "/dev/urandom" | "/dev/hw_random")
    }
}

/// What becomes of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The device is replaced by this.
    Device(String),
    /// These options are added, where they are missing.
    AddOptions(&'static [&'static str]),
    /// The line becomes a comment that says why.
    CommentOut(&'static str),
}

/// All lines that name an encrypted volume.
pub fn entries(text: &str) -> Vec<Entry<'_>> {
    lines(text).filter_map(|line| entry(line.number, line.body)).collect()
}

/// The text with some entries changed; `None` leaves one as it is.
pub fn edit(text: &str, mut change: impl FnMut(&Entry<'_>) -> Option<Change>) -> String {
    rewrite(text, |line| {
        let entry = entry(line.number, line.body)?;
        Some(match change(&entry)? {
            Change::Device(device) => replace(line.body, entry.device, &device),
            Change::AddOptions(added) => {
                let options = with_options(entry.options, added);
                match fields(line.body).as_slice() {
                    [_, device] => replace(line.body, device, &format!("{device} none {options}")),
                    [_, _, key] => replace(line.body, key, &format!("{key} {options}")),
                    _ => replace(line.body, entry.options, &options),
                }
            }
            Change::CommentOut(why) => comment_out(line.body, why),
        })
    })
}

fn entry(line: usize, body: &str) -> Option<Entry<'_>> {
    match fields(body).as_slice() {
        [name, device, rest @ ..] if !name.starts_with('#') => {
            let field = |index: usize| rest.get(index).copied().unwrap_or_default();
            Some(Entry { line, name, device, key: field(0), options: field(1) })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    #[test]
    fn an_edit_changes_only_its_field() {
        let text = "# <name> <device>\nroot\t/dev/xvda2  none luks,discard\nswap /dev/xvdb\n";
        let names: Vec<&str> = entries(text).iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["root", "swap"]);
        let new = edit(text, |entry| (entry.line == 2).then(|| Change::Device("UUID=1".into())));
        assert_eq!(new, text.replace("/dev/xvda2", "UUID=1"));
        let new = edit(text, |_| Some(Change::AddOptions(&["nofail"])));
        assert_eq!(new, text.replace("discard", "discard,nofail").replace("xvdb", "xvdb none nofail"));
        let new = edit(text, |entry| (entry.line == 3).then_some(Change::CommentOut("gone")));
        assert_eq!(new, text.replace("swap /", "# refloat: gone: swap /"));
    }

    #[test]
    fn random_text_is_neither_changed_nor_a_problem() {
        let mut random = Random(6);
        for _ in 0..3000 {
            let text = random.text();
            assert_eq!(edit(&text, |_| None), text);
            assert_eq!(edit(&text, |entry| Some(Change::Device(entry.device.to_owned()))), text);
        }
    }
}
