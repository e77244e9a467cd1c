//! Where the bytes of a logical volume are, and the device that reads and writes them there.

use std::collections::BTreeSet;
use std::ops::Range;

use block::{BlockRead, BlockWrite, Disk, DiskMut, Error, ErrorKind, Extent, FileRange, Result};

const LAYER: &str = "logical volume";
/// The number of a device that is missing.
pub(super) const NOWHERE: usize = usize::MAX;

/// Where the bytes of a logical volume are: on which of several devices, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Map {
    /// Ascending, without gaps, the first from byte 0 on.
    segments: Vec<Segment>,
}

/// A run of bytes, in turns of one stripe on each of its areas.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    range: Range<u64>,
    /// Bytes on one area before it is the next one's turn; never zero.
    stripe: u64,
    /// Never empty.
    areas: Vec<Area>,
}

/// A piece of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) device: usize,
    pub(super) range: Range<u64>,
}

/// Some bytes of the volume where they are.
struct Run {
    device: usize,
    range: Range<u64>,
}

impl Run {
    /// Its device.
    fn on<'a, D>(&self, devices: &'a [D]) -> Result<&'a D> {
        devices.get(self.device).ok_or_else(no_device)
    }
}

impl Map {
    /// Size of the volume in bytes.
    pub fn size(&self) -> u64 {
        self.segments.last().map_or(0, |segment| segment.range.end)
    }

    /// Adds bytes that lie on `areas` in turns, `stripe` bytes each; the areas are of one length. `None` if
    /// the stripes do not come out even, or the volume gets too large.
    pub(super) fn push(&mut self, stripe: u64, areas: Vec<Area>) -> Option<()> {
        let start = self.size();
        let len = areas.first().and_then(|area| area.range.end.checked_sub(area.range.start))?;
        let stripe = if areas.len() == 1 { len } else { stripe };
        if len.checked_rem(stripe)? != 0 {
            return None;
        }
        let end = len.checked_mul(u64::try_from(areas.len()).ok()?)?.checked_add(start)?;
        i64::try_from(end).ok()?;
        self.segments.push(Segment { range: start..end, stripe, areas });
        Some(())
    }

    /// The same volume, when each device is the part of another one, or the same one, that begins at a byte
    /// of it: `places` has the number and the byte for each.
    pub fn inside(mut self, places: &[(usize, u64)]) -> Self {
        for area in self.segments.iter_mut().flat_map(|segment| &mut segment.areas) {
            // One that is not there stays so: it cannot be opened.
            let (device, start) = places.get(area.device).copied().unwrap_or((NOWHERE, 0));
            area.device = device;
            area.range.start = area.range.start.saturating_add(start);
            area.range.end = area.range.end.saturating_add(start);
        }
        self
    }

    /// The devices that have a part in it, in ascending order, each once.
    pub fn devices(&self) -> Vec<usize> {
        let devices: BTreeSet<_> = self.areas().map(|area| area.device).collect();
        devices.into_iter().collect()
    }

    /// Where on a device the bytes of `range` are that lie on it, in their order.
    ///
    /// # Errors
    /// None that the volume itself is not the cause of: it has a gap.
    pub fn pieces(&self, range: Range<u64>, device: usize) -> Result<Vec<Range<u64>>> {
        let mut pieces = Vec::new();
        self.each(range.start..range.end.min(self.size()), |run, _| {
            pieces.extend(Some(run.range).filter(|_| run.device == device));
            Ok(())
        })?;
        Ok(pieces)
    }

    /// All pieces of devices that it is made of.
    fn areas(&self) -> impl Iterator<Item = &Area> {
        self.segments.iter().flat_map(|segment| &segment.areas)
    }

    /// The run that starts at `range.start`, at most as long as `range`.
    fn run(&self, range: &Range<u64>) -> Result<Run> {
        let segment = self.segments.partition_point(|segment| segment.range.end <= range.start);
        let run = self.segments.get(segment).and_then(|segment| segment.run(range));
        // The handle above has checked the range.
        run.ok_or_else(|| Error::new(ErrorKind::OutOfRange, LAYER, "not in the volume").at(range.start))
    }

    /// Calls `visit` for each run of `range`, with the length of the run in bytes.
    fn each(&self, mut range: Range<u64>, mut visit: impl FnMut(Run, usize) -> Result<()>) -> Result<()> {
        while range.start < range.end {
            let run = self.run(&range)?;
            let len = run.range.end.saturating_sub(run.range.start);
            visit(run, usize::try_from(len).unwrap_or(usize::MAX))?;
            range.start = range.start.saturating_add(len);
        }
        Ok(())
    }

