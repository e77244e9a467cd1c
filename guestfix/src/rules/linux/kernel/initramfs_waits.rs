//! linux.initramfs.waits

use std::collections::BTreeSet;

use initramfs::Archive;

use super::initramfs_hyperv::{Room, replace};
use crate::bootwalk::{initramfs::texts, waits};
use crate::facts::Machine;
use crate::inspect::devices::{self, Named};
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::text::cmdline::{self, Change};
use crate::text::{bytes, comment_out, fstab, rewrite};
use crate::{Error, Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// An initramfs that was made to wait for devices of the machine that it was made on.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.initramfs.waits",
        title: "no initramfs waits for a device that does not come",
        pack: Pack::Linux,
        phase: Phase::Drivers,
        severity: Severity::Blocker,
        cause: "dracut writes into an initramfs which devices the machine has that makes it: hooks that wait \
                for each, parts of a command line, lines of fstab. What has another name on Azure, or stays \
                behind, is waited for until an emergency shell opens.",
        fix: "In the initramfs those hooks and lines become comments, and those arguments go. The original \
              is kept beside it as .pre-azure if there is room.",
        source: &[
            Source::new("dracut 059", "wait_for_dev and hostonly_cmdline", "2026-11"),
            Source::new("dracut.cmdline(7)", "", "2026-11"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

const WHY: &str = "a device that does not come";
const FSTAB: &str = "etc/fstab";

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let mut evidence = Vec::new();
    for path in images(guest) {
        for (file, old, new) in mended(guest, &path)? {
            let changed = old.lines().zip(new.lines()).find(|(old, new)| old != new);
            let line = changed.map_or("", |(line, _)| line.trim());
            evidence.push(Evidence::new(&path, format!("its {file} waits for what does not come: {line}")));
        }
    }
    Ok(Finding::from_evidence(evidence))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let guest = stage.guest()?;
    let (images, mut room) = (images(&guest), Room::of(guest.view.machine()));
    for path in images {
        let guest = stage.guest()?;
        let files: Vec<(String, Vec<u8>)> = mended(&guest, &path)?
            .into_iter()
            .map(|(file, _, new)| (file, bytes::encode(&new).into_owned()))
            .collect();
        let Some(content) = guest.view.read(&path)?.filter(|_| !files.is_empty()) else { continue };
        let files: Vec<(&str, &[u8])> = files.iter().map(|(file, text)| (file.as_str(), &**text)).collect();
        let parsed = guest.archives.get(&path, &content)?;
        let new = initramfs::put_files(parsed.archive(), &files);
        let new = new.map_err(|source| Error::Initramfs { path: path.clone(), source: source.into() })?;
        replace(stage, &path, new, &mut room)?;
    }
    Ok(Fixed::Staged)
}

/// The system's initramfs of each boot entry.
fn images(guest: &Guest<'_>) -> BTreeSet<String> {
    guest.facts.boot.entries.iter().filter_map(|entry| entry.initrds.last().cloned()).collect()
}

/// The files with a fault, as they are and as they are to be.
fn mended(guest: &Guest<'_>, path: &str) -> Result<Vec<(String, String, String)>> {
    let Some(content) = guest.view.read(path)? else { return Ok(Vec::new()) };
    // one that cannot be read is the business of linux.initramfs.hyperv
    let Ok(parsed) = guest.archives.get(path, &content) else { return Ok(Vec::new()) };
    mended_in(parsed.archive(), guest.view.machine())
}

fn mended_in(archive: &Archive<'_>, machine: &Machine) -> Result<Vec<(String, String, String)>> {
    let never =
        |spec: &str| matches!(devices::named(machine, spec, None), Named::DiskName(_) | Named::Absent);
    let wanted = |path: &str| waits::is_hook(path) || is_cmdline(path) || path == FSTAB;
    let mut out = Vec::new();
    for (path, old) in texts(archive, wanted)? {
        let new = if waits::is_hook(&path) {
            rewrite(&old, |line| {
                waits::device_of(line.body)
                    .filter(|device| never(device))
                    .map(|_| comment_out(line.body, WHY))
            })
        } else if is_cmdline(&path) {
            cmdline::edit(&old, |token| match waits::absent_of(machine, token) {
                Some(_) => Change::Drop,
                None => Change::Keep,
            })
        } else {
            fstab::edit(&old, |entry| {
                let waits = never(&entry.spec) && !waits::is_optional(&entry.options);
                waits.then_some(fstab::Change::CommentOut(WHY))
            })
        };
        if new != old {
            out.push((path, old, new));
        }
    }
    Ok(out)
}

/// Parts of a command line that dracut puts before the one of the boot loader.
fn is_cmdline(path: &str) -> bool {
    path.starts_with("etc/cmdline.d/") && path.ends_with(".conf")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{Bench, ROOT_UUID, initramfs_with};

    const IMAGE: &str = "/boot/initrd.img-6.1.0-50-amd64";
    const HOOK: &str = "usr/lib/dracut/hooks/initqueue/finished/devexists-x.sh";

    fn bench(file: &str, text: &str) -> Bench {
        Bench::debian().file(IMAGE, initramfs_with(&[("init", "x"), (file, text)]))
    }

    #[test]
    fn what_does_not_come_is_waited_for_no_more() {
        for (file, text, after) in [
            (
                HOOK,
                "[ -e \"/dev/nvme0n1p1\" ]\n".to_owned(),
                "# refloat: a device that does not come: [ -e \"/dev/nvme0n1p1\" ]\n".to_owned(),
            ),
            (
                "etc/cmdline.d/90lvm.conf",
                " rd.lvm.lv=rhel/swap rd.md=0\n".to_owned(),
                " rd.md=0\n".to_owned(),
            ),
            (
                FSTAB,
                "/dev/xvdf /data xfs defaults 0 0\n".to_owned(),
                "# refloat: a device that does not come: /dev/xvdf /data xfs defaults 0 0\n".to_owned(),
            ),
        ] {
            let bench = bench(file, &text);
            assert!(bench.findings(&RULE)[0].starts_with(&format!("{IMAGE}: its {file} waits")), "{file}");
            bench.mended(&RULE, |view| {
                let content = view.read(IMAGE).unwrap().unwrap();
                let archive = Archive::parse(&content, &initramfs::Limits::default()).unwrap();
                let mended = bytes::decode(archive.find(file).unwrap().data().unwrap());
                assert_eq!(mended.trim_start(), after.trim_start(), "{file}");
            });
        }
    }

    #[test]
    fn what_comes_is_waited_for() {
        let root = format!("[ -e \"/dev/disk/by-uuid/{ROOT_UUID}\" ]\n");
        for (file, text) in [(HOOK, root.as_str()), ("etc/cmdline.d/x.conf", "rd.md=0\n"), (FSTAB, "")] {
            assert_eq!(bench(file, text).findings(&RULE), [""; 0], "{file}");
        }
    }
}
