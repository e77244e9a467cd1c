//! linux.fstab.device-names, linux.fstab.instance-store, linux.fstab.absent-disks,
//! linux.fstab.optional, linux.fstab.network-filesystems
//!
//! One judgement of each line, so that no two of these rules ever claim the same one.

mod servers;

use crate::facts::{Machine, Mount, Volume};
use crate::inspect::devices::{self, Named};
use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::services::is_without_systemd;
use crate::text::crypttab;
use crate::text::fstab::{self, Change};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, View};

/// What can be wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rules) enum Fault {
    DeviceName,
    InstanceStore,
    AbsentDisk,
    Optional,
    NetworkFilesystem,
}

/// The options by which a boot does not wait, and what it makes by itself.
#[derive(Clone)]
pub(in crate::rules) struct Patience {
    /// For a device that may come later, or not at all.
    pub(in crate::rules) disk: &'static [&'static str],
    /// For a file server.
    server: &'static [&'static str],
    /// The option of Ubuntu's mountall is handed to the file system, which refuses it.
    is_systemd: bool,
    /// What crypttab opens: `/dev/mapper/home`.
    opened: Vec<String>,
}

const SYSTEMD: Patience = Patience {
    disk: &["nofail", "x-systemd.device-timeout=10"],
    server: &["nofail", "_netdev", "x-systemd.mount-timeout=30"],
    is_systemd: true,
    opened: Vec::new(),
};
/// Ubuntu's mountall, with Upstart.
const MOUNTALL: Patience = Patience {
    disk: &["nobootwait"],
    server: &["nobootwait", "_netdev"],
    is_systemd: false,
    opened: Vec::new(),
};
/// mount of old hands options of systemd to the file system, which refuses them.
const MOUNT: Patience =
    Patience { disk: &["nofail"], server: &["nofail", "_netdev"], is_systemd: false, opened: Vec::new() };

impl Patience {
    /// That of the guest's init.
    pub(in crate::rules) fn of(view: &dyn View) -> Result<Self> {
        let patience = match (is_without_systemd(view)?, view.exists("/etc/init/mountall.conf")?) {
            (false, _) => SYSTEMD,
            (true, true) => MOUNTALL,
            (true, false) => MOUNT,
        };
        let text = view.text("/etc/crypttab")?.unwrap_or_default();
        let opened =
            crypttab::entries(&text).iter().map(|entry| format!("/dev/mapper/{}", entry.name)).collect();
        Ok(Self { opened, ..patience })
    }

    /// Whether the boot ends well when what a line names is not there.
    fn goes_on_without(&self, mount: &Mount) -> bool {
        let has = |option: &str| fstab::has_option(&mount.options, option);
        mount.kind == "swap"
            || self.disk.first().is_some_and(|option| has(option))
            || self.is_systemd && has("x-systemd.automount")
    }
}

pub(in crate::rules) static DEVICE_NAMES: Rule = Rule {
    meta: RuleMeta {
        id: "linux.fstab.device-names",
        title: "fstab names the volumes of this disk by UUID",
        pack: Pack::Linux,
        phase: Phase::Mounts,
        severity: Severity::Blocker,
        cause: "xvda1 and nvme0n1p1 are names that disks have on EC2 only; on Azure the disk is sda or \
                nvme0n1, in no fixed order. systemd waits 90 s for a device that never comes and then drops \
                to emergency mode.",
        fix: "The name is replaced by the UUID in the volume's own superblock; the rest of the line stays.",
        source: &[
            Source::new("Microsoft Learn", "Prepare Linux for imaging in Azure", "2026-09"),
            Source::new("Azure/AzMigrate-Hydration 4337598c", "", "2026"),
            Source::new("measured boots", "", "2026-11-23"),
        ],
        applies: Applies::LINUX,
    },
    detect: |guest| detect(guest, Fault::DeviceName),
    fix: Some(|stage| fix(stage, Fault::DeviceName)),
};

