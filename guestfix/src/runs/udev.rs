//! What rules of udev run when a device of this machine comes (udev(7), "RUN").

use super::{Run, When};
use crate::network::udev_key;
use crate::rules::linux::udev_rules::OWN;
use crate::text::lines;
use crate::{Result, View, glob};

/// The card, before and after anybody has named it.
const CARD: &str = "eth0";

/// The commands of the administrator's rules that are for the target's card, or for what may be there.
pub(super) fn runs(view: &dyn View) -> Result<Vec<Run>> {
    let mut out = Vec::new();
    for file in view.glob(OWN, ".rules")? {
        let text = view.text(&file)?.unwrap_or_default();
        for line in lines(&text).filter(|line| !line.body.trim_start().starts_with('#')) {
            let keys: Vec<(&str, &str, &str)> = line.body.split(',').filter_map(udev_key).collect();
            let is_net = keys.contains(&("SUBSYSTEM", "==", "net"));
            let is_elsewhere = keys.iter().any(|(key, with, value)| {
                *key == "KERNEL"
                    && *with == "=="
                    && !value.split('|').any(|pattern| glob::matches(pattern, CARD))
            });
            if keys.contains(&("ACTION", "==", "remove")) || is_net && is_elsewhere {
                continue;
            }
            let commands = keys.iter().filter(|(key, with, _)| {
                matches!(*key, "RUN" | "RUN{program}" | "PROGRAM")
                    && matches!(*with, "+=" | "=" | ":=" | "==")
            });
            let text: String = commands.map(|(_, _, command)| format!("{command}\n")).collect();
            if !text.is_empty() {
                out.push(Run::said(&file, Some(line.number), When::Card, text));
            }
        }
    }
    Ok(out)
}
