//! One flat table of all rules.
//!
//! To add a rule: one file named after its id, one line here, one line in the golden file of each phony guest it finds
//! fault with (`REFLOAT_BLESS=1 cargo test -p guestfix --test rules` writes those).

#[cfg(test)]
mod azmigrate;
mod disk;
mod linux;
mod target;
#[cfg(test)]
mod testing;

use crate::Rule;

/// Every rule; phases decide when each runs, and within a phase this order.
pub static ALL: &[&dyn Rule] = &[
    &disk::filesystem_state::FilesystemState,
    &disk::partition_table::PartitionTable,
    &disk::size_mib::SizeMib,
    &disk::size_limit::SizeLimit,
    &disk::whole::Whole,
    &target::paravirtual::Paravirtual,
    &target::firmware::Firmware,
    &target::secure_boot::SecureBoot,
    &linux::immutable::Immutable,
    &linux::kernel_hyperv::KernelHyperv,
    &linux::kernel_pci::KernelPciHyperv,
    &linux::kernel_accelerated_networking::AcceleratedNetworking,
    &linux::modprobe_blacklist::ModprobeBlacklist,
    &linux::initramfs_drop_in::InitramfsDropIn,
    &linux::initramfs_hyperv::InitramfsHyperv,
    &linux::initramfs_lvm::InitramfsLvm,
    &linux::initramfs_kdump::InitramfsKdump,
    &linux::esp_fallback_loader::EspFallbackLoader,
    &linux::grub_initrdless::GrubInitrdless,
    &linux::grub_root_device::GrubRootDevice,
    &linux::grub_stale_arguments::GrubStaleArguments,
    &linux::grub_serial_console::GrubSerialConsole,
    &linux::grub_serial_menu::GrubSerialMenu,
    &linux::grub_numa::GrubNuma,
    &linux::boot_modules::BootModules,
    &linux::unified_kernel::UnifiedKernel,
    &linux::initramfs_resume::InitramfsResume,
    &linux::crypttab::Crypttab,
    &linux::tpm::Tpm,
    &linux::lvm_filters::LvmFilters,
    &linux::device_caches::DeviceCaches,
    &linux::mount_units::MountUnits,
    &linux::ebs_serials::EbsSerials,
    &linux::fstab::DEVICE_NAMES,
    &linux::fstab::INSTANCE_STORE,
    &linux::fstab::ABSENT_DISKS,
    &linux::fstab::NETWORK_FILESYSTEMS,
    &linux::swap::Swap,
    &linux::network::MacPinned,
    &linux::network::mtu::Mtu,
    &linux::network::sriov::Sriov,
    &linux::network::dhcp_hostname::DhcpHostname,
    &linux::aws_names::AwsNames,
    &linux::sshd::Sshd,
    &linux::firewall::Firewall,
    &linux::cloud_init::CloudInit,
    &linux::aws_agents::AwsAgents,
    &linux::aws_mirrors::AwsMirrors,
    &linux::aws_repositories::AwsRepositories,
    &linux::aws_registration::AwsRegistration,
    &linux::aws_credentials::AwsCredentials,
    &linux::aws_time::AwsTime,
    &linux::aws_udev::AwsUdev,
    &linux::xen_leftovers::XenLeftovers,
    &linux::serial_login::SerialLogin,
    &linux::agent_installed::AgentInstalled,
    &linux::agent_provisioning::AgentProvisioning,
    &linux::integrity::Integrity,
    &linux::tuning::Tuning,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_says_who_it_is_and_where_it_is_from() {
        let mut ids: Vec<&str> = ALL.iter().map(|rule| rule.meta().id).collect();
        for meta in ALL.iter().map(|rule| rule.meta()) {
            let id = meta.id;
            assert!(
                id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c)),
                "{id}"
            );
            assert!(meta.source.contains("20"), "{id} must date its source");
            for text in [meta.title, meta.cause, meta.fix] {
                assert!(text.len() > 10 && !text.ends_with(' '), "{id}: {text:?}");
            }
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), ALL.len(), "ids must differ");
    }
}
