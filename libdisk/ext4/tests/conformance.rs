//! The suite that every driver passes, on every kind of ext2, ext3 and ext4 that we write; judged by e2fsck
//! and by what the kernel sees.

#![allow(clippy::print_stderr, reason = "how many operations were made, and in what time")]

mod support;

use std::time::Instant;

use support::{Image, VARIANTS, find};
use testimages::length::times;
use vfs::conformance::{ModelRun, fixed_cases, model};

fn cases(name: &str) {
    let variant = find(name);
    if Image::new(&variant, 32 << 20).is_some() {
        fixed_cases(&mut || Box::new(Image::new(&variant, 32 << 20).unwrap()));
    }
}

#[test]
fn fixed_cases_default() {
    cases("default");
}

#[test]
fn fixed_cases_inline_data() {
    cases("inline_data");
}

#[test]
fn fixed_cases_1k_blocks() {
    cases("1k_blocks");
}

#[test]
fn fixed_cases_ext2() {
    cases("ext2");
}

/// These get 10,000 random operations in every run: extents, small blocks, data in inodes, block maps.
const FULL: &[&str] = &["default", "1k_blocks", "inline_data", "ext2"];

/// Random operations on a volume of this kind: 1000, or 10,000 for some and in a long run; judged after every
/// 100.
fn random(name: &str) {
    let usual = if FULL.contains(&name) { 10_000 } else { 1000 };
    let operations = times(usual, 10_000) as usize;
    let Some(mut image) = Image::new(&find(name), 32 << 20) else { return };
    let seed = VARIANTS.iter().position(|variant| variant.name == name).unwrap() as u64;
    let start = Instant::now();
    let tally = model(&mut image, &ModelRun { seed, operations, batch: 100, largest_file: 1 << 20 });
    eprintln!("{name}: {tally:?} in {:.1?}", start.elapsed());
    assert!(tally.operations() >= operations && tally.made > operations * 3 / 4, "{tally:?}");
}

macro_rules! random {
    ($($test:ident: $name:literal;)*) => {
        $(#[test]
        fn $test() {
            random($name);
        })*

        #[test]
        fn no_variant_is_left_out() {
            let names: Vec<_> = VARIANTS.iter().map(|variant| variant.name).collect();
            assert_eq!(names, [$($name),*]);
        }
    };
}

random! {
    random_default: "default";
    random_orphan_file: "orphan_file";
    random_inline_data: "inline_data";
    random_1k_blocks: "1k_blocks";
    random_2k_blocks: "2k_blocks";
    random_no_journal: "no_journal";
    random_gdt_csum: "gdt_csum";
    random_no_checksums: "no_checksums";
    random_128_byte_inodes: "128_byte_inodes";
    random_512_byte_inodes: "512_byte_inodes";
    random_ext3: "ext3";
    random_ext2: "ext2";
    random_ext2_plain: "ext2_plain";
    random_ext4_block_maps: "ext4_block_maps";
    random_meta_bg: "meta_bg";
    random_sparse_super2: "sparse_super2";
    random_large_dir: "large_dir";
    random_ea_inode: "ea_inode";
    random_no_flex_bg: "no_flex_bg";
    random_tea_hash: "tea_hash";
    random_64k_blocks: "64k_blocks";
}
