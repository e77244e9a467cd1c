//! Copy-on-write: the only writable device a file system ever gets.
//!
//! The delta is an unlinked, sparse temporary file in which every sector keeps its own offset, and an index
//! in memory of the runs that were written. So there is nothing to allocate, a sector written twice takes its
//! place once, and the memory used grows with the number of separate runs, not with the bytes. A run of zeros
//! is an index entry and nothing else.
//!
//! A device larger than the largest file of the temporary directory's file system (16 TiB on ext4) cannot be
//! written past that offset; point `TMPDIR` elsewhere.

mod delta;
mod index;

use std::ops::Range;
use std::sync::Arc;

use crate::{Disk, DiskMut, Result};
use delta::Delta;

/// A device whose writes go to a private delta; the base never changes. Clones share the delta.
#[derive(Debug, Clone)]
pub struct Overlay {
    delta: Arc<Delta>,
}

impl Overlay {
    /// An empty overlay over `base`.
    ///
    /// # Errors
    /// If the delta's temporary file cannot be made.
    pub fn new(base: Disk) -> Result<Self> {
        Ok(Self { delta: Arc::new(Delta::new(base)?) })
    }

    /// The device to write to. Once one write has failed, or the overlay was sealed, it takes no more.
    pub fn writer(&self) -> DiskMut {
        DiskMut::new(Arc::clone(&self.delta))
    }

    /// The device as it reads now: base and delta.
    pub fn disk(&self) -> Disk {
        Disk::new(Arc::clone(&self.delta))
    }

    /// The ranges that were written, ascending, merged, whole sectors.
    pub fn dirty(&self) -> Vec<Range<u64>> {
        self.delta.dirty()
    }

    /// Writes the delta into `target` (a device of the same size): how a nested overlay commits.
    ///
    /// # Errors
    /// `Poisoned` if a write failed earlier, `OutOfRange` if the sizes differ, else what `target` reports.
    pub fn merge_into(&self, target: &DiskMut) -> Result<()> {
        self.delta.merge_into(target)
    }

    /// Ends writing, through every clone and every writer.
    ///
    /// # Errors
    /// `Poisoned` if a write failed earlier.
    pub fn seal(self) -> Result<Sealed> {
        self.delta.seal()?;
        Ok(Sealed { delta: self.delta })
    }
}

/// An overlay that will not change any more.
#[derive(Debug, Clone)]
pub struct Sealed {
    delta: Arc<Delta>,
}

impl Sealed {
    /// Base and delta as one readable device.
    pub fn disk(&self) -> Disk {
        Disk::new(Arc::clone(&self.delta))
    }

    /// The device below.
    pub fn base(&self) -> &Disk {
        self.delta.base()
    }

    /// The ranges that may differ from the base, ascending, merged, whole sectors.
    pub fn dirty(&self) -> Vec<Range<u64>> {
        self.delta.dirty()
    }

