//! systemd-boot's `loader.conf`: which entry starts, and whether the menu is seen. Part of
//! linux.grub.serial-menu and linux.kernel.hyperv.

use crate::facts::{Boot, Site};
use crate::rule::Evidence;
use crate::text::bls;
use crate::{Result, Stage, View};

const SECONDS: &str = "5";

/// The configuration for this entry of the Boot Loader Specification; `None` if GRUB shows it.
pub(in crate::rules) fn beside(view: &dyn View, entry: &str) -> Result<Option<String>> {
    let Some((dir, _)) = entry.rsplit_once("/entries/") else { return Ok(None) };
    let config = format!("{dir}/loader.conf");
    // GRUB has no use for one; systemd-boot's own installer always makes one
    Ok(view.exists(&config)?.then_some(config))
}

/// What keeps the menus of systemd-boot from being seen.
pub(in crate::rules) fn faults(view: &dyn View, boot: &Boot) -> Result<Vec<Evidence>> {
    let mut out = Vec::new();
    for config in configs(view, boot)? {
        let text = view.text(&config)?.unwrap_or_default();
        out.extend(fault(&text).map(|what| Evidence::new(config, what)));
    }
    Ok(out)
}

pub(in crate::rules) fn mend(stage: &mut Stage<'_>) -> Result<()> {
    let guest = stage.guest()?;
    for config in configs(guest.view, &guest.facts.boot)? {
        stage.edit(&config, |text| match fault(text) {
            Some(_) => bls::set(text, "timeout", SECONDS),
            None => text.to_owned(),
        })?;
    }
    Ok(())
}

fn configs(view: &dyn View, boot: &Boot) -> Result<Vec<String>> {
    let mut out: Vec<String> = Vec::new();
    for cmdline in boot.cmdlines.iter().filter(|cmdline| cmdline.site == Site::Options) {
        out.extend(beside(view, &cmdline.file)?.filter(|config| !out.contains(config)));
    }
    Ok(out)
}

/// Without a timeout the default starts at once.
fn fault(text: &str) -> Option<String> {
    match bls::values(text, "timeout").last() {
        None => Some("sets no timeout: the menu is not shown".into()),
        Some((_, value)) => {
            let value = value.trim();
            matches!(value, "0" | "menu-hidden" | "menu-disabled")
                .then(|| format!("timeout {value} hides the menu"))
        }
    }
}
