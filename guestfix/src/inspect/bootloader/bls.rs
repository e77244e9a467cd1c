//! Entries of the Boot Loader Specification, each a file: for GRUB's blscfg, and for systemd-boot.

use super::{Menu, Written, in_tree};
use crate::facts::{Boot, BootEntry, CommandLine, Site};
use crate::inspect::compare_versions;
use crate::rule::Place;
use crate::text::bls;
use crate::{Result, View, limits};

const DIR: &str = "/boot/loader/entries";

/// Adds the entries that GRUB shows.
pub(super) fn add(view: &dyn View, menu: &Menu, boot: &mut Boot) -> Result<()> {
    for (index, file) in files(view, DIR)?.iter().enumerate() {
        let locate = |path: &str| in_tree(view, &None, path);
        let Some((mut entry, cmdlines)) = read(view, file, |text| menu.expand(text), locate)? else {
            continue;
        };
        let default = &menu.default;
        entry.default = entry.selector == *default || entry.title == *default || default.parse() == Ok(index);
        boot.entries.push(entry);
        boot.cmdlines.extend(cmdlines);
    }
    Ok(())
}

/// The files of entries in the order of the menu: newest version first.
pub(crate) fn files(view: &dyn View, dir: &str) -> Result<Vec<String>> {
    let mut files = view.glob(dir, ".conf")?;
    limits::at_most(dir, files.len() as u64, limits::BOOT_ENTRIES as u64, "boot entries")?;
    files.sort_by(|a, b| compare_versions(b, a));
    Ok(files)
}

/// An entry, which is not said to be the default, and the command lines written in it; `None` if it starts no
/// kernel.
///
/// `expand` puts in what the loader's variables stand for, `locate` answers where a path of the boot volume
/// is in the tree.
pub(super) fn read(
    view: &dyn View,
    file: &str,
    expand: impl Fn(&str) -> String,
    locate: impl Fn(&str) -> Result<String>,
) -> Result<Option<(BootEntry, Vec<CommandLine>)>> {
    let Some(text) = view.text(file)? else { return Ok(None) };
    let Some(kernel) = bls::get(&text, "linux") else { return Ok(None) };
    let mut initrds = Vec::new();
    for path in bls::values(&text, "initrd").iter().flat_map(|(_, paths)| paths.split_whitespace()) {
        if !path.starts_with('$') {
            initrds.push(locate(path)?);
        }
    }
    let options = bls::values(&text, "options");
    let complete = expand(&options.iter().map(|(_, value)| *value).collect::<Vec<_>>().join(" "));
    let mut written = options.iter().map(|(line, value)| Written {
        file,
        line: *line,
        site: Site::Options,
        text: (*value).to_owned(),
    });
    let first = written.next();
    let id = file.rsplit('/').next().unwrap_or(file).trim_end_matches(".conf");
    let entry = BootEntry {
        place: first.as_ref().map_or_else(|| Place::file(file), Written::place),
        title: bls::get(&text, "title").unwrap_or(id).trim_end().to_owned(),
        selector: id.to_owned(),
        kernel: locate(kernel.trim_end())?,
        initrds,
        cmdline: complete.clone(),
        default: false,
    };
    let first = first.map(|written| written.into_cmdline(Some(complete)));
    let cmdlines = first.into_iter().chain(written.map(|written| written.into_cmdline(None))).collect();
    Ok(Some((entry, cmdlines)))
}
