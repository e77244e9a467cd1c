//! The options of a mount: which of them a file system's driver refuses, and what they do to programs
//! (mount(8), fstab(5), systemd.mount(5), Linux, Documentation/filesystems).

mod drivers;

use self::drivers::Value::{Mode, None as Flag, Number, Of, Optional, Size, Text};
use self::drivers::{ALL, GENERIC, OF_MOUNT, Table, Value, table};
use crate::text::fstab;

/// Why a file system is not mounted with these options, or why nobody can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Its driver refuses them.
    Surely(String),
    /// They are not known here.
    Perhaps(String),
}

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
            ("ntfs", "uid=1000,gid=1000,umask=022,windows_names,nls=utf8"),
            ("exfat", "uid=1000,iocharset=utf8"),
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
