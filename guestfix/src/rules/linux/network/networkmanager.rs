//! NetworkManager: keyfiles in `/etc/NetworkManager/system-connections`. Keys that do not fit become
//! comments.

use super::{NAME, is_azure_name, is_card_name};
use crate::network;
use crate::rule::{Evidence, Place};
use crate::text::ini::{self, Entry};
use crate::{Result, Stage, View};

const DIR: &str = "/etc/NetworkManager/system-connections";
const OURS: &str = "/etc/NetworkManager/system-connections/azure-eth0.nmconnection";
const TEXT: &str = "# for Azure (refloat)\n[connection]\nid=azure-eth0\ntype=ethernet\ninterface-name=eth0\n\n[ipv4]\nmethod=auto\n\n\
                    [ipv6]\nmethod=auto\n";
/// Where profiles of the older kind are.
const IFCFG: &str = "/etc/sysconfig/network-scripts";

pub(super) fn faults(view: &dyn View) -> Result<Vec<Evidence>> {
    let mut out = Vec::new();
    for file in files(view)? {
        let text = view.text(&file)?.unwrap_or_default();
        let manual = |entry: &Entry<'_>| !is_port(&text) || entry.section != "ipv4";
        for entry in ini::entries(&text)
            .into_iter()
            .filter(|entry| is_ethernet(&text) && misfits(entry) && manual(entry))
        {
            out.push(Evidence::new(
                Place::line(&file, entry.line),
                format!("{}={} fits EC2 only", entry.key, entry.value),
            ));
        }
    }
    for file in configuration(view)?.into_iter().filter(|file| file.starts_with("/etc/")) {
        let text = view.text(&file)?.unwrap_or_default();
        for entry in ini::entries(&text).into_iter().filter(is_list_of_devices) {
            if specified(entry.value) != entry.value {
                let what = format!("{}={} names a card of EC2", entry.key, entry.value);
                out.push(Evidence::new(Place::line(&file, entry.line), what));
            }
        }
    }
    if let Some(file) = makes_no_profile(view)?
        && !has_profile(view)?
    {
        out.push(Evidence::new(file, "no card gets a profile by itself, and none has one"));
    }
    Ok(out)
}

/// Without a method the method is "auto", without a name or an address any card fits.
pub(super) fn mend(stage: &mut Stage<'_>) -> Result<()> {
    for file in files(stage.guest()?.view)? {
        stage.edit(&file, |text| {
            if !is_ethernet(text) {
                return text.to_owned();
            }
            let fixed = ini::values(text, "ipv4", "method") == ["manual"];
            let gone = |entry: &Entry<'_>| misfits(entry) || (fixed && is_address(entry));
            let auto =
                fixed.then(|| ini::comment_out(text, |entry| gone(entry).then_some("a network card of EC2")));
            match auto {
                Some(text) => text.replacen("[ipv4]", "[ipv4]\nmethod=auto", 1),
                None => ini::comment_out(text, |entry| gone(entry).then_some("a network card of EC2")),
            }
        })?;
    }
    for file in configuration(stage.guest()?.view)? {
        if !file.starts_with("/etc/") {
            continue;
        }
        stage.edit(&file, |text| {
            ini::edit(text, |entry| is_list_of_devices(entry).then(|| specified(entry.value)))
        })?;
    }
    let view = stage.guest()?.view;
    if makes_no_profile(view)?.is_some() && !has_profile(view)? {
        stage.put_mode(OURS, TEXT, 0o600)?;
    }
    Ok(())
}

/// Writes a profile where NetworkManager is at work.
pub(super) fn give(stage: &mut Stage<'_>) -> Result<bool> {
    let at_work = network::is_started(stage.guest()?.view, "NetworkManager.service")?;
    if at_work {
        stage.put_mode(OURS, TEXT, 0o600)?;
    }
    Ok(at_work)
}

/// Whether a key says which devices NetworkManager leaves alone, or takes.
fn is_list_of_devices(entry: &Entry<'_>) -> bool {
    matches!(entry.key, "unmanaged-devices" | "match-device" | "no-auto-default")
}

/// A list of devices with the name of the card on EC2 replaced.
fn specified(list: &str) -> String {
    let spec = |spec: &str| {
        let (before, name) = spec.rsplit_once([':', '=']).unwrap_or(("", spec));
        let is_foreign = is_card_name(name.trim()) && !is_azure_name(name.trim());
        let is_name = before.is_empty() || before.contains("interface-name");
        if is_foreign && is_name { spec.replace(name.trim(), NAME) } else { spec.to_owned() }
    };
    let separator = if list.contains(';') { ";" } else { "," };
    list.split(separator).map(spec).collect::<Vec<_>>().join(separator)
}

