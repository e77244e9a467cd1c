//! What Microsoft's own tool would say: the one that moves a machine by an agent in it, and the replication
//! below. A machine that fails these and not the others is one that Azure can run, and its tool cannot move.

mod disks;
mod guest;
mod system;
#[cfg(test)]
mod tests;

use super::azure_vm::fault;
use crate::platform::{assessment, azure};
use crate::rule::{Applies, Pack};
use crate::{Phase, Rule, RuleMeta, Severity};

/// The rules of the pack.
pub(super) static ALL: &[&Rule] = &[
    &system::WINDOWS,
    &system::SERVICE_PACK,
    &system::BITS,
    &system::ARM,
    &system::DISTRIBUTION,
    &system::VERSION,
    &system::UEFI_2008,
    &system::UEFI_SYSTEM,
    &system::CLOUD_KERNEL,
    &system::FOREIGN_KERNEL,
    &system::PARAVIRTUAL,
    &system::XEN_DRIVERS,
    &disks::OS_BIOS,
    &disks::OS_UEFI,
    &disks::DATA,
    &disks::LEAST,
    &disks::COUNT,
    &disks::SECTORS,
    &disks::PARTITIONS,
    &disks::NTFS,
    &disks::LUKS,
    &disks::BITLOCKER,
    &disks::BOOT,
    &disks::FOLDERS,
    &disks::ROOT,
    &disks::KINDS,
    &disks::BTRFS,
    &disks::DYNAMIC,
    &disks::SPACES,
    &disks::THIN,
    &disks::NAMES,
    &disks::SHARED,
    &disks::FREE,
    &disks::FREE_FOLDER,
    &guest::NFS,
    &guest::SMB,
    &guest::ISCSI,
    &guest::MULTIPATH,
    &guest::TEAMS,
    &guest::IPV6,
    &guest::NAME_LENGTH,
    &guest::NAME_LETTERS,
    &guest::NAME_RESERVED,
    &guest::SSHD,
    &guest::RDP,
    &guest::SAN,
];

/// What most of its rules have.
const META: RuleMeta = RuleMeta {
    id: "",
    title: "",
    pack: Pack::AzureMigrateAgent,
    phase: Phase::Identity,
    severity: Severity::Blocker,
    cause: "Azure Migrate's agent-based migration does not support it. refloat does not ask for it.",
    fix: "move the machine with refloat, which does not need this, or change it for Microsoft's tool",
    source: &[assessment::AGENT],
    applies: Applies::ALWAYS.on(&azure::AZURE),
};
