//! The menu of GRUB before version 2.

use super::{Written, in_tree};
use crate::facts::{Boot, BootEntry, CommandLine, Loader, Site};
use crate::text::menu_lst;
use crate::{Result, View, limits};

/// Where it is; the first there is counts, the others are links to it.
const PLACES: [&str; 3] = ["/boot/grub/menu.lst", "/boot/grub/grub.conf", "/boot/efi/EFI/redhat/grub.conf"];

/// Adds the entries, which are what starts where there is such a menu; answers what update-grub makes new
/// ones of.
pub(super) fn add(view: &dyn View, boot: &mut Boot) -> Result<Vec<CommandLine>> {
    let mut found = None;
    for place in PLACES {
        if found.is_none() {
            found = view.resolve(place)?;
        }
    }
    let Some(file) = found else { return Ok(Vec::new()) };
    let text = view.text(&file)?.unwrap_or_default();
    let entries = menu_lst::entries(&text);
    limits::at_most(&file, entries.len() as u64, limits::BOOT_ENTRIES as u64, "boot entries")?;
    let chosen = menu_lst::default(&text).and_then(|index| index.parse().ok()).unwrap_or(0);
    let default =
        entries.iter().find(|entry| entry.index == chosen).or(entries.first()).map(|entry| entry.index);
    boot.loader = Loader::GrubLegacy;
    for entry in &mut boot.entries {
        entry.default = false;
    }
    for entry in entries {
        let mut initrds = Vec::new();
        if let Some(initrd) = entry.initrd {
            initrds.push(in_tree(view, &None, initrd)?);
        }
        let complete = entry.cmdline.to_owned();
        let written = Written { file: &file, line: entry.line, site: Site::Kernel, text: complete.clone() };
        boot.entries.push(BootEntry {
            place: written.place(),
            title: entry.title.to_owned(),
            selector: entry.index.to_string(),
            kernel: in_tree(view, &None, entry.kernel)?,
            initrds,
            cmdline: complete.clone(),
            default: default == Some(entry.index),
        });
        boot.cmdlines.push(written.into_cmdline(Some(complete)));
    }
    let comment = |key: &'static str| {
        let (line, value) = menu_lst::comment(&text, key)?;
        let written = Written { file: &file, line, site: Site::Comment(key), text: value.to_owned() };
        Some(written.into_cmdline(None))
    };
    Ok(["kopt", "defoptions"].into_iter().filter_map(comment).collect())
}
