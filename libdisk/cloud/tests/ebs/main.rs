//! Snapshots read and pulled from the stand-in EBS server, and from moto.

mod snapshot;
mod support;
mod transfer;
