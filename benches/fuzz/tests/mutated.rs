//! Every fuzz target on its seeds, changed at random: what libFuzzer runs for hours, for a second each.
//!
//! The generator starts from the same number each time. What is found is written to
//! `target/fuzz/crashes/TARGET`, where `cargo xtask fuzz TARGET` keeps its own, and named.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use testimages::judge;
use testimages::length::times;
use testimages::seeds::{Seed, seeds};

/// That one input may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest input, in bytes.
const MOST: usize = 4 << 20;
/// Numbers at which sizes and counts go wrong.
const ODD: [u64; 10] = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX];

/// Where an input is written that a target does not take.
fn crashes(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/fuzz/crashes").join(target)
}

/// Xorshift: the same numbers each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// A few changes of an input; `others` are what it may get parts of.
    fn change(&mut self, input: &mut Vec<u8>, others: &[Vec<u8>]) {
        for _ in 0..=self.below(6) {
            let at = self.below(input.len());
            let len = 1 << self.below(7);
            let end = input.len().min(at + len);
            match self.below(8) {
                0 => input[at..end].iter_mut().take(1).for_each(|byte| *byte ^= 1 << (len % 8)),
                1 => input[at..end].fill(0),
                2 | 3 => {
                    let width = 1 << self.below(4);
                    let mut number = ODD[self.below(ODD.len())].to_le_bytes();
                    if self.below(2) == 0 {
                        number[..width].reverse();
                    }
                    let end = input.len().min(at + width);
                    input[at..end].copy_from_slice(&number[..end - at]);
                }
                4 => {
                    let from = self.below(input.len());
                    let part = input[from..input.len().min(from + len)].to_vec();
                    input.splice(at..end, part);
                }
                5 => drop(input.drain(at..end)),
                6 => {
                    let other = &others[self.below(others.len())];
                    let from = self.below(other.len());
                    input.splice(at..at, other[from..other.len().min(from + len)].iter().copied());
                }
                _ if self.below(8) == 0 => input.truncate(at),
                _ => input[at..end].iter_mut().for_each(|byte| *byte = self.next() as u8),
            }
            input.truncate(MOST);
        }
    }
}

/// Runs a target on its seeds as they are, then on changes of them until the time is over.
fn mutated(target: &'static str, body: fn(&[u8])) {
    let mut inputs = Vec::new();
    for Seed { name, content } in seeds(target).unwrap() {
        match content {
            Some(content) => inputs.push((name, content)),
            None => judge::skip(&format!("a program that makes the seed {name} of {target}")),
        }
    }
    let Some((first, _)) = inputs.first() else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs seeds of {target}");
        return;
    };
    // What runs at present, for the one who waits.
    let running = Arc::new(Mutex::new((*first, Vec::new())));
    let (ended, end) = channel();
    let now = Arc::clone(&running);
    thread::spawn(move || {
        let contents: Vec<Vec<u8>> = inputs.iter().map(|(_, content)| content.clone()).collect();
        let (mut random, mut count) = (Random(0x9e37_79b9_7f4a_7c15), 0);
        let until = Instant::now() + Duration::from_millis(times(1000, 60_000));
        while count < inputs.len() || Instant::now() < until {
            let (seed, mut input) = inputs[count % inputs.len()].clone();
            if count >= inputs.len() {
                random.change(&mut input, &contents);
            }
            *now.lock().unwrap() = (seed, input.clone());
            let outcome = catch_unwind(AssertUnwindSafe(|| body(&input)));
            if ended.send(outcome.is_ok()).is_err() || outcome.is_err() {
                return;
            }
            count += 1;
        }
    });
    let mut count = 0;
    let why = loop {
        match end.recv_timeout(PATIENCE) {
            Ok(true) => count += 1,
            Ok(false) => break "panics at".to_owned(),
            Err(RecvTimeoutError::Timeout) => break format!("takes more than {PATIENCE:?} for"),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    };
    let (seed, input) = running.lock().unwrap().clone();
    let folder = crashes(target);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("mutated-{seed}-{count}"));
    fs::write(&path, input).unwrap();
    panic!("{target} {why} input {count}, of the seed {seed}: {}", path.display());
}

/// A test for each target.
macro_rules! targets {
    ($($name:ident)*) => {
        const TARGETS: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            fn $name() {
                mutated(stringify!($name), fuzz::$name);
            }
        )*
    };
}

targets! {
    btrfs codecs cpio ext4 fat gpt hive hive_log jbd2 lvm2 mbr modules ntfs ntfs_log plan probe qcow2 signature text
    vdi vhd vhdx vmdk xfs xfs_log
}

#[test]
fn every_target_of_libfuzzer_is_here() {
    let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("targets")).unwrap();
    let files: BTreeSet<String> = entries
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(files, TARGETS.iter().map(|name| (*name).to_owned()).collect());
}

#[test]
fn a_target_that_panics_is_told_with_its_input() {
    let told = catch_unwind(|| mutated("text", |input| assert!(input.len() < 20, "long")));
    let message = *told.unwrap_err().downcast::<String>().unwrap();
    let (_, path) = message.split_once(": ").unwrap();
    assert!(message.starts_with("text panics at input 0, of the seed fstab"), "{message}");
    assert!(fs::read(path).unwrap().starts_with(b"# fstab"), "{message}");
    fs::remove_file(path).unwrap();
}
