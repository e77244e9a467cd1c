//! Finding zeros: in zeros, in data, and in a mixture.

use std::hint::black_box;

use block::{Disk, is_zero, nonzero_runs};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const SIZE: usize = 1 << 20;

fn zero(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("zero");
    group.throughput(Throughput::Bytes(SIZE as u64));
    let mixed = Disk::new(benches::pattern(1 << 30));
    let data = mixed
        .extents(0..mixed.size())
        .flatten()
        .find(|(range, kind)| *kind == block::ExtentKind::Data && range.end - range.start >= SIZE as u64);
    let (run, _) = data.expect("a pattern with a whole MiB of data");
    let mixed = mixed.read_vec(run.start, SIZE).expect("a pattern can be read");
    for (name, bytes) in [("zeros", vec![0; SIZE]), ("data", vec![1; SIZE]), ("mixed", mixed)] {
        group.bench_function(format!("is_zero/{name}"), |b| b.iter(|| is_zero(black_box(&bytes))));
        group.bench_function(format!("nonzero_runs/{name}"), |b| {
            b.iter(|| nonzero_runs(black_box(&bytes)).count())
        });
    }
    group.finish();
}

criterion_group!(all, zero);
criterion_main!(all);
