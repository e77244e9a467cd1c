//! The driver against dosfstools and mtools.

mod conformance;
mod mtools;
mod oracle;
mod second_reader;
