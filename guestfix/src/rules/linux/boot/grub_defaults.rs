//! `/etc/default/grub` and what is sourced after it: what the guest's own grub-mkconfig will say next time.

use crate::rule::Place;
use crate::text::shell_assign;
use crate::{Result, Stage, View};

pub(in crate::rules) const MAIN: &str = "/etc/default/grub";
const COMMON: &str = "GRUB_CMDLINE_LINUX";
const NORMAL: &str = "GRUB_CMDLINE_LINUX_DEFAULT";

/// The files in the order in which they are sourced; none if the guest has no `/etc/default/grub`.
pub(in crate::rules) fn files(view: &dyn View) -> Result<Vec<String>> {
    if !view.exists(MAIN)? {
        return Ok(Vec::new());
    }
    let mut files = vec![MAIN.to_owned()];
    files.extend(view.glob("/etc/default/grub.d", ".cfg")?);
    Ok(files)
}

/// One assignment.
pub(in crate::rules) struct Assigned {
    /// The file and the line.
    pub(in crate::rules) place: Place,
    pub(in crate::rules) key: String,
    /// Without quotes.
    pub(in crate::rules) value: String,
}

/// Every assignment, in the order in which they are made.
pub(in crate::rules) fn assigned(view: &dyn View) -> Result<Vec<Assigned>> {
    let mut out = Vec::new();
    for file in files(view)? {
        let text = view.text(&file)?.unwrap_or_default();
        out.extend(shell_assign::assignments(&text).iter().map(|one| Assigned {
            place: Place::line(&file, one.line),
            key: one.key.to_owned(),
            value: one.value.to_owned(),
        }));
    }
    Ok(out)
}

/// The command line that grub-mkconfig will give the default entry, without root and what it adds itself.
pub(in crate::rules) fn cmdline(view: &dyn View) -> Result<Option<String>> {
    let files = files(view)?;
    let (mut common, mut normal) = (String::new(), String::new());
    for file in &files {
        let text = view.text(file)?.unwrap_or_default();
        for assignment in shell_assign::assignments(&text) {
            let old = match assignment.key {
                COMMON => &mut common,
                NORMAL => &mut normal,
                _ => continue,
            };
            // "$GRUB_CMDLINE_LINUX more" adds to what was before
            let mut value = assignment.value.to_owned();
            for reference in [format!("${{{}}}", assignment.key), format!("${}", assignment.key)] {
                value = value.replace(&reference, old);
            }
            *old = value;
        }
    }
    Ok((!files.is_empty()).then(|| format!("{common} {normal}")))
}

/// Where the command line that all entries share is assigned last.
pub(in crate::rules) fn place(view: &dyn View) -> Result<Place> {
    let mut place = Place::file(MAIN);
    for file in files(view)? {
        let text = view.text(&file)?.unwrap_or_default();
        let last = shell_assign::assignments(&text).into_iter().rfind(|assignment| assignment.key == COMMON);
        place = last.map_or(place, |assignment| Place::line(&file, assignment.line));
    }
    Ok(place)
}

/// Whether the variable is one of the two command lines.
pub(in crate::rules) fn is_cmdline(key: &str) -> bool {
    matches!(key, COMMON | NORMAL)
}

/// Changes the value of both command line variables wherever one is assigned.
pub(in crate::rules) fn edit_cmdlines(stage: &mut Stage<'_>, change: impl Fn(&str) -> String) -> Result<()> {
    for file in files(stage.guest()?.view)? {
        stage.edit(&file, |text| {
            shell_assign::edit(text, |assignment| {
                let new = change(assignment.value);
                (is_cmdline(assignment.key) && new != assignment.value).then_some(new)
            })
        })?;
    }
    Ok(())
}

/// Has grub-mkconfig make this entry the default, unless the entry is saved in GRUB's environment.
pub(in crate::rules) fn set_default(stage: &mut Stage<'_>, selector: &str) -> Result<()> {
    for file in files(stage.guest()?.view)? {
        stage.edit(&file, |text| {
            shell_assign::edit(text, |one| {
                (one.key == "GRUB_DEFAULT" && one.value != "saved").then(|| selector.to_owned())
            })
        })?;
    }
    Ok(())
}

/// Changes the command line that all entries share, in the file that has the last word on it.
pub(in crate::rules) fn edit_common(
    stage: &mut Stage<'_>,
    change: impl FnOnce(&str) -> String,
) -> Result<()> {
    let place = place(stage.guest()?.view)?;
    let last = place.path().unwrap_or(MAIN);
    stage.edit(last, |text| {
        let new = change(shell_assign::get(text, COMMON).unwrap_or_default());
        shell_assign::set(text, COMMON, &new)
    })?;
    Ok(())
}
