//! Drivers: those that the disk needs are started by the loader, those of AWS are not, no filter is left over.

pub(in crate::rules) mod aws;
pub(in crate::rules) mod boot_start;
pub(in crate::rules) mod critical_devices;
pub(in crate::rules) mod database;
pub(in crate::rules) mod dump_filters;
pub(in crate::rules) mod filters;
pub(in crate::rules) mod nvme;
pub(in crate::rules) mod present;
pub(in crate::rules) mod stack;
