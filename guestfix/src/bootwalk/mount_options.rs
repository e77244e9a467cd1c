//! The options of a mount: which of them a file system's driver refuses, and what they do to programs
//! (mount(8), fstab(5), systemd.mount(5), Linux, Documentation/filesystems).

use crate::text::fstab;

/// Why a file system is not mounted with these options, or why nobody can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Its driver refuses them.
    Surely(String),
    /// They are not known here.
    Perhaps(String),
}

/// What an option's value must be.
#[derive(Clone, Copy)]
enum Value {
    /// There is none.
    None,
    /// A number, in decimal, octal or hexadecimal.
    Number,
    /// In octal.
    Mode,
    /// A number of bytes, with `k`, `m`, `g` behind it or not, or a share in percent.
    Size,
    /// One of these words.
    Of(&'static [&'static str]),
    /// Any.
    Text,
    /// A value or none: `discard`, `discard=async`.
    Optional,
}

use Value::{Mode, None as Flag, Number, Of, Optional, Size, Text};

type Table = &'static [(&'static str, Value)];

/// What mount and the kernel's own layer take for each file system, so that no driver sees it.
const GENERIC: &[&str] = &[
    "_netdev",
    "async",
    "atime",
    "auto",
    "bind",
    "bootwait",
    "context",
    "defaults",
    "defcontext",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "fscontext",
    "group",
    "helper",
    "iversion",
    "lazytime",
    "loop",
    "loud",
    "mand",
    "move",
    "noatime",
    "noauto",
    "nodev",
    "nodiratime",
    "noexec",
    "nofail",
    "nogroup",
    "noiversion",
    "nolazytime",
    "nomand",
    "noowner",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nosymfollow",
    "nouser",
    "nousers",
    "offset",
    "owner",
    "private",
    "rbind",
    "relatime",
    "remount",
    "ro",
    "rootcontext",
    "rprivate",
    "rshared",
    "rslave",
    "runbindable",
    "rw",
    "seclabel",
    "shared",
    "silent",
    "sizelimit",
    "slave",
    "strictatime",
    "suid",
    "symfollow",
    "sync",
    "uhelper",
    "unbindable",
    "user",
    "users",
    "comment",
    "managed",
];

/// Of these only mount itself makes something: a driver that gets them by `rootflags=` refuses them.
const OF_MOUNT: &[&str] = &[
    "_netdev", "auto", "comment", "defaults", "group", "nofail", "noauto", "nouser", "owner", "user", "users",
];

