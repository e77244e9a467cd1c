//! Changing the kernel command lines that the boot loader has.

use std::collections::BTreeSet;

use crate::facts::BootEntry;
use crate::text::{grub_cfg, rewrite};
use crate::{Result, Stage};

/// Changes the command lines of all boot entries: `change` answers the new one, or `None` to leave it.
///
/// A command line in another file, as in `/etc/default/grub`, is not touched.
pub(super) fn edit_cmdlines(
    stage: &mut Stage<'_>,
    change: impl Fn(&BootEntry) -> Option<String>,
) -> Result<()> {
    let entries = stage.guest()?.facts.boot.entries.clone();
    let files: BTreeSet<&str> = entries.iter().map(|entry| entry.file.as_str()).collect();
    for file in files {
        let changed = |line: usize| {
            let entry = entries.iter().find(|entry| entry.file == file && entry.line == line)?;
            change(entry)
        };
        stage.edit(file, |text| {
            if file.ends_with(".conf") {
                edit_bls(text, changed)
            } else {
                grub_cfg::edit_cmdlines(text, changed)
            }
        })?;
    }
    Ok(())
}

/// An entry of the Boot Loader Specification: the line that begins with "options".
fn edit_bls(text: &str, changed: impl Fn(usize) -> Option<String>) -> String {
    rewrite(text, |line| {
        let rest = line.body.strip_prefix("options")?;
        let blanks = rest.len() - rest.trim_start().len();
        (blanks > 0).then(|| Some(format!("options{}{}", &rest[..blanks], changed(line.number)?)))?
    })
}
