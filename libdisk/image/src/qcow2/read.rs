//! The image as a device.

use std::ops::Range;
use std::path::{Path, PathBuf};

use block::{BlockRead, Disk, Error, ErrorKind, Extent, FileRange, Result};

use super::LAYER;
use super::decode::Decoder;
use super::header::{Compression, Header};
use super::map::{Map, Mapping, Packed, Run};
use super::snapshot::Snapshots;
use crate::backing::{Backing, Chain};
use crate::cache::Cache;
use crate::pool::Pool;
use crate::{Content, Layer, len64, raw};

/// How many bytes of decompressed clusters are kept for reads of less than a cluster.
const CLUSTER_CACHE: u64 = 4 << 20;

/// How many bytes of compressed clusters are read at once.
const BATCH: u64 = 1 << 20;

/// Opens the state of the image `path` that its internal snapshot with the ID or name `snapshot` keeps, and behind
/// the gate `backing` what the image names.
///
/// # Errors
/// As [`Image::open`]; `OutOfRange` if there is no such snapshot, `Refused` if several are called so.
pub fn open_snapshot(path: &Path, snapshot: &str, backing: &Backing) -> Result<Content> {
    let mut chain = Chain::new(backing);
    chain.enter(LAYER, path)?;
    let image = Image::open_in(path, Some(snapshot), &mut chain)?;
    let layers = image.layers();
    Ok(Content { disk: Disk::new(image), layers, files: chain.into_files() })
}

/// A qcow2 image, opened for reading.
#[derive(Debug)]
pub struct Image {
    path: PathBuf,
    /// Tables, and data unless they are elsewhere.
    file: Disk,
    /// The external data file.
    data: Option<Disk>,
    header: Header,
    map: Map,
    /// Which state it is, and what others there are, for people.
    state: String,
    backing: Option<Disk>,
    backing_layers: Vec<Layer>,
    decoders: Pool<Decoder>,
    clusters: Cache<Vec<u8>>,
}

impl Image {
    /// Opens the image `path`, and behind the gate `backing` what it names.
    ///
    /// # Errors
    /// `Refused` if it names files that the gate keeps shut, `Unsupported` for features by name, `Corrupt`,
    /// `Io`.
    pub fn open(path: &Path, backing: &Backing) -> Result<Self> {
        let mut chain = Chain::new(backing);
        chain.enter(LAYER, path)?;
        Self::open_in(path, None, &mut chain)
    }

    /// The active state, or that of an internal snapshot by its ID or name.
    pub(super) fn open_in(path: &Path, snapshot: Option<&str>, chain: &mut Chain<'_>) -> Result<Self> {
        let in_file = |error: Error| error.in_file(path);
        let file = raw::open_bytes(path)?;
        let mut header = Header::read(&file).map_err(in_file)?;
        let snapshots = Snapshots::read(&file, &header);
        let state = match (snapshot, &snapshots) {
            // A table that is damaged does no harm to the active state.
            (None, Ok(snapshots)) if snapshots.as_slice().is_empty() => String::new(),
            (None, Ok(snapshots)) => {
                format!(", internal snapshots, which are not looked at: {}", snapshots.text())
            }
            (None, Err(error)) => format!(", {} internal snapshots ({error})", header.snapshots),
            (Some(named), _) => {
                if header.data_file.is_some() {
                    let what = "an internal snapshot of an image with an external data file";
                    return Err(in_file(Error::unsupported(LAYER, what)));
                }
                let found = snapshots.map_err(in_file)?;
                let found = found.find(named).map_err(in_file)?;
                header = header.of_snapshot(found, &file).map_err(in_file)?;
                format!(", its internal snapshot {} {:?}", found.id, found.name)
            }
        };
        let map = Map::read(&file, &header).map_err(in_file)?;
        let data = match &header.data_file {
            None => None,
            Some(None) => return Err(in_file(Error::corrupt(LAYER, "the external data file has no name"))),
            Some(Some(name)) => {
                Some(raw::open_bytes(&chain.admit(LAYER, path, "external data file", name)?)?)
            }
        };
        let (backing, backing_layers) = match &header.backing {
            None => (None, Vec::new()),
            Some(reference) => {
                let (disk, layers) = chain.open(LAYER, path, reference)?.into_layers();
                (Some(disk), layers)
            }
        };
        Ok(Self {
            path: path.to_owned(),
            decoders: Pool::default(),
            clusters: Cache::new(CLUSTER_CACHE, header.cluster_size()),
            file,
            data,
            header,
            map,
            state,
            backing,
            backing_layers,
        })
    }

