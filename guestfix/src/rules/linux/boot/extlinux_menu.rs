//! The menu of extlinux, and what Alpine's update-extlinux makes the next one of. Part of
//! linux.grub.serial-menu.

use crate::facts::{Boot, Site};
use crate::rule::{Evidence, Place};
use crate::text::{extlinux, shell_assign};
use crate::{Result, Stage, View};

/// In tenths of a second, as the menu has it, and in seconds, as update-extlinux has it.
const TENTHS: u32 = 50;
const SECONDS: &str = "5";
/// It has to be the first line.
const SERIAL: &str = "SERIAL 0 115200\n";
const DEFAULTS: &str = "/etc/update-extlinux.conf";

/// What keeps the menu from being seen, or used, on the serial port.
pub(in crate::rules) fn faults(view: &dyn View, boot: &Boot) -> Result<Vec<Evidence>> {
    let Some(menu) = menu(boot) else { return Ok(Vec::new()) };
    let text = view.text(menu)?.unwrap_or_default();
    let mut out = Vec::new();
    if !extlinux::has_serial(&text) {
        out.push(Evidence::new(menu, "the menu is not on the serial port"));
    }
    if is_short(extlinux::timeout(&text)) {
        out.push(Evidence::new(menu, "leaves no time for the menu"));
    }
    for one in shell_assign::assignments(&view.text(DEFAULTS)?.unwrap_or_default()) {
        if let Some((_, why)) = fault(one.key, one.value) {
            out.push(Evidence::new(
                Place::line(DEFAULTS, one.line),
                format!("{}={} {why}", one.key, one.value),
            ));
        }
    }
    Ok(out)
}

pub(in crate::rules) fn mend(stage: &mut Stage<'_>) -> Result<()> {
    let Some(menu) = menu(&stage.guest()?.facts.boot).map(str::to_owned) else { return Ok(()) };
    stage.edit(&menu, |text| {
        let text = if is_short(extlinux::timeout(text)) {
            extlinux::set_timeout(text, TENTHS)
        } else {
            text.to_owned()
        };
        if extlinux::has_serial(&text) { text } else { format!("{SERIAL}{text}") }
    })?;
    stage.edit(DEFAULTS, |text| {
        shell_assign::edit(text, |one| fault(one.key, one.value).map(|(new, _)| new.to_owned()))
    })?;
    Ok(())
}

fn menu(boot: &Boot) -> Option<&str> {
    let entry = boot.cmdlines.iter().find(|cmdline| cmdline.site == Site::Append);
    entry.map(|cmdline| cmdline.file.as_str())
}

/// 0 is for ever.
fn is_short(tenths: u32) -> bool {
    (1..TENTHS).contains(&tenths)
}

/// A better value for a variable of update-extlinux, and what is wrong with the one it has.
fn fault(key: &str, value: &str) -> Option<(&'static str, &'static str)> {
    match (key, value.parse::<u32>()) {
        ("timeout", Ok(seconds)) if is_short(seconds.saturating_mul(10)) => {
            Some((SECONDS, "leaves no time for the menu"))
        }
        ("serial_port", _) if value.is_empty() => Some(("0", "keeps the menu from the serial port")),
        _ => None,
    }
}
