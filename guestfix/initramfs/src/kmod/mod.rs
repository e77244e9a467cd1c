//! What `depmod` makes and `modprobe` reads: the module indexes, as text and as the binary tries libkmod
//! looks into.

pub mod alias;
pub mod dep;
pub mod index;
pub mod modinfo;
