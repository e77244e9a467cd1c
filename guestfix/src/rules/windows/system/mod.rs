//! The system as a whole: which Windows it is, its services and disks, and what it has begun and not ended.

pub(in crate::rules) mod domain_controller;
pub(in crate::rules) mod generalized;
pub(in crate::rules) mod host_devices;
pub(in crate::rules) mod pending;
pub(in crate::rules) mod san_policy;
pub(in crate::rules) mod services;
pub(in crate::rules) mod version;
