//! What the root does with itself, from `init` to the login.

use super::look::look;
use super::{Hop, HopKind, MenuEntry, init, login, mounts, network, target};
use crate::{Guest, Result};

/// The hops behind the root, as an entry starts it. Those behind one that is blocked are looked at all the
/// same.
///
/// # Errors
/// If the device fails.
pub(super) fn system(guest: &Guest<'_>, entry: Option<&MenuEntry>) -> Result<Vec<Hop>> {
    let mut hops = look(guest, HopKind::Init, |guest| init::init(guest, entry))?;
    hops.extend(look(guest, HopKind::Target, |guest| target::target(guest, entry))?);
    hops.extend(look(guest, HopKind::Mounts, mounts::mounts)?);
    hops.extend(look(guest, HopKind::Network, |guest| network::network(guest, entry))?);
    hops.extend(look(guest, HopKind::Login, |guest| login::login(guest, entry))?);
    Ok(hops)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{debian, entry, lines};
    use super::*;

    #[test]
    fn a_debian_comes_to_its_login() {
        // That the network's target is masked keeps nothing from being started.
        let masked = debian().link("/etc/systemd/system/network.target", "/dev/null");
        for bench in [debian(), masked] {
            let entry = entry(&bench);
            let hops = bench.guest(|guest| system(guest, Some(&entry)).unwrap());
            assert_eq!(
                lines(&hops),
                [
                    "Init /sbin/init: /lib/systemd/systemd",
                    "Target /lib/systemd/system/graphical.target: graphical.target",
                    "Mounts /etc/fstab: one mount",
                    "Network /etc/network/interfaces:4: an address by DHCP",
                    "Login /etc/ssh/sshd_config: sshd",
                ]
            );
        }
    }

    /// A snapshot's blocks are paid for, so less of it is looked at, and that is said.
    #[test]
    fn what_is_not_looked_at_of_a_snapshot_is_said() {
        let bench = debian().machine(|machine| machine.remote = true);
        let entry = entry(&bench);
        let hops = bench.guest(|guest| system(guest, Some(&entry)).unwrap());
        assert!(hops.iter().all(Hop::is_reached));
        let login = lines(&hops).pop().unwrap();
        assert!(login.ends_with("sshd; in a snapshot, the modules of PAM, people's keys and what sshd starts for a connection are not looked at"), "{login}");
    }
}