pub(in crate::rules) static INSTANCE_STORE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.fstab.instance-store",
        title: "fstab mounts no instance store",
        pack: Pack::Linux,
        phase: Phase::Mounts,
        severity: Severity::Blocker,
        cause: "The instance store of EC2 is not on Azure, and its device name may there be another disk. \
                systemd waits 90 s for it and then drops to emergency mode.",
        fix: "The line becomes a comment that says why. Azure's temporary disk is the Azure agent's \
              business.",
        source: &[
            Source::new("measured boot with a stale /dev/xvdb line", "", "2026-11-23"),
            Source::new("cloud-init documentation", "Mounts", "2026-11"),
        ],
        applies: Applies::LINUX,
    },
    detect: |guest| detect(guest, Fault::InstanceStore),
    fix: Some(|stage| fix(stage, Fault::InstanceStore)),
};

pub(in crate::rules) static ABSENT_DISKS: Rule = Rule {
    meta: RuleMeta {
        id: "linux.fstab.absent-disks",
        title: "the boot waits for no disk that may not be there",
        pack: Pack::Linux,
        phase: Phase::Mounts,
        severity: Severity::Blocker,
        cause: "A volume that is not on this disk is on another EBS volume, which may be attached on Azure \
                later, or never. Without nofail the boot ends in emergency mode when it is not there.",
        fix: "A UUID or label gets nofail and a device timeout of 10 s; an EC2 device name, which no disk \
              on Azure will have, becomes a comment, unless it may mean one of the machine's disks.",
        source: &[
            Source::new("AWS VM Import/Export guide", "Linux fstab handling", "2026"),
            Source::new("systemd.mount(5)", "", "2026-11"),
            Source::new("measured boots", "", "2026-11-23"),
        ],
        applies: Applies::LINUX,
    },
    detect: |guest| detect(guest, Fault::AbsentDisk),
    fix: Some(|stage| fix(stage, Fault::AbsentDisk)),
};

pub(in crate::rules) static OPTIONAL: Rule = Rule {
    meta: RuleMeta {
        id: "linux.fstab.optional",
        title: "fstab asks for nothing that is not there",
        pack: Pack::Linux,
        phase: Phase::Mounts,
        severity: Severity::Warning,
        cause: "The boot goes on without swap, without what is mounted with nofail, and without a server that does \
                not answer. systemd still keeps a job that waits 90 s for it, logins wait for servers, and on Azure \
                a device name of EC2 may be another disk.",
        fix: "A UUID or label gets a device timeout of 10 s, a server _netdev and a mount timeout; swap, an \
              instance store, a service of AWS and an EC2 device name become comments, unless the name may mean \
              one of the machine's disks.",
        source: &[
            Source::new("systemd.mount(5)", "", "2026-11"),
            Source::new("systemd.swap(5)", "", "2026-11"),
            Source::new("measured boots, with a stale /dev/xvdb line among them", "", "2026-11-23"),
        ],
        applies: Applies::LINUX,
    },
    detect: |guest| detect(guest, Fault::Optional),
    fix: Some(|stage| fix(stage, Fault::Optional)),
};

pub(in crate::rules) static NETWORK_FILESYSTEMS: Rule = Rule {
    meta: RuleMeta {
        id: "linux.fstab.network-filesystems",
        title: "the boot waits for no file server",
        pack: Pack::Linux,
        phase: Phase::Mounts,
        severity: Severity::Blocker,
        cause: "EFS and FSx servers answer inside their VPC only, and any other server may not be reachable \
                from Azure at the first boot. What is mounted from one without _netdev, by a type that systemd \
                does not know for a server's, or where the system itself looks, ends the boot in emergency mode.",
        fix: "Mounts of EFS, FSx and S3 become comments; others get nofail, _netdev and a mount timeout of \
              30 s.",
        source: &[
            Source::new("Azure/AzMigrate-Hydration 4337598c", "", "2026"),
            Source::new("AWS VM Import/Export guide", "", "2026"),
            Source::new("systemd.mount(5)", "", "2026-11"),
        ],
        applies: Applies::LINUX,
    },
    detect: |guest| detect(guest, Fault::NetworkFilesystem),
    fix: Some(|stage| fix(stage, Fault::NetworkFilesystem)),
};

fn detect(guest: &Guest<'_>, wanted: Fault) -> Result<Finding> {
    if guest.facts.fstab.is_empty() {
        return Ok(Finding::NotApplicable("there is no fstab"));
    }
    let (machine, patience) = (guest.view.machine(), Patience::of(guest.view)?);
    let evidence = guest.facts.fstab.iter().filter_map(|mount| {
        let (fault, what, _) = judge(mount, machine, &patience)?;
        (fault == wanted).then(|| Evidence::new(Place::line("/etc/fstab", mount.line), what))
    });
    Ok(Finding::from_evidence(evidence.collect()))
}

