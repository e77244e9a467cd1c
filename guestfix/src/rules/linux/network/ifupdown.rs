//! ifupdown: `/etc/network/interfaces` and what it sources. Stanzas that do not fit become comments.

use super::is_azure_name;
use crate::rule::{Evidence, Place};
use crate::text::interfaces::{Stanza, comment_out_stanzas, stanzas};
use crate::text::{append, lines};
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
        let added = match (started, configured) {
            (false, true) => "auto eth0",
            (true, false) => "iface eth0 inet dhcp",
            _ => DHCP,
        };
        stage.edit(MAIN, |text| append(text, &format!("# for Azure (refloat)\n{added}")))?;
    }
    Ok(())
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
    let foreign = stanza.interfaces.iter().find(|name| is_ethernet(name) && !is_azure_name(name));
    match (foreign, stanza.method) {
        (Some(name), _) => Some(format!("{name} is not the card's name on Azure")),
        (None, Some("static")) if stanza.interfaces.iter().any(|name| is_azure_name(name)) => {
            Some("eth0 has a fixed address".into())
        }
        _ if stanza.hwaddress => Some("a fixed hardware address".into()),
        _ => None,
    }
}

/// A name of a card, as against lo, bridges and tunnels: ens5, enp0s3, enX0, eth1, also eth0:1.
fn is_ethernet(name: &str) -> bool {
    ["ens", "enp", "eno", "enx", "enX", "eth"].iter().any(|prefix| name.starts_with(prefix))
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
        assert_eq!(bench.findings(&network::RULE).len(), 2);
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
