//! cloud-init: where nothing else gives the card an address, it writes at the first start on Azure what asks
//! for DHCP, if it is to look there for its data and to configure the network.

use super::{Answer, Card, How, service};
use crate::place::Place;
use crate::text::yaml_outline::{items, outline};
use crate::{Result, View};

const MAIN: &str = "/etc/cloud/cloud.cfg";
const DIR: &str = "/etc/cloud/cloud.cfg.d";
const DISABLED: &str = "/etc/cloud/cloud-init.disabled";

pub(super) fn answer(view: &dyn View, _: &Card) -> Result<Option<Answer>> {
    let started = service::is_started(view, "cloud-init-local.service")?
        || service::is_started(view, "cloud-init-network.service")?;
    if !started || view.exists(DISABLED)? {
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
    Ok(azure.filter(|_| configures).map(|place| Answer::address(place, How::Dhcp)))
}
