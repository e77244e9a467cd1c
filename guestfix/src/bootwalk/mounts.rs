//! What the boot waits for behind init: file systems and encrypted volumes that must come and fit.

mod covers;
mod needs;

use super::mount_options::{self, Refusal};
use super::waits::{self, Missing, is_optional};
use super::{Hop, HopKind};
use crate::facts::{SignatureKind, Volume};
use crate::inspect::devices;
use crate::place::Place;
use crate::systemd::{self, Unit};
use crate::text::{crypttab, fstab, ini};
use crate::{Guest, Result, modprobe, programs, services};

const KIND: HopKind = HopKind::Mounts;
const FSTAB: &str = "/etc/fstab";
const CRYPTTAB: &str = "/etc/crypttab";

/// What is mounted without a device, or from one that no boot waits for.
const WITHOUT_DEVICE: &[&str] = &[
    "auto.tmpfs",
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nfsd",
    "overlay",
    "proc",
    "pstore",
    "ramfs",
    "rootfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "swap",
    "sysfs",
    "tmpfs",
    "tracefs",
    "usbfs",
];
/// By it Ubuntu's mountall goes on without what it cannot mount; no other init knows it.
const MOUNTALL: &str = "nobootwait";
/// What systemd mounts before it reads fstab.
const OWN: &[&str] = &[
    "/dev",
    "/dev/pts",
    "/dev/shm",
    "/proc",
    "/run",
    "/sys",
    "/sys/firmware/efi/efivars",
    "/sys/fs/bpf",
    "/sys/fs/cgroup",
    "/sys/fs/pstore",
    "/sys/kernel/security",
];
/// What systemd takes to be on a server without being told `_netdev`: the boot may be slow for it, and ends all the
/// same.
const REMOTE: &[&str] = &[
    "9p",
    "afs",
    "ceph",
    "cifs",
    "gfs2",
    "glusterfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "ocfs2",
    "orangefs",
    "pvfs2",
    "smb3",
    "smbfs",
];

/// A line, wherever it is written.
struct Wanted<'a> {
    place: Place,
    spec: &'a str,
    target: &'a str,
    kind: &'a str,
    options: &'a str,
}

/// What lines are judged by.
struct Known<'a> {
    crypttab: &'a [crypttab::Entry<'a>],
    /// Modules that modprobe does not load.
    forbidden: &'a [(String, Place)],
    /// The root's file system.
    root: Option<SignatureKind>,
}

enum Fault {
    Blocked(String),
    Unknown(String),
}

