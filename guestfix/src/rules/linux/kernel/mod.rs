//! Kernels, their drivers, and what is in an initramfs.

pub(in crate::rules) mod initramfs_drop_in;
pub(in crate::rules) mod initramfs_hyperv;
pub(in crate::rules) mod initramfs_kdump;
pub(crate) mod initramfs_lvm;
pub(in crate::rules) mod initramfs_resume;
pub(in crate::rules) mod initramfs_waits;
pub(in crate::rules) mod kernel_accelerated_networking;
pub(in crate::rules) mod kernel_hyperv;
pub(in crate::rules) mod kernel_pci;
pub(in crate::rules) mod mkinitfs;
pub(in crate::rules) mod modprobe_blacklist;
pub(in crate::rules) mod xen_leftovers;
