//! What the boot mounts and waits for: fstab, crypttab, units, LVM.

pub(in crate::rules) mod crypttab;
pub(in crate::rules) mod device_caches;
pub(in crate::rules) mod ebs_serials;
pub(in crate::rules) mod fstab;
pub(in crate::rules) mod lvm_filters;
pub(in crate::rules) mod mount_units;
pub(in crate::rules) mod swap;
pub(in crate::rules) mod tpm;