    /// The volume on `devices`, in the order in which they were given to [`scan`](super::scan).
    ///
    /// # Errors
    /// `OutOfRange` if a device is not there or too small.
    pub fn open(&self, devices: &[Disk]) -> Result<Disk> {
        self.device(devices.to_vec(), ()).map(Disk::new)
    }

    /// The volume, to be written.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_mut(&self, devices: &[DiskMut]) -> Result<DiskMut> {
        self.device(devices.iter().map(DiskMut::disk).collect(), devices.to_vec()).map(DiskMut::new)
    }

    fn device<W>(&self, devices: Vec<Disk>, writers: W) -> Result<Device<W>> {
        for area in self.areas() {
            let size = devices.get(area.device).map_or(0, Disk::size);
            if area.range.end > size {
                let what = format!("it reaches to byte {} of a device of {size} bytes", area.range.end);
                return Err(Error::new(ErrorKind::OutOfRange, LAYER, what));
            }
        }
        Ok(Device { map: self.clone(), devices, writers })
    }
}

impl Segment {
    fn run(&self, range: &Range<u64>) -> Option<Run> {
        let inside = range.start.checked_sub(self.range.start)?;
        let turn = inside.checked_div(self.stripe)?;
        let in_stripe = inside.checked_rem(self.stripe)?;
        let count = u64::try_from(self.areas.len()).ok()?;
        let area = self.areas.get(usize::try_from(turn.checked_rem(count)?).ok()?)?;
        let in_area = turn.checked_div(count)?.checked_mul(self.stripe)?.checked_add(in_stripe)?;
        let start = area.range.start.checked_add(in_area)?;
        let len = self.stripe.checked_sub(in_stripe)?.min(range.end.checked_sub(range.start)?);
        Some(Run { device: area.device, range: start..start.checked_add(len)? })
    }
}

/// A logical volume as a device.
struct Device<W = ()> {
    map: Map,
    devices: Vec<Disk>,
    /// The same devices for writing, where it is written.
    writers: W,
}

fn no_device() -> Error {
    Error::new(ErrorKind::OutOfRange, LAYER, "a device is missing")
}

impl<W: Send + Sync + 'static> BlockRead for Device<W> {
    fn layer(&self) -> &'static str {
        LAYER
    }

    fn size(&self) -> u64 {
        self.map.size()
    }

    /// The largest of the devices'.
    fn sector_size(&self) -> u32 {
        let devices = self.map.areas().filter_map(|area| self.devices.get(area.device));
        devices.map(Disk::sector_size).max().unwrap_or(512)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let mut rest = buf;
        let end = offset.saturating_add(u64::try_from(rest.len()).unwrap_or(u64::MAX));
        self.map.each(offset..end, |run, len| {
            let (here, behind) = std::mem::take(&mut rest).split_at_mut_checked(len).ok_or_else(no_device)?;
            rest = behind;
            run.on(&self.devices)?.read_at(here, run.range.start)
        })
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent> {
        let run = self.map.run(&range)?;
        run.on(&self.devices)?.extent_at(run.range.clone())
    }

    fn file_range(&self, range: Range<u64>) -> Result<Option<FileRange<'_>>> {
        let run = self.map.run(&range)?;
        run.on(&self.devices)?.file_range(run.range.clone())
    }
}

impl BlockWrite for Device<Vec<DiskMut>> {
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        let mut rest = buf;
        let end = offset.saturating_add(u64::try_from(rest.len()).unwrap_or(u64::MAX));
        self.map.each(offset..end, |run, len| {
            let (here, behind) = rest.split_at_checked(len).ok_or_else(no_device)?;
            rest = behind;
            run.on(&self.writers)?.write_at(here, run.range.start)
        })
    }

    fn zero_range(&self, range: Range<u64>) -> Result<()> {
        self.map.each(range, |run, _| run.on(&self.writers)?.zero_range(run.range.clone()))
    }

    fn flush(&self) -> Result<()> {
        self.writers.iter().try_for_each(DiskMut::flush)
    }
}

#[cfg(test)]
mod tests {
    use block::testing::conformance;
    use block::{Concat, Memory, Overlay, Zeros};

    use super::*;

    fn area(device: usize, range: Range<u64>) -> Area {
        Area { device, range }
    }

