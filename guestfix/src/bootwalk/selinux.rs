//! Whether SELinux is to be enforced without a policy: systemd stops there.

use super::MenuEntry;
use super::kernel::release_of;
use crate::text::{cmdline, shell_assign};
use crate::{Guest, Result};

const CONFIG: &str = "/etc/selinux/config";
/// Modules of which the kernel starts the first in its list alone.
const EXCLUSIVE: &[&str] = &["apparmor", "selinux", "smack"];

/// The folder without a policy, and why the boot ends for it.
pub(super) fn without_policy(
    guest: &Guest<'_>,
    entry: Option<&MenuEntry>,
) -> Result<Option<(String, String)>> {
    let arguments = entry.map_or("", |entry| entry.cmdline.as_str());
    let configured = guest.facts.selinux.as_deref();
    let enforced = match cmdline::values(arguments, "enforcing").pop() {
        Some(value) => value != "0" && configured != Some("disabled"),
        None => configured == Some("enforcing"),
    };
    if !enforced || !is_started(guest, entry, arguments)? {
        return Ok(None);
    }
    let config = guest.view.text(CONFIG)?.unwrap_or_default();
    let name = shell_assign::get(&config, "SELINUXTYPE").unwrap_or("targeted");
    let dir = format!("/etc/selinux/{name}/policy");
    for file in guest.view.list(&dir)?.iter().filter(|file| file.starts_with("policy.")) {
        if guest.view.stat(&format!("{dir}/{file}"))?.is_some_and(|node| node.size > 0) {
            return Ok(None);
        }
    }
    Ok(Some((dir, "SELinux is to be enforced, and there is no policy".to_owned())))
}

/// Whether the kernel starts it: as the command line says, else as it was built.
fn is_started(guest: &Guest<'_>, entry: Option<&MenuEntry>, arguments: &str) -> Result<bool> {
    let last = |key| cmdline::values(arguments, key).pop();
    if last("selinux") == Some("0") {
        return Ok(false);
    }
    if let Some(list) = last("lsm") {
        return Ok(is_first(list));
    }
    if let Some(name) = last("security") {
        return Ok(name == "selinux");
    }
    let release = match entry {
        Some(entry) => release_of(guest, entry)?,
        None => None,
    };
    // A kernel of which nothing is known may start it.
    let Some(release) = release else { return Ok(true) };
    for path in [format!("/boot/config-{release}"), format!("/lib/modules/{release}/config")] {
        let Some(text) = guest.view.text(&path)? else { continue };
        let value = |key: &str| shell_assign::get(&text, key);
        if value("CONFIG_SECURITY_SELINUX").is_none() {
            return Ok(false);
        }
        let off = value("CONFIG_SECURITY_SELINUX_BOOTPARAM_VALUE") == Some("0");
        if off && last("selinux") != Some("1") {
            return Ok(false);
        }
        return Ok(match (value("CONFIG_LSM"), value("CONFIG_DEFAULT_SECURITY")) {
            (Some(list), _) => is_first(list),
            (None, Some(name)) => name == "selinux",
            (None, None) => true,
        });
    }
    Ok(true)
}

/// Whether it is the first of a list that the kernel starts alone.
fn is_first(list: &str) -> bool {
    list.split(',').find(|name| EXCLUSIVE.contains(name)) == Some("selinux")
}