/// The hops of all that the boot waits for: one that is reached if nothing is in its way.
pub(super) fn mounts(guest: &Guest<'_>) -> Result<Vec<Hop>> {
    let crypttab = guest.view.text(CRYPTTAB)?.unwrap_or_default();
    let crypttab = crypttab::entries(&crypttab);
    let forbidden = modprobe::forbidden(guest.view)?;
    let root = devices::root(guest.view.machine()).and_then(|volume| volume.kind);
    let known = Known { crypttab: &crypttab, forbidden: &forbidden, root };
    let mut hops = Vec::new();
    let mut add = |place: &Place, what: &str, fault: Fault| {
        hops.push(match fault {
            Fault::Blocked(why) => Hop::blocked(KIND, place, what, why),
            Fault::Unknown(why) => Hop::unknown(KIND, place, what, why),
        });
    };
    // systemd leaves all mounts to this program.
    if !services::is_without_systemd(guest.view)? {
        let why = match programs::find(guest.view, "mount")? {
            Some(program) => programs::cannot_start(guest.view, &program, None)?,
            None => Some("mount is not installed".to_owned()),
        };
        if let Some(why) = why {
            add(&Place::file("/usr/bin/mount"), "mount", Fault::Blocked(why));
        }
    }
    let mut count = 0;
    for mount in guest.facts.fstab.iter() {
        let wanted = Wanted {
            place: Place::line(FSTAB, mount.line),
            spec: &mount.spec,
            target: &mount.target,
            kind: &mount.kind,
            options: &mount.options,
        };
        count += 1;
        if let Some(fault) = fault_of(guest, &wanted, &known)? {
            add(&wanted.place, &mount.target, fault);
        }
    }
    for entry in &crypttab {
        count += 1;
        if let Some(fault) = closed(guest, entry)? {
            add(&Place::line(CRYPTTAB, entry.line), entry.name, fault);
        }
    }
    let required = systemd::required(guest.view, ".mount")?;
    for unit in systemd::pulled(guest.view, ".mount")? {
        let Unit::There { name, path: file } = Unit::find(guest.view, &unit)? else { continue };
        let text = systemd::text(guest.view, &name, &file)?;
        let get = |key: &str| ini::values(&text, "Mount", key).pop().unwrap_or_default();
        let (spec, target, kind) = (get("What"), get("Where"), get("Type"));
        let options = get("Options").replace("%%", "%");
        let is_required = required.contains(&unit);
        // what is only wanted holds nothing up for good, and hides what is below it
        let options = if is_required { options } else { fstab::with_options(&options, &["nofail"]) };
        let place = Place::file(file.as_str());
        let wanted = Wanted { place, spec, target, kind, options: &options };
        count += usize::from(is_required);
        if let Some(fault) = fault_of(guest, &wanted, &known)? {
            add(&wanted.place, target, fault);
        }
    }
    if hops.is_empty() {
        let what = match count {
            0 => "nothing beside the root".to_owned(),
            1 => "one mount".to_owned(),
            count => format!("{count} mounts"),
        };
        hops.push(Hop::reached(KIND, FSTAB, what));
    }
    Ok(hops)
}

/// Why a file system is not mounted, if the boot waits for it.
fn fault_of(guest: &Guest<'_>, wanted: &Wanted<'_>, known: &Known<'_>) -> Result<Option<Fault>> {
    let Wanted { spec, target, kind, options, .. } = *wanted;
    if let Some(fault) = covers::fault(guest, wanted)? {
        return Ok(Some(fault));
    }
    let has = |option: &str| fstab::has_option(options, option);
    let is_remote =
        REMOTE.contains(&kind) || kind.starts_with("fuse") || has("_netdev") || spec.contains("s3fs#");
    let is_systemd = !services::is_without_systemd(guest.view)?;
    let is_optional = is_optional(options) || !is_systemd && has(MOUNTALL);
    // These systemd mounts by itself, and what a line says of them is only tried.
    let is_own = OWN.contains(&target);
    if is_optional || is_remote || kind == "swap" || !target.starts_with('/') || is_own {
        return Ok(None);
    }
    let blocked = |why: String| Ok(Some(Fault::Blocked(why)));
    let is_bind = mount_options::is_bind(options);
    if let Some(fault) = needs::no_place(guest.view, target, is_bind)? {
        return Ok(Some(fault));
    }
    if is_systemd && let Some(fault) = needs::unmet(guest, options)? {
        return Ok(Some(fault));
    }
    if kind == "overlay"
        && let Some(fault) = needs::no_layers(guest, options)?
    {
        return Ok(Some(fault));
    }
    if let Some(fault) = needs::no_owner(guest.view, options)? {
        return Ok(Some(fault));
    }
    if WITHOUT_DEVICE.contains(&kind) && !is_bind && kind != "squashfs" {
        return Ok(refused(kind, options));
    }
    if is_bind {
        let is_there = guest.view.exists(spec)?;
        return Ok((!is_there)
            .then(|| Fault::Blocked(format!("{spec}, which is to be seen at {target}, is not there"))));
    }
    if let Some(name) = spec.strip_prefix("/dev/mapper/")
        && known.crypttab.iter().any(|entry| entry.name == name)
    {
        // its line in crypttab is judged by itself; what is in it is not seen
        return Ok(Some(Fault::Unknown(format!(
            "{spec} is an encrypted volume, which refloat does not open"
        ))));
    }
    let volume = match waits::volume(guest.view.machine(), spec) {
        Ok(Some(volume)) => volume,
        Ok(None) if spec.starts_with('/') && !spec.starts_with("/dev/") => {
            if !guest.view.exists(spec)? {
                return blocked(format!("the file {spec} is not there"));
            }
            return Ok(refused_if_known(kind, options));
        }
        Ok(None) if is_type(kind) => return Ok(refused_if_known(kind, options)),
        Ok(None) => {
            return Ok(Some(Fault::Unknown(format!("refloat knows no file system with the name {kind}"))));
        }
        Err(Missing::Surely(why)) => return blocked(why),
        Err(Missing::Perhaps(why)) => return Ok(Some(Fault::Unknown(why))),
    };
    // The root is mounted already, and only mounted again with other options.
    let driver = if target == "/" { "auto" } else { kind };
    let has = volume.kind.map_or(kind, |kind| kind.name());
    Ok(misfit(volume, driver, known).or_else(|| refused(has, options)))
}

