//! systemd-networkd: `.network` and `.link` files. Those that do not fit are moved aside; one that makes the
//! card a port of a bridge, or gives it a name that others know it by, is made to fit.

use super::is_card_name;
use crate::facts::NetworkConfig;
use crate::network;
use crate::platform::aws;
use crate::rule::{Evidence, Place};
use crate::rules::linux::aside;
use crate::text::{ini, rewrite};
use crate::{Guest, Result, Stage, View};

const DIR: &str = "/etc/systemd/network";
/// Where another file of the user would fit before ours, and give no address.
const FIRST: &str = "/etc/systemd/network/00-azure.network";
const OURS: &str = "/etc/systemd/network/10-azure.network";
/// With the name of the driver to be filled in.
const TEXT: &str = "# for Azure (refloat)\n[Match]\nDriver=DRIVER\n\n[Network]\nDHCP=yes\n";

/// What ours says, for this driver.
fn text(driver: &str) -> String {
    TEXT.replace("DRIVER", driver)
}

pub(super) fn faults(guest: &Guest<'_>) -> Result<Vec<Evidence>> {
    let driver = guest.goal.target.platform.drivers.network;
    let mut out = Vec::new();
    for (file, line, what) in misfits(guest.view, driver)? {
        out.push(Evidence::new(Place::line(&file, line), what));
    }
    // where another tool configures the network, networkd has nothing to do
    let alone = guest.facts.network.as_slice() == [NetworkConfig::Networkd];
    if out.is_empty() && alone && !is_at_work(guest.view)? && !fits_azure(guest.view, driver)? {
        out.push(Evidence::new(DIR, "no file matches a card of Azure"));
    }
    Ok(out)
}

pub(super) fn mend(stage: &mut Stage<'_>) -> Result<()> {
    let guest = stage.guest()?;
    if faults(&guest)?.is_empty() {
        return Ok(());
    }
    let driver = guest.goal.target.platform.drivers.network;
    let alone = guest.facts.network.as_slice() == [NetworkConfig::Networkd];
    let mut files: Vec<String> = misfits(guest.view, driver)?.into_iter().map(|(file, _, _)| file).collect();
    let networks = files.iter().any(|file| file.ends_with(".network"));
    files.dedup();
    let mut named = false;
    for file in files {
        let text = stage.guest()?.view.text(&file)?.unwrap_or_default();
        // Of several names the first is for the first card.
        if is_port(&text) || !named && gives_name(&text) {
            named |= gives_name(&text);
            stage.edit(&file, |text| refitted(text, driver))?;
        } else {
            aside::take(stage, &file)?;
        }
    }
    if (networks || alone) && !fits_azure(stage.guest()?.view, driver)? {
        stage.put(OURS, text(driver))?;
    }
    Ok(())
}

/// Whether it is started: then what it makes of all files together counts.
fn is_at_work(view: &dyn View) -> Result<bool> {
    network::is_started(view, "systemd-networkd.service")
}

/// Writes ours where networkd is at work, before all others.
pub(super) fn give(stage: &mut Stage<'_>) -> Result<bool> {
    let at_work = is_at_work(stage.guest()?.view)?;
    if at_work {
        let driver = stage.guest()?.goal.target.platform.drivers.network;
        let mut earlier = false;
        for dir in [DIR, "/usr/lib/systemd/network"] {
            let files = stage.guest()?.view.glob(dir, ".network")?;
            earlier |= files.iter().any(|file| file.rsplit('/').next() < OURS.rsplit('/').next());
        }
        stage.put(if earlier { FIRST } else { OURS }, text(driver))?;
    }
    Ok(at_work)
}

/// Whether the card is a port of what the file names, or something is over it.
fn is_port(text: &str) -> bool {
    ["Bridge", "Bond", "VLAN", "MACVLAN", "IPVLAN"]
        .iter()
        .any(|key| !ini::values(text, "Network", key).is_empty())
}

/// Whether it is a `.link` file with a name that is neither the kernel's nor systemd's: others may use it.
fn gives_name(text: &str) -> bool {
    ini::values(text, "Link", "Name").last().is_some_and(|name| !name.is_empty() && !is_card_name(name))
}

