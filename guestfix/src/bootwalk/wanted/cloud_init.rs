//! What cloud-init runs at a start on a new platform: `bootcmd`, `runcmd`, `power_state` of its configuration
//! (cloud-init documentation, "Module reference", 2026).

use crate::script::Script;
use crate::systemd::needs::Fault;
use crate::text::yaml_outline::{Node, items, outline};
use crate::{Result, View, services};

const UNITS: &[&str] = &["cloud-init.service", "cloud-init-main.service", "cloud-final.service"];
const DISABLED: &str = "/etc/cloud/cloud-init.disabled";
const MAIN: &str = "/etc/cloud/cloud.cfg";
const DIR: &str = "/etc/cloud/cloud.cfg.d";

/// What of it does harm.
pub(super) fn fault(view: &dyn View) -> Result<Option<Fault>> {
    let mut is_started = false;
    for unit in UNITS {
        is_started |= services::is_started(view, unit)?;
    }
    if !is_started || view.exists(DISABLED)? {
        return Ok(None);
    }
    let mut files = vec![MAIN.to_owned()];
    files.extend(view.glob(DIR, ".cfg")?);
    for file in files {
        let text = view.text(&file)?.unwrap_or_default();
        let nodes = outline(&text);
        for node in &nodes {
            let fault = match node.path.as_slice() {
                ["bootcmd" | "runcmd"] => commands(view, &text, node)?,
                ["power_state", "mode"] if matches!(node.value, "poweroff" | "halt") => {
                    let is_always = !nodes.iter().any(|node| {
                        node.path == ["power_state", "condition"] && !node.value.eq_ignore_ascii_case("true")
                    });
                    Some((format!("ends the system: {}", node.value), is_always))
                }
                _ => None,
            };
            if let Some((what, is_sure)) = fault {
                let place = format!("{file}:{}", node.line);
                let why = format!("cloud-init runs it at its first start here, and it {what}");
                return Ok(Some(Fault { place, why, is_sure }));
            }
        }
    }
    Ok(None)
}

/// The harm that commands of a list do, each a text or a list of words.
fn commands(view: &dyn View, text: &str, node: &Node<'_>) -> Result<Option<(String, bool)>> {
    for item in items(text, node) {
        let command = match item.strip_prefix('[').and_then(|item| item.strip_suffix(']')) {
            Some(words) => words
                .split(',')
                .map(|word| word.trim().trim_matches(['"', '\'']))
                .collect::<Vec<_>>()
                .join(" "),
            None => item.to_owned(),
        };
        if let Some(harm) = Script::of_line(view, &command)?.harm(view)? {
            return Ok(Some((format!("{}: {}", harm.what, harm.command), harm.is_sure)));
        }
    }
    Ok(None)
}
