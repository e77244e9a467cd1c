//! Damaged and hostile input: an error or a result, never a panic, a hang or a flood.

mod lab;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use initramfs::kmod::dep::Dep;
use initramfs::kmod::index::{self, Index};
use initramfs::kmod::modinfo::Modinfo;
use initramfs::{Archive, Codec, Limits, ModuleTree, Result};
use lab::Kernel;
use lab::newc::{DIRECTORY, FILE, LINK, archive};
use testimages::hostile::{Memory, Rng, cases, mangle};
use testimages::judge;

#[global_allocator]
static MEMORY: Memory = Memory;

/// For each codec, and each other format.
const CASES: u64 = 10_000;
/// What the tests of this file may hold together: the window of a decoder, 256 MiB at most; a few images of 8
/// MiB, and what packs them; the modules of a kernel.
const CEILING: usize = 384 << 20;

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.unpacked = 8 << 20;
    limits
}

const DEP: &str =
    "kernel/a.ko: kernel/b.ko kernel/c.ko\nkernel/b.ko: kernel/c.ko\nkernel/c.ko:\nkernel/abc.ko:\n";

fn image() -> Vec<u8> {
    let index = Dep::parse(DEP.as_bytes(), "1.0").index().write("modules.dep").unwrap();
    archive(&[
        ("init", FILE, b"#!/bin/sh\n"),
        ("usr", DIRECTORY, b""),
        ("usr/lib", DIRECTORY, b""),
        ("lib", LINK, b"usr/lib"),
        ("usr/lib/modules", DIRECTORY, b""),
        ("usr/lib/modules/1.0", DIRECTORY, b""),
        ("usr/lib/modules/1.0/modules.dep", FILE, DEP.as_bytes()),
        ("usr/lib/modules/1.0/modules.dep.bin", FILE, &index),
        ("usr/lib/modules/1.0/kernel", DIRECTORY, b""),
        ("usr/lib/modules/1.0/kernel/a.ko", FILE, b"a"),
        ("usr/lib/modules/1.0/kernel/b.ko", FILE, b"b"),
    ])
}

struct NoModules;

