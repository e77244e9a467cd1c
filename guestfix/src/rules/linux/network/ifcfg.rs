//! ifcfg: shell assignments, in `/etc/sysconfig/network-scripts` (Red Hat) or `/etc/sysconfig/network` (SUSE,
//! wicked). The file of eth0 is edited, those of other cards are moved aside.

use libdisk::vfs::{FileType, Metadata};

use super::{is_azure_name, renamed};
use crate::network;
use crate::rule::{Evidence, Place};
use crate::rules::linux::linewise;
use crate::text::{Line, comment_out, rewrite, shell_assign};
use crate::{Result, Stage, View};

/// A place for such files.
struct Layout {
    dir: &'static str,
    /// What eth0 gets where it has no file.
    text: &'static str,
    /// A file that names the way out for all cards.
    routes: &'static str,
}

const RED_HAT: Layout = Layout {
    dir: "/etc/sysconfig/network-scripts",
    text: "# for Azure (refloat)\nDEVICE=eth0\nONBOOT=yes\nBOOTPROTO=dhcp\nTYPE=Ethernet\nUSERCTL=no\nPEERDNS=yes\nIPV6INIT=no\n\
           PERSISTENT_DHCLIENT=yes\n",
    routes: "/etc/sysconfig/network",
};
const SUSE: Layout = Layout {
    dir: "/etc/sysconfig/network",
    text: "# for Azure (refloat)\nBOOTPROTO='dhcp'\nSTARTMODE='auto'\n",
    routes: "/etc/sysconfig/network/routes",
};
const LAYOUTS: [Layout; 2] = [RED_HAT, SUSE];
const WHY: &str = "a network card of EC2";

pub(super) fn faults(view: &dyn View) -> Result<Vec<Evidence>> {
    let mut out = Vec::new();
    for layout in &LAYOUTS {
        out.extend(faults_in(view, layout)?);
    }
    Ok(out)
}

pub(super) fn mend(stage: &mut Stage<'_>) -> Result<()> {
    for layout in &LAYOUTS {
        mend_in(stage, layout)?;
    }
    Ok(())
}

fn faults_in(view: &dyn View, layout: &Layout) -> Result<Vec<Evidence>> {
    let mut out = Vec::new();
    let ports = lists_of_ports(view, layout)?;
    for port in ports.iter().filter(|port| !is_azure_name(port)) {
        out.push(Evidence::new(layout.dir, format!("{port} is a port, and not the card's name on Azure")));
    }
    for file in files(view, layout)? {
        let text = view.text(&file)?.unwrap_or_default();
        if let Some(name) = foreign(&file, &text) {
            out.push(Evidence::new(&file, format!("{name} is not the card's name on Azure")));
            continue;
        }
        let is_port = is_port(&text) || ports.iter().any(|port| is_azure_name(port));
        for assignment in shell_assign::assignments(&text) {
            if is_port && assignment.key == "BOOTPROTO" {
                continue;
            }
            let what = fault(assignment.key, assignment.value)
                .then(|| format!("{}={} {}", assignment.key, assignment.value, why(assignment.key)));
            out.extend(what.map(|what| Evidence::new(Place::line(&file, assignment.line), what)));
        }
    }
    Ok(out)
}

/// The ways out that are written down: no network goes by them on Azure, whatever address the card has.
pub(super) fn ways_out(view: &dyn View) -> Result<Vec<Evidence>> {
    let mut out = Vec::new();
    for layout in &LAYOUTS {
        out.extend(linewise::faults(view, &routes(view, layout)?, way_out)?);
    }
    Ok(out)
}