/// Why the driver of this type refuses the options.
fn refused(kind: &str, options: &str) -> Option<Fault> {
    Some(match mount_options::refused(kind, options)? {
        Refusal::Surely(why) => Fault::Blocked(why),
        Refusal::Perhaps(why) => Fault::Unknown(why),
    })
}

/// The same, where the type may be left to be found out.
fn refused_if_known(kind: &str, options: &str) -> Option<Fault> {
    if kind.is_empty() || kind == "auto" || kind.contains(',') { None } else { refused(kind, options) }
}

/// Whether a kernel may have a file system of this name.
fn is_type(kind: &str) -> bool {
    const MORE: &[&str] = &[
        "", "auto", "btrfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "hfsplus", "iso9660", "jfs",
        "msdos", "none", "ntfs", "ntfs-3g", "ntfs3", "reiserfs", "romfs", "udf", "vfat", "xfs", "zfs",
    ];
    kind.split(',').all(|kind| MORE.contains(&kind) || WITHOUT_DEVICE.contains(&kind))
}

/// Whether a line's file system comes to be mounted at the start, or once somebody looks there.
fn is_mounted(options: &str) -> bool {
    !fstab::has_option(options, "noauto") || fstab::has_option(options, "x-systemd.automount")
}

/// Why the volume is not mounted as this type.
fn misfit(volume: &Volume, kind: &str, known: &Known<'_>) -> Option<Fault> {
    if let Some(why) = &volume.unreadable {
        return Some(Fault::Unknown(format!("{} cannot be read: {why}", volume.name)));
    }
    let blocked = |why: String| Some(Fault::Blocked(why));
    let Some(has) = volume.kind else {
        return blocked(format!("nothing that could be mounted is on {}", volume.name));
    };
    if !waits::is_driver_of(kind, has) {
        return blocked(format!("it is to be mounted as {kind}, and {} has {has}", volume.name));
    }
    if !waits::is_filesystem(has) {
        return blocked(format!("{} has {has}, which is no file system", volume.name));
    }
    // the initramfs has loaded the driver of the root, whatever this configuration says
    let place = modprobe::line_about(known.forbidden, has.name()).filter(|_| known.root != Some(has))?;
    blocked(format!("{place} keeps the driver of {has} from being loaded"))
}

