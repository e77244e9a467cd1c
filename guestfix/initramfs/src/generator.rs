//! Which program built an initramfs: it decides how modules are named to be loaded early.

use crate::archive::Archive;

/// The program that built an initramfs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Generator {
    /// Debian's and Ubuntu's `mkinitramfs`.
    InitramfsTools,
    /// dracut: Fedora, RHEL, SUSE, Amazon Linux.
    Dracut,
    /// Arch's `mkinitcpio`.
    Mkinitcpio,
    /// Alpine's `mkinitfs`.
    Mkinitfs,
    /// SUSE's (11) or Red Hat's (5) `mkinitrd`.
    Mkinitrd,
    /// Booster, whose init has module lists of its own.
    Booster,
    /// None of these.
    Unknown,
}

impl Generator {
    /// Tells the generator by files that only it puts in.
    pub(crate) fn of(archive: &Archive<'_>) -> Self {
        let has = |paths: &[&str]| paths.iter().any(|path| archive.find(path).is_some());
        if has(&["conf/initramfs.conf"]) && has(&["scripts/functions"]) {
            Self::InitramfsTools
        } else if has(&["usr/lib/dracut", "lib/dracut", "lib/dracut-lib.sh", "dracut-state.sh"]) {
            Self::Dracut
        } else if has(&["init_functions"]) && has(&["config", "hooks"]) {
            Self::Mkinitcpio
        } else if has(&["etc/booster.init.yaml"]) {
            Self::Booster
        } else if has(&["sbin/nlplug-findfs", "usr/sbin/nlplug-findfs"]) {
            Self::Mkinitfs
        } else if has(&["linuxrc", "bin/nash", "config/start.sh"]) {
            Self::Mkinitrd
        } else {
            Self::Unknown
        }
    }
}

impl std::fmt::Display for Generator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::InitramfsTools => "initramfs-tools",
            Self::Dracut => "dracut",
            Self::Mkinitcpio => "mkinitcpio",
            Self::Mkinitfs => "mkinitfs",
            Self::Mkinitrd => "mkinitrd",
            Self::Booster => "booster",
            Self::Unknown => "an unknown generator",
        })
    }
}