fn fix(stage: &mut Stage<'_>, wanted: Fault) -> Result<Fixed> {
    let guest = stage.guest()?;
    let (machine, patience) = (guest.view.machine(), Patience::of(guest.view)?);
    let judged =
        guest.facts.fstab.iter().filter_map(|mount| Some((mount.line, judge(mount, machine, &patience)?)));
    let mut changes: Vec<(usize, Change)> = Vec::new();
    for (line, (fault, _, change)) in judged {
        if fault != wanted {
            continue;
        }
        let Some(change) = change else {
            let spec = guest.facts.fstab.iter().find(|mount| mount.line == line);
            let spec = spec.map_or("", |mount| mount.spec.as_str());
            return Ok(Fixed::ByHand(by_hand(machine, spec, &format!("/etc/fstab:{line}"))));
        };
        changes.push((line, change));
    }
    let change =
        |line: usize| changes.iter().find(|(number, _)| *number == line).map(|(_, change)| change.clone());
    stage.edit("/etc/fstab", |text| fstab::edit(text, |entry| change(entry.line)))?;
    Ok(Fixed::Staged)
}

/// What to do about a device name that stands at `place` and that nothing here can replace.
pub(in crate::rules) fn by_hand(machine: &Machine, spec: &str, place: &str) -> String {
    let name = |volume: &&Volume| match devices::stable_spec(machine, volume) {
        Some(spec) => format!("{} is {spec}", volume.name),
        None => format!("{} has no UUID", volume.name),
    };
    let names: Vec<_> = devices::may_be(machine, spec).iter().map(name).collect();
    if names.is_empty() {
        return format!(
            "the volume that {place} names has no name that no other has: give it a UUID of its own, or name \
             it by PARTUUID="
        );
    }
    format!("name the volume that {place} means by UUID=, in the machine: {}", names.join(", "))
}

/// What is wrong with a line, in which words, and what to do; `None` if all is well.
pub(in crate::rules) fn judge(
    mount: &Mount,
    machine: &Machine,
    patience: &Patience,
) -> Option<(Fault, String, Option<Change>)> {
    const MOUNTALL: &str = "nobootwait";
    let found = fault(mount, machine, patience).map(|(fault, what, change)| match fault {
        Fault::InstanceStore | Fault::AbsentDisk | Fault::NetworkFilesystem
            if patience.goes_on_without(mount) =>
        {
            (Fault::Optional, what, change)
        }
        Fault::NetworkFilesystem if patience.is_systemd && servers::delay(mount).is_some() => {
            (Fault::Optional, what, change)
        }
        fault => (fault, what, change),
    });
    if !patience.is_systemd || !fstab::has_option(&mount.options, MOUNTALL) {
        return found;
    }
    let others: Vec<&str> = mount.options.split(',').filter(|option| *option != MOUNTALL).collect();
    let options = fstab::with_options(&others.join(","), &["nofail"]);
    match found {
        Some((fault, what, Some(Change::AddOptions(added)))) => {
            Some((fault, what, Some(Change::Options(fstab::with_options(&options, added)))))
        }
        None => {
            let what = format!("{} is mounted with {MOUNTALL}, which systemd does not know", mount.target);
            Some((Fault::AbsentDisk, what, Some(Change::Options(options))))
        }
        found => found,
    }
}