    /// Writes the delta into `target` (a device of the same size): how an image is changed in place.
    ///
    /// # Errors
    /// `OutOfRange` if the sizes differ, else what `target` reports.
    pub fn merge_into(&self, target: &DiskMut) -> Result<()> {
        self.delta.merge_into(target)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{ErrorKind, ExtentKind, Memory, Zeros};

    const SIZE: u64 = 40 * 512 + 100;

    #[derive(Debug, Clone)]
    enum Op {
        Write(u64, u64, u8),
        Zero(u64, u64),
        Read(u64, u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        // Half of the ends fall on sectors.
        let place = || prop_oneof![0..=SIZE, (0..=SIZE / 512).prop_map(|sector| sector * 512)];
        let range = || (place(), place()).prop_map(|(a, b)| (a.min(b), a.max(b)));
        prop_oneof![
            (range(), 1u8..).prop_map(|((start, end), byte)| Op::Write(start, end, byte)),
            range().prop_map(|(start, end)| Op::Zero(start, end)),
            range().prop_map(|(start, end)| Op::Read(start, end)),
        ]
    }

    fn base() -> (Disk, Vec<u8>) {
        let bytes: Vec<u8> = (0..SIZE).map(|i| (i % 251) as u8).collect();
        (Disk::new(Memory::new(bytes.clone())), bytes)
    }

    fn content(disk: &Disk) -> Vec<u8> {
        disk.read_vec(0, disk.size() as usize).unwrap()
    }

    fn apply(op: &Op, writer: &DiskMut, model: &mut [u8]) {
        match *op {
            Op::Write(start, end, byte) => {
                let bytes = vec![byte; (end - start) as usize];
                writer.write_at(&bytes, start).unwrap();
                model[start as usize..end as usize].copy_from_slice(&bytes);
            }
            Op::Zero(start, end) => {
                writer.zero_range(start..end).unwrap();
                model[start as usize..end as usize].fill(0);
            }
            Op::Read(start, end) => {
                let bytes = writer.disk().read_vec(start, (end - start) as usize).unwrap();
                assert_eq!(bytes, model[start as usize..end as usize]);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn it_reads_as_a_vector_would(ops in prop::collection::vec(op(), 1..30)) {
            let (base, original) = base();
            let mut model = original.clone();
            let overlay = Overlay::new(base.clone()).unwrap();
            for op in &ops {
                apply(op, &overlay.writer(), &mut model);
            }
            let disk = overlay.disk();
            prop_assert_eq!(&content(&disk), &model);
            prop_assert_eq!(content(&base), original.clone());
            for run in disk.extents(0..SIZE) {
                let (range, kind) = run.unwrap();
                let bytes = &model[range.start as usize..range.end as usize];
                prop_assert!(kind == ExtentKind::Data || bytes.iter().all(|&byte| byte == 0));
            }

            // Everything outside the dirty ranges is the base.
            let mut patched = original.clone();
            let mut last = None;
            for range in overlay.dirty() {
                prop_assert!(range.start % 512 == 0 && (range.end % 512 == 0 || range.end == SIZE));
                prop_assert!(last.is_none_or(|last| last < range.start), "not merged");
                last = Some(range.end);
                let range = range.start as usize..range.end as usize;
                patched[range.clone()].copy_from_slice(&model[range]);
            }
            prop_assert_eq!(&patched, &model);

            // Committing the nested overlay gives the same bytes, and the sealed one keeps them.
            let outer = Overlay::new(base).unwrap();
            overlay.merge_into(&outer.writer()).unwrap();
            prop_assert_eq!(&content(&outer.disk()), &model);
            prop_assert_eq!(outer.dirty(), overlay.dirty());
            prop_assert_eq!(&content(&overlay.seal().unwrap().disk()), &model);
        }
    }

    #[test]
    fn zeros_of_any_size_cost_nothing_and_are_known() {
        let overlay = Overlay::new(Disk::new(Zeros::new(1 << 50))).unwrap();
        overlay.writer().zero_range(100..1 << 49).unwrap();
        let disk = overlay.disk();
        assert_eq!(disk.extent_at(512..1 << 50).unwrap(), crate::Extent::zero((1 << 49) - 512));
        assert_eq!(overlay.dirty(), vec![0..1 << 49]);
    }

    #[test]
    fn sectors_are_those_of_the_base() {
        struct Big;
        impl crate::BlockRead for Big {
            fn layer(&self) -> &'static str {
                "big"
            }
            fn size(&self) -> u64 {
                1 << 20
            }
            fn sector_size(&self) -> u32 {
                4096
            }
            fn read_at(&self, buf: &mut [u8], _offset: u64) -> Result<()> {
                buf.fill(9);
                Ok(())
            }
            fn extent_at(&self, range: Range<u64>) -> Result<crate::Extent> {
                Ok(crate::Extent::data(range.end - range.start))
            }
        }
        let overlay = Overlay::new(Disk::new(Big)).unwrap();
        overlay.writer().write_at(&[1], 5000).unwrap();
        assert_eq!(overlay.disk().sector_size(), 4096);
        assert_eq!(overlay.dirty(), vec![4096..8192]);
        assert_eq!(overlay.disk().read_vec(4999, 3).unwrap(), [9, 1, 9]);
    }

    /// Fails every read past its first half.
    struct HalfBad;

    impl crate::BlockRead for HalfBad {
        fn layer(&self) -> &'static str {
            "half-bad"
        }
        fn size(&self) -> u64 {
            8192
        }
        fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
            if offset + buf.len() as u64 > 4096 {
                return Err(crate::Error::new(ErrorKind::Io, "half-bad", "no"));
            }
            buf.fill(1);
            Ok(())
        }
        fn extent_at(&self, range: Range<u64>) -> Result<crate::Extent> {
            Ok(crate::Extent::data(range.end - range.start))
        }
    }

    #[test]
    fn one_failed_write_poisons() {
        let overlay = Overlay::new(Disk::new(HalfBad)).unwrap();
        let writer = overlay.writer();
        writer.write_at(&[2; 512], 4096).unwrap();
        assert_eq!(writer.write_at(&[2; 9], 5000).unwrap_err().kind(), ErrorKind::Io);
        let poisoned = |result: Result<()>| assert_eq!(result.unwrap_err().kind(), ErrorKind::Poisoned);
        poisoned(writer.write_at(&[2], 0));
        poisoned(writer.zero_range(0..512));
        poisoned(writer.flush());
        poisoned(overlay.merge_into(&DiskMut::new(Memory::new(vec![0; 8192]))));
        assert_eq!(
            overlay.disk().read_vec(4095, 2).unwrap(),
            [1, 2],
            "what was written can still be looked at"
        );
        poisoned(overlay.seal().map(drop));
    }

    #[test]
    fn sealing_ends_all_writers() {
        let (base, original) = base();
        let overlay = Overlay::new(base).unwrap();
        let writer = overlay.writer();
        writer.write_at(&[1; 3], 7).unwrap();
        let sealed = overlay.clone().seal().unwrap();
        assert_eq!(writer.write_at(&[2], 7).unwrap_err().kind(), ErrorKind::Refused);
        assert_eq!(sealed.dirty(), vec![0..512]);
        assert_eq!(content(sealed.base()), original);
        let target = DiskMut::new(Memory::new(original));
        sealed.merge_into(&target).unwrap();
        assert_eq!(content(&target.disk()), content(&sealed.disk()));
    }

    #[test]
    fn writers_of_one_sector_do_not_lose_each_others_bytes() {
        let overlay = Overlay::new(Disk::new(Memory::new(vec![0; 4096]))).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4u8 {
                let writer = overlay.writer();
                scope.spawn(move || {
                    for at in (u64::from(thread)..4096).step_by(4) {
                        writer.write_at(&[thread + 1], at).unwrap();
                    }
                });
            }
        });
        let expected: Vec<u8> = (0..4096).map(|at| (at % 4 + 1) as u8).collect();
        assert_eq!(content(&overlay.disk()), expected);
    }
}
