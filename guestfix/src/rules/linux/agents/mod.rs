//! Programs and settings of a cloud, and what keeps watch over files.

pub(in crate::rules) mod agent_installed;
pub(in crate::rules) mod agent_provisioning;
pub(in crate::rules) mod aws_agents;
pub(in crate::rules) mod aws_credentials;
pub(in crate::rules) mod aws_mirrors;
pub(in crate::rules) mod aws_registration;
pub(in crate::rules) mod aws_repositories;
pub(in crate::rules) mod aws_time;
pub(in crate::rules) mod aws_udev;
pub(in crate::rules) mod cloud_init;
pub(in crate::rules) mod integrity;
pub(in crate::rules) mod tuning;