/// Why an encrypted volume is not opened without anybody at the console.
fn closed(guest: &Guest<'_>, entry: &crypttab::Entry<'_>) -> Result<Option<Fault>> {
    if is_optional(entry.options) {
        return Ok(None);
    }
    match waits::volume(guest.view.machine(), entry.device) {
        Err(Missing::Surely(why)) => return Ok(Some(Fault::Blocked(why))),
        Err(Missing::Perhaps(why)) => return Ok(Some(Fault::Unknown(why))),
        Ok(_) => {}
    }
    let by_itself = ["tpm2-device=", "fido2-device=", "pkcs11-uri=", "keyscript="];
    if entry.has_random_key() || by_itself.iter().any(|option| fstab::has_option(entry.options, option)) {
        return Ok(None);
    }
    if matches!(entry.key, "" | "-" | "none") {
        return Ok(Some(Fault::Blocked("it is opened by a passphrase, for which the boot waits".into())));
    }
    let is_there = entry.key.starts_with("/dev/") || guest.view.exists(entry.key)?;
    Ok((!is_there).then(|| Fault::Blocked(format!("its key {} is not there", entry.key))))
}

#[cfg(test)]
mod tests {
    use super::super::look::look;
    use super::super::testing::{debian, stops};
    use super::*;
    use crate::rules::testing::{BOOT_UUID, Bench, ROOT_UUID};

    fn found(bench: &Bench) -> Vec<String> {
        stops(bench.guest(|guest| look(guest, KIND, mounts).unwrap()))
    }

    /// A Debian with a line more in fstab, and a second file system.
    fn with_line(line: &str) -> Bench {
        let line = line.replace("{root}", ROOT_UUID).replace("{data}", BOOT_UUID);
        debian()
            .machine(|machine| machine.volumes[1].kind = Some(SignatureKind::Xfs))
            .file(FSTAB, format!("UUID={ROOT_UUID} / ext4 defaults 0 1\n{line}\n"))
    }

    #[test]
    fn what_comes_or_need_not_come_is_no_stop() {
        for line in [
            "UUID={data} /data xfs defaults 0 2",
            "PARTUUID=1ec2a517-02 /data auto x-initrd.mount 0 2",
            "UUID={data} /usr xfs defaults,x-initrd.mount 0 2",
            "UUID=dead-beef /data xfs nofail,x-initrd.mount 0 2",
            "UUID={root} /mnt ext3 defaults 0 0",
            "/dev/xvdf /data xfs nofail 0 2",
            "/dev/mapper/vg-data /data xfs noauto 0 2",
            "UUID=dead none swap sw 0 0",
            "tmpfs /tmp tmpfs defaults 0 0",
            "sysfs /sys sysfs defaults 0 0",
            "/boot /mnt none bind 0 0",
            "nas:/x /x nfs defaults 0 0",
            "//nas/x /x cifs _netdev 0 0",
            "fs-0123:/ /srv efs _netdev,tls 0 0",
            "/dev/sr0 /media/cdrom udf,iso9660 user,noauto 0 0",
            "tmpfs /mnt tmpfs size=10%,mode=1777,nosuid,nodev,noexec 0 0",
            "tmpfs /etc tmpfs noauto 0 0",
            "tmpfs /usr/local tmpfs defaults 0 0",
            "tmpfs /etc/none tmpfs defaults 0 0",
            "proc /proc proc hidepid=2,wibble 0 0",
            "/etc /etc none bind 0 0",
            "o /etc overlay lowerdir=/etc 0 0",
            "UUID={root} / ext4 nosuid,nodev,noatime,errors=remount-ro 0 1",
            "UUID={data} /data xfs x-systemd.requires=ssh.service,x-systemd.requires-mounts-for=/etc 0 0",
        ] {
            assert_eq!(found(&with_line(line)), [""; 0], "{line}");
        }
    }

