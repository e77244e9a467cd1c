//! Rules about Linux guests.

pub(super) mod agent_installed;
mod aside;
pub(super) mod aws_agents;
pub(super) mod aws_mirrors;
pub(super) mod aws_time;
mod boot_entries;
pub(super) mod cloud_init;
pub(super) mod crypttab;
pub(super) mod esp_fallback_loader;
pub(super) mod fstab;
mod grub_defaults;
pub(super) mod grub_initrdless;
pub(super) mod grub_root_device;
pub(super) mod grub_serial_console;
pub(super) mod grub_stale_arguments;
pub(super) mod initramfs_drop_in;
pub(super) mod initramfs_hyperv;
pub(super) mod kernel_hyperv;
pub(super) mod modprobe_blacklist;
pub(super) mod mount_units;
pub(super) mod network;
mod systemd;
pub(super) mod xen_leftovers;
