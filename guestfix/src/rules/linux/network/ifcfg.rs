//! ifcfg: shell assignments in `/etc/sysconfig/network-scripts`. The file of eth0 is edited, those of other cards are moved
//! aside.

use super::is_azure_name;
use crate::rule::Evidence;
use crate::text::{Line, comment_out, rewrite, shell_assign};
use crate::{Result, Stage, View};

const DIR: &str = "/etc/sysconfig/network-scripts";
const OURS: &str = "/etc/sysconfig/network-scripts/ifcfg-eth0";
const TEXT: &str = "# for Azure (refloat)\nDEVICE=eth0\nONBOOT=yes\nBOOTPROTO=dhcp\nTYPE=Ethernet\nUSERCTL=no\nPEERDNS=yes\nIPV6INIT=no\n\
                    PERSISTENT_DHCLIENT=yes\n";

pub(super) fn faults(view: &dyn View) -> Result<Vec<Evidence>> {
    let mut out = Vec::new();
    for file in files(view)? {
        let text = view.text(&file)?.unwrap_or_default();
        if let Some(name) = foreign(&file, &text) {
            out.push(Evidence::new(&file, format!("{name} is not the card's name on Azure")));
            continue;
        }
        for assignment in shell_assign::assignments(&text) {
            let what = fault(assignment.key, assignment.value)
                .then(|| format!("{}={}", assignment.key, assignment.value));
            out.extend(what.map(|what| Evidence::new(format!("{file}:{}", assignment.line), what)));
        }
    }
    Ok(out)
}

pub(super) fn mend(stage: &mut Stage<'_>) -> Result<()> {
    if faults(stage.guest()?.view)?.is_empty() {
        return Ok(());
    }
    for file in files(stage.guest()?.view)? {
        let text = stage.guest()?.view.text(&file)?.unwrap_or_default();
        if foreign(&file, &text).is_some() {
            // the network script reads all files that begin with "ifcfg-"
            let name = file.rsplit('/').next().unwrap_or(&file);
            stage.keep(&file, &format!("{DIR}/pre-azure-{name}"))?;
            stage.remove(&file)?;
        } else {
            stage.edit(&file, by_dhcp)?;
        }
    }
    if !stage.guest()?.view.exists(OURS)? {
        stage.put(OURS, TEXT)?;
    }
    Ok(())
}

/// The files of Ethernet cards.
fn files(view: &dyn View) -> Result<Vec<String>> {
    let mut out = Vec::new();
    for name in view.list(DIR)? {
        let card = name
            .strip_prefix("ifcfg-")
            .filter(|card| card.starts_with('e') && !card.contains(['~', '.', ':']));
        out.extend(card.map(|_| format!("{DIR}/{name}")));
    }
    Ok(out)
}

/// The name of the card, if it is none of Azure's.
fn foreign<'a>(file: &'a str, text: &'a str) -> Option<&'a str> {
    let name = file.rsplit('-').next().unwrap_or_default();
    let name = shell_assign::get(text, "DEVICE").filter(|name| !name.is_empty()).unwrap_or(name);
    (!is_azure_name(name)).then_some(name)
}

fn fault(key: &str, value: &str) -> bool {
    match key {
        "HWADDR" | "MACADDR" => !value.is_empty(),
        "BOOTPROTO" => !matches!(value, "dhcp" | "DHCP"),
        "ONBOOT" => value == "no",
        _ => false,
    }
}

fn by_dhcp(text: &str) -> String {
    let fixed = shell_assign::get(text, "BOOTPROTO").is_some_and(|value| fault("BOOTPROTO", value));
    let gone = |key: &str| {
        let address = ["IPADDR", "NETMASK", "PREFIX", "GATEWAY", "DNS"]
            .iter()
            .any(|name| key.strip_prefix(name).is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit())));
        matches!(key, "HWADDR" | "MACADDR") || (fixed && address)
    };
    let lines: Vec<usize> =
        shell_assign::assignments(text).iter().filter(|one| gone(one.key)).map(|one| one.line).collect();
    let hit = |line: &Line<'_>| lines.contains(&line.number);
    let text = rewrite(text, |line| hit(line).then(|| comment_out(line.body, "a network card of EC2")));
    shell_assign::edit(&text, |assignment| match assignment.key {
        "BOOTPROTO" if fault("BOOTPROTO", assignment.value) => Some("dhcp".into()),
        "ONBOOT" if assignment.value == "no" => Some("yes".into()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::linux::network::MacPinned;
    use crate::rules::testing::Bench;

    #[test]
    fn eth0_loses_its_address_and_other_cards_their_files() {
        let bench = Bench::debian()
            .file(OURS, "DEVICE=eth0\nHWADDR=0a:ff\nBOOTPROTO=static\nIPADDR=10.0.0.5\nONBOOT=no\n")
            .file("/etc/sysconfig/network-scripts/ifcfg-lo", "DEVICE=lo\n")
            .file("/etc/sysconfig/network-scripts/ifcfg-ens5", "DEVICE=\"ens5\"\nBOOTPROTO=dhcp\n");
        assert_eq!(bench.findings(&MacPinned).len(), 4);
        bench.mended(&MacPinned, |view| {
            let why = "# refloat: a network card of EC2: ";
            let eth0 =
                format!("DEVICE=eth0\n{why}HWADDR=0a:ff\nBOOTPROTO=dhcp\n{why}IPADDR=10.0.0.5\nONBOOT=yes\n");
            assert_eq!(view.text(OURS).unwrap().unwrap(), eth0);
            assert_eq!(view.list(DIR).unwrap(), ["ifcfg-eth0", "ifcfg-lo", "pre-azure-ifcfg-ens5"]);
        });
        let fine = Bench::debian().file(OURS, TEXT);
        assert_eq!(fine.findings(&MacPinned), [""; 0]);
    }

    #[test]
    fn a_card_with_another_name_only_is_replaced_by_eth0() {
        let bench = Bench::debian().file("/etc/sysconfig/network-scripts/ifcfg-ens5", "BOOTPROTO=dhcp\n");
        assert_eq!(bench.mended_text(&MacPinned, OURS), TEXT);
    }
}
