//! What every layer must pass, and layers that misbehave on purpose: for the tests of this and other crates.
//!
//! | module | what |
//! |---|---|
//! | [`conformance`] | the suite for readable and writable layers |
//! | [`crash`] | a device that loses unflushed sectors |
//! | [`fault`] | requests that fail |
//! | [`count`] | requests that are counted |
//! | [`pattern`] | content like that of a virtual machine, of any size, without memory |
//! | [`tap`] | what `fault` and `count` are made of |
//! | [`DeviceSink`] | a sink that puts into a device |

pub mod conformance;
pub mod count;
pub mod crash;
pub mod fault;
pub mod pattern;
mod sink;
pub mod tap;

pub use sink::DeviceSink;
