//! cloud-init: where nothing else gives the card an address, it writes at the first start on Azure what asks
//! for DHCP, if it is to look there for its data and to configure the network.

use super::manager::{Manager, State};
use crate::place::Place;
use crate::text::yaml_outline::{items, outline};
use crate::{Result, View};

const MAIN: &str = "/etc/cloud/cloud.cfg";
const DIR: &str = "/etc/cloud/cloud.cfg.d";
const DISABLED: &str = "/etc/cloud/cloud-init.disabled";

/// Its services that come before the network; which of them there are changed with its versions.
const UNITS: [&str; 2] = ["cloud-init-local.service", "cloud-init-network.service"];

/// The file by which it configures the network on Azure.
pub(super) fn configures(view: &dyn View) -> Result<Option<Place>> {
    let mut works = false;
    for unit in UNITS {
        let manager = Manager { unit, programs: &[&["cloud-init"]] };
        works |= matches!(manager.state(view, false)?, State::Works);
    }
    if !works || view.exists(DISABLED)? {
        return Ok(None);
    }
    let mut files = vec![MAIN.to_owned()];
    files.extend(view.glob(DIR, ".cfg")?);
    let (mut azure, mut configures) = (None, true);
    for file in files {
        let text = view.text(&file)?.unwrap_or_default();
        for node in outline(&text) {
            match node.path.as_slice() {
                ["datasource_list"] => {
                    let listed = items(&text, &node).contains(&"Azure");
                    azure = listed.then(|| Place::line(&file, node.line));
                }
                ["network", "config"] => configures = node.value != "disabled",
                _ => {}
            }
        }
    }
    // Where no list is, it looks for the platform itself, and may find another one.
    Ok(azure.filter(|_| configures))
}