fn mend_in(stage: &mut Stage<'_>, layout: &Layout) -> Result<()> {
    let routes = routes(stage.guest()?.view, layout)?;
    linewise::rewrite(stage, &routes, |line| way_out(line).map(|_| comment_out(line.body, WHY)))?;
    if faults_in(stage.guest()?.view, layout)?.is_empty() {
        return Ok(());
    }
    let dir = layout.dir;
    let ours = format!("{dir}/ifcfg-eth0");
    let ports = lists_of_ports(stage.guest()?.view, layout)?;
    let files = files(stage.guest()?.view, layout)?;
    let foreign_ports: Vec<&String> = ports.iter().filter(|port| !is_azure_name(port)).collect();
    for file in &files {
        let text = stage.guest()?.view.text(file)?.unwrap_or_default();
        if let Some(card) = foreign(file, &text) {
            // all files that begin with "ifcfg-" are read
            let name = file.rsplit('/').next().unwrap_or(file);
            stage.keep(file, &format!("{dir}/pre-azure-{name}"))?;
            stage.remove(file)?;
            let is_port = is_port(&text) || ports.iter().any(|port| port == card);
            if is_port && !stage.guest()?.view.exists(&ours)? {
                stage.put(&ours, without_addresses(&renamed(&text, card)))?;
            }
        } else {
            let is_port = is_port(&text) || ports.iter().any(|port| is_azure_name(port));
            stage.edit(file, if is_port { without_addresses } else { by_dhcp })?;
        }
    }
    if let Some(port) = foreign_ports.first() {
        for file in stage.guest()?.view.glob(dir, "")? {
            let is_list = |text: &str| shell_assign::assignments(text).iter().any(|one| names_ports(one.key));
            let text = stage.guest()?.view.text(&file)?.unwrap_or_default();
            if file.contains("/ifcfg-") && is_list(&text) {
                stage.edit(&file, |text| {
                    shell_assign::edit(text, |one| names_ports(one.key).then(|| renamed(one.value, port)))
                })?;
            }
        }
    }
    if !files.is_empty() && !stage.guest()?.view.exists(&ours)? {
        stage.put(&ours, layout.text)?;
    }
    Ok(())
}

