//! One flat table of all rules.

use crate::Rule;

/// Every rule, in no particular order: phases decide when each runs.
pub static ALL: &[&dyn Rule] = &[];
