//! linux.initramfs.hyperv

use std::sync::Arc;

use initramfs::Generator;

use crate::error::chain;
use crate::facts::{Facts, Kernel, Machine};
use crate::modules::Modules;
use crate::platform::{Drivers, Firmware};
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::rules::linux::aside;
use crate::{Error, Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// An initramfs that cannot see an Azure disk.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.initramfs.hyperv",
        title: "every initramfs of the boot menu has the drivers of Hyper-V",
        pack: Pack::Linux,
        phase: Phase::Drivers,
        severity: Severity::Blocker,
        cause: "An initramfs built on EC2 holds the drivers of EC2. On Azure the root file system is behind \
                drivers of the bus and the disk; without them the boot ends with \"ALERT! ... does not exist\".",
        fix: "The missing modules of that very kernel, with all they depend on and their indexes, are put \
              into the initramfs, and the result is read back and checked. The original is kept beside it \
              as .pre-azure if there is room.",
        source: &[
            Source::new("Microsoft Learn", "Prepare Linux for imaging in Azure", "2026-09"),
            Source::new("measured boots on an emulated VMBus", "", "2026-11-23"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

/// What must stay free on the volume when the original is kept.
const SPARE: u64 = 8 << 20;

/// An initramfs, and the kernel whose modules it must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::rules) struct Target {
    path: String,
    release: String,
    modules: String,
}

impl Target {
    /// An initramfs for a kernel; `None` if the kernel itself lacks the drivers, which is the business of
    /// linux.kernel.hyperv.
    pub(in crate::rules) fn new(path: &str, kernel: &Kernel, drivers: &Drivers) -> Option<Self> {
        let sees_disk = drivers.vital().iter().all(|name| kernel.has(name));
        let modules = kernel.modules.clone().filter(|_| sees_disk)?;
        Some(Self { path: path.to_owned(), release: kernel.version.clone(), modules })
    }
}

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let targets = targets(guest);
    if targets.is_empty() {
        return Ok(Finding::NotApplicable("no boot entry has an initramfs and modules for it"));
    }
    Ok(Finding::from_evidence(faults(guest, &targets)?))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let guest = stage.guest()?;
    let by_ata = guest.goal.target.firmware == Firmware::Bios && has_ata(guest.facts);
    let rescue = if by_ata { RESCUE } else { "" };
    let vital = guest.goal.target.platform.drivers.vital().join(" and ");
    let targets = targets(&guest);
    mend(stage, &targets, |path, why| {
        format!("{path} cannot be changed offline ({why}): add {vital} to it in the running machine{rescue}")
    })
}

/// Generation 1 shows the disk as one of IDE, too, unless Linux sees that it runs on Hyper-V.
const RESCUE: &str = "; to rescue it on Azure, boot once with ata_piix.prefer_ms_hyperv=0, and take that away again: it shows the disk twice";

fn has_ata(facts: &Facts) -> bool {
    let kernel = facts.default_kernel().or(facts.kernels.first());
    kernel.is_some_and(|kernel| kernel.has("ata_piix"))
}

/// Images that lack what is required, or that cannot be read.
pub(in crate::rules) fn faults(guest: &Guest<'_>, targets: &[Target]) -> Result<Vec<Evidence>> {
    let mut evidence = Vec::new();
    for target in targets {
        let what = match lacking(guest, target) {
            Ok(lacking) if lacking.is_empty() => continue,
            Ok(lacking) => format!("lacks {}", lacking.join(", ")),
            Err(Error::Initramfs { source, .. }) => format!("cannot be read: {}", chain(&*source)),
            Err(error) => return Err(error),
        };
        evidence.push(Evidence::new(&target.path, what));
    }
    Ok(evidence)
}

/// Puts the modules into each image; `by_hand` says what to do about one that cannot be changed, and why it
/// cannot.
pub(in crate::rules) fn mend(
    stage: &mut Stage<'_>,
    targets: &[Target],
    by_hand: impl FnOnce(&str, &str) -> String,
) -> Result<Fixed> {
    let mut room = Room::of(stage.guest()?.view.machine());
    for target in targets {
        match inject(&stage.guest()?, target) {
            Ok(None) => {}
            Ok(Some(new)) => replace(stage, &target.path, new, &mut room)?,
            Err(Error::Initramfs { path, source }) => {
                return Ok(Fixed::ByHand(by_hand(&path, &chain(&source))));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Fixed::Staged)
}

/// Puts a new initramfs in place of an old one, which is kept beside it if there is room.
pub(in crate::rules) fn replace(
    stage: &mut Stage<'_>,
    path: &str,
    new: initramfs::Injected,
    room: &mut Room,
) -> Result<()> {
    if room.take(path, new.bytes.len() as u64) {
        aside::keep(stage, path)?;
    }
    stage.put_binary(path, new.bytes, new.changes)
}

/// The initramfs images that boot entries load, the default's first, each with the kernel it is for.
fn targets(guest: &Guest<'_>) -> Vec<Target> {
    let (facts, drivers) = (guest.facts, &guest.goal.target.platform.drivers);
    let mut entries: Vec<_> = facts.boot.entries.iter().collect();
    entries.sort_by_key(|entry| !entry.default);
    let mut out: Vec<Target> = Vec::new();
    for entry in entries {
        let named = facts.kernels.iter().find(|kernel| {
            kernel.image.as_ref() == Some(&entry.kernel)
                || entry.kernel.ends_with(&format!("-{}", kernel.version))
        });
        // of several images the last one is the system's, the others are microcode
        let (Some(kernel), Some(path)) = (named, entry.initrds.last()) else { continue };
        out.extend(Target::new(path, kernel, drivers).filter(|target| !out.contains(target)));
    }
    out
}

/// The required modules that are not usable from the initramfs.
fn lacking(guest: &Guest<'_>, target: &Target) -> Result<Vec<String>> {
    match guest.view.read(&target.path)? {
        Some(bytes) => lacking_in(guest, target, &bytes),
        None => Ok(Vec::new()),
    }
}

/// The same for an initramfs with these bytes, wherever they are from.
pub(in crate::rules) fn lacking_in(
    guest: &Guest<'_>,
    target: &Target,
    bytes: &Arc<[u8]>,
) -> Result<Vec<String>> {
    let parsed = guest.archives.get(&target.path, bytes)?;
    let tree = Modules::new(guest.view, &target.modules);
    let drivers = &guest.goal.target.platform.drivers;
    let coverage = initramfs::missing(parsed.archive(), &target.release, drivers.required, &tree)
        .map_err(|e| failed(target, e))?;
    Ok(coverage.addable().map(str::to_owned).collect())
}

/// What the initramfs becomes; `None` if nothing required is missing.
fn inject(guest: &Guest<'_>, target: &Target) -> Result<Option<initramfs::Injected>> {
    if lacking(guest, target)?.is_empty() {
        return Ok(None);
    }
    let Some(bytes) = guest.view.read(&target.path)? else { return Ok(None) };
    let parsed = guest.archives.get(&target.path, &bytes)?;
    let generator = parsed.archive().generator();
    if matches!(generator, Generator::Unknown | Generator::Booster) {
        let what = format!("an /init of {generator}: nobody knows what would load the modules");
        return Err(failed(target, initramfs::Error::Unsupported { what, offset: 0 }));
    }
    let tree = Modules::new(guest.view, &target.modules);
    let drivers = &guest.goal.target.platform.drivers;
    let wanted = [drivers.required, drivers.desired].concat();
    let request = initramfs::Request {
        required: drivers.required,
        first: drivers.first,
        ..initramfs::Request::new(&target.release, &wanted, &tree)
    };
    let injected = initramfs::inject(parsed.archive(), &request).map_err(|e| failed(target, e))?;
    let loadable: Vec<&str> = injected.loadable.iter().map(String::as_str).collect();
    // Whoever looks at it next finds it parsed.
    let parsed = guest.archives.get(&target.path, &injected.bytes)?;
    initramfs::prove(parsed.archive(), &target.release, &loadable).map_err(|e| failed(target, e))?;
    Ok(Some(injected))
}

fn failed(target: &Target, source: initramfs::Error) -> Error {
    Error::Initramfs { path: target.path.clone(), source: source.into() }
}

/// Free space by volume, less what was planned already.
pub(in crate::rules) struct Room(Vec<(String, u64)>);

impl Room {
    pub(in crate::rules) fn of(machine: &Machine) -> Self {
        let volumes = machine.volumes.iter();
        Self(volumes.filter_map(|volume| Some((volume.mounted_at.clone()?, volume.free?))).collect())
    }

    /// Takes `size` bytes from the volume that holds `path`, if it then still has some to spare.
    fn take(&mut self, path: &str, size: u64) -> bool {
        let holds =
            |point: &str| point == "/" || path.strip_prefix(point).is_some_and(|rest| rest.starts_with('/'));
        let volume = self.0.iter_mut().filter(|(point, _)| holds(point)).max_by_key(|(point, _)| point.len());
        let left = volume.as_ref().and_then(|(_, free)| free.checked_sub(size + SPARE));
        if let (Some((_, free)), Some(left)) = (volume, left) {
            *free = left + SPARE;
        }
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::azure;
    use crate::rules::testing::{Bench, initramfs_with};

    #[test]
    fn what_is_no_initramfs_is_evidence_and_left_to_the_user() {
        let bench = Bench::debian().file("/boot/initrd.img-6.1.0-50-amd64", "no initramfs");
        let found = bench.findings(&RULE);
        assert!(
            found.len() == 1 && found[0].starts_with("/boot/initrd.img-6.1.0-50-amd64: cannot be read: "),
            "{found:?}"
        );
        assert!(
            bench.by_hand(&RULE).starts_with("/boot/initrd.img-6.1.0-50-amd64 cannot be changed offline")
        );
        let ata =
            bench.file("/lib/modules/6.1.0-50-amd64/modules.builtin", "kernel/drivers/ata/ata_piix.ko\n");
        assert!(ata.by_hand(&RULE).ends_with(RESCUE));
        assert!(!ata.target(&azure::GEN2).by_hand(&RULE).contains("ata_piix"));
    }

    #[test]
    fn one_of_no_known_framework_is_left_to_the_user() {
        let own = initramfs_with(&[("init", "#!/bin/sh\nmodprobe nvme\n"), ("bin/sh", "program")]);
        let bench = Bench::debian()
            .file("/lib/modules/6.1.0-50-amd64/kernel/drivers/hv/hv_vmbus.ko", "")
            .file("/boot/initrd.img-6.1.0-50-amd64", own);
        assert!(bench.findings(&RULE)[0].contains("lacks hv_vmbus"));
        assert!(bench.by_hand(&RULE).contains("an /init of an unknown generator"));
    }

    #[test]
    fn room_is_counted_by_volume() {
        let mut room = Room(vec![("/".into(), 100 << 20), ("/boot".into(), 30 << 20)]);
        assert!(room.take("/boot/a", 20 << 20));
        assert!(!room.take("/boot/b", 20 << 20));
        assert!(room.take("/bootx", 20 << 20));
        assert!(!Room(Vec::new()).take("/x", 1));
    }
}
