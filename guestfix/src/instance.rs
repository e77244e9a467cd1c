//! The machine that a guest ran on, where somebody says which it was: what its disks do not tell.

use std::fmt;

use serde::Serialize;

use crate::sizing::{self, Size};

/// What a guest ran on, as far as it is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hardware<'a> {
    /// The type of its instance.
    pub instance: Option<&'a Instance>,
    /// What its disks were given, in the machine's order; of those that are not there nothing is known.
    pub disks: &'a [Option<Performance>],
    /// The sizes that a subscription has; none where nobody gave a list.
    pub sizes: &'a [Size],
}

impl<'a> Hardware<'a> {
    /// The sizes to choose from: those of the list, or all that are known.
    pub fn sizes(&self) -> &'a [Size] {
        if self.sizes.is_empty() { sizing::sizes() } else { self.sizes }
    }
}

/// A type of instances of EC2's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Instance {
    /// "m5.large".
    pub kind: String,
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// "x86_64", "arm64".
    pub arch: String,
    /// Accelerators.
    pub gpus: u32,
    /// The most network cards.
    pub cards: u32,
    /// What is on disks of the host, in GB: no snapshot has it.
    pub local_gb: u64,
    /// It is a whole host.
    pub metal: bool,
    /// The most requests that its volumes get each second, all together.
    pub iops: u32,
    /// The most megabytes that its volumes get each second, all together.
    pub mbps: u32,
}

/// What a volume is given, whether it is used or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Performance {
    /// The kind of the volume: "gp3".
    pub kind: String,
    /// Requests each second, where its kind has a number of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iops: Option<u32>,
    /// Megabytes (of 1,000,000 bytes) each second, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mbps: Option<u32>,
}

/// "gp3 of 3000 IOPS and 132 MB/s".
impl fmt::Display for Performance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, iops, mbps } = self;
        match (iops, mbps) {
            (Some(iops), Some(mbps)) => write!(f, "{kind} of {iops} IOPS and {mbps} MB/s"),
            (Some(iops), None) => write!(f, "{kind} of {iops} IOPS"),
            (None, Some(mbps)) => write!(f, "{kind} of {mbps} MB/s"),
            (None, None) => write!(f, "{kind}"),
        }
    }
}
