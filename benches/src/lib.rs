//! How fast we are, alone and beside peers.
//!
//! | command | what |
//! |---|---|
//! | `cargo bench -p benches` | copy, overlay and zero detection, by criterion |
//! | `cargo run --release -p benches --bin versus_qemu_img` | `refloat convert` beside `qemu-img convert`, on the same images; with `--report`, into `benches/README.md` |
//! | `cargo run --release -p benches --bin versus_coldsnap` | pulling a snapshot, beside coldsnap |
//! | `cargo run --release -p benches --bin versus_azcopy` | a disk into a page blob, beside azcopy |

mod contest;
mod discard;
mod kept;
mod measure;
pub mod report;
mod vm;

pub use contest::{Bar, Contest, RESIDENT, Standing};
pub use discard::{Discard, Taken};
pub use kept::KeptPages;
pub use measure::{Cost, Costs, measure, median};
pub use vm::{pattern, vm_image};
