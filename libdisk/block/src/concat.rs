//! Devices end to end.

/// Several devices, one after the other.
#[derive(Debug)]
pub struct Concat;
