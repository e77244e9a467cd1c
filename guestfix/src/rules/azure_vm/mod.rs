//! What Azure's own assessment says of a machine, and what its documents say of what is in it. None of these
//! stands in the way of a start, so none is mended here: each says what to do.

pub(in crate::rules) mod disks;
pub(in crate::rules) mod guest;
mod size;
pub(in crate::rules) mod system;
#[cfg(test)]
mod tests;

use crate::platform::{assessment, azure};
use crate::rule::{Applies, Evidence, Pack, Place};
use crate::{Finding, Phase, Rule, RuleMeta, Severity};

/// The rules of the pack.
pub(super) static ALL: &[&Rule] = &[
    &system::KNOWN,
    &system::BITS,
    &system::ARM,
    &system::BOOT_TYPE,
    &system::BOOT_TYPE_KNOWN,
    &system::SERVER,
    &system::CLIENT,
    &system::WINDOWS_ENDED,
    &system::DISTRIBUTION,
    &system::VERSION,
    &system::ENDED,
    &system::AMAZON,
    &system::KERNEL,
    &disks::COUNT,
    &disks::SIZE,
    &disks::OS_BIOS,
    &disks::OS_UEFI,
    &disks::UPLOAD,
    &disks::LEAST,
    &disks::CLASSIC,
    &disks::IOPS,
    &disks::THROUGHPUT,
    &disks::PREMIUM,
    &disks::MBR,
    &disks::SECTORS,
    &disks::SWAP,
    &disks::LVM,
    &disks::LETTER,
    &disks::PAGE_FILE,
    &guest::NAME_LENGTH,
    &guest::NAME_LETTERS,
    &guest::NAME_RESERVED,
    &guest::UDF,
    &guest::VFAT,
    &guest::AGENT,
    &guest::NVME,
    &guest::GENERATION,
    &guest::CLUSTER,
    &guest::FLOATING,
    &guest::DHCP_SERVER,
    &guest::TUNNELS,
    &guest::HYPERVISOR,
    &guest::SQL,
    &size::CORES,
    &size::MEMORY,
    &size::CARDS,
    &size::EXISTS,
    &size::GPU,
    &size::LOCAL_DISKS,
    &size::METAL,
    &size::DEFENDER,
];

/// What most of its rules have.
const META: RuleMeta = RuleMeta {
    id: "",
    title: "",
    pack: Pack::AzureVm,
    phase: Phase::Identity,
    severity: Severity::Warning,
    cause: "",
    fix: "",
    source: &[assessment::ASSESSMENT],
    applies: Applies::ALWAYS.on(&azure::AZURE),
};

/// A fault if it is so.
pub(super) fn fault(is: bool, place: impl Into<Place>, what: impl Into<String>) -> Finding {
    Finding::from_evidence(is.then(|| Evidence::new(place, what)).into_iter().collect())
}
