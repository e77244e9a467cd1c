//! Every layer of the crate passes the suite.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use block::testing::conformance;
use block::testing::count::Count;
use block::testing::fault::Fault;
use block::{Concat, Disk, DiskMut, FileDisk, MappedFile, Memory, Overlay, Zeros};
use tempfile::NamedTempFile;

/// Not a whole number of sectors; with data, zeros and data again.
fn content() -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..300_100u32).map(|i| (i % 251) as u8).collect();
    bytes[100_000..200_000].fill(0);
    bytes
}

fn memory(bytes: &[u8]) -> DiskMut {
    DiskMut::new(Memory::new(bytes.to_vec()))
}

/// A file with holes where `bytes` has zeros.
fn sparse_file(bytes: &[u8]) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    file.as_file().set_len(bytes.len() as u64).unwrap();
    for run in block::nonzero_runs(bytes) {
        file.as_file().write_all_at(&bytes[run.clone()], run.start as u64).unwrap();
    }
    file
}

#[test]
fn in_memory() {
    conformance::write(|| memory(&content()), &content());
    conformance::write(|| memory(&[]), &[]);
    conformance::write(|| memory(&[7]), &[7]);
    conformance::read(&Disk::new(Zeros::new(10_001)), &[0; 10_001]);
}

#[test]
fn file() {
    let content = content();
    let file = sparse_file(&content);
    conformance::read(&FileDisk::open(file.path()).unwrap().disk(), &content);
    let make = || {
        let new = sparse_file(&content);
        fs::copy(new.path(), file.path()).unwrap();
        FileDisk::open_mut(file.path()).unwrap().disk_mut()
    };
    conformance::write(make, &content);
}

#[test]
fn mapped_file() {
    let content = content();
    let file = sparse_file(&content);
    conformance::read(&MappedFile::open(file.path()).unwrap().disk(), &content);
    File::create(file.path()).unwrap();
    conformance::read(&MappedFile::open(file.path()).unwrap().disk(), &[]);
}

#[test]
fn slice() {
    let content = content();
    let around = [&[1; 777], &content[..], &[2; 333]].concat();
    let range = 777..777 + content.len() as u64;
    conformance::write(|| memory(&around).slice(range.clone()).unwrap(), &content);
}

#[test]
fn concat() {
    let content = content();
    let mut parts: Vec<_> = content[..100_000].chunks(33_333).map(|part| memory(part).disk()).collect();
    parts.push(Disk::new(Zeros::new(100_000)));
    parts.push(memory(&content[200_000..]).disk());
    conformance::read(&Disk::new(Concat::new(parts).unwrap()), &content);
}

#[test]
fn overlay() {
    let content = content();
    let over = |bytes: &[u8]| Overlay::new(memory(bytes).disk()).unwrap();
    conformance::write(|| over(&content).writer(), &content);

    // Part base, part bytes, part zeros.
    let mut base = content.clone();
    base[90_000..220_000].fill(3);
    let overlay = over(&base);
    overlay.writer().write_at(&content[90_000..220_000], 90_000).unwrap();
    overlay.writer().zero_range(100_000..200_000).unwrap();
    conformance::read(&overlay.disk(), &content);
    let nested = Overlay::new(overlay.disk()).unwrap();
    conformance::write(|| Overlay::new(nested.disk()).unwrap().writer(), &content);
    conformance::read(&overlay.seal().unwrap().disk(), &content);
}

#[test]
fn testing_layers() {
    let content = content();
    conformance::write(|| Count::default().disk_mut(&Fault::new().disk_mut(&memory(&content))), &content);
}
