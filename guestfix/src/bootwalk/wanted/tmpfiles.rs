//! What systemd-tmpfiles takes away at each start by lines of the administrator's (tmpfiles.d(5)).

use crate::systemd::needs::Fault;
use crate::{Result, View, glob};

const DIRS: &[&str] = &["/etc/tmpfiles.d", "/usr/local/lib/tmpfiles.d"];
/// What the logins need, and what they need in it.
const NEEDED: &[&str] = &[
    "/boot/grub",
    "/etc/fstab",
    "/etc/pam.d",
    "/etc/passwd",
    "/etc/shadow",
    "/etc/ssh/ssh_host_ed25519_key",
    "/etc/ssh/ssh_host_rsa_key",
    "/etc/ssh/sshd_config",
    "/etc/systemd/system",
    "/home",
    "/root/.ssh/authorized_keys",
    "/usr/bin",
    "/usr/lib/systemd",
    "/usr/sbin/sshd",
];

/// The line that takes away what the logins need.
pub(super) fn fault(view: &dyn View) -> Result<Option<Fault>> {
    for dir in DIRS {
        for file in view.glob(dir, ".conf")? {
            let text = view.text(&file)?.unwrap_or_default();
            for (number, line) in text.lines().enumerate() {
                let mut words = line.split_whitespace();
                let (Some(kind), Some(path)) = (words.next(), words.next()) else { continue };
                let path = path.trim_matches(['"', '\'']).trim_end_matches('/');
                let takes = |needed: &&&str| match kind.chars().next() {
                    // a file, or an empty folder
                    Some('r') => glob::matches(path, needed),
                    // all below it, too
                    Some('R' | 'D') => {
                        let above = needed.match_indices('/').filter_map(|(at, _)| needed.get(..at));
                        above.chain([**needed]).any(|part| !part.is_empty() && glob::matches(path, part))
                    }
                    _ => false,
                };
                for needed in NEEDED.iter().filter(takes) {
                    if view.exists(needed)? {
                        let place = format!("{file}:{}", number.saturating_add(1));
                        let why = format!("it takes {needed} away at the start: {}", line.trim());
                        return Ok(Some(Fault::sure(&place, why)));
                    }
                }
            }
        }
    }
    Ok(None)
}
