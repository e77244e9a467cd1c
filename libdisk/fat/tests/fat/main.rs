//! The driver against dosfstools and mtools.

mod conformance;
mod hostile;
mod mtools;
mod oracle;