/// Configures eth0 where the service is at work and has no file for it.
pub(super) fn give(stage: &mut Stage<'_>) -> Result<bool> {
    for (layout, unit) in LAYOUTS.iter().zip(["network.service", "wicked.service"]) {
        let (view, ours) = (stage.guest()?.view, format!("{}/ifcfg-eth0", layout.dir));
        if network::is_started(view, unit)? && view.exists(layout.dir)? && !view.exists(&ours)? {
            stage.put(&ours, layout.text)?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the file makes the card a port of a bridge, bond or team.
fn is_port(text: &str) -> bool {
    let has = |key: &&str| shell_assign::get(text, key).is_some_and(|value| !value.is_empty());
    ["BRIDGE", "MASTER", "TEAM_MASTER"].iter().any(has)
}

/// Whether a variable lists the ports of a bridge or bond, or names what a VLAN is over.
fn names_ports(key: &str) -> bool {
    matches!(key, "BRIDGE_PORTS" | "ETHERDEVICE") || key.starts_with("BONDING_SLAVE")
}

/// The cards that bridges, bonds and VLANs name in their own files.
fn lists_of_ports(view: &dyn View, layout: &Layout) -> Result<Vec<String>> {
    let mut out = Vec::new();
    for name in view.list(layout.dir)?.iter().filter(|name| name.starts_with("ifcfg-")) {
        let text = view.text(&format!("{}/{name}", layout.dir))?.unwrap_or_default();
        for one in shell_assign::assignments(&text).iter().filter(|one| names_ports(one.key)) {
            let cards = one.value.split_whitespace().filter(|port| super::is_card_name(port));
            out.extend(cards.map(str::to_owned));
        }
    }
    Ok(out)
}

/// The text with fixed hardware addresses, and what tells profiles apart, made comments.
fn without_addresses(text: &str) -> String {
    let gone = |key: &str| matches!(key, "HWADDR" | "MACADDR" | "LLADDR" | "UUID");
    let lines: Vec<usize> =
        shell_assign::assignments(text).iter().filter(|one| gone(one.key)).map(|one| one.line).collect();
    rewrite(text, |line| lines.contains(&line.number).then(|| comment_out(line.body, WHY)))
}

/// The file with the routes, where it is one: what is a file of Red Hat is a folder of SUSE.
fn routes(view: &dyn View, layout: &Layout) -> Result<Vec<String>> {
    let is_file = |metadata: &Metadata| metadata.file_type != FileType::Directory;
    Ok(view.stat(layout.routes)?.filter(is_file).map(|_| layout.routes.to_owned()).into_iter().collect())
}

/// The files of Ethernet cards.
fn files(view: &dyn View, layout: &Layout) -> Result<Vec<String>> {
    let mut out = Vec::new();
    for name in view.list(layout.dir)? {
        let card = name
            .strip_prefix("ifcfg-")
            .filter(|card| card.starts_with('e') && !card.contains(['~', '.', ':']));
        out.extend(card.map(|_| format!("{}/{name}", layout.dir)));
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
        "HWADDR" | "MACADDR" | "LLADDR" => !value.is_empty(),
        "BOOTPROTO" => !value.to_ascii_lowercase().starts_with("dhcp"),
        "ONBOOT" => value == "no",
        "STARTMODE" => matches!(value, "off" | "manual"),
        _ => false,
    }
}

/// What is wrong with the value of a key, in words.
fn why(key: &str) -> &'static str {
    match key {
        "HWADDR" | "MACADDR" | "LLADDR" => "is the card's address on EC2",
        "BOOTPROTO" => "asks no DHCP server",
        _ => "keeps the card from being started",
    }
}

/// A gateway, or the card to it, that is the same whatever DHCP says: `GATEWAY=10.0.0.1`, `GATEWAYDEV=ens5`,
/// `default 10.0.0.1 - -`.
fn way_out(line: &Line<'_>) -> Option<String> {
    let fixed = match line.body.trim_start().split_once('=') {
        Some(("GATEWAY", value)) => !value.is_empty(),
        Some(("GATEWAYDEV", value)) => !is_azure_name(value.trim_matches('"')),
        _ => line.words().next() == Some("default"),
    };
    fixed.then(|| format!("{} is a way out of the VPC", line.body.trim()))
}

fn by_dhcp(text: &str) -> String {
    let fixed = shell_assign::get(text, "BOOTPROTO").is_some_and(|value| fault("BOOTPROTO", value));
    let gone = |key: &str| {
        let address = ["IPADDR", "NETMASK", "PREFIX", "PREFIXLEN", "GATEWAY", "DNS", "BROADCAST", "NETWORK"]
            .iter()
            .any(|name| key.strip_prefix(name).is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit())));
        matches!(key, "HWADDR" | "MACADDR" | "LLADDR") || (fixed && address)
    };
    let lines: Vec<usize> =
        shell_assign::assignments(text).iter().filter(|one| gone(one.key)).map(|one| one.line).collect();
    let hit = |line: &Line<'_>| lines.contains(&line.number);
    let text = rewrite(text, |line| hit(line).then(|| comment_out(line.body, WHY)));
    shell_assign::edit(&text, |assignment| match assignment.key {
        key if !fault(key, assignment.value) => None,
        "BOOTPROTO" => Some("dhcp".into()),
        "ONBOOT" => Some("yes".into()),
        "STARTMODE" => Some("auto".into()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::linux::network;
    use crate::rules::testing::Bench;

    fn red_hat() -> Bench {
        Bench::without_network().manager("network")
    }

    fn suse() -> Bench {
        Bench::without_network().manager("wicked")
    }

    const OURS: &str = "/etc/sysconfig/network-scripts/ifcfg-eth0";

    #[test]
    fn eth0_loses_its_address_and_other_cards_their_files() {
        let (dir, ours) = (RED_HAT.dir, OURS);
        let bench = red_hat()
            .file(ours, "DEVICE=eth0\nHWADDR=0a:ff\nBOOTPROTO=static\nIPADDR=10.0.0.5\nONBOOT=no\n")
            .file("/etc/sysconfig/network-scripts/ifcfg-lo", "DEVICE=lo\n")
            .file("/etc/sysconfig/network-scripts/ifcfg-ens5", "DEVICE=\"ens5\"\nBOOTPROTO=dhcp\n");
        assert_eq!(bench.findings(&network::RULE).len(), 5, "each line, and what they give the card");
        bench.mended(&network::RULE, |view| {
            let why = "# refloat: a network card of EC2: ";
            let eth0 =
                format!("DEVICE=eth0\n{why}HWADDR=0a:ff\nBOOTPROTO=dhcp\n{why}IPADDR=10.0.0.5\nONBOOT=yes\n");
            assert_eq!(view.text(ours).unwrap().unwrap(), eth0);
            assert_eq!(view.list(dir).unwrap(), ["ifcfg-eth0", "ifcfg-lo", "pre-azure-ifcfg-ens5"]);
        });
        let fine = red_hat().file(OURS, RED_HAT.text);
        assert_eq!(fine.findings(&network::RULE), [""; 0]);
    }

    #[test]
    fn a_card_with_another_name_only_is_replaced_by_eth0() {
        let bench = red_hat().file("/etc/sysconfig/network-scripts/ifcfg-ens5", "BOOTPROTO=dhcp\n");
        assert_eq!(bench.mended_text(&network::RULE, OURS), RED_HAT.text);
    }

    #[test]
    fn the_way_out_is_what_dhcp_says() {
        let path = "/etc/sysconfig/network";
        let text = "NETWORKING=yes\nGATEWAY=10.0.0.1\nGATEWAYDEV=ens5\n";
        let bench = red_hat().file(OURS, RED_HAT.text).file(path, text);
        assert_eq!(
            bench.findings(&network::RULE),
            [
                format!("{path}:2: GATEWAY=10.0.0.1 is a way out of the VPC"),
                format!("{path}:3: GATEWAYDEV=ens5 is a way out of the VPC")
            ]
        );
        let why = "# refloat: a network card of EC2: ";
        let expected = text
            .replace("GATEWAY=", &format!("{why}GATEWAY="))
            .replace("GATEWAYDEV", &format!("{why}GATEWAYDEV"));
        assert_eq!(bench.mended_text(&network::RULE, path), expected);
        let fine = red_hat()
            .file(OURS, RED_HAT.text)
            .file(path, "NETWORKING=yes\nNOZEROCONF=yes\nGATEWAYDEV=eth0\n");
        assert_eq!(fine.findings(&network::RULE), [""; 0]);
    }

    #[test]
    fn wicked_has_its_own_place_and_keys() {
        let (eth0, routes) = ("/etc/sysconfig/network/ifcfg-eth0", "/etc/sysconfig/network/routes");
        let bench = suse()
            .file(eth0, "BOOTPROTO='static'\nIPADDR='10.0.0.5/24'\nSTARTMODE='manual'\nLLADDR='0a:ff'\n")
            .file(routes, "default 10.0.0.1 - -\n172.16.0.0/12 10.0.0.2 - -\n");
        assert_eq!(bench.findings(&network::RULE).len(), 5, "each line, and what they give the card");
        bench.mended(&network::RULE, |view| {
            let why = "# refloat: a network card of EC2: ";
            let text = |path| view.text(path).unwrap().unwrap();
            assert_eq!(
                text(eth0),
                format!(
                    "BOOTPROTO='dhcp'\n{why}IPADDR='10.0.0.5/24'\nSTARTMODE='auto'\n{why}LLADDR='0a:ff'\n"
                )
            );
            assert_eq!(text(routes), format!("{why}default 10.0.0.1 - -\n172.16.0.0/12 10.0.0.2 - -\n"));
        });
        let other = suse().file("/etc/sysconfig/network/ifcfg-ens5", "BOOTPROTO='dhcp'\n");
        assert_eq!(other.mended_text(&network::RULE, eth0), SUSE.text);
        let fine = suse().file(eth0, "BOOTPROTO='dhcp4'\nSTARTMODE='hotplug'\nMTU=''\n");
        assert_eq!(fine.findings(&network::RULE), [""; 0]);
    }
}
