//! Hives of real machines: read, completed by their logs, changed.

mod boot;
mod edit;
mod real;
mod recorded;

use recorded::recorded;
