//! The machine that a guest ran on, where somebody says which it was: what its disks do not tell.

use serde::Serialize;

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