const EXT: Table = &[
    ("abort", Flag),
    ("acl", Flag),
    ("auto_da_alloc", Optional),
    ("barrier", Optional),
    ("block_validity", Flag),
    ("bsddf", Flag),
    ("bsdgroups", Flag),
    ("check", Text),
    ("commit", Number),
    ("dax", Optional),
    ("data", Of(&["journal", "ordered", "writeback"])),
    ("data_err", Of(&["abort", "ignore"])),
    ("debug", Flag),
    ("debug_want_extra_isize", Number),
    ("delalloc", Flag),
    ("dioread_lock", Flag),
    ("dioread_nolock", Flag),
    ("discard", Flag),
    ("errors", Of(&["continue", "panic", "remount-ro"])),
    ("fc_debug_force", Flag),
    ("grpid", Flag),
    ("grpjquota", Text),
    ("grpquota", Flag),
    ("i_version", Flag),
    ("init_itable", Optional),
    ("inlinecrypt", Flag),
    ("inode_readahead_blks", Number),
    ("journal_async_commit", Flag),
    ("journal_checksum", Flag),
    ("journal_dev", Number),
    ("journal_ioprio", Number),
    ("journal_path", Text),
    ("jqfmt", Of(&["vfsold", "vfsv0", "vfsv1"])),
    ("max_batch_time", Number),
    ("max_dir_size_kb", Number),
    ("mb_optimize_scan", Number),
    ("mblk_io_submit", Flag),
    ("min_batch_time", Number),
    ("minixdf", Flag),
    ("no_fc", Flag),
    ("no_prefetch_block_bitmaps", Flag),
    ("noacl", Flag),
    ("noauto_da_alloc", Flag),
    ("nobarrier", Flag),
    ("nobh", Flag),
    ("bh", Flag),
    ("noblock_validity", Flag),
    ("nocheck", Flag),
    ("nodelalloc", Flag),
    ("nodiscard", Flag),
    ("nogrpid", Flag),
    ("noinit_itable", Flag),
    ("nojournal_checksum", Flag),
    ("noload", Flag),
    ("nombcache", Flag),
    ("no_mbcache", Flag),
    ("nomblk_io_submit", Flag),
    ("noorlov", Flag),
    ("noquota", Flag),
    ("noreservation", Flag),
    ("norecovery", Flag),
    ("nouid32", Flag),
    ("nouser_xattr", Flag),
    ("oldalloc", Flag),
    ("orlov", Flag),
    ("prefetch_block_bitmaps", Flag),
    ("prjquota", Flag),
    ("quota", Flag),
    ("reservation", Flag),
    ("resgid", Number),
    ("resuid", Number),
    ("sb", Number),
    ("stripe", Number),
    ("sysvgroups", Flag),
    ("test_dummy_encryption", Optional),
    ("user_xattr", Flag),
    ("usrjquota", Text),
    ("usrquota", Flag),
    ("warn_on_error", Flag),
    ("nowarn_on_error", Flag),
];
const XFS: Table = &[
    ("allocsize", Size),
    ("attr2", Flag),
    ("barrier", Flag),
    ("biosize", Number),
    ("dax", Optional),
    ("discard", Flag),
    ("filestreams", Flag),
    ("gqnoenforce", Flag),
    ("gquota", Flag),
    ("grpid", Flag),
    ("bsdgroups", Flag),
    ("grpquota", Flag),
    ("ikeep", Flag),
    ("inode32", Flag),
    ("inode64", Flag),
    ("largeio", Flag),
    ("logbsize", Size),
    ("logbufs", Number),
    ("logdev", Text),
    ("noalign", Flag),
    ("noattr2", Flag),
    ("nobarrier", Flag),
    ("nodiscard", Flag),
    ("nogrpid", Flag),
    ("noikeep", Flag),
    ("nolargeio", Flag),
    ("noquota", Flag),
    ("norecovery", Flag),
    ("nouuid", Flag),
    ("pqnoenforce", Flag),
    ("pquota", Flag),
    ("prjquota", Flag),
    ("qnoenforce", Flag),
    ("quota", Flag),
    ("rtdev", Text),
    ("sunit", Number),
    ("swalloc", Flag),
    ("swidth", Number),
    ("sysvgroups", Flag),
    ("uqnoenforce", Flag),
    ("uquota", Flag),
    ("usrquota", Flag),
    ("wsync", Flag),
    ("delaylog", Flag),
    ("nodelaylog", Flag),
];
const BTRFS: Table = &[
    ("acl", Flag),
    ("alloc_start", Size),
    ("autodefrag", Flag),
    ("barrier", Flag),
    ("check_int", Flag),
    ("clear_cache", Flag),
    ("commit", Number),
    ("compress", Optional),
    ("compress-force", Optional),
    ("datacow", Flag),
    ("datasum", Flag),
    ("degraded", Flag),
    ("device", Text),
    ("discard", Optional),
    ("enospc_debug", Flag),
    ("fatal_errors", Of(&["bug", "panic"])),
    ("flushoncommit", Flag),
    ("ignorebadroots", Flag),
    ("ignoredatacsums", Flag),
    ("inode_cache", Flag),
    ("max_inline", Size),
    ("metadata_ratio", Number),
    ("noacl", Flag),
    ("noautodefrag", Flag),
    ("nobarrier", Flag),
    ("nodatacow", Flag),
    ("nodatasum", Flag),
    ("nodiscard", Flag),
    ("noenospc_debug", Flag),
    ("noflushoncommit", Flag),
    ("noinode_cache", Flag),
    ("nologreplay", Flag),
    ("nospace_cache", Flag),
    ("nossd", Flag),
    ("nossd_spread", Flag),
    ("notreelog", Flag),
    ("recovery", Flag),
    ("rescan_uuid_tree", Flag),
    ("rescue", Text),
    ("skip_balance", Flag),
    ("space_cache", Optional),
    ("ssd", Flag),
    ("ssd_spread", Flag),
    ("subvol", Text),
    ("subvolid", Number),
    ("subvolrootid", Number),
    ("thread_pool", Number),
    ("treelog", Flag),
    ("usebackuproot", Flag),
    ("user_subvol_rm_allowed", Flag),
];
const TMPFS: Table = &[
    ("casefold", Optional),
    ("gid", Text),
    ("huge", Of(&["never", "always", "within_size", "advise", "deny", "force"])),
    ("inode32", Flag),
    ("inode64", Flag),
    ("mode", Mode),
    ("mpol", Text),
    ("noswap", Flag),
    ("nr_blocks", Size),
    ("nr_inodes", Size),
    ("quota", Flag),
    ("size", Size),
    ("uid", Text),
    ("usrquota", Flag),
    ("grpquota", Flag),
    ("acl", Flag),
    ("noacl", Flag),
];
const RAMFS: Table = &[("mode", Mode), ("size", Text), ("uid", Text), ("gid", Text)];
const FAT: Table = &[
    ("allow_utime", Mode),
    ("check", Text),
    ("codepage", Number),
    ("conv", Text),
    ("cvf_format", Text),
    ("debug", Flag),
    ("discard", Flag),
    ("dmask", Mode),
    ("dos1xfloppy", Flag),
    ("dots", Flag),
    ("dotsOK", Text),
    ("errors", Of(&["continue", "panic", "remount-ro"])),
    ("fat", Number),
    ("flush", Flag),
    ("fmask", Mode),
    ("gid", Text),
    ("iocharset", Text),
    ("nfs", Optional),
    ("nodots", Flag),
    ("nonumtail", Optional),
    ("posix", Flag),
    ("quiet", Flag),
    ("rodir", Flag),
    ("shortname", Text),
    ("showexec", Flag),
    ("sys_immutable", Flag),
    ("time_offset", Number),
    ("tz", Text),
    ("uid", Text),
    ("umask", Mode),
    ("uni_xlate", Optional),
    ("usefree", Flag),
    ("utf8", Optional),
    ("blocksize", Number),
];
const OVERLAY: Table = &[
    ("default_permissions", Flag),
    ("index", Of(&["on", "off"])),
    ("lowerdir", Text),
    ("lowerdir+", Text),
    ("datadir+", Text),
    ("metacopy", Of(&["on", "off"])),
    ("nfs_export", Of(&["on", "off"])),
    ("override_creds", Flag),
    ("redirect_dir", Of(&["on", "off", "follow", "nofollow"])),
    ("upperdir", Text),
    ("userxattr", Flag),
    ("uuid", Of(&["on", "off", "null", "auto"])),
    ("verity", Of(&["on", "off", "require"])),
    ("volatile", Flag),
    ("workdir", Text),
    ("xino", Of(&["on", "off", "auto"])),
];
const PROC: Table = &[
    ("gid", Number),
    ("hidepid", Of(&["0", "1", "2", "4", "off", "noaccess", "invisible", "ptraceable"])),
    ("pidns", Text),
    ("subset", Of(&["pid"])),
];
const DEVPTS: Table = &[
    ("gid", Text),
    ("max", Number),
    ("mode", Mode),
    ("newinstance", Flag),
    ("ptmxmode", Mode),
    ("uid", Text),
];
const OWNED: Table = &[("gid", Text), ("mode", Mode), ("uid", Text)];
const HUGETLBFS: Table = &[
    ("gid", Text),
    ("min_size", Size),
    ("mode", Mode),
    ("nr_inodes", Size),
    ("pagesize", Size),
    ("size", Size),
    ("uid", Text),
];
const SWAP: Table = &[("discard", Optional), ("nodiscard", Flag), ("pri", Number), ("sw", Flag)];
const SQUASHFS: Table = &[("errors", Of(&["continue", "panic"])), ("threads", Text)];
const NOTHING: Table = &[];

