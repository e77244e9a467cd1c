//! Writing to an overlay and reading through it.

use block::{Disk, Overlay, Result, Zeros};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const SIZE: u64 = 1 << 30;
const BLOCK: usize = 4096;
const BLOCKS: u64 = 10_000;

/// The offsets of blocks as a file system writes them: scattered over the device, each one once.
fn offsets() -> impl Iterator<Item = u64> {
    let blocks = SIZE / BLOCK as u64;
    (0..BLOCKS).map(move |i| (i * 40_503) % blocks * BLOCK as u64)
}

fn empty() -> Overlay {
    Overlay::new(Disk::new(Zeros::new(SIZE))).expect("an overlay")
}

fn write(overlay: &Overlay) -> Result<()> {
    let writer = overlay.writer();
    offsets().try_for_each(|offset| writer.write_at(&[7; BLOCK], offset))
}

fn overlay(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("overlay");
    group.throughput(Throughput::Bytes(BLOCKS * BLOCK as u64)).sample_size(20);
    group.bench_function("write scattered blocks", |b| {
        b.iter_batched_ref(empty, |overlay| write(overlay).expect("a write"), BatchSize::PerIteration);
    });
    let written = empty();
    write(&written).expect("a write");
    let disk = written.disk();
    let mut buf = [0; BLOCK];
    group.bench_function("read scattered blocks", |b| {
        b.iter(|| offsets().try_for_each(|offset| disk.read_at(&mut buf, offset)).expect("a read"));
    });
    group.bench_function("list what changed", |b| b.iter(|| written.dirty().len()));
    group.finish();
}

criterion_group!(all, overlay);
criterion_main!(all);
