//! ifupdown: `/etc/network/interfaces` and what it sources. Stanzas that do not fit become comments; a card
//! that is a port of a bridge or bond, or under a VLAN, is renamed.

use super::{is_azure_name, is_card_name, renamed};
use crate::network;
use crate::rule::{Evidence, Place};
use crate::text::interfaces::{Stanza, comment_out_stanzas, stanzas};
use crate::text::{append, comment_out, lines, rewrite};
use crate::{Result, Stage, View};

const MAIN: &str = "/etc/network/interfaces";
const DHCP: &str = "auto eth0\niface eth0 inet dhcp";

pub(super) fn faults(view: &dyn View) -> Result<Vec<Evidence>> {
    let mut out = Vec::new();
    for file in files(view)? {
        let text = view.text(&file)?.unwrap_or_default();
        for stanza in stanzas(&text) {
            let what = fault(&stanza);
            out.extend(what.map(|what| Evidence::new(Place::line(&file, stanza.line), what)));
        }
    }
    Ok(out)
}

pub(super) fn mend(stage: &mut Stage<'_>) -> Result<()> {
    if let Some(port) = port(stage.guest()?.view)? {
        for file in files(stage.guest()?.view)? {
            stage.edit(&file, |text| renamed(&without_addresses(text), &port))?;
        }
    }
    let mut mended = false;
    for file in files(stage.guest()?.view)? {
        mended |= stage.edit(&file, |text| {
            comment_out_stanzas(text, "a network card of EC2", |stanza| fault(stanza).is_some())
        })?;
    }
    let view = stage.guest()?.view;
    let (mut started, mut configured) = (false, false);
    for file in files(view)? {
        let text = view.text(&file)?.unwrap_or_default();
        for stanza in stanzas(&text).iter().filter(|stanza| stanza.interfaces.contains(&"eth0")) {
            configured |= stanza.method.is_some();
            started |= stanza.keyword != "iface";
        }
    }
    if mended && !(started && configured) {
        add(stage, started, configured)?;
    }
    Ok(())
}

/// Configures eth0 where ifupdown is at work and does not.
pub(super) fn give(stage: &mut Stage<'_>) -> Result<bool> {
    let view = stage.guest()?.view;
    let at_work = network::is_started(view, "networking.service")? && view.exists(MAIN)?;
    if at_work {
        add(stage, false, false)?;
    }
    Ok(at_work)
}

fn add(stage: &mut Stage<'_>, started: bool, configured: bool) -> Result<()> {
    let added = match (started, configured) {
        (false, true) => "auto eth0",
        (true, false) => "iface eth0 inet dhcp",
        _ => DHCP,
    };
    stage.edit(MAIN, |text| append(text, &format!("# for Azure (refloat)\n{added}"))).map(drop)
}

/// The card of EC2 that is a port of a bridge or bond, or under a VLAN.
fn port(view: &dyn View) -> Result<Option<String>> {
    let is_foreign = |name: &&str| is_card_name(name) && !is_azure_name(name);
    for file in files(view)? {
        let text = view.text(&file)?.unwrap_or_default();
        for line in lines(&text) {
            let words: Vec<&str> = line.words().collect();
            let ports = match words.as_slice() {
                [key, ports @ ..] if network::lists_ports(key) => ports,
                ["iface", name, ..] if name.contains('.') => {
                    let card = name.split_once('.').map(|(card, _)| card).filter(is_foreign);
                    if let Some(card) = card {
                        return Ok(Some(card.to_owned()));
                    }
                    continue;
                }
                _ => continue,
            };
            if let Some(port) = ports.iter().copied().find(is_foreign) {
                return Ok(Some(port.to_owned()));
            }
        }
    }
    Ok(None)
}

/// The text with fixed hardware addresses made comments.
fn without_addresses(text: &str) -> String {
    rewrite(text, |line| {
        let fixed = line.words().next() == Some("hwaddress");
        fixed.then(|| comment_out(line.body, "a network card of EC2"))
    })
}

/// The main file and those it sources from `interfaces.d`, if there is one.
fn files(view: &dyn View) -> Result<Vec<String>> {
    let Some(main) = view.text(MAIN)? else { return Ok(Vec::new()) };
    let mut files = vec![MAIN.to_owned()];
    if lines(&main).any(|line| line.words().next().is_some_and(|word| word.starts_with("source"))) {
        files.extend(view.glob("/etc/network/interfaces.d", "")?);
    }
    Ok(files)
}

fn fault(stanza: &Stanza<'_>) -> Option<String> {
    let is_foreign = |name: &&&str| is_card_name(name.split('.').next().unwrap_or(name)) && !is_vlan(name);
    let foreign = stanza.interfaces.iter().filter(is_foreign).find(|name| !is_azure_name(name));
    match (foreign, stanza.method) {
        (Some(name), _) => Some(format!("{name} is not the card's name on Azure")),
        (None, Some("static")) if stanza.interfaces.iter().any(|name| is_azure_name(name)) => {
            Some("eth0 has a fixed address".into())
        }
        _ if stanza.hwaddress => Some("a fixed hardware address".into()),
        _ => None,
    }
}

/// A VLAN over the card.
fn is_vlan(name: &str) -> bool {
    name.split_once('.').is_some_and(|(card, _)| is_azure_name(card))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::linux::network;
    use crate::rules::testing::Bench;

    #[test]
    fn stanzas_of_ec2_become_comments_and_eth0_is_configured() {
        let text =
            "auto lo\niface lo inet loopback\n\nauto ens5\niface ens5 inet dhcp\n    hwaddress ether 0a:ff\n";
        let bench = Bench::debian().file(MAIN, text);
        assert_eq!(bench.findings(&network::RULE).len(), 3, "its lines, and that no stanza is for eth0");
        let new = bench.mended_text(&network::RULE, MAIN);
        let why = "# refloat: a network card of EC2: ";
        assert_eq!(
            new,
            format!(
                "auto lo\niface lo inet loopback\n\n{why}auto ens5\n{why}iface ens5 inet dhcp\n{why}    hwaddress ether 0a:ff\n# for Azure (refloat)\n{DHCP}\n"
            )
        );
    }

    #[test]
    fn a_fixed_address_becomes_dhcp_and_a_sourced_file_counts() {
        let bench = Bench::debian()
            .file(MAIN, "source /etc/network/interfaces.d/*\nauto lo eth0\n")
            .file("/etc/network/interfaces.d/50-eth0", "iface eth0 inet static\n  address 10.0.0.5\n");
        assert_eq!(
            bench.findings(&network::RULE),
            ["/etc/network/interfaces.d/50-eth0:1: eth0 has a fixed address"]
        );
        let main = bench.mended_text(&network::RULE, MAIN);
        assert!(main.ends_with("# for Azure (refloat)\niface eth0 inet dhcp\n"), "{main}");
    }
}