/// The table of a type; `None` if refloat has none.
fn table(kind: &str) -> Option<Table> {
    Some(match kind {
        "ext2" | "ext3" | "ext4" => EXT,
        "xfs" => XFS,
        "btrfs" => BTRFS,
        "tmpfs" | "devtmpfs" => TMPFS,
        "ramfs" => RAMFS,
        "vfat" | "msdos" => FAT,
        "overlay" => OVERLAY,
        "proc" => PROC,
        "devpts" => DEVPTS,
        "debugfs" | "efivarfs" | "tracefs" | "bpf" | "fusectl" => OWNED,
        "hugetlbfs" => HUGETLBFS,
        "swap" => SWAP,
        "squashfs" => SQUASHFS,
        "configfs" | "mqueue" | "securityfs" | "selinuxfs" | "sysfs" => NOTHING,
        _ => return None,
    })
}

const ALL: &[Table] = &[EXT, XFS, BTRFS, TMPFS, FAT, OVERLAY, PROC];

/// Why a file system of this type is not mounted with these options.
pub(super) fn refused(kind: &str, options: &str) -> Option<Refusal> {
    let own = options.split(',').filter(|option| !option.is_empty() && !is_generic(option));
    let mut perhaps = None;
    for option in own {
        match one(kind, option) {
            Some(Refusal::Perhaps(why)) => perhaps = perhaps.or(Some(Refusal::Perhaps(why))),
            Some(surely) => return Some(surely),
            None => {}
        }
    }
    perhaps
}

