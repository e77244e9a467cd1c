//! Lines that mount from a server, and what they do to the start where it does not answer.

use crate::facts::Mount;
use crate::text::fstab;

/// What systemd takes for a server's by itself (`fstype_is_network`).
const REMOTE: &[&str] = &[
    "afs",
    "ceph",
    "cifs",
    "davfs",
    "gfs",
    "gfs2",
    "glusterfs",
    "lustre",
    "ncp",
    "ncpfs",
    "nfs",
    "nfs4",
    "ocfs2",
    "orangefs",
    "pvfs2",
    "smb3",
    "smbfs",
    "sshfs",
];
/// Units of the start ask for what is here, and logins for homes (systemd.unit(5), "RequiresMountsFor=").
const ASKED_FOR: &[&str] = &["/", "/boot", "/efi", "/etc", "/home", "/root", "/tmp", "/usr", "/var"];
const BELOW: &[&str] = &["/etc/", "/usr/", "/var/lib", "/var/log", "/var/tmp"];
/// How long systemd tries (systemd-system.conf(5), "DefaultTimeoutStartSec=").
const DEFAULT: &str = "90 s";
const TIMEOUT: &str = "x-systemd.mount-timeout=";

/// How long the start waits for it and then goes on: systemd mounts it behind the network, wants it only, and
/// gives up after a time. `None` if the boot ends there, or waits without end.
pub(super) fn delay(mount: &Mount) -> Option<String> {
    let has = |option: &str| fstab::has_option(&mount.options, option);
    let kind = mount.kind.strip_prefix("fuse.").unwrap_or(&mount.kind);
    let is_remote = REMOTE.contains(&kind) || has("_netdev");
    let target = if mount.target == "/" { "/" } else { mount.target.trim_end_matches('/') };
    let is_asked_for = ASKED_FOR.contains(&target) || BELOW.iter().any(|dir| mount.target.starts_with(dir));
    let is_required = has("x-systemd.required-by=") || has("x-systemd.before=") || has("x-initrd.mount");
    if !is_remote || is_asked_for || is_required {
        return None;
    }
    match mount.options.split(',').find_map(|option| option.strip_prefix(TIMEOUT)) {
        None => Some(DEFAULT.to_owned()),
        Some("0" | "0s" | "infinity") => None,
        Some(time) if time.chars().all(|c| c.is_ascii_digit()) => Some(format!("{time} s")),
        Some(time) => Some(time.to_owned()),
    }
}

/// Whether it is mounted from a server.
pub(super) fn is_network(mount: &Mount) -> bool {
    const KINDS: &[&str] = &[
        "nfs",
        "nfs4",
        "efs",
        "cifs",
        "smb3",
        "smbfs",
        "lustre",
        "sshfs",
        "fuse.sshfs",
        "fuse.s3fs",
        "s3fs",
        "glusterfs",
        "ceph",
    ];
    KINDS.contains(&mount.kind.as_str()) || is_s3(mount)
}

fn is_s3(mount: &Mount) -> bool {
    mount.kind.contains("s3fs") || mount.spec.starts_with("s3fs#")
}

/// Whether the server is one inside AWS.
pub(super) fn is_of_aws(mount: &Mount) -> bool {
    let spec = &mount.spec;
    mount.kind == "efs"
        || is_s3(mount)
        || spec.contains(".amazonaws.com")
        || (spec.starts_with("fs-") && spec.contains(':'))
}