fn fault(mount: &Mount, machine: &Machine, patience: &Patience) -> Option<(Fault, String, Option<Change>)> {
    let has = |option: &str| fstab::has_option(&mount.options, option);
    let (spec, target) = (&mount.spec, &mount.target);
    let named = devices::named(machine, spec, None);
    let volume = machine.volumes.iter().find(|volume| mount.volume.as_ref() == Some(&volume.name));
    if let (Some(volume), Named::DiskName(_)) = (volume, &named) {
        let what = format!("{target} is mounted from {spec}, a name that {} has only on EC2", volume.name);
        return Some((Fault::DeviceName, what, devices::stable_spec(machine, volume).map(Change::Spec)));
    }
    if let Named::Several(volumes) = &named
        && !has("noauto")
    {
        let names: Vec<&str> = volumes.iter().map(|volume| volume.name.as_str()).collect();
        let what = format!("{target} is mounted from {spec}, which is the name of {}", names.join(" and "));
        // which of the others is meant nobody can tell
        let root = devices::root(machine).filter(|_| target == "/");
        let spec = root.and_then(|root| devices::stable_spec(machine, root));
        return Some((Fault::DeviceName, what, spec.map(Change::Spec)));
    }
    if volume.is_some() {
        return None;
    }
    let is_gone = matches!(named, Named::DiskName(_) | Named::Absent) && !patience.opened.contains(spec);
    if target == "/" && is_gone {
        let root = devices::root(machine)?;
        let what = format!("/ is mounted from {spec}, which is not on this disk");
        return Some((Fault::DeviceName, what, devices::stable_spec(machine, root).map(Change::Spec)));
    }
    if has("noauto") {
        return None;
    }
    if servers::is_network(mount) {
        return if servers::is_of_aws(mount) {
            let what = format!("{target} is mounted from {spec}, a service inside AWS");
            Some((Fault::NetworkFilesystem, what, Some(Change::CommentOut("a service inside AWS"))))
        } else if patience.server.iter().take(2).all(|option| has(option)) {
            None
        } else {
            let what = if patience.goes_on_without(mount) {
                format!("{target} is mounted from {spec}, which may not be reachable")
            } else if let Some(time) = servers::delay(mount).filter(|_| patience.is_systemd) {
                format!("logins wait up to {time} for {spec} at {target}, which may not be reachable")
            } else {
                format!("the boot waits for {spec} at {target}")
            };
            Some((Fault::NetworkFilesystem, what, Some(Change::AddOptions(patience.server))))
        };
    }
    if !is_gone {
        return None;
    }
    if mount.kind == "swap" {
        let what = format!("swap on {spec}, which is not on this disk");
        return Some((
            Fault::InstanceStore,
            what,
            Some(Change::CommentOut("swap on a device of AWS that is not here")),
        ));
    }
    if devices::is_disk_name(spec) {
        let may_be: Vec<_> =
            devices::may_be(machine, spec).into_iter().map(|volume| volume.name.as_str()).collect();
        return Some(if is_ephemeral(mount) {
            let what = format!("{target} is mounted from {spec}, an instance store of EC2");
            (Fault::InstanceStore, what, Some(Change::CommentOut("an instance store of AWS")))
        } else if !may_be.is_empty() {
            let which = may_be.join(" or ");
            let what = format!("{target} is mounted from {spec}, a name of EC2 that may mean {which}");
            (Fault::AbsentDisk, what, None)
        } else {
            let what = format!("{target} is mounted from {spec}, a disk that has another name on Azure");
            let why = "a disk of AWS that is not here, to be mounted by UUID where it is attached";
            (Fault::AbsentDisk, what, Some(Change::CommentOut(why)))
        });
    }
    let optional = patience.disk.iter().all(|option| match option.split_once('=') {
        Some((name, _)) => has(&format!("{name}=")) || has("x-systemd.automount"),
        None => has(option),
    });
    (!optional).then(|| {
        let what = if patience.goes_on_without(mount) {
            format!("{target} is mounted from {spec}, which is not on this disk")
        } else {
            format!("the boot waits for {spec} at {target}, which is not on this disk")
        };
        (Fault::AbsentDisk, what, Some(Change::AddOptions(patience.disk)))
    })
}

