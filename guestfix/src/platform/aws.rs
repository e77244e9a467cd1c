//! AWS, where guests come from: the names and addresses that mean nothing elsewhere.

/// Name servers of a VPC ("DNS attributes", Amazon VPC user guide, 2026).
pub const RESOLVERS: [&str; 2] = ["169.254.169.253", "fd00:ec2::253"];

/// The instance metadata service ("Instance metadata", EC2 user guide, 2026).
pub const METADATA: [&str; 2] = ["169.254.169.254", "fd00:ec2::254"];

/// The clock of the host ("Amazon Time Sync Service", EC2 user guide, 2026).
pub const CLOCK: [&str; 2] = ["169.254.169.123", "fd00:ec2::123"];

/// Drivers of EC2's network cards, as networkd and udev name them.
pub const NETWORK_DRIVERS: [&str; 5] = ["ena", "ixgbevf", "vif", "xen-netfront", "xen_netfront"];