    #[test]
    fn what_does_not_come_or_does_not_fit_stops_the_boot() {
        for (line, why) in [
            ("/dev/xvda2 /data xfs defaults 0 2", "blocked: /dev/xvda2 is a name that p2 has only on EC2"),
            ("UUID=dead-beef /data xfs defaults 0 2", "blocked: UUID=dead-beef is not on this machine"),
            ("UUID=dead-beef /usr xfs defaults 0 2", "blocked: UUID=dead-beef is not on this machine"),
            (
                "/dev/xvda2 /usr xfs x-initrd.mount 0 2",
                "blocked: /dev/xvda2 is a name that p2 has only on EC2",
            ),
            ("UUID=dead-beef /srv xfs x-initrd.mount 0 2", "blocked: UUID=dead-beef is not on this machine"),
            (
                "/dev/mapper/vg-data /data xfs defaults 0 2",
                "blocked: /dev/mapper/vg-data is not on this machine",
            ),
            ("/dev/vg/data /data xfs defaults 0 2", "blocked: /dev/vg/data is not on this machine"),
            ("/dev/md0 /data xfs defaults 0 2", "blocked: /dev/md0 is not on this machine"),
            ("UUID={data} /data ext4 defaults 0 2", "blocked: it is to be mounted as ext4, and p2 has xfs"),
            ("UUID={data} /etc/passwd xfs defaults 0 2", "blocked: /etc/passwd is no directory"),
            ("/nowhere /mnt none bind 0 0", "blocked: /nowhere, which is to be seen at /mnt, is not there"),
            ("/images/x.img /mnt ext4 loop 0 0", "blocked: the file /images/x.img is not there"),
            ("tmpfs /etc/passwd tmpfs defaults 0 0", "blocked: /etc/passwd is no directory"),
            (
                "tmpfs /etc/passwd/x tmpfs defaults 0 0",
                "blocked: /etc/passwd, which /etc/passwd/x is to be in",
            ),
            ("tmpfs /mnt tmpfs size=abc 0 0", "blocked: tmpfs refuses the mount for the value of its option"),
            ("tmpfs /mnt tmpfs uid=nosuchuser 0 0", "blocked: its option uid=nosuchuser names nobody"),
            (
                "tmpfs /mnt tmpfs uid=0,gid=nosuchgroup 0 0",
                "blocked: its option gid=nosuchgroup names nobody",
            ),
            ("tmpfs /mnt tmpfs wibble 0 0", "unknown: whether tmpfs takes the option wibble is not known"),
            ("fs-0123:/ /srv efs tls 0 0", "unknown: refloat knows no file system with the name efs"),
            ("tmpfs /mnt tmpfss defaults 0 0", "unknown: refloat knows no file system with the name tmpfss"),
            ("UUID={data} /data xfs subvol=@ 0 2", "blocked: xfs does not know the option subvol=@"),
            (
                "tmpfs /mnt tmpfs x-systemd.requires=/dev/nvme1n1 0 0",
                "blocked: x-systemd.requires=/dev/nvme1n1",
            ),
            (
                "tmpfs /mnt tmpfs x-systemd.requires=dev-xvdf.device 0 0",
                "/dev/xvdf is a name of a disk of EC2",
            ),
            (
                "tmpfs /mnt tmpfs x-systemd.requires=gone.service 0 0",
                "blocked: x-systemd.requires=gone.service",
            ),
            ("o /mnt overlay lowerdir=/gone 0 0", "blocked: the folder /gone of the overlay is not there"),
            ("o /mnt overlay upperdir=/etc,workdir=/usr 0 0", "blocked: an overlay without a lowerdir="),
            ("o /mnt overlay lowerdir=/etc,upperdir=/usr 0 0", "blocked: an overlay needs upperdir= and"),
            ("UUID={root} / ext4 defaults,noexec 0 1", "its option noexec keeps the programs at / from"),
            ("UUID={root} / ext4 defaults,wibble 0 1", "unknown: whether ext4 takes the option wibble"),
            ("tmpfs /etc tmpfs defaults 0 0", "blocked: it hides what is at /etc, which the system needs"),
            ("tmpfs /usr tmpfs nofail 0 0", "blocked: it hides what is at /usr, which the system needs"),
            ("ramfs /etc/ssh ramfs nofail 0 0", "blocked: it hides what is at /etc/ssh"),
            ("tmpfs /lib tmpfs noauto,x-systemd.automount 0 0", "blocked: it hides what is at /lib"),
            ("tmpfs /etc/network tmpfs defaults 0 0", "unknown: it hides what is at /etc/network"),
            ("/usr /etc none bind 0 0", "unknown: /usr takes the place of what is at /etc"),
            ("UUID=dead-beef /data xfs nobootwait 0 2", "blocked: UUID=dead-beef is not on this machine"),
            ("nas:/x /usr nfs nofail 0 0", "unknown: nas:/x, which is on a server, takes the place"),
        ] {
            let found = found(&with_line(line));
            assert!(found.len() == 1 && found[0].contains(why), "{line}: {found:?}");
            assert!(found[0].starts_with("Mounts /etc/fstab:2 "), "{found:?}");
        }
        let elsewhere = with_line("UUID={root} /var ext4 defaults 0 0").file("/var/lib/x", "x");
        assert!(found(&elsewhere)[0].contains("unknown: p1 takes the place of what is at /var"));
        let twins = with_line("UUID={root} /data ext4 defaults 0 0")
            .machine(|machine| machine.volumes[1].uuid = Some(ROOT_UUID.into()));
        assert!(found(&twins).iter().all(|line| line.contains("which one it finds is chance")));
        let damaged = with_line("UUID={data} /data xfs defaults 0 0")
            .machine(|machine| machine.volumes[1].unreadable = Some("damaged".into()));
        assert!(found(&damaged)[0].contains("unknown: p2 cannot be read: damaged"));
        let hardened = with_line("UUID={data} /data xfs defaults 0 0")
            .file("/etc/modprobe.d/x.conf", "install xfs /bin/false\n");
        assert!(found(&hardened)[0].contains("/etc/modprobe.d/x.conf:1 keeps the driver of xfs"));
    }

