//! Arguments of the kernel wherever they are written: in boot entries, in what entries share, and in what
//! entries to come are made of.

use super::{boot_entries, grub_defaults};
use crate::rule::{Evidence, Place};
use crate::{Guest, Result, Stage};

/// What is wrong with any command line; `of` judges one of them, or a part of one.
pub(in crate::rules) fn faults(
    guest: &Guest<'_>,
    of: impl Fn(&Place, &str) -> Vec<Evidence>,
) -> Result<Vec<Evidence>> {
    let mut evidence = Vec::new();
    for cmdline in &guest.facts.boot.cmdlines {
        evidence.extend(of(&cmdline.place, &cmdline.written));
    }
    for one in grub_defaults::assigned(guest.view)? {
        if grub_defaults::is_cmdline(&one.key) {
            evidence.extend(of(&one.place, &one.value));
        }
    }
    Ok(evidence)
}

/// Changes every command line, and every part of one.
pub(in crate::rules) fn edit(stage: &mut Stage<'_>, change: impl Fn(&str) -> String) -> Result<()> {
    boot_entries::edit_cmdlines(stage, |cmdline| Some(change(&cmdline.written)))?;
    grub_defaults::edit_cmdlines(stage, change)
}
