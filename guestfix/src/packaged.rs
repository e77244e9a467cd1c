//! Whether a program is the one that its package installed: one program in the place of another starts, and
//! does not do the work. Only dpkg keeps digests that are read here (dpkg's `md5sums` files); where there are
//! none, and for programs of no package in the list, nothing is said.

use md5::{Digest, Md5};

use crate::{Result, View};

const INFO: &str = "/var/lib/dpkg/info";
/// Where apk keeps what it has installed.
const APK: &str = "/lib/apk/db/installed";
/// Where dpkg keeps digests of configuration.
const STATUS: &str = "/var/lib/dpkg/status";
const DIVERSIONS: &str = "/var/lib/dpkg/diversions";

/// Programs that a boot cannot do without, and the packages of Debian and Ubuntu that bring them.
const OWNERS: &[(&str, &str)] = &[
    ("agetty", "util-linux"),
    ("bash", "bash"),
    ("dash", "dash"),
    ("dhclient", "isc-dhcp-client"),
    ("ifup", "ifupdown"),
    ("login", "login"),
    ("mount", "mount"),
    ("sshd", "openssh-server"),
    ("sshd-session", "openssh-server"),
    ("systemd", "systemd"),
    ("systemd-udevd", "udev"),
    ("udevadm", "udev"),
];

/// Read at once.
const PART: usize = 1 << 20;
/// The largest program that is compared, in bytes; real ones are far smaller.
const MOST: u64 = 64 << 20;

/// Why a file, named without links, is not what its package installed; `None` if it is, or nobody knows. A
/// snapshot's bytes are paid for, so its programs are not read whole.
pub(crate) fn differs(view: &dyn View, path: &str) -> Result<Option<String>> {
    if view.machine().remote {
        return Ok(None);
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    let Some((_, package)) = OWNERS.iter().find(|(program, _)| *program == name) else { return Ok(None) };
    let Some(sums) = view.text(&format!("{INFO}/{package}.md5sums"))? else { return Ok(None) };
    // Packages name files as before /bin, /lib and /sbin became links.
    let names = [path.trim_start_matches('/'), path.trim_start_matches("/usr/")];
    let sum = sums.lines().find_map(|line| {
        let (sum, file) = line.split_once("  ")?;
        names.contains(&file).then(|| sum.to_ascii_lowercase())
    });
    let Some(sum) = sum else { return Ok(None) };
    // Somebody has put another file in its place, and told dpkg.
    let diverted = view.text(DIVERSIONS)?.unwrap_or_default();
    if diverted.lines().any(|line| names.contains(&line.trim_start_matches('/'))) {
        return Ok(None);
    }
    let own = digest(view, path)?;
    Ok((own != sum).then(|| format!("{path} is not the file that the package {package} installed")))
}

/// Whether a script is as a package brought it: one below `/usr` or `/lib` by its place, one of `/etc` by the
/// digest that dpkg has of it.
pub(crate) fn is_of_package(view: &dyn View, path: &str) -> Result<bool> {
    let Some(real) = view.resolve(path)? else { return Ok(false) };
    if ["/usr/local/", "/etc/", "/opt/", "/root/", "/home/", "/srv/", "/var/"]
        .iter()
        .all(|dir| !real.starts_with(dir))
    {
        return Ok(true);
    }
    if let Some(installed) = view.text(APK)? {
        return Ok(is_of_apk(&installed, &real));
    }
    let status = view.text(STATUS)?.unwrap_or_default();
    let entry = format!(" {real} ");
    let sum = status.lines().find_map(|line| line.strip_prefix(&entry)?.split_whitespace().next());
    Ok(match sum {
        Some(sum) => digest(view, &real)? == sum.to_ascii_lowercase(),
        None => false,
    })
}

/// Whether apk has installed a file of this name: folders stand behind `F:`, the names in each behind `R:`.
fn is_of_apk(installed: &str, path: &str) -> bool {
    let Some((dir, name)) = path.trim_start_matches('/').rsplit_once('/') else { return false };
    let mut is_there = false;
    installed.lines().any(|line| {
        match line.split_once(':') {
            Some(("F", folder)) => is_there = folder == dir,
            Some(("R", file)) => return is_there && file == name,
            _ => {}
        }
        false
    })
}

fn digest(view: &dyn View, path: &str) -> Result<String> {
    let size = view.stat(path)?.map_or(0, |metadata| metadata.size).min(MOST);
    let mut digest = Md5::new();
    let mut at = 0;
    while at < size {
        let Some(part) = view.range(path, at, PART)?.filter(|part| !part.is_empty()) else { break };
        digest.update(&part);
        at = at.saturating_add(part.len() as u64);
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    const UDEVADM: &str = "/usr/bin/udevadm";

    fn wrong(bench: &Bench) -> Option<String> {
        bench.guest(|guest| differs(guest.view, UDEVADM).unwrap())
    }

    #[test]
    fn a_script_is_of_a_package_by_its_place_its_digest_or_its_name() {
        let path = "/etc/network/if-pre-up.d/x";
        let bench = Bench::debian().file(path, "x\n").file("/usr/lib/x", "");
        let is = |bench: &Bench, path: &str| bench.guest(|guest| is_of_package(guest.view, path).unwrap());
        assert!(!is(&bench, path) && is(&bench, "/usr/lib/x"));
        // by md5sum(1)
        let status = |sum: &str| format!("Package: x\nConffiles:\n {path} {sum}\n");
        assert!(is(&bench.clone().file(STATUS, status("401b30e3b8b5d629635a5c613cdb7919")), path));
        assert!(!is(&bench.clone().file(STATUS, status("401b30e3b8b5d629635a5c613cdb7910")), path));
        let apk = |folder: &str| format!("P:x\nF:etc\nR:x\nF:{folder}\nR:a\nR:x\n");
        assert!(is(&bench.clone().file(APK, apk("etc/network/if-pre-up.d")), path));
        assert!(!is(&bench.file(APK, apk("etc/network")), path));
    }

    #[test]
    fn a_program_in_the_place_of_another_is_seen() {
        // by md5sum(1)
        let sums = "d41d8cd98f00b204e9800998ecf8427e  usr/share/doc/udev/README\n\
                    900150983cd24fb0d6963f7d28e17f72  bin/udevadm\n";
        let bench = |content: &str| {
            Bench::debian().program(UDEVADM, content).file("/var/lib/dpkg/info/udev.md5sums", sums)
        };
        assert_eq!(wrong(&bench("abc")), None);
        let why = "/usr/bin/udevadm is not the file that the package udev installed";
        assert_eq!(wrong(&bench("abd")).as_deref(), Some(why));
        let diverted = bench("abd").file(DIVERSIONS, "/bin/udevadm\n/bin/udevadm.distrib\nlocal\n");
        assert_eq!(wrong(&diverted), None);
        assert_eq!(wrong(&Bench::debian().program(UDEVADM, "abd")), None, "nobody knows");
    }
}
