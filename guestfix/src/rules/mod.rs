//! One flat table of all rules.
//!
//! To add a rule: one file named after its id, one line here, one line in the golden file of each synthetic
//! guest it finds fault with (`REFLOAT_BLESS=1 cargo test -p guestfix --test rules` writes those).

#[cfg(test)]
mod azmigrate;
mod azure_migrate_agent;
mod azure_vm;
mod disk;
pub(crate) mod linux;
pub mod packs;
mod target;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod windows;

use crate::Rule;

/// The rule of this id, of whatever pack.
pub fn find(id: &str) -> Option<&'static Rule> {
    every().find(|rule| rule.meta.id == id)
}

/// The rules of all packs.
pub fn every() -> impl Iterator<Item = &'static Rule> {
    packs::PACKS.into_iter().flat_map(|pack| pack.rules.iter().copied())
}

/// Every rule of the pack `boot`; phases decide when each runs, and within a phase this order.
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
    &linux::boot::immutable::RULE,
    &linux::kernel::kernel_hyperv::RULE,
    &linux::kernel::kernel_pci::RULE,
    &linux::kernel::kernel_accelerated_networking::RULE,
    &linux::kernel::modprobe_blacklist::RULE,
    &linux::kernel::initramfs_drop_in::RULE,
    &linux::kernel::initramfs_hyperv::RULE,
    &linux::kernel::initramfs_lvm::RULE,
    &linux::kernel::initramfs_waits::RULE,
    &linux::kernel::initramfs_kdump::RULE,
    &linux::boot::esp_fallback_loader::RULE,
    &linux::boot::grub_initrdless::RULE,
    &linux::boot::grub_root_device::RULE,
    &linux::boot::grub_absent_volumes::RULE,
    &linux::boot::grub_stale_arguments::RULE,
    &linux::boot::grub_serial_console::RULE,
    &linux::boot::grub_serial_menu::RULE,
    &linux::boot::grub_numa::RULE,
    &linux::boot::boot_modules::RULE,
    &linux::boot::next_upgrade::RULE,
    &linux::boot::unified_kernel::RULE,
    &linux::kernel::initramfs_resume::RULE,
    &linux::mounts::crypttab::RULE,
    &linux::mounts::tpm::RULE,
    &linux::mounts::lvm_filters::RULE,
    &linux::mounts::device_caches::RULE,
    &linux::mounts::mount_units::RULE,
    &linux::mounts::ebs_serials::RULE,
    &linux::mounts::fstab::DEVICE_NAMES,
    &linux::mounts::fstab::INSTANCE_STORE,
    &linux::mounts::fstab::ABSENT_DISKS,
    &linux::mounts::fstab::OPTIONAL,
    &linux::mounts::fstab::NETWORK_FILESYSTEMS,
    &linux::mounts::swap::RULE,
    &linux::network::RULE,
    &linux::network::LEFTOVERS,
    &linux::network::mtu::RULE,
    &linux::network::sriov::RULE,
    &linux::network::dhcp_hostname::RULE,
    &linux::network::aws_names::RULE,
    &linux::network::vpc_resolver::RULE,
    &linux::network::sshd::RULE,
    &linux::network::firewall::RULE,
    &linux::agents::cloud_init::RULE,
    &linux::agents::aws_agents::RULE,
    &linux::agents::aws_mirrors::RULE,
    &linux::agents::aws_repositories::RULE,
    &linux::agents::aws_registration::RULE,
    &linux::agents::aws_credentials::RULE,
    &linux::agents::aws_time::RULE,
    &linux::agents::aws_udev::RULE,
    &linux::kernel::xen_leftovers::RULE,
    &linux::boot::serial_login::RULE,
    &linux::agents::agent_installed::RULE,
    &linux::agents::agent_provisioning::RULE,
    &linux::agents::integrity::RULE,
    &linux::agents::tuning::RULE,
    &windows::drivers::boot_start::RULE,
    &windows::drivers::present::RULE,
    &windows::drivers::stack::RULE,
    &windows::drivers::critical_devices::RULE,
    &windows::drivers::database::RULE,
    &windows::drivers::filters::RULE,
    &windows::drivers::aws::RULE,
    &windows::drivers::dump_filters::RULE,
    &windows::drivers::nvme::RULE,
    &windows::boot::fallback_loader::RULE,
    &windows::boot::hibernation::RULE,
    &windows::boot::safe_mode::RULE,
    &windows::boot::recovery::RULE,
    &windows::boot::serial_console::RULE,
    &windows::boot::fast_startup::RULE,
    &windows::network::dhcp::RULE,
    &windows::network::rdp::RULE,
    &windows::network::rdp_policy::RULE,
    &windows::network::rdp_port::RULE,
    &windows::network::firewall::RULE,
    &windows::network::static_address::RULE,
    &windows::network::routes::RULE,
    &windows::network::search_list::RULE,
    &windows::agents::aws_agents::RULE,
    &windows::agents::activation::RULE,
    &windows::agents::time::RULE,
    &windows::agents::time_source::RULE,
    &windows::agents::vm_agent::RULE,
    &windows::system::version::RULE,
    &windows::system::host_devices::RULE,
    &windows::system::san_policy::RULE,
    &windows::system::services::RULE,
    &windows::system::pending::RULE,
    &windows::system::domain_controller::RULE,
    &windows::system::generalized::RULE,
    &windows::strict::sessions::RULE,
    &windows::strict::firewall::RULE,
    &windows::strict::services::RULE,
    &windows::strict::power::RULE,
    &windows::strict::crash_dumps::RULE,
    &windows::strict::environment::RULE,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_says_who_it_is_and_where_it_is_from() {
        let mut ids: Vec<&str> = every().map(|rule| rule.meta.id).collect();
        let count = ids.len();
        for meta in every().map(|rule| &rule.meta) {
            let id = meta.id;
            assert!(
                id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c)),
                "{id}"
            );
            assert!(!meta.source.is_empty(), "{id} must say where it is from");
            for source in meta.source {
                assert!(source.is_whole(), "{id}: {source:?}");
            }
            let pack = format!("{}.", meta.pack.name());
            assert!(id.starts_with(&pack), "{id} is not of the pack {pack}");
            for text in [meta.title, meta.cause, meta.fix] {
                assert!(text.len() > 10 && !text.ends_with(' '), "{id}: {text:?}");
            }
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "ids must differ");
    }
}
