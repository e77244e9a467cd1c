//! Entries of the Boot Loader Specification.

use super::{Menu, Written, in_tree};
use crate::facts::{Boot, BootEntry, Site};
use crate::inspect::compare_versions;
use crate::text::bls;
use crate::{Result, View};

const DIR: &str = "/boot/loader/entries";

/// Adds the entries in the order of the menu: newest version first.
pub(super) fn add(view: &dyn View, menu: &Menu, boot: &mut Boot) -> Result<()> {
    let mut files = view.glob(DIR, ".conf")?;
    files.sort_by(|a, b| compare_versions(b, a));
    for (index, file) in files.iter().enumerate() {
        let Some(text) = view.text(file)? else { continue };
        let Some(kernel) = bls::get(&text, "linux") else { continue };
        let mut initrds = Vec::new();
        for path in bls::values(&text, "initrd").iter().flat_map(|(_, paths)| paths.split_whitespace()) {
            if !path.starts_with('$') {
                initrds.push(in_tree(view, &None, path)?);
            }
        }
        let options = bls::values(&text, "options");
        let all = options.iter().map(|(_, value)| *value).collect::<Vec<_>>().join(" ");
        let complete = menu.expand(&all);
        let mut written = options.iter().map(|(line, value)| Written {
            file,
            line: *line,
            site: Site::Options,
            text: (*value).to_owned(),
        });
        let first = written.next();
        let id = file.rsplit('/').next().unwrap_or(file).trim_end_matches(".conf");
        let title = bls::get(&text, "title").unwrap_or(id).trim_end();
        let default = &menu.default;
        boot.entries.push(BootEntry {
            place: first.as_ref().map_or_else(|| file.clone(), Written::place),
            title: title.to_owned(),
            selector: id.to_owned(),
            kernel: in_tree(view, &None, kernel.trim_end())?,
            initrds,
            cmdline: complete.clone(),
            default: id == default || title == default || default.parse() == Ok(index),
        });
        boot.cmdlines.extend(first.map(|written| written.into_cmdline(Some(complete))));
        boot.cmdlines.extend(written.map(|written| written.into_cmdline(None)));
    }
    Ok(())
}