fn is_generic(option: &str) -> bool {
    let name = option.split('=').next().unwrap_or(option);
    GENERIC.contains(&name) || name.starts_with("x-") || name.starts_with("X-") || name.starts_with("verity.")
}

/// The same of one option that is none of mount's own.
fn one(kind: &str, option: &str) -> Option<Refusal> {
    let (name, value) = match option.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    let Some(table) = table(kind) else {
        return Some(Refusal::Perhaps(format!("whether {kind} takes the option {option} is not known")));
    };
    let find = |table: Table| table.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let Some(known) = find(table) else {
        let of_another = ALL.iter().any(|table| find(table).is_some());
        return Some(if of_another {
            Refusal::Surely(format!("{kind} does not know the option {option}, and refuses the mount"))
        } else {
            Refusal::Perhaps(format!("whether {kind} takes the option {option} is not known"))
        });
    };
    (!fits(known, value))
        .then(|| Refusal::Surely(format!("{kind} refuses the mount for the value of its option {option}")))
}

fn fits(known: Value, value: Option<&str>) -> bool {
    let digits = |text: &str, radix| u64::from_str_radix(text, radix).is_ok();
    match (known, value) {
        (Flag, value) => value.is_none(),
        (Optional, _) => true,
        (Text, value) => value.is_some(),
        (Of(words), Some(value)) => words.contains(&value),
        (Mode, Some(value)) => digits(value, 8),
        (Number, Some(value)) => match value.strip_prefix("0x") {
            Some(hex) => digits(hex, 16),
            None => value.parse::<i64>().is_ok(),
        },
        (Size, Some(value)) => {
            let number = value.strip_suffix(|c: char| "kKmMgGtTpPeE%".contains(c)).unwrap_or(value);
            digits(number, 10) || number.strip_prefix("0x").is_some_and(|hex| digits(hex, 16))
        }
        (Of(_) | Mode | Number | Size, None) => false,
    }
}

/// Why the root is not mounted with what `rootflags=` says: there no mount stands between it and the driver.
pub(super) fn refused_rootflags(kind: &str, flags: &str) -> Option<Refusal> {
    let of_mount = |option: &&str| {
        let name = option.split('=').next().unwrap_or(option);
        name.starts_with("x-") || name.starts_with("X-") || OF_MOUNT.contains(&name)
    };
    refused(kind, flags).or_else(|| {
        let option = flags.split(',').find(of_mount)?;
        Some(Refusal::Perhaps(format!("whether the initramfs knows the option {option} is not known")))
    })
}