    /// The image and everything below it, the lowest first, for people.
    pub fn layers(&self) -> Vec<Layer> {
        let header = &self.header;
        let mut text =
            format!("version {}, clusters of {} KiB", header.version, header.cluster_size() / 1024);
        if header.compression == Compression::Zstd {
            text.push_str(", zstd");
        }
        if header.extended_l2 {
            text.push_str(", subclusters");
        }
        if header.data_file.is_some() {
            text.push_str(", external data file");
        }
        text.push_str(&self.state);
        if header.dirty {
            text.push_str(", not closed cleanly");
        }
        let mut layers = self.backing_layers.clone();
        layers.push(Layer { name: LAYER, text });
        layers
    }

    /// The disk below, if the image has a backing file.
    pub fn backing(&self) -> Option<&Disk> {
        self.backing.as_ref()
    }

    fn run(&self, offset: u64, limit: u64) -> Result<Run> {
        self.map.run(&self.file, &self.header, offset, limit).map_err(|error| error.in_file(&self.path))
    }

    /// Where plain clusters are.
    fn storage(&self) -> &Disk {
        self.data.as_ref().unwrap_or(&self.file)
    }

    /// What it means that the storage has no such range: a file that was cut off, or a damaged table.
    fn outside(&self, error: Error, host: u64) -> Error {
        if error.kind() != ErrorKind::OutOfRange {
            return error;
        }
        Error::corrupt(LAYER, "a cluster lies past the end of the file").at(host).in_file(&self.path)
    }

    fn read_backing(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let available = self.backing.as_ref().map_or(0, |backing| backing.size().saturating_sub(offset));
        let split = usize::try_from(available).unwrap_or(usize::MAX).min(buf.len());
        let (inside, outside) = buf.split_at_mut(split);
        outside.fill(0);
        match &self.backing {
            Some(backing) if !inside.is_empty() => backing.read_at(inside, offset),
            _ => Ok(()),
        }
    }

    /// Where the data of the compressed cluster at `offset` are, if it is one and all of it lies in
    /// `offset..end`.
    fn whole_compressed(&self, offset: u64, end: u64) -> Result<Option<Range<u64>>> {
        let rest = end.saturating_sub(offset);
        if rest < self.header.cluster_size() {
            return Ok(None);
        }
        Ok(match self.run(offset, rest)?.mapping {
            Mapping::Packed(Packed { host, len, skip: 0 }) => Some(self.in_file(host, len)),
            _ => None,
        })
    }

    /// The range of compressed data. The count of sectors is rounded up, so the last one may reach past the
    /// end of the file.
    fn in_file(&self, host: u64, len: u64) -> Range<u64> {
        host..host.saturating_add(len).min(self.file.size())
    }

    /// Decompresses into `buf` the cluster at `offset`, whose data are at `first`, and those after it whose
    /// data follow in the file: one read is enough for all of them. Gives the number of bytes filled.
    fn read_clusters(&self, buf: &mut [u8], offset: u64, first: Range<u64>) -> Result<u64> {
        let cluster_size = self.header.cluster_size();
        let end = offset.saturating_add(len64(buf));
        let mut at = offset.saturating_add(cluster_size);
        let (mut batch, mut clusters) = (first.clone(), vec![first]);
        while let Some(next) = self.whole_compressed(at, end)? {
            let follows = (batch.start..=batch.end).contains(&next.start)
                && next.end.saturating_sub(batch.start) <= BATCH;
            if !follows {
                break;
            }
            batch.end = batch.end.max(next.end);
            clusters.push(next);
            at = at.saturating_add(cluster_size);
        }
        self.decompress(buf, batch, &clusters)?;
        Ok(at.saturating_sub(offset))
    }

