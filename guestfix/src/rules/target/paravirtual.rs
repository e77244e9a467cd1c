//! target.paravirtual

use std::fmt::Write;

use libdisk::block::{Error as DiskError, ErrorKind};
use libdisk::volume::{embed, wrap};

use crate::edit::sha256;
use crate::facts::{Machine, Site, TableKind, Volume};
use crate::platform::Firmware;
use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::text::menu_lst;
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// A paravirtual AMI: a file system, on the bare disk or on its first partition, which EC2's own PV-GRUB
/// started by its menu.lst.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "target.paravirtual",
        title: "the disk of a paravirtual AMI gets a boot loader",
        pack: Pack::Target,
        phase: Phase::Layout,
        severity: Severity::Blocker,
        cause: "The disk of a paravirtual AMI is one file system, or has one on its first partition. EC2's \
                PV-GRUB, which is no part of the disk, read the menu.lst in it; a BIOS finds nothing to \
                start there.",
        fix: "GRUB, which is taken from the Debian package grub-pc-bin of this machine or from --grub DIR, \
              goes into the gap before the first partition. Where there is no partition table, 1 MiB goes \
              before the file system, with a table that has it as the one partition: the disk grows by \
              that, so the result is always a new file. A grub.cfg is made of the entries of menu.lst, \
              which stays as it is; its passwords are not taken over. Not for azure-gen2.",
        source: &[
            Source::new("AWS", "Linux AMI virtualization types, and PV-GRUB", "2026"),
            Source::new("GRUB manual 2.12", "Images", "2023"),
            Source::new("measured boots", "", "2026-11-23"),
        ],
        applies: Applies::ALWAYS,
    },
    detect,
    fix: Some(fix),
};

const GRUB_CFG: &str = "/boot/grub/grub.cfg";
/// Bytes of a boot record.
const SECTOR: usize = 512;
const HEADER: &str = "\
# Made by refloat of menu.lst, which EC2's PV-GRUB read and nothing reads any more: what adds kernels to that one
# does not add them here. With the package grub-pc installed, update-grub makes this file anew.
";

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    if !is(guest) {
        return Ok(Finding::NotApplicable("this is no paravirtual AMI"));
    }
    if !is_to_be_started(guest) {
        return Ok(Finding::NotApplicable("a disk that starts by BIOS can be made of it, and no other"));
    }
    let machine = guest.view.machine();
    let first = machine.volumes.first();
    let kind = first.and_then(Volume::kind_name).unwrap_or("file system");
    let what = match first {
        Some(volume) if is_partitioned(machine) => Evidence::new(
            Place::volume(&volume.name),
            format!("{kind} with a menu.lst, which EC2's PV-GRUB starts, and no boot loader before it"),
        ),
        _ => Evidence::new(
            Place::DISK,
            format!("{kind} without a partition table, which EC2's PV-GRUB starts, and no BIOS"),
        ),
    };
    Ok(Finding::from_evidence(vec![what]))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let guest = stage.guest()?;
    let machine = guest.view.machine();
    let Some(grub) = guest.view.grub().filter(|_| is_simple(machine)).cloned() else {
        return Ok(Fixed::ByHand(without(machine)));
    };
    let menu = guest.facts.boot.cmdlines.iter().find(|cmdline| cmdline.site == Site::Kernel);
    let menu = menu.map_or(Ok(None), |cmdline| guest.view.text(&cmdline.file))?;
    let Some(script) = menu.as_deref().and_then(script) else {
        return Ok(Fixed::ByHand("menu.lst has no entry with a kernel: write one".into()));
    };
    let head = if is_partitioned(machine) {
        let record = guest.view.disk_bytes(0, 0, SECTOR)?;
        embed::head(&record, first_byte(machine), &grub)
    } else {
        wrap::head(machine.size, disk_signature(machine), &grub)
    };
    let head = match head {
        Ok(head) => head,
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            return Ok(Fixed::ByHand(by_another_disk(&error)));
        }
        Err(error) => return Err(error.into()),
    };
    let loader = format!("GRUB's boot.img in it, and core.img behind it, {} sectors", grub.core_sectors());
    if is_partitioned(machine) {
        let partition =
            "the boot record: its partitions stay; one is active, the first if none was".to_owned();
        stage.put_loader(head, vec![partition, loader])?;
    } else {
        let size = machine.size;
        let partition = format!(
            "an MBR: all that was there, {size} bytes, is partition 1 (Linux, active) at sector 2048"
        );
        let grown =
            format!("the disk becomes 1 MiB larger; sha256 of what goes before it: {}", sha256(&head));
        stage.wrap(head, vec![partition, loader, grown])?;
    }
    stage.keep(GRUB_CFG, &format!("{GRUB_CFG}.pre-azure"))?;
    stage.put(GRUB_CFG, script)?;
    Ok(Fixed::Staged)
}

