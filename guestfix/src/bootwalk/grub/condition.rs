//! The conditions of scripts: `[ ... ]`.

use super::device::File;
use crate::{Result, View};

/// What a command or a condition comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Status {
    Yes,
    No,
    /// Nobody can tell, and why.
    Unsure(String),
}

impl Status {
    pub(super) fn of(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }

    pub(super) fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            unsure => unsure,
        }
    }

    /// Both, if `all`, else one of both.
    fn join(self, other: Self, all: bool) -> Self {
        let decides = if all { Self::No } else { Self::Yes };
        match (self, other) {
            (one, other) if one == decides || other == decides => decides,
            (Self::Unsure(why), _) | (_, Self::Unsure(why)) => Self::Unsure(why),
            (one, _) => one,
        }
    }
}

/// Whether the words between `[` and `]` hold; `file` says where a path leads.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn holds(view: &dyn View, words: &[&str], file: &dyn Fn(&str) -> Result<File>) -> Result<Status> {
    for (word, all) in [("-o", false), ("-a", true)] {
        // not the first: that is an operator's argument
        if let Some(at) = words.iter().skip(1).position(|known| *known == word).map(|at| at.saturating_add(1))
        {
            let (left, right) = (words.get(..at).unwrap_or_default(), words.get(at..).unwrap_or_default());
            let left = holds(view, left, file)?;
            return Ok(left.join(holds(view, right.get(1..).unwrap_or_default(), file)?, all));
        }
    }
    Ok(match words {
        [] => Status::No,
        ["!", rest @ ..] if !rest.is_empty() => holds(view, rest, file)?.not(),
        ["(", inner @ .., ")"] => holds(view, inner, file)?,
        [one] => Status::of(!one.is_empty()),
        ["-n", text] => Status::of(!text.is_empty()),
        ["-z", text] => Status::of(text.is_empty()),
        [test @ ("-e" | "-f" | "-s" | "-d"), path] => on_file(view, test, &file(path)?)?,
        [left, "=" | "==", right] => Status::of(left == right),
        [left, "!=", right] => Status::of(left != right),
        [left, "<", right] => Status::of(left < right),
        [left, ">", right] => Status::of(left > right),
        [left, operator, right] => numbers(left, operator, right),
        _ => Status::Unsure(format!("[ {} ] is not understood", words.join(" "))),
    })
}

fn on_file(view: &dyn View, test: &str, file: &File) -> Result<Status> {
    let path = match file {
        File::At(path) => path,
        File::Absent(_) | File::NoDevice(_) => return Ok(Status::No),
        File::Unseen(why) => return Ok(Status::Unsure(why.clone())),
    };
    let Some(metadata) = view.stat(path)? else { return Ok(Status::No) };
    let is_folder = metadata.file_type == libdisk::vfs::FileType::Directory;
    Ok(Status::of(match test {
        "-d" => is_folder,
        "-f" => !is_folder,
        "-s" => metadata.size > 0,
        _ => true,
    }))
}

fn numbers(left: &str, operator: &str, right: &str) -> Status {
    let pair = left.parse::<i64>().ok().zip(right.parse::<i64>().ok());
    match (operator, pair) {
        ("-eq", Some((left, right))) => Status::of(left == right),
        ("-ne", Some((left, right))) => Status::of(left != right),
        ("-lt", Some((left, right))) => Status::of(left < right),
        ("-le", Some((left, right))) => Status::of(left <= right),
        ("-gt", Some((left, right))) => Status::of(left > right),
        ("-ge", Some((left, right))) => Status::of(left >= right),
        ("-eq" | "-ne" | "-lt" | "-le" | "-gt" | "-ge", None) => {
            Status::Unsure(format!("{left} {operator} {right} does not compare numbers"))
        }
        _ => Status::Unsure(format!("[ {left} {operator} {right} ] is not understood")),
    }
}

#[cfg(test)]
mod tests {
    use libdisk::vfs::MemoryFs;

    use super::*;
    use crate::facts::Machine;
    use crate::tree::Tree;

    #[test]
    fn conditions_hold_as_in_grub() {
        let fs = MemoryFs::from_entries([("/boot/full", "x"), ("/boot/empty", "")]);
        let tree = Tree::from_filesystems(vec![("/".into(), Box::new(fs))], Machine::default());
        let file = |path: &str| {
            Ok(match tree.resolve(path)? {
                Some(path) => File::At(path),
                None if path.starts_with("/far") => File::Unseen("not mounted".into()),
                None => File::Absent(path.into()),
            })
        };
        let holds = |text: &str| {
            let words: Vec<&str> = text.split(' ').map(|word| if word == "''" { "" } else { word }).collect();
            holds(&tree, &words, &file).unwrap()
        };
        for yes in [
            "a = a",
            "a == a",
            "a != b",
            "x",
            "-n x",
            "-z ''",
            "! ''",
            "! -e /boot/none",
            "-s /boot/full",
            "-f /boot/empty",
            "-d /boot",
            "-e /boot/full -a 1 -lt 2",
            "'' -o x",
            "( x )",
            "10 -gt 9",
            "-z x -o -e /boot",
            "-e /far -o x",
        ] {
            assert_eq!(holds(yes), Status::Yes, "{yes}");
        }
        for no in [
            "a = b",
            "''",
            "-s /boot/empty",
            "-f /boot",
            "-e /boot/none",
            "x -a ''",
            "= 0 -a ''",
            "-e /far -a ''",
        ] {
            assert_eq!(holds(no), Status::No, "{no}");
        }
        for unsure in ["-e /far", "! -e /far", "a -lt 2", "a ~ b", "a b c d", "-e /far -a x"] {
            assert!(matches!(holds(unsure), Status::Unsure(_)), "{unsure}");
        }
    }
}
