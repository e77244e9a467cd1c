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
pub static ALL: &[&Rule] = &[
    &disk::filesystem_state::RULE,
    &disk::partition_table::RULE,
    &disk::sector_size::RULE,
    &disk::size_mib::RULE,
    &disk::size_limit::RULE,
    &disk::whole::RULE,
    &target::paravirtual::RULE,
    &target::firmware::RULE,
    &target::secure_boot::RULE,
    &linux::immutable::RULE,
    &linux::kernel_hyperv::RULE,
    &linux::kernel_pci::RULE,
    &linux::kernel_accelerated_networking::RULE,
    &linux::modprobe_blacklist::RULE,
    &linux::initramfs_drop_in::RULE,
    &linux::initramfs_hyperv::RULE,
    &linux::initramfs_lvm::RULE,
    &linux::initramfs_kdump::RULE,
    &linux::esp_fallback_loader::RULE,
    &linux::grub_initrdless::RULE,
    &linux::grub_root_device::RULE,
    &linux::grub_stale_arguments::RULE,
    &linux::grub_serial_console::RULE,
    &linux::grub_serial_menu::RULE,
    &linux::grub_numa::RULE,
    &linux::boot_modules::RULE,
    &linux::unified_kernel::RULE,
    &linux::initramfs_resume::RULE,
    &linux::crypttab::RULE,
    &linux::tpm::RULE,
    &linux::lvm_filters::RULE,
    &linux::device_caches::RULE,
    &linux::mount_units::RULE,
    &linux::ebs_serials::RULE,
    &linux::fstab::DEVICE_NAMES,
    &linux::fstab::INSTANCE_STORE,
    &linux::fstab::ABSENT_DISKS,
    &linux::fstab::NETWORK_FILESYSTEMS,
    &linux::swap::RULE,
    &linux::network::RULE,
    &linux::network::mtu::RULE,
    &linux::network::sriov::RULE,
    &linux::network::dhcp_hostname::RULE,
    &linux::aws_names::RULE,
    &linux::sshd::RULE,
    &linux::firewall::RULE,
    &linux::cloud_init::RULE,
    &linux::aws_agents::RULE,
    &linux::aws_mirrors::RULE,
    &linux::aws_repositories::RULE,
    &linux::aws_registration::RULE,
    &linux::aws_credentials::RULE,
    &linux::aws_time::RULE,
    &linux::aws_udev::RULE,
    &linux::xen_leftovers::RULE,
    &linux::serial_login::RULE,
    &linux::agent_installed::RULE,
    &linux::agent_provisioning::RULE,
    &linux::integrity::RULE,
    &linux::tuning::RULE,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_says_who_it_is_and_where_it_is_from() {
        let mut ids: Vec<&str> = ALL.iter().map(|rule| rule.meta.id).collect();
        for meta in ALL.iter().map(|rule| &rule.meta) {
            let id = meta.id;
            assert!(
                id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c)),
                "{id}"
            );
            assert!(!meta.source.is_empty(), "{id} must say where it is from");
            for source in meta.source {
                assert!(source.date.starts_with("20") && !source.document.is_empty(), "{id}: {source:?}");
            }
            let pack = format!("{:?}.", meta.pack).to_lowercase();
            assert!(id.starts_with(&pack), "{id} is not of the pack {pack}");
            for text in [meta.title, meta.cause, meta.fix] {
                assert!(text.len() > 10 && !text.ends_with(' '), "{id}: {text:?}");
            }
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), ALL.len(), "ids must differ");
    }
}