/// Where EC2 and cloud-init mount instance stores, and the names they have there.
fn is_ephemeral(mount: &Mount) -> bool {
    let place = mount.target == "/mnt"
        || ["/mnt/ephemeral", "/media/ephemeral", "/ephemeral"]
            .iter()
            .any(|dir| mount.target.starts_with(dir));
    let mapping =
        ["/dev/xvdb", "/dev/xvdc", "/dev/xvdd", "/dev/xvde", "/dev/sdb", "/dev/sdc", "/dev/sdd", "/dev/sde"];
    let by_cloud_init = fstab::has_option(&mount.options, "comment=cloudconfig");
    place || (by_cloud_init && mapping.contains(&mount.spec.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{BOOT_UUID, Bench, ROOT_UUID};

    const ALL: [&Rule; 5] = [&DEVICE_NAMES, &INSTANCE_STORE, &ABSENT_DISKS, &OPTIONAL, &NETWORK_FILESYSTEMS];

    /// Each line with the rule that must claim it and what it must become; `None` for one that must be left
    /// alone.
    const LINES: &[(&str, Option<(&Rule, &str)>)] = &[
        (
            "/dev/xvda1 / ext4 defaults,discard 0 1",
            Some((&DEVICE_NAMES, "UUID={root} / ext4 defaults,discard 0 1")),
        ),
        ("/dev/xvda2\tnone\tswap\tsw 0 0", Some((&DEVICE_NAMES, "UUID={swap}\tnone\tswap\tsw 0 0"))),
        (
            "/dev/xvda1 /mnt/bind ext4 noauto 0 0",
            Some((&DEVICE_NAMES, "UUID={root} /mnt/bind ext4 noauto 0 0")),
        ),
        ("/dev/xvdb /mnt auto defaults,nofail,comment=cloudconfig 0 2", Some((&OPTIONAL, "#"))),
        ("LABEL=gone none swap sw,nofail 0 0", Some((&OPTIONAL, "#"))),
        ("/dev/xvdb /mnt auto defaults 0 2", Some((&INSTANCE_STORE, "#"))),
        ("/dev/xvdb /data auto defaults,comment=cloudconfig 0 2", Some((&INSTANCE_STORE, "#"))),
        ("/dev/nvme1n1 /mnt ext4 defaults 0 2", Some((&INSTANCE_STORE, "#"))),
        ("/dev/xvda3 none swap sw 0 0", Some((&OPTIONAL, "#"))),
        ("UUID=dead-beef none swap sw 0 0", Some((&OPTIONAL, "#"))),
        ("/dev/xvdf /data xfs defaults 0 2", Some((&ABSENT_DISKS, "#"))),
        ("/dev/disk/by-id/nvme-x /data xfs nofail 0 2", Some((&OPTIONAL, "#"))),
        (
            "LABEL=data /data xfs defaults 0 2",
            Some((&ABSENT_DISKS, "LABEL=data /data xfs defaults,nofail,x-systemd.device-timeout=10 0 2")),
        ),
        (
            "UUID=dead-beef /data xfs nofail 0 2",
            Some((&OPTIONAL, "UUID=dead-beef /data xfs nofail,x-systemd.device-timeout=10 0 2")),
        ),
        ("fs-0123:/ /srv efs _netdev,tls 0 0", Some((&OPTIONAL, "#"))),
        ("fs-0123:/ /srv efs tls 0 0", Some((&NETWORK_FILESYSTEMS, "#"))),
        ("fs-0123:/ /srv efs _netdev,nofail,tls 0 0", Some((&OPTIONAL, "#"))),
        (
            "nas:/x /x nfs nofail 0 0",
            Some((&OPTIONAL, "nas:/x /x nfs nofail,_netdev,x-systemd.mount-timeout=30 0 0")),
        ),
        ("fs-1.efs.eu-west-1.amazonaws.com:/ /opt nfs4 _netdev 0 0", Some((&OPTIONAL, "#"))),
        ("s3fs#bucket /s3 fuse _netdev 0 0", Some((&OPTIONAL, "#"))),
        ("s3fs#bucket /s3 fuse defaults 0 0", Some((&NETWORK_FILESYSTEMS, "#"))),
        (
            "nas:/x /x nfs rw 0 0",
            Some((&OPTIONAL, "nas:/x /x nfs rw,nofail,_netdev,x-systemd.mount-timeout=30 0 0")),
        ),
        (
            "//nas/x /x cifs _netdev 0 0",
            Some((&OPTIONAL, "//nas/x /x cifs nofail,_netdev,x-systemd.mount-timeout=30 0 0")),
        ),
        (
            "nas:/x /x nfs soft,bg,_netdev,retry=0 0 0",
            Some((&OPTIONAL, "nas:/x /x nfs soft,bg,retry=0,nofail,_netdev,x-systemd.mount-timeout=30 0 0")),
        ),
        (
            "nas:/x /x nfs _netdev,x-systemd.mount-timeout=infinity 0 0",
            Some((&NETWORK_FILESYSTEMS, "nas:/x /x nfs nofail,_netdev,x-systemd.mount-timeout=30 0 0")),
        ),
        (
            "nas:/x /var/lib nfs _netdev 0 0",
            Some((&NETWORK_FILESYSTEMS, "nas:/x /var/lib nfs nofail,_netdev,x-systemd.mount-timeout=30 0 0")),
        ),
        ("UUID={root} / ext4 defaults 0 1", None),
        ("UUID=dead-beef /data xfs nofail,x-systemd.device-timeout=5s 0 2", None),
        ("UUID=dead-beef /data xfs x-systemd.automount,nofail 0 2", None),
        ("/dev/xvdf /data xfs noauto 0 2", None),
        ("nas:/x /x nfs nofail,_netdev 0 0", None),
        ("/swapfile none swap sw 0 0", None),
        ("tmpfs /tmp tmpfs defaults 0 0", None),
        (
            "/dev/mapper/datavg-lv0 /data xfs defaults 0 0",
            Some((
                &ABSENT_DISKS,
                "/dev/mapper/datavg-lv0 /data xfs defaults,nofail,x-systemd.device-timeout=10 0 0",
            )),
        ),
        (
            "/dev/vgdata/lv0 /data xfs defaults 0 0",
            Some((
                &ABSENT_DISKS,
                "/dev/vgdata/lv0 /data xfs defaults,nofail,x-systemd.device-timeout=10 0 0",
            )),
        ),
        (
            "/dev/md0 /data xfs defaults 0 0",
            Some((&ABSENT_DISKS, "/dev/md0 /data xfs defaults,nofail,x-systemd.device-timeout=10 0 0")),
        ),
        (
            "UUID=dead-beef /data xfs nobootwait 0 2",
            Some((&ABSENT_DISKS, "UUID=dead-beef /data xfs nofail,x-systemd.device-timeout=10 0 2")),
        ),
        (
            "UUID={swap} /data xfs rw,nobootwait,noatime 0 2",
            Some((&ABSENT_DISKS, "UUID={swap} /data xfs rw,noatime,nofail 0 2")),
        ),
        ("/dev/mapper/vg0-data /data xfs noauto 0 0", None),
        ("/dev/mapper/vg0-data /data xfs nofail,x-systemd.device-timeout=5 0 0", None),
        ("/dev/zram0 none swap sw 0 0", None),
        ("/dev/sr0 /media udf defaults 0 0", None),
        ("# /dev/xvdb /mnt auto defaults 0 2", None),
    ];

    fn filled(line: &str) -> String {
        line.replace("{root}", ROOT_UUID).replace("{swap}", BOOT_UUID)
    }

    #[test]
    fn each_line_is_claimed_by_one_rule_and_mended() {
        for (line, expected) in LINES {
            let line = filled(line);
            let bench = Bench::debian().file("/etc/fstab", format!("# first\n{line}\n"));
            for rule in ALL {
                let found = bench.findings(rule);
                match expected {
                    Some((claims, _)) if std::ptr::eq(*claims, rule) => {
                        assert!(
                            found.len() == 1 && found[0].starts_with("/etc/fstab:2: "),
                            "{line}: {found:?}"
                        );
                    }
                    _ => assert!(found.is_empty(), "{line}: {found:?}"),
                }
            }
            let Some((rule, new)) = expected else { continue };
            let text = bench.mended_text(rule, "/etc/fstab");
            let mended = text.strip_prefix("# first\n").and_then(|rest| rest.strip_suffix('\n')).unwrap();
            match *new {
                "#" => assert!(mended.starts_with("# refloat: ") && mended.ends_with(&line), "{mended}"),
                new => assert_eq!(mended, filled(new)),
            }
            let again = bench.file("/etc/fstab", &text);
            assert!(ALL.iter().all(|rule| again.findings(rule).is_empty()), "{text}");
        }
    }

    #[test]
    fn a_name_that_may_mean_a_disk_that_is_here_is_for_the_user_to_tell() {
        for (spec, claims) in [("/dev/nvme1n1", true), ("/dev/xvdf", true), ("/dev/nvme1n1p2", false)] {
            let bench = Bench::debian()
                .with_data_disk()
                .file("/etc/fstab", format!("{spec} /data ext4 defaults 0 2\n"));
            let found = bench.findings(&ABSENT_DISKS);
            assert!(
                found.len() == 1 && found[0].contains("that may mean disk2") == claims,
                "{spec}: {found:?}"
            );
            if claims {
                let what = bench.by_hand(&ABSENT_DISKS);
                assert!(what.contains("/etc/fstab:1") && what.contains("disk2 is UUID=da7a"), "{what}");
            }
        }
        // Where EC2 says which disk it was, that is known.
        let known = Bench::debian()
            .with_data_disk()
            .machine(|machine| machine.data_disks[0].device = Some("/dev/sdf".into()))
            .file("/etc/fstab", "/dev/xvdf /data ext4 defaults 0 2\n/dev/xvdg /more ext4 defaults 0 2\n");
        assert_eq!(
            known.mended_text(&DEVICE_NAMES, "/etc/fstab"),
            "UUID=da7a /data ext4 defaults 0 2\n/dev/xvdg /more ext4 defaults 0 2\n"
        );
        assert!(known.mended_text(&ABSENT_DISKS, "/etc/fstab").contains("\n# refloat: "));
    }

    #[test]
    fn a_root_that_is_nowhere_becomes_the_root_there_is() {
        let bench = Bench::debian().file("/etc/fstab", "UUID=dead-beef / ext4 defaults 0 1\n");
        assert_eq!(
            bench.mended_text(&DEVICE_NAMES, "/etc/fstab"),
            format!("UUID={ROOT_UUID} / ext4 defaults 0 1\n")
        );
        let bench = Bench::debian()
            .file("/etc/fstab", "/dev/xvde1 / ext4 defaults 0 1\n/dev/xvde2 none swap sw 0 0\n");
        assert_eq!(bench.findings(&DEVICE_NAMES).len(), 2);
    }

    #[test]
    fn a_name_that_two_volumes_have_is_told_and_mended_for_the_root() {
        let twins = |line: &str| {
            let bench = Bench::debian().machine(|machine| machine.volumes[1].uuid = Some(ROOT_UUID.into()));
            bench.file("/etc/fstab", filled(line))
        };
        for line in ["/dev/xvda1 / ext4 defaults 0 1\n", "UUID={root} / ext4 defaults 0 1\n"] {
            let text = twins(line).mended_text(&DEVICE_NAMES, "/etc/fstab");
            assert_eq!(text, "PARTUUID=1ec2a517-01 / ext4 defaults 0 1\n");
        }
        let data = twins("UUID={root} /data ext4 defaults 0 1\n");
        assert!(data.findings(&DEVICE_NAMES)[0].ends_with("which is the name of p1 and p2"));
        assert!(data.by_hand(&DEVICE_NAMES).contains("give it a UUID of its own"));
    }

    #[test]
    fn what_crypttab_opens_is_its_own_business() {
        let bench = Bench::debian()
            .file("/etc/crypttab", "home UUID=1 none luks\n")
            .file("/etc/fstab", "/dev/mapper/home /home ext4 defaults 0 2\n");
        for rule in ALL {
            assert_eq!(bench.findings(rule), [""; 0]);
        }
    }

    #[test]
    fn how_long_logins_wait_for_a_server_is_told() {
        for (options, time) in [
            ("_netdev", "90 s"),
            ("x-systemd.mount-timeout=30", "30 s"),
            ("x-systemd.mount-timeout=1min", "1min"),
        ] {
            let bench = Bench::debian().file("/etc/fstab", format!("nas:/x /x nfs {options} 0 0\n"));
            let what = format!(
                "/etc/fstab:1: logins wait up to {time} for nas:/x at /x, which may not be reachable"
            );
            assert_eq!(bench.findings(&OPTIONAL), [what]);
        }
        let red_hat_6 = Bench::debian()
            .file("/etc/inittab", "id:3:initdefault:\n")
            .file("/etc/fstab", "nas:/x /x nfs _netdev 0 0\n");
        assert_eq!(red_hat_6.findings(&NETWORK_FILESYSTEMS).len(), 1);
    }

    #[test]
    fn an_init_before_systemd_gets_the_options_that_it_knows() {
        let line = "UUID=dead-beef /data ext4 defaults 0 2\n";
        let red_hat_6 = Bench::debian().file("/etc/inittab", "id:3:initdefault:\n").file("/etc/fstab", line);
        let ubuntu_14 = Bench::debian().file("/etc/init/mountall.conf", "").file("/etc/fstab", line);
        for (bench, option) in [(red_hat_6, "nofail"), (ubuntu_14, "nobootwait")] {
            let text = bench.mended_text(&ABSENT_DISKS, "/etc/fstab");
            assert_eq!(text, line.replace("defaults", &format!("defaults,{option}")));
        }
    }
}
