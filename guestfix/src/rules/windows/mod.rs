//! Rules for Windows guests. Nothing here was proven by a start of Windows: the sources say which changes
//! others make, or Microsoft asks for.
//!
//! Registry edits are made in every control set: offline there is no telling which one a start will take.

pub(in crate::rules) mod agents;
pub(in crate::rules) mod boot;
pub(in crate::rules) mod drivers;
pub(in crate::rules) mod network;
pub(in crate::rules) mod strict;
pub(in crate::rules) mod system;
#[cfg(test)]
pub(in crate::rules) mod testing;
#[cfg(test)]
mod tests;
mod values;