/// Whether the guest is one.
pub(super) fn is(guest: &Guest<'_>) -> bool {
    guest.view.machine().is_paravirtual(guest.facts.boot.loader)
}

/// Whether it is one, and is to start by BIOS.
pub(super) fn is_to_be_started(guest: &Guest<'_>) -> bool {
    is(guest) && guest.goal.target.firmware == Firmware::Bios
}

fn is_partitioned(machine: &Machine) -> bool {
    machine.table == TableKind::Mbr
}

/// Whether the root file system is all of the disk, or its first partition: where GRUB's core.img looks for
/// its menu.
fn is_simple(machine: &Machine) -> bool {
    let is_root = |volume: &Volume| volume.mounted_at.as_deref() == Some("/");
    if is_partitioned(machine) {
        machine.volumes.iter().any(|volume| volume.number == 1 && is_root(volume))
    } else {
        let first: Vec<_> = machine.volumes_on(0).collect();
        matches!(first.as_slice(), [volume] if is_root(volume))
    }
}

/// Where the first partition of the disk begins.
fn first_byte(machine: &Machine) -> u64 {
    let ranges = machine.volumes.iter().filter_map(|volume| volume.device.range());
    ranges.map(|range| range.start).min().unwrap_or(0)
}

fn without(machine: &Machine) -> String {
    if is_simple(machine) {
        "a disk that starts can be made of it with GRUB, which is not here: install the Debian packages grub-pc-bin and grub-common, or give \
         a folder that has boot.img and core.img with --grub DIR; then check again"
            .into()
    } else if is_partitioned(machine) {
        "its root is not the first partition: copy it to the first partition of a disk with a boot loader"
            .into()
    } else {
        "the disk is more than one file system: copy its root to a partition of a disk with a boot loader"
            .into()
    }
}

fn by_another_disk(why: &DiskError) -> String {
    format!("{why}: copy its root to a partition of a disk with a boot loader")
}

/// Equal file systems get equal ones.
fn disk_signature(machine: &Machine) -> u32 {
    let uuid = machine.volumes.first().and_then(|volume| volume.uuid.as_deref());
    let digest = sha256(format!("refloat disk signature {}", uuid.unwrap_or_default()).as_bytes());
    digest.get(..8).and_then(|hex| u32::from_str_radix(hex, 16).ok()).unwrap_or(1)
}

/// The entries of a `menu.lst` as a script for GRUB 2; `None` without any. Command lines are as they were:
/// other rules look at those. Paths need no device: the script is on the volume that they are on, and GRUB
/// takes that one.
fn script(menu: &str) -> Option<String> {
    let entries = menu_lst::entries(menu);
    let chosen = menu_lst::default(menu).and_then(|index| index.parse().ok()).unwrap_or(0);
    let default = entries.iter().position(|entry| entry.index == chosen).unwrap_or(0);
    let mut out = format!("{HEADER}set default=\"{default}\"\nset timeout=5\n");
    for entry in &entries {
        let words = |text: &str| text.split_whitespace().map(quoted).collect::<Vec<_>>().join(" ");
        let title = in_quotes(entry.title);
        let _ = write!(
            out,
            "\nmenuentry {title} {{\n\tlinux\t{} {}\n",
            quoted(entry.kernel),
            words(entry.cmdline)
        );
        if let Some(initrd) = entry.initrd {
            let _ = writeln!(out, "\tinitrd\t{}", quoted(initrd));
        }
        out.push_str("}\n");
    }
    (!entries.is_empty()).then_some(out)
}

/// A word that means itself to GRUB's script language.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { in_quotes(word) }
}

