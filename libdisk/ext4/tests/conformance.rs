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

#[test]
fn random_changes_on_every_variant() {
    let long = std::env::var_os("REFLOAT_LONG").is_some();
    for (seed, variant) in (1..).zip(VARIANTS) {
        let (transactions, seeds) = if long { (40, 5) } else { (6, 1) };
        for seed in (0..seeds).map(|turn| seed + turn * 1000) {
            let Some(mut volume) = Volume::new(variant, 48 << 20) else { return };
            eprintln!("{}", variant.name);
            model(&mut volume, &ModelRun { seed, transactions, changes: 50, largest_file: 2 << 20 });
        }
    }
}
