//! linux.initramfs.lvm

use std::collections::BTreeSet;

use initramfs::Archive;

use super::initramfs_hyperv::{Room, replace};
use crate::facts::{Machine, SignatureKind};
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::rules::linux::mounts::device_caches::disk_of_ec2;
use crate::rules::linux::mounts::lvm_filters::{narrow, widened};
use crate::text::{append, bytes, lvm_conf};
use crate::{Error, Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// LVM in an initramfs that looks at the disks of EC2 only.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.initramfs.lvm",
        title: "LVM in the initramfs looks at the disks of Azure",
        pack: Pack::Linux,
        phase: Phase::Drivers,
        severity: Severity::Blocker,
        cause: "dracut copies lvm.conf and the devices file into the initramfs. With a filter for \
                /dev/xvd*, or a list of EBS serial numbers, LVM there does not look at the disk of Azure, \
                and a root on it never appears.",
        fix: "In the initramfs filters get patterns in front that accept /dev/sd* and /dev/nvme*, and \
              lvmlocal.conf says not to use the devices file.",
        source: &[
            Source::new("dracut 059", "modules.d/90lvm (what is copied)", "2026-11"),
            Source::new("lvm.conf(5)", "use_devicesfile, lvmdevices(8)", "2026-11"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

const CONFIGS: [&str; 2] = ["etc/lvm/lvm.conf", LOCAL];
/// Read last: what it says counts.
const LOCAL: &str = "etc/lvm/lvmlocal.conf";
const DEVICES: &str = "etc/lvm/devices/system.devices";
const NO_DEVICES: &str = "# for Azure (refloat)\ndevices/use_devicesfile=0";

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let machine = guest.view.machine();
    if !machine.volumes.iter().any(|volume| volume.kind == Some(SignatureKind::Lvm2)) {
        return Ok(Finding::NotApplicable("there is no LVM on this disk"));
    }
    let mut evidence = Vec::new();
    for path in images(guest) {
        let Some(bytes) = guest.view.read(&path)? else { continue };
        // one that cannot be read is the business of linux.initramfs.hyperv
        let Ok(parsed) = guest.archives.get(&path, &bytes) else { continue };
        let found = faults(parsed.archive(), machine).map_err(|source| failed(&path, source))?;
        evidence.extend(found.into_iter().map(|what| Evidence::new(&path, what)));
    }
    Ok(Finding::from_evidence(evidence))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let guest = stage.guest()?;
    let machine = guest.view.machine().clone();
    let mut room = Room::of(&machine);
    for path in images(&guest) {
        let guest = stage.guest()?;
        let Some(bytes) = guest.view.read(&path)? else { continue };
        let Ok(parsed) = guest.archives.get(&path, &bytes) else { continue };
        let files = mended(parsed.archive(), &machine).map_err(|source| failed(&path, source))?;
        let files: Vec<(&str, &[u8])> = files.iter().map(|(path, text)| (*path, &**text)).collect();
        let new = initramfs::put_files(parsed.archive(), &files).map_err(|source| failed(&path, source))?;
        if new.mode.is_some() {
            replace(stage, &path, new, &mut room)?;
        }
    }
    Ok(Fixed::Staged)
}

/// The system's initramfs of each boot entry.
fn images(guest: &Guest<'_>) -> BTreeSet<String> {
    guest.facts.boot.entries.iter().filter_map(|entry| entry.initrds.last().cloned()).collect()
}

fn failed(path: &str, source: initramfs::Error) -> Error {
    Error::Initramfs { path: path.to_owned(), source: source.into() }
}

fn text(archive: &Archive<'_>, path: &str) -> initramfs::Result<String> {
    archive.find(path).map_or(Ok(String::new()), |file| file.data().map(bytes::decode))
}

/// The disk of EC2 that a devices file names which LVM uses.
fn listed(archive: &Archive<'_>) -> initramfs::Result<Option<String>> {
    let mut settings = Vec::new();
    for path in CONFIGS {
        settings.extend(lvm_conf::settings(&text(archive, path)?));
    }
    let last = settings.iter().rfind(|setting| setting.name == "devices/use_devicesfile");
    let used = last.is_none_or(|setting| setting.values != ["0"]);
    Ok(disk_of_ec2(&text(archive, DEVICES)?).filter(|_| used).map(str::to_owned))
}

/// What keeps LVM in an initramfs from the disks of the target.
pub(crate) fn faults(archive: &Archive<'_>, machine: &Machine) -> initramfs::Result<Vec<String>> {
    let mut out = Vec::new();
    for path in CONFIGS {
        let hiding = narrow(&text(archive, path)?, machine);
        out.extend(hiding.into_iter().map(|setting| {
            format!("{} in its {path} hides the disks of Azure: {}", setting.name, setting.values.join(", "))
        }));
    }
    out.extend(listed(archive)?.map(|disk| format!("its {DEVICES} names {disk}")));
    Ok(out)
}

/// The files with a fault, without it.
fn mended(archive: &Archive<'_>, machine: &Machine) -> initramfs::Result<Vec<(&'static str, Vec<u8>)>> {
    let mut out = Vec::new();
    for path in CONFIGS {
        let old = text(archive, path)?;
        let mut new = widened(&old, machine);
        if path == LOCAL && listed(archive)?.is_some() {
            new = append(&new, NO_DEVICES);
        }
        out.extend((new != old).then(|| (path, bytes::encode(&new).into_owned())));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{Bench, initramfs_with};

    const IMAGE: &str = "/boot/initrd.img-6.1.0-50-amd64";

    fn bench(files: &[(&str, &str)]) -> Bench {
        Bench::debian()
            .machine(|machine| machine.volumes[1].kind = Some(SignatureKind::Lvm2))
            .file(IMAGE, initramfs_with(files))
    }

    #[test]
    fn filters_and_devices_of_ec2_in_an_initramfs_are_mended() {
        let bench = bench(&[
            (CONFIGS[0], "devices { filter = [ \"a|/dev/xvda2|\", \"r|.*|\" ] }\n"),
            (DEVICES, "IDTYPE=devname IDNAME=/dev/nvme0n1p2 DEVNAME=/dev/nvme0n1p2 PVID=x PART=2\n"),
        ]);
        assert_eq!(
            bench.findings(&RULE),
            [
                format!(
                    "{IMAGE}: devices/filter in its etc/lvm/lvm.conf hides the disks of Azure: a|/dev/xvda2|, r|.*|"
                ),
                format!("{IMAGE}: its {DEVICES} names /dev/nvme0n1p2"),
            ]
        );
        bench.mended(&RULE, |view| {
            let bytes = view.read(IMAGE).unwrap().unwrap();
            let archive = Archive::parse(&bytes, &initramfs::Limits::default()).unwrap();
            assert!(
                text(&archive, CONFIGS[0])
                    .unwrap()
                    .contains("[ \"a|^/dev/sd|\", \"a|^/dev/nvme|\", \"a|/dev/xvda2|\"")
            );
            assert_eq!(text(&archive, LOCAL).unwrap(), format!("{NO_DEVICES}\n"));
            assert!(view.exists(&format!("{IMAGE}.pre-azure")).unwrap());
        });
    }

    #[test]
    fn an_initramfs_whose_lvm_sees_all_disks_stays() {
        let fine = bench(&[(CONFIGS[0], "devices { filter = [ \"a|.*|\" ] }\n")]);
        assert_eq!(fine.findings(&RULE), [""; 0]);
        let unused =
            bench(&[(DEVICES, "DEVNAME=/dev/xvda2\n"), (LOCAL, "devices { use_devicesfile = 0 }\n")]);
        assert_eq!(unused.findings(&RULE), [""; 0]);
    }
}
