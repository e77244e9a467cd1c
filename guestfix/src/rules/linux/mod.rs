//! Rules about Linux guests, in folders by what they look at; beside them what several share.

pub(super) mod agents;
mod aside;
pub(super) mod boot;
pub(crate) mod kernel;
mod linewise;
pub(super) mod mounts;
pub(crate) mod network;
pub(crate) mod systemd;
pub(crate) mod udev_rules;
