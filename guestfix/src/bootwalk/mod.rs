//! The boot walk: from the firmware to the login prompt, hop by hop, on the files as they are.
//!
//! It is the second opinion over the rules. A rule looks for one fault; the walk asks of every file and volume
//! that the boot needs whether it is there, whole, and what it claims to be. *Ready* needs rules and walk to
//! agree. What was not looked at is never [`Reached`](Outcome::Reached).
//!
//! The walk starts where the firmware of the target starts and follows [`Walk::loader`] to the menu; each entry
//! of the menu is a [`Route`] from the kernel file to the root; [`Walk::system`] is what the root does with
//! itself after that, from `init` to the login.

mod accounts;
mod arguments;
mod bios;
mod chain;
mod compare;
mod esp;
mod folders;
pub(crate) mod grub;
mod grub_legacy;
#[cfg(test)]
mod guests;
mod init;
pub(crate) mod initramfs;
mod kernel;
mod login;
mod look;
mod mount_options;
mod mounts;
mod network;
mod pam;
mod payload;
mod profile;
mod program;
mod root;
mod route;
mod selinux;
mod service;
mod sshd;
mod sysctl;
mod syslinux;
mod system;
mod systemd_boot;
mod target;
#[cfg(test)]
mod testing;
mod uefi;
mod unified;
pub(crate) mod waits;
mod walk;
mod wanted;
mod windows;

use serde::{Deserialize, Serialize};

use crate::facts::OsKind;
use crate::place::{Evidence, Place};
use crate::platform::Firmware;

pub use chain::Chain;
pub use compare::{Change, Compared, Difference, compare};
use grub::Entry;
pub(crate) use walk::defaults;
pub use walk::{starts, walk};

/// The longest that a boot loader may wait, in seconds: by then who started the machine thinks it dead.
const LONGEST_WAIT: u64 = 300;

/// What a hop of the boot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum HopKind {
    /// The firmware finds something to start: boot code in the master boot record, a loader on the ESP.
    Firmware,
    /// The boot loader's own parts: core.img, shim's second stage, modules below the prefix.
    Loader,
    /// Its configuration, through stubs, `configfile` and `search`, and the menu in it.
    Menu,
    /// The kernel's file.
    Kernel,
    /// The registry of a Windows: its hives, and the control set that starts.
    Registry,
    /// The drivers that the loader of a Windows brings.
    Drivers,
    /// The initramfs: its files, its framework, its drivers and its own configuration.
    Initramfs,
    /// The root file system that the command line names; the volume of a Windows, from the bus of the target
    /// on.
    Root,
    /// The first program, with its interpreter and libraries; of a Windows, all up to the logon.
    Init,
    /// The unit or run level that the system starts into.
    Target,
    /// What the boot waits for: file systems, swap, encrypted volumes.
    Mounts,
    /// An address for the network card of the target.
    Network,
    /// Somebody can log in: a console or an SSH server; Remote Desktop.
    Login,
}

/// How far the boot gets at a hop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// All that the hop needs is there.
    Reached,
    /// The boot ends here, and why.
    Blocked {
        /// What is missing or wrong.
        why: String,
    },
    /// Nobody can tell: something that the hop needs cannot be read or understood.
    Unknown {
        /// What, and why.
        why: String,
    },
}

/// One hop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Hop {
    /// What it is.
    pub kind: HopKind,
    /// The file, volume or byte that was looked at.
    pub place: Place,
    /// What is there, in a few words: "GRUB's core.img, prefix (hd0,msdos1)/boot/grub".
    pub what: String,
    /// How far the boot gets.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl Hop {
    /// All that the hop needs is there.
    pub fn reached(kind: HopKind, place: impl Into<Place>, what: impl Into<String>) -> Self {
        Self { kind, place: place.into(), what: what.into(), outcome: Outcome::Reached }
    }

    /// The boot ends here.
    pub fn blocked(
        kind: HopKind,
        place: impl Into<Place>,
        what: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        let outcome = Outcome::Blocked { why: why.into() };
        Self { kind, place: place.into(), what: what.into(), outcome }
    }

    /// Nobody can tell.
    pub fn unknown(
        kind: HopKind,
        place: impl Into<Place>,
        what: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        let outcome = Outcome::Unknown { why: why.into() };
        Self { kind, place: place.into(), what: what.into(), outcome }
    }

    /// A hop that looked at what cannot be read.
    pub fn unread(kind: HopKind, evidence: &Evidence) -> Self {
        Self::unknown(kind, evidence.place.clone(), "", evidence.what.clone())
    }

    /// Whether the boot goes on from here.
    pub fn is_reached(&self) -> bool {
        self.outcome == Outcome::Reached
    }
}