    /// Two linear runs, out of order, then three stripes of 512 bytes.
    fn map() -> Map {
        let mut map = Map::default();
        map.push(0, vec![area(0, 8192..12288)]).unwrap();
        map.push(0, vec![area(1, 1024..2048)]).unwrap();
        map.push(512, vec![area(1, 4096..7168), area(0, 0..3072), area(2, 512..3584)]).unwrap();
        map
    }

    fn devices() -> Vec<Disk> {
        let bytes = |factor: u64| (0..16384u64).map(|at| (at * factor / 7 % 251) as u8 + 1).collect();
        vec![Disk::new(Memory::new(bytes(3))), Disk::new(Memory::new(bytes(5))), Disk::new(Zeros::new(4096))]
    }

    /// The volume's bytes by another way: byte after byte.
    fn expected(devices: &[Disk]) -> Vec<u8> {
        let bytes: Vec<_> = devices.iter().map(|d| d.read_vec(0, d.size() as usize).unwrap()).collect();
        let mut out = [&bytes[0][8192..12288], &bytes[1][1024..2048]].concat();
        for row in 0..6 {
            for (device, start) in [(1, 4096), (0, 0), (2, 512)] {
                out.extend(&bytes[device][start + row * 512..][..512]);
            }
        }
        out
    }

    #[test]
    fn it_is_a_device() {
        let disk = map().open(&devices()).unwrap();
        conformance::read(&disk, &expected(&devices()));
        // What is zero below is known to be.
        let at = 4096 + 1024 + 2 * 512;
        assert_eq!(disk.extent_at(at..disk.size()).unwrap(), Extent::zero(512));
    }

    #[test]
    fn it_is_written_through_and_nothing_beside_it() {
        let make = || {
            let overlays = devices().into_iter().map(|device| Overlay::new(device).unwrap().writer());
            map().open_mut(&overlays.collect::<Vec<_>>()).unwrap()
        };
        conformance::write(make, &expected(&devices()));

        let overlays: Vec<_> = devices().into_iter().map(|device| Overlay::new(device).unwrap()).collect();
        let volume = map().open_mut(&overlays.iter().map(Overlay::writer).collect::<Vec<_>>()).unwrap();
        volume.zero_range(0..volume.size()).unwrap();
        volume.flush().unwrap();
        assert_eq!(overlays[0].dirty(), [0..3072, 8192..12288]);
        assert_eq!(overlays[1].dirty(), [1024..2048, 4096..7168]);
        assert_eq!(overlays[2].dirty(), vec![512..3584]);
    }

    #[test]
    fn pieces_are_told_by_device() {
        let map = map();
        let pieces = |range, device| map.pieces(range, device).unwrap();
        assert_eq!(pieces(0..5000, 0), vec![8192..12288]);
        assert_eq!(pieces(0..5000, 1), vec![1024..1928]);
        assert_eq!(pieces(5120..u64::MAX, 2).len(), 6);
        assert_eq!(pieces(0..u64::MAX, 3), []);
    }

    #[test]
    fn devices_may_be_parts_of_one() {
        let parts = devices();
        let disk =
            Disk::new(Concat::new(vec![parts[2].clone(), parts[0].clone(), parts[1].clone()]).unwrap());
        let inside = map().inside(&[(0, 4096), (0, 4096 + 16384), (0, 0)]);
        conformance::read(&inside.open(std::slice::from_ref(&disk)).unwrap(), &expected(&parts));
        assert_eq!(map().inside(&[(0, 0)]).open(&[disk]).unwrap_err().kind(), ErrorKind::OutOfRange);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(map().open(&devices()[..2]).unwrap_err().kind(), ErrorKind::OutOfRange);
        let small = vec![devices()[0].slice(0..12287).unwrap(), devices()[1].clone(), devices()[2].clone()];
        assert_eq!(map().open(&small).unwrap_err().kind(), ErrorKind::OutOfRange);
        let mut map = Map::default();
        assert_eq!(map.push(0, vec![area(0, 0..512), area(1, 0..512)]), None);
        assert_eq!(map.push(384, vec![area(0, 0..512), area(1, 0..512)]), None);
        assert_eq!(map.push(0, vec![area(0, 0..0)]), None);
        assert_eq!(map.push(0, vec![area(0, 0..1 << 63)]), None);
        assert_eq!(map.push(0, vec![]), None);
        assert_eq!(map, Map::default());
    }
}