    #[test]
    fn subvolumes_of_the_root_are_looked_at_where_they_are_mounted() {
        let fstab =
            format!("UUID={ROOT_UUID} / btrfs subvol=@ 0 0\nUUID={ROOT_UUID} /var btrfs subvol=/@var 0 0\n");
        let bench = debian().file(FSTAB, fstab).file("/var/lib/x", "x");
        assert_eq!(
            found(&bench.machine(|machine| machine.volumes[0].kind = Some(SignatureKind::Btrfs))),
            [""; 0]
        );
    }

    #[test]
    fn encrypted_volumes_must_open_by_themselves() {
        let with = |line: &str| {
            let bench = with_line("").machine(|machine| machine.volumes[1].kind = Some(SignatureKind::Luks));
            found(&bench.file(CRYPTTAB, line.replace("{data}", BOOT_UUID)).file("/etc/key", "key"))
        };
        for fine in [
            "data UUID={data} /etc/key luks\n",
            "data UUID={data} none luks,tpm2-device=auto\n",
            "swap PARTUUID=1ec2a517-02 /dev/urandom swap\n",
            "data UUID=dead none luks,nofail\n",
        ] {
            assert_eq!(with(fine), [""; 0], "{fine}");
        }
        for (line, why) in [
            ("data UUID={data} none luks\n", "it is opened by a passphrase"),
            ("data UUID={data} /etc/nokey luks\n", "its key /etc/nokey is not there"),
            ("data UUID=dead /etc/key luks\n", "UUID=dead is not on this machine"),
            ("data /dev/xvda2 /etc/key luks\n", "a name that p2 has only on EC2"),
        ] {
            let found = with(line);
            assert!(found.len() == 1 && found[0].contains(why), "{line}: {found:?}");
        }
    }

    #[test]
    fn a_unit_that_is_required_is_waited_for() {
        let unit = "[Mount]\nWhat=/dev/xvdf\nWhere=/data\nType=xfs\n";
        let bench = debian().file("/etc/systemd/system/data.mount", unit);
        assert_eq!(found(&bench), [""; 0]);
        let required = bench.link("/etc/systemd/system/local-fs.target.requires/data.mount", "../data.mount");
        assert!(found(&required)[0].contains("/dev/xvdf is a name of a disk of EC2"));
    }
}