    /// Reads `batch` and fills `buf`, cluster by cluster, from the parts of it where their data are.
    fn decompress(&self, buf: &mut [u8], batch: Range<u64>, clusters: &[Range<u64>]) -> Result<()> {
        let failed = |error: Error, place: u64| error.at(place).in_file(&self.path);
        let within = |at: u64| usize::try_from(at.saturating_sub(batch.start)).unwrap_or(usize::MAX);
        let outs = buf.chunks_exact_mut(usize::try_from(self.header.cluster_size()).unwrap_or(usize::MAX));
        let make = || Decoder::new(self.header.compression);
        self.decoders.lend(make, |decoder| {
            decoder.read(&self.file, batch.clone()).map_err(|error| failed(error, batch.start))?;
            for (place, out) in clusters.iter().zip(outs) {
                let data = within(place.start)..within(place.end);
                decoder.decode(data, out).map_err(|error| failed(error, place.start))?;
            }
            Ok(())
        })
    }

    /// Reads a part of the compressed cluster whose data are at `place`, from `skip` on.
    fn read_part(&self, buf: &mut [u8], place: Range<u64>, skip: u64) -> Result<()> {
        let cluster_size = usize::try_from(self.header.cluster_size()).unwrap_or(0);
        let cluster = self.clusters.get(place.start, || {
            let mut cluster = vec![0; cluster_size];
            self.decompress(&mut cluster, place.clone(), &[place])?;
            Ok(cluster)
        })?;
        let start = usize::try_from(skip).unwrap_or(usize::MAX);
        let wanted = cluster.get(start..start.saturating_add(buf.len()));
        buf.copy_from_slice(wanted.ok_or_else(|| Error::corrupt(LAYER, "a read leaves its cluster"))?);
        Ok(())
    }
}

impl BlockRead for Image {
    fn layer(&self) -> &'static str {
        LAYER
    }

    fn size(&self) -> u64 {
        self.header.size
    }

    fn read_at(&self, mut buf: &mut [u8], mut offset: u64) -> Result<()> {
        while !buf.is_empty() {
            let run = self.run(offset, len64(buf))?;
            let mut len = run.len;
            let now = usize::try_from(len).ok().and_then(|len| buf.get_mut(..len)).unwrap_or_default();
            match run.mapping {
                Mapping::Zero => now.fill(0),
                Mapping::Below => self.read_backing(now, offset)?,
                Mapping::Data(host) => {
                    self.storage().read_at(now, host).map_err(|error| self.outside(error, host))?;
                }
                Mapping::Packed(Packed { host, len: data, .. }) if len == self.header.cluster_size() => {
                    len = self.read_clusters(buf, offset, self.in_file(host, data))?;
                }
                Mapping::Packed(Packed { host, len: data, skip }) => {
                    self.read_part(now, self.in_file(host, data), skip)?;
                }
            }
            offset = offset.saturating_add(len);
            buf = buf.get_mut(usize::try_from(len).unwrap_or(usize::MAX)..).unwrap_or_default();
        }
        Ok(())
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent> {
        let wanted = range.end.saturating_sub(range.start);
        let run = self.run(range.start, wanted)?;
        match run.mapping {
            Mapping::Zero => Ok(Extent::zero(run.len)),
            Mapping::Packed(_) => Ok(Extent::data(run.len)),
            // Preallocated clusters are holes in the file.
            Mapping::Data(host) => {
                let found = self.storage().extent_at(host..host.saturating_add(run.len));
                found.map_err(|error| self.outside(error, host))
            }
            Mapping::Below => match &self.backing {
                Some(backing) if range.start < backing.size() => {
                    let end = range.start.saturating_add(run.len).min(backing.size());
                    backing.extent_at(range.start..end)
                }
                _ => Ok(Extent::zero(run.len)),
            },
        }
    }

    fn file_range(&self, range: Range<u64>) -> Result<Option<FileRange<'_>>> {
        let run = self.run(range.start, range.end.saturating_sub(range.start))?;
        match (run.mapping, &self.backing) {
            (Mapping::Data(host), _) => {
                let found = self.storage().file_range(host..host.saturating_add(run.len));
                found.map_err(|error| self.outside(error, host))
            }
            (Mapping::Below, Some(backing)) if range.start < backing.size() => {
                let end = range.start.saturating_add(run.len).min(backing.size());
                backing.file_range(range.start..end)
            }
            _ => Ok(None),
        }
    }
}