impl ModuleTree for NoModules {
    fn read(&self, _: &str) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn list(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

#[test]
fn damaged_images() {
    if !judge::need_all(&["gzip", "bzip2", "xz", "lz4", "zstd"]) {
        return;
    }
    let codecs = [Codec::None, Codec::Gzip, Codec::Bzip2, Codec::Lzma, Codec::Xz, Codec::Lz4, Codec::Zstd];
    for codec in codecs {
        let early = archive(&[("early_cpio", FILE, b"1")]);
        let whole = [early.clone(), lab::image::compress(codec, &image())].concat();
        let mut parsed = 0;
        cases(&codec.to_string(), CASES, CEILING, |random| {
            let mut bytes = whole.clone();
            // The head of the compressed part, with its sizes.
            mangle(random, &mut bytes, early.len()..early.len() + 24);
            if let Ok(archive) = Archive::parse(&bytes, &limits()) {
                parsed += 1;
                let _ = archive.generator();
                let _ = archive.kernels();
                let _ = initramfs::missing(&archive, "1.0", &["a", "c", "hv_vmbus"], &NoModules);
                let _ = initramfs::inject(&archive, &lab::request("1.0", &["a", "b"], &NoModules));
                let _ = initramfs::verify(&bytes, "1.0", &["a"]);
            }
        });
        assert!(parsed > 100, "{codec}: no damage left anything to read");
    }
}

#[test]
fn damaged_indexes() {
    let good = Dep::parse(DEP.as_bytes(), "1.0").index().write("modules.dep").unwrap();
    cases("index", CASES, CEILING, |random| {
        let mut bytes = good.clone();
        mangle(random, &mut bytes, 8..good.len());
        let _ = Index::read(&bytes, "damaged");
        let _ = index::lookup(&bytes, "damaged", "abc");
        let _ = Dep::from_index(&bytes, "1.0");
    });
}

/// A node that is its own child, with a thousand ways down: the content is bounded, not the patience.
#[test]
fn an_index_that_bites_its_tail() {
    let mut bytes = Vec::new();
    for word in [0xB007_F457_u32, 0x0002_0001, 0x2000_000C] {
        bytes.extend(word.to_be_bytes());
    }
    bytes.extend([0, 127]);
    bytes.extend([0x20, 0, 0, 12].repeat(128));
    assert!(Index::read(&bytes, "cycle").is_err());
    assert_eq!(index::lookup(&bytes, "cycle", "aaaaaaaa").unwrap(), Vec::<String>::new());
}

#[test]
fn keys_that_no_index_can_hold() {
    for key in ["\u{e9}", "a\0b", &"x".repeat(5000)] {
        let mut index = Index::default();
        index.insert(key, "module", 0);
        assert!(index.write("bad").is_err());
    }
    // The deepest tree there can be: every key the start of the next.
    let mut index = Index::default();
    for len in 0..1024 {
        index.insert(&"x".repeat(len), "module", 0);
    }
    let bytes = index.write("deep").unwrap();
    assert_eq!(Index::read(&bytes, "deep").unwrap(), index);
}

#[test]
fn damaged_modules() {
    let Some(kernel) = Kernel::cloud() else { return };
    let path = "kernel/drivers/hv/hv_utils.ko";
    let good = kernel.file(path);
    cases("module", CASES, CEILING, |random| {
        let mut bytes = good.clone();
        // The section headers are at the end, where a few bytes decide it all; the header of the file is at
        // the start.
        let hot = if random.bool() { 0..64 } else { good.len() - 4000..good.len() };
        mangle(random, &mut bytes, hot);
        let _ = Modinfo::parse(&bytes, path);
    });
}

/// The guest's module directory is as hostile as the initramfs.
#[test]
fn a_damaged_guest() {
    let Some(kernel) = Kernel::cloud() else { return };
    struct Damaged<'a>(&'a Kernel, RefCell<Rng>);
    impl ModuleTree for Damaged<'_> {
        fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
            let mut random = self.1.borrow_mut();
            let file = self.0.read(path)?;
            Ok(file.map(|mut file| {
                if random.u8(..3) == 0 {
                    let hot = 0..file.len();
                    mangle(&mut random, &mut file, hot);
                }
                file
            }))
        }

        fn list(&self) -> Result<Vec<String>> {
            self.0.list()
        }
    }
    let bytes = image();
    let archive = Archive::parse(&bytes, &limits()).unwrap();
    cases("a guest's modules", 40, CEILING, |random| {
        let guest = Damaged(&kernel, RefCell::new(random.fork()));
        let _ =
            initramfs::inject(&archive, &lab::request(&kernel.kver, &["hv_storvsc", "hv_netvsc"], &guest));
    });
}

#[test]
fn bombs_and_mazes() {
    if !judge::need_all(&["zstd", "xz"]) {
        return;
    }
    for codec in [Codec::Zstd, Codec::Xz] {
        let bomb = lab::image::compress(codec, &vec![0; 64 << 20]);
        let error = Archive::parse(&bomb, &limits()).unwrap_err();
        assert!(
            matches!(error, initramfs::Error::TooLarge { what: "unpacked bytes", limit: 0x80_0000 }),
            "{error}"
        );
    }
    // A tower of links, each through the one below it twice.
    let links: Vec<(String, String)> =
        (1..200).map(|n| (format!("l{n}"), format!("l{}/x/../../l{}", n - 1, n - 1))).collect();
    let mut records: Vec<(&str, u32, &[u8])> =
        vec![("init", FILE, b""), ("l0", DIRECTORY, b""), ("l0/x", DIRECTORY, b"")];
    records.extend(links.iter().map(|(path, target)| (path.as_str(), LINK, target.as_bytes())));
    let began = Instant::now();
    let bytes = archive(&records);
    let archive = Archive::parse(&bytes, &limits()).unwrap();
    assert!(archive.find("l199/x").is_none());
    // Names of PATH_MAX, all of them one-letter directories.
    let deep = "a/".repeat(2000);
    let records: Vec<(&str, u32, &[u8])> = vec![(deep.as_str(), DIRECTORY, b""); 1000];
    let bytes = lab::newc::archive(&records);
    Archive::parse(&bytes, &limits()).unwrap();
    assert!(began.elapsed() < Duration::from_secs(5));
}
