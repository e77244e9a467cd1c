//! What the kernel wrote, we read as the kernel reads it.

#![allow(clippy::print_stderr, reason = "a failed test says which variant it was")]

mod support;

use support::{Image, VARIANTS, populate};
use testimages::judge;

#[test]
fn we_read_what_the_kernel_reads() {
    if !judge::need_kernel_mounts() {
        return;
    }
    for variant in VARIANTS {
        let Some(image) = Image::new(variant, 128 << 20) else { return };
        eprintln!("{}", variant.name);
        let names = if matches!(variant.name, "default" | "1k_blocks") { 5000 } else { 600 };
        image.populate(|root| populate(root, names));
        image.judge();
    }
}
