//! A walk in a line: how far it comes, and where it stops.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Hop, HopKind, Outcome, Walk};

/// How far an unattended start comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Chain {
    /// It comes to the login.
    pub arrives: bool,
    /// What is reached, each kind of hop once.
    pub reached: Vec<HopKind>,
    /// The first hop that it does not get past, or that nobody can tell of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Hop>,
}

impl Walk {
    /// How far an unattended start comes.
    pub fn chain(&self) -> Chain {
        let mut reached: Vec<HopKind> =
            self.hops().take_while(|hop| hop.is_reached()).map(|hop| hop.kind).collect();
        reached.dedup();
        let stop = self.stop().cloned();
        if let Some(stop) = &stop {
            // A part of it may be reached.
            reached.retain(|kind| *kind != stop.kind);
        }
        Chain { arrives: self.arrives(), reached, stop }
    }
}

impl Chain {
    /// Why a start does not come to the login: "the boot stops at the kernel: /boot/vmlinuz: there is no such
    /// file"; `None` if it does.
    pub fn why(&self) -> Option<String> {
        match &self.stop {
            _ if self.arrives => None,
            None => Some("how the boot goes on is not known".to_owned()),
            Some(Hop { kind, place, outcome, .. }) => Some(match outcome {
                Outcome::Blocked { why } => format!("the boot stops at the {kind}: {place}: {why}"),
                Outcome::Unknown { why } => format!("nobody can tell of the {kind}: {place}: {why}"),
                Outcome::Reached => "how the boot goes on is not known".to_owned(),
            }),
        }
    }
}

/// "firmware → loader → menu → kernel; the boot stops at the initramfs: ...".
impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, kind) in self.reached.iter().enumerate() {
            write!(f, "{}{kind}", if number == 0 { "" } else { " → " })?;
        }
        match self.why() {
            None => Ok(()),
            Some(why) if self.reached.is_empty() => f.write_str(&why),
            Some(why) => write!(f, "; {why}"),
        }
    }
}

impl fmt::Display for HopKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Firmware => "firmware",
            Self::Loader => "loader",
            Self::Menu => "menu",
            Self::Kernel => "kernel",
            Self::Registry => "registry",
            Self::Drivers => "drivers",
            Self::Initramfs => "initramfs",
            Self::Root => "root",
            Self::Init => "init",
            Self::Target => "target",
            Self::Mounts => "mounts",
            Self::Network => "network",
            Self::Login => "login",
        })
    }
}

/// "kernel     /boot/vmlinuz-6.1: what is there", with what is wrong behind it.
impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, place, what, outcome } = self;
        write!(f, "{kind:<9}  {place}")?;
        if !what.is_empty() {
            write!(f, ": {what}")?;
        }
        match outcome {
            Outcome::Reached => Ok(()),
            Outcome::Blocked { why } => write!(f, ": STOPS: {why}"),
            Outcome::Unknown { why } => write!(f, ": UNKNOWN: {why}"),
        }
    }
}