/// One entry of the menu, as the loader hands it on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MenuEntry {
    /// Its title; what it is, where it has none.
    pub title: String,
    /// The line or file that it is written in.
    pub place: Place,
    /// It is the one that starts if nobody touches a key.
    pub default: bool,
    /// The kernel as a path in the guest's tree.
    pub kernel: String,
    /// The initramfs images in order, likewise; empty for a boot without one.
    pub initrds: Vec<String>,
    /// The kernel command line, the loader's variables in it filled in.
    pub cmdline: String,
}

/// The way through one entry of the menu, from the kernel's file to the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Route {
    /// The entry.
    #[serde(flatten)]
    pub entry: MenuEntry,
    /// The hops in order; those behind a hop that is blocked are there as well, as far as they can be looked
    /// at: a plan has to know all that is missing.
    pub hops: Vec<Hop>,
}

/// The whole walk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Walk {
    /// What kind of system it is of; one that is not known is looked at as a Linux.
    pub os: OsKind,
    /// From the firmware to the menu.
    pub loader: Vec<Hop>,
    /// The entries of the menu in its order.
    pub routes: Vec<Route>,
    /// From `init` to the login, as the default entry starts it.
    pub system: Vec<Hop>,
}

/// The first steps of a walk: what a firmware starts, as far as the menu.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Start {
    /// The firmware.
    pub firmware: Firmware,
    /// From the firmware to the menu.
    pub loader: Vec<Hop>,
    /// The entries of the menu in its order; with hops where one cannot be followed to its kernel.
    pub routes: Vec<Route>,
}

impl Walk {
    /// The entry that starts if nobody touches a key.
    pub fn default_route(&self) -> Option<&Route> {
        self.routes.iter().find(|route| route.entry.default)
    }

    /// The hops of an unattended start, in order.
    pub fn hops(&self) -> impl Iterator<Item = &Hop> {
        let route = self.default_route().map_or(&[][..], |route| &route.hops);
        self.loader.iter().chain(route).chain(&self.system)
    }

    /// The first hop that the boot does not get past, or that nobody can tell of.
    pub fn stop(&self) -> Option<&Hop> {
        self.hops().find(|hop| !hop.is_reached())
    }

    /// Whether an unattended start comes to the login: every hop is reached, and there is one of each kind
    /// that a start cannot do without.
    pub fn arrives(&self) -> bool {
        use HopKind::{Drivers, Firmware, Init, Kernel, Loader, Login};
        use HopKind::{Menu, Mounts, Network, Registry, Root, Target};
        let needed: &[HopKind] = match self.os {
            OsKind::Linux => &[Firmware, Menu, Kernel, Root, Init, Target, Mounts, Network, Login],
            OsKind::Windows => {
                &[Firmware, Loader, Menu, Registry, Kernel, Drivers, Root, Init, Network, Login]
            }
        };
        let has = |kind| self.hops().any(|hop| hop.kind == kind);
        self.default_route().is_some() && self.stop().is_none() && needed.iter().copied().all(has)
    }
}

#[cfg(test)]
pub(crate) mod sample {
    use super::*;

    /// A walk with these hops of the system behind what comes before them.
    pub(crate) fn walk(system: Vec<Hop>) -> Walk {
        let hop = |kind| Hop::reached(kind, Place::DISK, "");
        let entry = MenuEntry {
            title: "Linux".into(),
            place: Place::DISK,
            default: true,
            kernel: "/boot/vmlinuz".into(),
            initrds: Vec::new(),
            cmdline: String::new(),
        };
        let hops = vec![hop(HopKind::Kernel), hop(HopKind::Root)];
        Walk {
            os: OsKind::Linux,
            loader: vec![hop(HopKind::Firmware), hop(HopKind::Menu)],
            routes: vec![Route { entry, hops }],
            system,
        }
    }

    /// One that comes to the login.
    pub(crate) fn arriving() -> Walk {
        let kinds = [HopKind::Init, HopKind::Target, HopKind::Mounts, HopKind::Network, HopKind::Login];
        walk(kinds.map(|kind| Hop::reached(kind, Place::DISK, "")).into())
    }
}

#[cfg(test)]
mod tests {
    use super::sample::walk;
    use super::*;

    #[test]
    fn a_start_arrives_if_every_hop_was_looked_at_and_reached() {
        let kinds = [HopKind::Init, HopKind::Target, HopKind::Mounts, HopKind::Network, HopKind::Login];
        let all: Vec<Hop> = kinds.map(|kind| Hop::reached(kind, Place::DISK, "")).into();
        assert!(walk(all.clone()).arrives());
        for at in 0..all.len() {
            let mut lacks = all.clone();
            lacks.remove(at);
            assert!(!walk(lacks).arrives(), "{:?} was not looked at", all[at].kind);
            let mut blind = all.clone();
            blind[at].outcome = Outcome::Unknown { why: "cannot be read".into() };
            let blind = walk(blind);
            assert!(!blind.arrives());
            assert_eq!(blind.stop().map(|hop| hop.kind), Some(all[at].kind));
        }
        let mut nothing_starts = walk(all);
        nothing_starts.routes[0].entry.default = false;
        assert!(!nothing_starts.arrives());
    }
}
