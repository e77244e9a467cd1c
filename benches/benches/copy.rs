//! The copy loop: alone, into a sink that forgets, and from file to file.

use std::fs::File;

use block::testing::DeviceSink;
use block::{
    Chunk, ContentSum, CopyOptions, Disk, FileDisk, Receipt, Result, Silent, Sink, SinkCaps, Zeros, copy,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const SIZE: u64 = 1 << 30;

/// Takes everything and keeps nothing.
struct Nowhere;

impl Sink for Nowhere {
    fn caps(&self) -> SinkCaps {
        SinkCaps::FILE
    }

    fn put(&self, _chunk: Chunk<'_>) -> Result<()> {
        Ok(())
    }

    fn finish(self: Box<Self>, content: Option<ContentSum>) -> Result<Receipt> {
        Ok(Receipt { content, ..Receipt::default() })
    }
}

fn copies(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    benches::vm_image(&from, SIZE, 1, "/usr".as_ref()).expect("an image");
    let source = FileDisk::open(&from).expect("the image").disk();

    let mut group = criterion.benchmark_group("copy");
    group.sample_size(10);
    group.bench_function("1 TiB of zeros", |b| {
        let zeros = Disk::new(Zeros::new(1 << 40));
        b.iter(|| copy(&zeros, Box::new(Nowhere), &CopyOptions::default(), &Silent).expect("a copy"));
    });
    group.throughput(Throughput::Bytes(SIZE));
    for threads in [1, 2] {
        group.bench_function(format!("read only/{threads} threads"), |b| {
            b.iter(|| copy(&source, Box::new(Nowhere), &CopyOptions { threads }, &Silent).expect("a copy"));
        });
        group.bench_function(format!("file to file, durable/{threads} threads"), |b| {
            b.iter(|| {
                File::create(&to).and_then(|file| file.set_len(SIZE)).expect("a file");
                let target = FileDisk::open_mut(&to).expect("the file").disk_mut();
                let sink = Box::new(DeviceSink::new(target, true));
                copy(&source, sink, &CopyOptions { threads }, &Silent).expect("a copy")
            });
        });
    }
    group.finish();
}

criterion_group!(all, copies);
criterion_main!(all);
