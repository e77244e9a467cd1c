//! The menu of Syslinux's extlinux, as Alpine has it.

use super::{Written, in_tree};
use crate::facts::{Boot, BootEntry, CommandLine, Loader, Site};
use crate::text::{extlinux, lines, shell_assign};
use crate::{Result, View, limits};

/// Where it is; the first there is counts.
const PLACES: [&str; 2] = ["/boot/extlinux.conf", "/boot/extlinux/extlinux.conf"];
/// What Alpine's update-extlinux makes the entries of.
const DEFAULTS: &str = "/etc/update-extlinux.conf";
const OPTIONS: &str = "default_kernel_opts";

/// Adds the entries; answers what update-extlinux makes new ones of.
pub(super) fn add(view: &dyn View, boot: &mut Boot) -> Result<Vec<CommandLine>> {
    let mut found = None;
    for place in PLACES {
        if found.is_none() {
            found = view.resolve(place)?;
        }
    }
    let Some(file) = found else { return Ok(Vec::new()) };
    let text = view.text(&file)?.unwrap_or_default();
    let entries = extlinux::entries(&text);
    limits::at_most(&file, entries.len() as u64, limits::BOOT_ENTRIES as u64, "boot entries")?;
    let dir = file.rsplit_once('/').map_or("", |(dir, _)| dir);
    let absolute = |path: &str| if path.starts_with('/') { path.to_owned() } else { format!("{dir}/{path}") };
    let named = extlinux::default(&text);
    let default =
        entries.iter().position(|entry| Some(entry.label) == named || entry.is_menu_default).unwrap_or(0);
    boot.loader = Loader::Extlinux;
    for (index, entry) in entries.iter().enumerate() {
        let mut initrds = Vec::new();
        for path in &entry.initrds {
            initrds.push(in_tree(view, &None, &absolute(path))?);
        }
        let (line, text) = entry.append.unwrap_or_default();
        let written = Written { file: &file, line, site: Site::Append, text: text.to_owned() };
        boot.entries.push(BootEntry {
            place: written.place(),
            title: entry.title.to_owned(),
            selector: entry.label.to_owned(),
            kernel: in_tree(view, &None, &absolute(entry.kernel))?,
            initrds,
            cmdline: text.to_owned(),
            default: index == default,
        });
        boot.cmdlines.extend(entry.append.map(|_| written.into_cmdline(Some(text.to_owned()))));
    }
    shared(view)
}

/// The arguments of all entries, and the lines `root=` and `modules=`, which are arguments as they stand.
fn shared(view: &dyn View) -> Result<Vec<CommandLine>> {
    let text = view.text(DEFAULTS)?.unwrap_or_default();
    let mut out = Vec::new();
    for one in shell_assign::assignments(&text) {
        let (site, text, complete) = match one.key {
            OPTIONS => (Site::Assigned(OPTIONS), one.value, Some(one.value.to_owned())),
            "root" | "modules" => {
                (Site::Line, lines(&text).nth(one.line - 1).map_or("", |line| line.body), None)
            }
            _ => continue,
        };
        let written = Written { file: DEFAULTS, line: one.line, site, text: text.to_owned() };
        out.push(written.into_cmdline(complete));
    }
    Ok(out)
}
