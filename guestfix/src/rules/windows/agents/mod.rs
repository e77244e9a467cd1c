//! Programs and settings of clouds.

pub(in crate::rules) mod activation;
pub(in crate::rules) mod aws_agents;
pub(in crate::rules) mod time;
pub(in crate::rules) mod time_source;
pub(in crate::rules) mod vm_agent;