fn in_quotes(text: &str) -> String {
    let printable: String = text.chars().filter(|c| !c.is_control()).collect();
    format!("'{}'", printable.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::azure;
    use crate::rules::testing::Bench;
    use crate::text::grub_cfg;
    use crate::text::random::Random;

    const MENU: &str = "default 1\ntimeout 0\nhiddenmenu\n\ntitle other\nchainloader +1\n\ntitle Debian's old\nroot (hd0)\n\
                        kernel (hd0)/boot/vmlinuz-5 root=/dev/xvda1 ro a='$x;y' console=hvc0 \n\n\
                        title Debian\nroot (hd0)\nkernel /boot/vmlinuz-6 root=/dev/xvda1\ninitrd (hd0)/boot/initrd.img-6\n";

    fn bench(menu: &str) -> Bench {
        let bare = |machine: &mut Machine| {
            machine.table = TableKind::None;
            machine.bios.clear();
            machine.volumes.truncate(1);
            machine.volumes[0] = Volume { name: "disk".into(), number: 0, ..machine.volumes[0].clone() };
        };
        Bench::debian().without("/boot/grub/grub.cfg").file("/boot/grub/menu.lst", menu).machine(bare)
    }

    #[test]
    fn without_grub_it_says_where_to_get_it() {
        let bench = bench(MENU);
        assert_eq!(
            bench.findings(&RULE),
            ["disk: ext4 without a partition table, which EC2's PV-GRUB starts, and no BIOS"]
        );
        let what = bench.by_hand(&RULE);
        assert!(what.contains("grub-pc-bin") && what.contains("--grub DIR"), "{what}");
        let more = bench.machine(|machine| machine.volumes.push(machine.volumes[0].clone()));
        assert!(more.by_hand(&RULE).contains("more than one file system"));
    }

    #[test]
    fn a_menu_on_a_first_partition_that_nothing_starts_is_another() {
        let partitioned = bench(MENU).machine(|machine| {
            machine.table = TableKind::Mbr;
            machine.volumes[0].name = "p1".into();
            machine.volumes[0].number = 1;
        });
        let found = ["p1: ext4 with a menu.lst, which EC2's PV-GRUB starts, and no boot loader before it"];
        assert_eq!(partitioned.findings(&RULE), found);
        assert!(partitioned.by_hand(&RULE).contains("--grub DIR"));
        let second = partitioned.clone().machine(|machine| machine.volumes[0].number = 2);
        assert!(second.by_hand(&RULE).contains("not the first partition"));
        let started = partitioned.clone().machine(|machine| machine.bios.push("boot code of GRUB".into()));
        assert_eq!(started.findings(&RULE), [""; 0]);
        let gpt = partitioned.machine(|machine| machine.table = TableKind::Gpt);
        assert_eq!(gpt.findings(&RULE), [""; 0]);
    }

    #[test]
    fn other_disks_and_other_targets_are_no_business_of_it() {
        assert_eq!(Bench::debian().findings(&RULE), [""; 0]);
        assert_eq!(bench(MENU).target(&azure::GEN2).findings(&RULE), [""; 0]);
        let grub2 = Bench::debian().machine(|machine| machine.table = TableKind::None);
        assert_eq!(grub2.findings(&RULE), [""; 0]);
    }

    #[test]
    fn the_menu_becomes_a_script() {
        let script = script(MENU).unwrap();
        let expected = "set default=\"0\"\nset timeout=5\n\n\
                        menuentry 'Debian'\\''s old' {\n\tlinux\t/boot/vmlinuz-5 root=/dev/xvda1 ro 'a='\\''$x;y'\\''' console=hvc0\n}\n\n\
                        menuentry 'Debian' {\n\tlinux\t/boot/vmlinuz-6 root=/dev/xvda1\n\tinitrd\t/boot/initrd.img-6\n}\n";
        assert_eq!(script, format!("{HEADER}{expected}"));
        let entries = grub_cfg::entries(&script);
        let titles: Vec<&str> = entries.iter().map(|entry| entry.title.as_str()).collect();
        assert_eq!(titles, ["Debian's old", "Debian"]);
        assert_eq!(entries[1].initrds, ["/boot/initrd.img-6"]);
        assert_eq!(super::script("title x\nroot (hd0)\n"), None);
    }

    #[test]
    fn random_menus_keep_their_entries() {
        let mut random = Random(11);
        for _ in 0..3000 {
            let menu = random.text().replace("linux", "kernel").replace("menuentry", "title");
            let entries = menu_lst::entries(&menu);
            let script = super::script(&menu);
            assert_eq!(script.is_some(), !entries.is_empty());
            let found = grub_cfg::entries(&script.unwrap_or_default());
            assert_eq!(found.len(), entries.len(), "{menu:?}");
            for (found, entry) in found.iter().zip(&entries) {
                assert_eq!(found.initrds.len(), usize::from(entry.initrd.is_some()), "{menu:?}");
            }
        }
    }

    #[test]
    fn whatever_the_menu_says_the_script_is_one_of_grub() {
        let hostile = "title }; reboot\nkernel /x;halt $y ${z} \"a `b` # c\\\ninitrd /i'n\n\ntitle \x1b[2J'\nkernel /é {\r ||\n";
        let script = script(hostile).unwrap();
        assert_eq!(grub_cfg::entries(&script).len(), 2);
        assert!(!script.contains('\x1b') && !script.contains('\r'));
        if testimages::judge::need("grub-script-check").is_none() {
            return;
        }
        for text in [&script, &super::script(MENU).unwrap()] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            testimages::judge::run(testimages::judge::tool("grub-script-check").arg(file.path()));
        }
    }
}
