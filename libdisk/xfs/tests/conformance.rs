//! The suite that every driver passes, on every kind of XFS that we write; judged by xfs_repair and by what
//! the kernel sees.

mod support;

use support::{Image, VARIANTS, Variant, find};
use testimages::length::times;
use vfs::FileSystemMut;
use vfs::conformance::{Capabilities, ModelRun, Subject, fixed_cases, model};

struct Volume(Image);

impl Volume {
    fn new(variant: &Variant, size: u64) -> Option<Self> {
        Image::new(variant, size).map(Self)
    }
}

impl Subject for Volume {
    fn capabilities(&self) -> Capabilities {
        Capabilities { symlinks: Some(1023), ..Capabilities::UNIX }
    }

    fn open(&mut self) -> Box<dyn FileSystemMut + '_> {
        Box::new(self.0.open_mut())
    }

    fn judge(&mut self) {
        self.0.judge();
    }
}

fn cases(name: &str) {
    let variant = find(name);
    if Volume::new(&variant, 48 << 20).is_some() {
        fixed_cases(&mut || Box::new(Volume::new(&variant, 48 << 20).unwrap()));
    }
}

#[test]
fn fixed_cases_everything() {
    cases("everything");
}

#[test]
fn fixed_cases_1k_everything() {
    cases("1k_everything");
}

/// These get 10,000 random operations in every run.
const FULL: &[&str] = &["everything", "1k_everything"];

/// Random operations on a volume of this kind: 1000, or 10,000 for some and in a long run; judged after every
/// 100.
fn random(name: &str) {
    let full = FULL.contains(&name) || support::long();
    let operations = if full { times(10_000, 10_000) as usize } else { 1000 };
    let Some(mut volume) = Volume::new(&find(name), 64 << 20) else { return };
    let seed = VARIANTS.iter().position(|variant| variant.name == name).unwrap() as u64;
    let tally = model(&mut volume, &ModelRun { seed, operations, batch: 100, largest_file: 1 << 20 });
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
    random_everything: "everything";
    random_rmapbt: "rmapbt";
    random_plain_v5: "plain_v5";
    random_1k_blocks: "1k_blocks";
    random_1k_everything: "1k_everything";
    random_2k_blocks: "2k_blocks";
    random_16k_blocks: "16k_blocks";
    random_64k_blocks: "64k_blocks";
    random_64k_directories: "64k_directories";
    random_1k_inodes: "1k_inodes";
    random_2k_inodes: "2k_inodes";
    random_four_groups: "four_groups";
    random_rhel7: "rhel7";
}
