//! Rules about the machine the guest is to run on.

pub(super) mod firmware;
pub(super) mod paravirtual;
pub(super) mod secure_boot;
