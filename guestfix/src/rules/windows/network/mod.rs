//! The network, and who comes in by it.

pub(in crate::rules) mod dhcp;
pub(in crate::rules) mod firewall;
pub(in crate::rules) mod rdp;
pub(in crate::rules) mod rdp_policy;
pub(in crate::rules) mod rdp_port;
pub(in crate::rules) mod routes;
pub(in crate::rules) mod search_list;
pub(in crate::rules) mod static_address;
