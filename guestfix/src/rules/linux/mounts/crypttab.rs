//! linux.crypttab

use super::fstab::Patience;
use crate::facts::{Facts, Machine};
use crate::inspect::devices::{self, Named};
use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::text::{crypttab, fstab};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// Encrypted volumes that are named as EC2 names them, or are not here.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.crypttab",
        title: "crypttab names volumes of this disk by UUID, and waits for no other",
        pack: Pack::Linux,
        phase: Phase::Mounts,
        severity: Severity::Blocker,
        cause: "xvda2 and nvme0n1p2 are names that disks have on EC2 only: the boot waits 90 s for one and \
                goes on without it. A line that encrypts an instance store anew at each boot may on Azure \
                hit another disk and destroy what is on it.",
        fix: "A volume of this disk gets its UUID; one with an EC2 device name that is on another disk \
              becomes a comment, and what is mounted from it gets nofail; one with a UUID gets nofail.",
        source: &[
            Source::new("crypttab(5)", "", "2026-11"),
            Source::new("virt-v2v 71376bdb", "crypttab (behaviour)", "2026"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

const PATH: &str = "/etc/crypttab";
const OPTIONAL: &[&str] = &["nofail"];
const WHY: &str = "a disk of AWS that is not here";

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let Some(text) = guest.view.text(PATH)? else {
        return Ok(Finding::NotApplicable("there is no crypttab"));
    };
    let machine = guest.view.machine();
    let entries = crypttab::entries(&text);
    let evidence = entries.iter().filter_map(|entry| {
        let (what, _) = judge(entry, machine, guest.facts)?;
        Some(Evidence::new(Place::line(PATH, entry.line), what))
    });
    Ok(Finding::from_evidence(evidence.collect()))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let guest = stage.guest()?;
    let text = guest.view.text(PATH)?.unwrap_or_default();
    let (mut changes, mut absent) = (Vec::new(), Vec::new());
    for entry in crypttab::entries(&text) {
        let Some((_, change)) = judge(&entry, guest.view.machine(), guest.facts) else { continue };
        let Some(change) = change else {
            return Ok(Fixed::ByHand(format!(
                "the volume that {PATH}:{} names has no name that no other has: name it by what stays the same on Azure",
                entry.line
            )));
        };
        if !matches!(change, crypttab::Change::Device(_)) {
            absent.push(format!("/dev/mapper/{}", entry.name));
        }
        changes.push((entry.line, change));
    }
    stage.edit(PATH, |text| {
        crypttab::edit(text, |entry| {
            changes.iter().find(|(line, _)| *line == entry.line).map(|(_, change)| change.clone())
        })
    })?;
    let optional = Patience::of(stage.guest()?.view)?.disk;
    // what is on a volume that may not come must not be waited for either
    stage.edit("/etc/fstab", |text| {
        fstab::edit(text, |mount| {
            let waits = absent.contains(&mount.spec) && !mount.has_option("noauto");
            waits.then_some(fstab::Change::AddOptions(optional))
        })
    })?;
    Ok(Fixed::Staged)
}

/// What is wrong with a line, and what to do, if anything can be done.
fn judge(
    entry: &crypttab::Entry<'_>,
    machine: &Machine,
    facts: &Facts,
) -> Option<(String, Option<crypttab::Change>)> {
    let crypttab::Entry { name, device, .. } = entry;
    if fstab::has_option(entry.options, "noauto") {
        return None;
    }
    match devices::named(machine, device, devices::root_spec(facts)) {
        Named::Volume(_) | Named::Closed(_) | Named::Other => None,
        Named::DiskName(Some(volume)) => {
            let partuuid = || volume.partuuid.as_ref().map(|uuid| format!("PARTUUID={uuid}"));
            // with a new key at each boot whatever has a UUID on the volume is overwritten
            let spec =
                if entry.has_random_key() { partuuid() } else { devices::stable_spec(machine, volume) };
            let what = format!("{name} is on {device}, a name that {} has only on EC2", volume.name);
            Some((what, spec.map(crypttab::Change::Device)))
        }
        Named::DiskName(None) => {
            let what = format!("{name} is on {device}, which is not on this disk");
            Some((what, Some(crypttab::Change::CommentOut(WHY))))
        }
        Named::Several(volumes) => {
            let names: Vec<&str> = volumes.iter().map(|volume| volume.name.as_str()).collect();
            Some((format!("{name} is on {device}, which is the name of {}", names.join(" and ")), None))
        }
        Named::Absent => (!fstab::has_option(entry.options, "nofail")).then(|| {
            let what = format!("the boot waits for {device}, which is not on this disk");
            (what, Some(crypttab::Change::AddOptions(OPTIONAL)))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{BOOT_UUID, Bench, ROOT_UUID};

    #[test]
    fn volumes_of_this_disk_get_their_uuid_and_others_are_not_waited_for() {
        let fstab =
            format!("UUID={ROOT_UUID} / ext4 defaults 0 1\n/dev/mapper/scratch /mnt ext4 defaults 0 2\n");
        let crypttab = "# <name> <device> <key> <options>\nswap /dev/nvme0n1p2 /dev/urandom swap\nhome /dev/nvme0n1p2 none luks\nscratch /dev/nvme1n1 /dev/urandom tmp=ext4\ndata UUID=dead-beef none luks\n";
        let bench = Bench::debian().file("/etc/fstab", &fstab).file(PATH, crypttab);
        assert_eq!(
            bench.findings(&RULE),
            [
                "/etc/crypttab:2: swap is on /dev/nvme0n1p2, a name that p2 has only on EC2",
                "/etc/crypttab:3: home is on /dev/nvme0n1p2, a name that p2 has only on EC2",
                "/etc/crypttab:4: scratch is on /dev/nvme1n1, which is not on this disk",
                "/etc/crypttab:5: the boot waits for UUID=dead-beef, which is not on this disk",
            ]
        );
        bench.mended(&RULE, |view| {
            let expected = crypttab
                .replace("swap /dev/nvme0n1p2", "swap PARTUUID=1ec2a517-02")
                .replace("/dev/nvme0n1p2", &format!("UUID={BOOT_UUID}"))
                .replace("scratch /", "# refloat: a disk of AWS that is not here: scratch /")
                .replace("dead-beef none luks", "dead-beef none luks,nofail");
            assert_eq!(view.text(PATH).unwrap().unwrap(), expected);
            let mounted = view.text("/etc/fstab").unwrap().unwrap();
            assert_eq!(
                mounted,
                fstab.replace("/mnt ext4 defaults", "/mnt ext4 defaults,nofail,x-systemd.device-timeout=10")
            );
        });
    }

    #[test]
    fn what_is_named_for_good_stays() {
        let fine = format!(
            "a UUID={ROOT_UUID} none luks\nb /srv/image none luks\nc /dev/xvdf none luks,noauto\nd UUID=1 none luks,nofail\n"
        );
        assert_eq!(Bench::debian().file(PATH, fine).findings(&RULE), [""; 0]);
    }
}