/// The option that keeps programs on it from being executed.
pub(super) fn without_programs(options: &str) -> Option<&str> {
    let mut found = None;
    for option in options.split(',') {
        match option.split('=').next().unwrap_or(option) {
            // those by which users mount have it within them
            "noexec" | "user" | "users" | "owner" | "group" => found = Some(option),
            "exec" => found = None,
            // set anew: what came before stays as it is
            _ => {}
        }
    }
    found
}

/// What systemd starts before the mount, and does not mount it without: the values of `x-systemd.requires=`
/// and of its like.
pub(super) fn required(options: &str) -> impl Iterator<Item = &str> {
    const KEYS: [&str; 2] = ["x-systemd.requires=", "x-systemd.requires-mounts-for="];
    options.split(',').filter_map(|option| KEYS.iter().find_map(|key| option.strip_prefix(key)))
}

/// The values of an option that may be there more than once.
pub(super) fn values<'a>(options: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let of = move |option: &'a str| option.strip_prefix(name)?.strip_prefix('=');
    options.split(',').filter_map(of)
}

/// Whether it is only to be seen at another place.
pub(super) fn is_bind(options: &str) -> bool {
    fstab::has_option(options, "bind") || fstab::has_option(options, "rbind")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_driver_takes_is_known() {
        for (kind, options) in [
            ("ext4", "defaults"),
            ("ext4", "rw,relatime,discard,errors=remount-ro,commit=30,x-systemd.growfs,nofail,noexec"),
            ("ext4", "acl,user_xattr,barrier=0,data=ordered,stripe=256,usrjquota=aquota.user,jqfmt=vfsv0"),
            ("xfs", "defaults,uquota,pquota,logbsize=256k,inode64,nouuid,largeio"),
            ("btrfs", "subvol=@,compress=zstd:1,ssd,discard=async,space_cache=v2,autodefrag,noatime"),
            ("tmpfs", "size=50%,mode=1777,nosuid,nodev,nr_inodes=1m,uid=0,gid=users,huge=within_size"),
            ("vfat", "umask=0077,shortname=winnt,utf8,fmask=0022,iocharset=ascii"),
            ("proc", "hidepid=2,gid=26"),
            ("overlay", "lowerdir=/a:/b,upperdir=/c,workdir=/d,redirect_dir=on"),
            ("devpts", "gid=5,mode=620"),
            ("swap", "sw,pri=-2,discard"),
            ("f2fs", "defaults,noatime,context=\"system_u:object_r:x:s0\""),
            ("none", "bind,ro,x-systemd.requires-mounts-for=/data"),
        ] {
            assert_eq!(refused(kind, options), None, "{kind} {options}");
        }
    }

    #[test]
    fn what_a_driver_refuses_or_may_refuse_is_said() {
        let surely = |kind, options| matches!(refused(kind, options), Some(Refusal::Surely(_)));
        for (kind, options) in [
            ("ext4", "subvol=@"),
            ("ext4", "data=fast"),
            ("ext4", "commit=often"),
            ("xfs", "errors=remount-ro"),
            ("xfs", "compress=zstd"),
            ("btrfs", "data=ordered"),
            ("tmpfs", "size=abc"),
            ("tmpfs", "mode=rwx"),
            ("tmpfs", "size"),
            ("proc", "hidepid=9"),
            ("overlay", "size=1m"),
            ("vfat", "subvol=@"),
        ] {
            assert!(surely(kind, options), "{kind} {options}: {:?}", refused(kind, options));
        }
        for (kind, options) in [("ext4", "wibble"), ("f2fs", "background_gc=on"), ("btrfs", "nobootwait")] {
            assert!(matches!(refused(kind, options), Some(Refusal::Perhaps(_))), "{kind} {options}");
        }
        assert!(matches!(refused_rootflags("ext4", "nofail"), Some(Refusal::Perhaps(_))));
        assert_eq!(refused_rootflags("btrfs", "subvol=root,noatime"), None);
    }

    #[test]
    fn the_last_word_on_programs_counts() {
        for (options, found) in [
            ("defaults", None),
            ("nosuid,nodev", None),
            ("noexec,exec", None),
            ("defaults,noexec", Some("noexec")),
            ("exec,users", Some("users")),
        ] {
            assert_eq!(without_programs(options), found, "{options}");
        }
    }
}
