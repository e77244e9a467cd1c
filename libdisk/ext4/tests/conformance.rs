//! The suite that every driver passes, on every kind of ext2, ext3 and ext4 that we write; judged by e2fsck and by what
//! the kernel sees.

mod support;

use support::{Image, VARIANTS, Variant, find};
use vfs::FileSystemMut;
use vfs::conformance::{Capabilities, ModelRun, Subject, fixed_cases, model};

struct Volume {
    image: Image,
    capabilities: Capabilities,
}

impl Volume {
    fn new(variant: &Variant, size: u64) -> Option<Self> {
        let image = Image::new(variant, size)?;
        let block = variant.options.windows(2).find(|pair| pair[0] == "-b").map(|pair| pair[1]);
        let block_size: usize = block.unwrap().parse().unwrap();
        let small_inodes = variant.options.windows(2).any(|pair| pair[0] == "-I" && pair[1] == "128");
        let capabilities = Capabilities {
            symlinks: Some((block_size - 1).min(4095)),
            xattrs: Some(if block_size == 1024 { 500 } else { 2000 }),
            nanoseconds: !small_inodes,
            ..Capabilities::UNIX
        };
        Some(Self { image, capabilities })
    }
}

impl Subject for Volume {
    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    fn open(&mut self) -> Box<dyn FileSystemMut + '_> {
        Box::new(self.image.open_mut())
    }

    fn judge(&mut self) {
        self.image.judge();
    }
}

fn cases(name: &str) {
    let variant = find(name);
    if Volume::new(&variant, 32 << 20).is_some() {
        fixed_cases(&mut || Box::new(Volume::new(&variant, 32 << 20).unwrap()));
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

/// Random changes to a volume of this kind.
fn random(name: &str) {
    let variant = find(name);
    let at = VARIANTS.iter().position(|variant| variant.name == name).unwrap() as u64;
    let (transactions, turns) = if std::env::var_os("REFLOAT_LONG").is_some() { (40, 8) } else { (6, 1) };
    for turn in 0..turns {
        let Some(mut volume) = Volume::new(&variant, 48 << 20) else { return };
        let run = ModelRun { seed: at + turn * 1000, transactions, changes: 50, largest_file: 2 << 20 };
        model(&mut volume, &run);
    }
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