/// The text for the card of this driver, whatever it was for.
fn refitted(text: &str, driver: &str) -> String {
    let pinned = |entry: &ini::Entry<'_>| {
        let is = entry.section == "Match"
            && matches!(
                entry.key,
                "MACAddress" | "PermanentMACAddress" | "Path" | "Name" | "OriginalName" | "Driver"
            );
        is.then_some("a network card of EC2")
    };
    let text = ini::comment_out(text, pinned);
    let mut done = false;
    rewrite(&text, |line| {
        let first = line.body.trim() == "[Match]" && !std::mem::replace(&mut done, true);
        first.then(|| format!("[Match]\nDriver={driver}"))
    })
}

/// The files that are for a card of EC2, with the line that says so.
fn misfits(view: &dyn View, driver: &str) -> Result<Vec<(String, usize, String)>> {
    let mut out = Vec::new();
    for suffix in [".network", ".link"] {
        for file in view.glob(DIR, suffix)? {
            let text = view.text(&file)?.unwrap_or_default();
            let misfit = ini::entries(&text).into_iter().find(|entry| match (entry.section, entry.key) {
                ("Match", "MACAddress" | "PermanentMACAddress" | "Path") => true,
                ("Match", "Name" | "OriginalName") => entry.value.split_whitespace().all(is_of_ec2),
                ("Match", "Driver") => {
                    !entry.value.contains(driver) && entry.value.split_whitespace().all(is_driver_of_ec2)
                }
                _ => false,
            });
            out.extend(misfit.map(|entry| {
                (file.clone(), entry.line, format!("{}={}, a card of EC2", entry.key, entry.value))
            }));
        }
    }
    Ok(out)
}

fn is_of_ec2(name: &str) -> bool {
    let rest = ["ens", "enX", "enp"].iter().find_map(|prefix| name.strip_prefix(prefix));
    rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn is_driver_of_ec2(driver: &str) -> bool {
    aws::NETWORK_DRIVERS.contains(&driver)
}

/// Whether some file, of the user or of a package, configures a card of Azure.
fn fits_azure(view: &dyn View, network: &str) -> Result<bool> {
    for dir in [DIR, "/usr/lib/systemd/network"] {
        for file in view.glob(dir, ".network")? {
            let text = view.text(&file)?.unwrap_or_default();
            let value = |key: &str| ini::values(&text, "Match", key).join(" ");
            let (name, driver, kind) = (value("Name"), value("Driver"), value("Type"));
            let by_name =
                name.split_whitespace().any(|glob| matches!(glob, "eth0" | "eth*" | "e*" | "*" | "en* eth*"));
            let by_driver = driver.split_whitespace().any(|glob| glob == network || glob == "*");
            let by_kind = kind == "ether" && name.is_empty() && driver.is_empty();
            let others = !value("Virtualization").is_empty()
                || !value("MACAddress").is_empty()
                || !value("Kind").is_empty();
            if !others && ((by_name && driver.is_empty()) || by_driver || by_kind) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::azure::AZURE;
    use crate::rules::linux::network;
    use crate::rules::testing::Bench;

    fn networkd() -> Bench {
        Bench::without_network().manager("networkd")
    }

    #[test]
    fn files_for_a_card_of_ec2_are_moved_aside() {
        let bench = networkd()
            .file("/etc/systemd/network/10-ens5.link", "[Match]\nMACAddress=0a:ff\n\n[Link]\nName=ens5\n")
            .file("/etc/systemd/network/20-ens5.network", "[Match]\nName=ens5\n\n[Network]\nDHCP=yes\n");
        assert_eq!(bench.findings(&network::RULE).len(), 3, "the files, and that none is for eth0");
        bench.mended(&network::RULE, |view| {
            assert_eq!(
                view.list(DIR).unwrap(),
                ["10-azure.network", "10-ens5.link.pre-azure", "20-ens5.network.pre-azure"]
            );
        });
    }

    #[test]
    fn a_guest_that_knows_ena_only_gets_a_file_for_azure() {
        let bench =
            networkd().file("/usr/lib/systemd/network/80-ec2.network", "[Match]\nDriver=ena ixgbevf vif\n");
        assert_eq!(bench.findings(&network::RULE), [format!("{DIR}: no file is for eth0")]);
        assert_eq!(bench.mended_text(&network::RULE, OURS), text(AZURE.drivers.network));
        let fine =
            networkd().file("/etc/systemd/network/any.network", "[Match]\nName=e*\n[Network]\nDHCP=yes\n");
        assert_eq!(fine.findings(&network::RULE), [""; 0]);
    }
}
