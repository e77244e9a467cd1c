//! systemd-boot: a loader of UEFI whose entries are on the EFI partition, or on a /boot beside it.

use regex::Regex;

use super::bls;
use crate::facts::{Boot, Loader};
use crate::text::bls as text;
use crate::{Result, View};

/// Where the partition that has them is mounted.
const ROOTS: [&str; 3] = ["/boot/efi", "/efi", "/boot"];

/// Adds the entries. A guest may have GRUB as well: which of both starts is then for the firmware, and each
/// has a menu.
pub(super) fn add(view: &dyn View, boot: &mut Boot) -> Result<()> {
    let grub = boot.loader != Loader::None;
    let mut seen = Vec::new();
    for root in ROOTS {
        // the entries of GRUB in the RPM families are in the same place
        let taken = grub && root == "/boot";
        let Some(dir) = view.resolve(&format!("{root}/loader"))?.filter(|dir| !taken && !seen.contains(dir))
        else {
            continue;
        };
        let config = view.text(&format!("{dir}/loader.conf"))?;
        let first = boot.entries.len();
        for file in bls::files(view, &format!("{dir}/entries"))? {
            let locate = |path: &str| {
                let path = format!("{root}/{}", path.trim_start_matches('/'));
                Ok(view.resolve(&path)?.unwrap_or(path))
            };
            let Some((entry, cmdlines)) = bls::read(view, &file, str::to_owned, locate)? else { continue };
            boot.entries.push(entry);
            boot.cmdlines.extend(cmdlines);
        }
        let added = boot.entries.get_mut(first..).unwrap_or_default();
        if boot.loader == Loader::None && (config.is_some() || !added.is_empty()) {
            boot.loader = Loader::SystemdBoot;
        }
        let pattern =
            pattern(text::get(config.as_deref().unwrap_or_default(), "default").unwrap_or_default());
        let named =
            added.iter().position(|entry| pattern.as_ref().is_some_and(|it| it.is_match(&entry.selector)));
        if let Some(entry) = added.get_mut(named.unwrap_or(0)) {
            entry.default = true;
        }
        seen.push(dir);
    }
    Ok(())
}

/// The names that a glob of `loader.conf` stands for, with or without the ending of their files.
fn pattern(glob: &str) -> Option<Regex> {
    let glob = glob.trim();
    glob_of_entries(glob.strip_suffix(".conf").unwrap_or(glob), "")
}

/// What a glob of `loader.conf` fits, with what may follow as a regular expression; `None` for no glob.
pub(crate) fn glob_of_entries(glob: &str, ending: &str) -> Option<Regex> {
    let expression = regex::escape(glob).replace(r"\*", ".*").replace(r"\?", ".");
    Regex::new(&format!("^{expression}{ending}$")).ok().filter(|_| !glob.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_names_entries() {
        let fits = |glob: &str, id: &str| pattern(glob).is_some_and(|pattern| pattern.is_match(id));
        assert!(fits("debian-6.1.0-50-amd64.conf", "debian-6.1.0-50-amd64"));
        assert!(fits("debian-*", "debian-6.1.0-50-amd64") && fits("*-6.1.?-50*", "debian-6.1.0-50-amd64"));
        for (glob, id) in [("", "x"), ("@saved", "x"), ("debian-6.1", "debian-6x1"), ("a*", "ba")] {
            assert!(!fits(glob, id), "{glob} {id}");
        }
    }
}