fn is_port(text: &str) -> bool {
    ["controller", "master"].iter().any(|key| !ini::values(text, "connection", key).is_empty())
}

/// The configuration by which no card without a profile is started, as of NetworkManager-config-server.
fn makes_no_profile(view: &dyn View) -> Result<Option<String>> {
    for file in configuration(view)? {
        let text = view.text(&file)?.unwrap_or_default();
        if ini::values(&text, "main", "no-auto-default").iter().any(|value| value.contains('*')) {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

fn configuration(view: &dyn View) -> Result<Vec<String>> {
    let mut files = vec!["/etc/NetworkManager/NetworkManager.conf".to_owned()];
    for dir in ["/usr/lib/NetworkManager/conf.d", "/etc/NetworkManager/conf.d"] {
        files.extend(view.glob(dir, ".conf")?);
    }
    Ok(files)
}

/// Whether any profile is for an Ethernet card.
fn has_profile(view: &dyn View) -> Result<bool> {
    for file in files(view)? {
        if is_ethernet(&view.text(&file)?.unwrap_or_default()) {
            return Ok(true);
        }
    }
    Ok(view.list(IFCFG)?.iter().any(|name| name.starts_with("ifcfg-e")))
}

fn files(view: &dyn View) -> Result<Vec<String>> {
    let mut files = view.glob(DIR, "")?;
    files.retain(|file| !file.ends_with('~') && !file.ends_with(".pre-azure"));
    Ok(files)
}

fn is_ethernet(text: &str) -> bool {
    ini::values(text, "connection", "type").iter().all(|kind| matches!(*kind, "ethernet" | "802-3-ethernet"))
}

fn misfits(entry: &Entry<'_>) -> bool {
    match (entry.section, entry.key) {
        ("connection", "interface-name") => !is_azure_name(entry.value),
        ("ethernet" | "802-3-ethernet", "mac-address" | "cloned-mac-address") => true,
        ("match", "interface-name" | "driver" | "path") => true,
        ("ipv4", "method") => entry.value == "manual",
        _ => false,
    }
}

fn is_address(entry: &Entry<'_>) -> bool {
    let numbered = |name: &str| {
        entry.key.strip_prefix(name).is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit()))
    };
    entry.section == "ipv4"
        && (numbered("address") || numbered("route") || matches!(entry.key, "addresses" | "gateway" | "dns"))
}

#[cfg(test)]
mod tests {
    use super::{OURS, TEXT};
    use crate::rules::linux::network;
    use crate::rules::testing::Bench;

    fn manager() -> Bench {
        Bench::without_network().manager("NetworkManager")
    }

    #[test]
    fn a_profile_fits_any_card_afterwards() {
        let path = "/etc/NetworkManager/system-connections/ens5.nmconnection";
        let text = "[connection]\ntype=ethernet\ninterface-name=ens5\n\n[ethernet]\nmac-address=0A:FF\n\n[ipv4]\nmethod=manual\naddress1=10.0.0.5/24,10.0.0.1\n";
        let bench = manager().secret(path, text);
        assert_eq!(bench.findings(&network::LEFTOVERS).len(), 3);
        let new = bench.mended_text(&network::LEFTOVERS, path);
        let why = "# refloat: a network card of EC2: ";
        assert_eq!(
            new,
            format!(
                "[connection]\ntype=ethernet\n{why}interface-name=ens5\n\n[ethernet]\n{why}mac-address=0A:FF\n\n[ipv4]\nmethod=auto\n{why}method=manual\n{why}address1=10.0.0.5/24,10.0.0.1\n"
            )
        );
        let none =
            manager().file("/usr/lib/NetworkManager/conf.d/00-server.conf", "[main]\nno-auto-default=*\n");
        assert_eq!(
            none.findings(&network::RULE),
            [
                "/usr/lib/NetworkManager/conf.d/00-server.conf: no card gets a profile by itself, and none has one"
            ]
        );
        assert_eq!(none.mended_text(&network::RULE, OURS), TEXT);
        let fine = none.file("/etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nBOOTPROTO=dhcp\n");
        assert_eq!(fine.findings(&network::RULE), [""; 0]);
        let bridge = manager().file(path, "[connection]\ntype=bridge\ninterface-name=br0\n");
        assert_eq!(bridge.findings(&network::RULE), [""; 0]);
    }
}
