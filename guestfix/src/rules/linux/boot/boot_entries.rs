//! Changing the kernel command lines that the boot loader has.

use std::collections::{BTreeMap, BTreeSet};

use super::{grub_defaults, loader_conf};
use crate::facts::{BootEntry, CommandLine, Site};
use crate::text::{bls, extlinux, grub_cfg, grubenv, menu_lst, rewrite, shell_assign};
use crate::{Error, Result, Stage};

/// Changes command lines wherever they are written: `change` answers the new one, or `None` to leave it.
///
/// Those in `/etc/default/grub` are not touched.
pub(in crate::rules) fn edit_cmdlines(
    stage: &mut Stage<'_>,
    change: impl Fn(&CommandLine) -> Option<String>,
) -> Result<()> {
    let cmdlines = stage.guest()?.facts.boot.cmdlines.clone();
    let changed: Vec<(&CommandLine, String)> = cmdlines
        .iter()
        .filter_map(|cmdline| Some((cmdline, change(cmdline).filter(|new| *new != cmdline.written)?)))
        .collect();
    let files: BTreeSet<&str> = changed.iter().map(|(cmdline, _)| cmdline.file.as_str()).collect();
    for file in files {
        let mut left: Vec<&(&CommandLine, String)> =
            changed.iter().filter(|(cmdline, _)| cmdline.file == file).collect();
        while let Some((CommandLine { site, .. }, _)) = left.first() {
            let (now, later): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|(cmdline, _)| cmdline.site == *site);
            edit(stage, file, *site, &now)?;
            left = later;
        }
    }
    Ok(())
}

/// Writes command lines that are written alike in one file, in one pass over it. No line of the file moves by
/// that.
fn edit(stage: &mut Stage<'_>, file: &str, site: Site, new: &[&(&CommandLine, String)]) -> Result<()> {
    if let Site::Variable(name) = site {
        return new.iter().try_for_each(|(_, new)| set_variable(stage, file, name, Some(new)));
    }
    let by_line: BTreeMap<usize, &String> = new.iter().map(|(cmdline, new)| (cmdline.line, new)).collect();
    let here = |number: usize| by_line.get(&number).map(|new| (*new).clone());
    let one_by_one = |text: &str, set: &dyn Fn(&str, usize, &str) -> String| {
        by_line.iter().fold(text.to_owned(), |text, (line, new)| set(&text, *line, new))
    };
    let change = |text: &str| match site {
        Site::Linux => grub_cfg::edit_cmdlines(text, here),
        Site::Set(name) => one_by_one(text, &|text, line, new| grub_cfg::set_variable(text, line, name, new)),
        Site::Options => bls::edit_options(text, here),
        Site::Kernel => menu_lst::edit_cmdlines(text, here),
        Site::Append => extlinux::edit_cmdlines(text, here),
        Site::Assigned(_) => shell_assign::edit(text, |one| here(one.line)),
        Site::Comment(key) => one_by_one(text, &|text, _, new| menu_lst::set_comment(text, key, new)),
        Site::Line => rewrite(text, |line| here(line.number)),
        Site::Variable(_) => text.to_owned(),
    };
    stage.edit(file, change).map(drop)
}

/// Has an entry start by itself.
pub(in crate::rules) fn make_default(stage: &mut Stage<'_>, entry: &BootEntry) -> Result<()> {
    let boot = stage.guest()?.facts.boot.clone();
    let cmdline = boot.cmdlines.iter().find(|cmdline| cmdline.place == entry.place);
    let (file, site) = cmdline.map_or(("", Site::Options), |cmdline| (cmdline.file.as_str(), cmdline.site));
    if site == Site::Kernel {
        let index = entry.selector.parse().unwrap_or(0);
        return stage.edit(file, |text| menu_lst::set_default(text, index)).map(drop);
    }
    if site == Site::Append {
        return stage.edit(file, |text| extlinux::set_default(text, &entry.selector)).map(drop);
    }
    if let Some(config) = loader_conf::beside(stage.guest()?.view, file)? {
        let text = stage.guest()?.view.text(&config)?.unwrap_or_default();
        return stage.put(&config, bls::set(&text, "default", &format!("{}.conf", entry.selector)));
    }
    for config in boot.configs.iter().filter(|config| site == Site::Options || *config == file) {
        let text = stage.guest()?.view.text(config)?.unwrap_or_default();
        // what somebody chose for the next start alone would come first
        set_variable(stage, &grubenv::beside(config), "next_entry", None)?;
        if grub_cfg::default(&text).as_deref() == Some("${saved_entry}") {
            set_variable(stage, &grubenv::beside(config), "saved_entry", Some(&entry.selector))?;
        } else {
            stage.edit(config, |text| grub_cfg::set_default(text, &entry.selector))?;
            grub_defaults::set_default(stage, &entry.selector)?;
        }
    }
    Ok(())
}

/// Sets a variable of GRUB's environment block, or takes it away.
pub(in crate::rules) fn set_variable(
    stage: &mut Stage<'_>,
    block: &str,
    name: &str,
    value: Option<&str>,
) -> Result<()> {
    let Some(old) = stage.guest()?.view.read(block)? else { return Ok(()) };
    if value.is_none() && grubenv::get(&old, name).is_none() {
        return Ok(());
    }
    let no_room = || Error::Refused(format!("{block} in the guest has no room for {name}"));
    let new = grubenv::set(&old, name, value).ok_or_else(no_room)?;
    if new[..] == old[..] {
        return Ok(());
    }
    let what = value.map_or_else(|| format!("{name} is taken away"), |value| format!("{name}={value}"));
    stage.put_binary(block, new, vec![what])
}
