//! The image as a device.

use std::ops::Range;
use std::path::{Path, PathBuf};

use block::{BlockRead, Disk, Error, Extent, Result};

use super::LAYER;
use super::backing::{Backing, Chain};
use super::cache::Cache;
use super::decode::Decoders;
use super::header::{Compression, Header};
use super::map::{Map, Mapping, Run};
use crate::{len64, raw};

/// How many bytes of decompressed clusters are kept for reads of less than a cluster.
const CLUSTER_CACHE: u64 = 4 << 20;

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
    backing: Option<Disk>,
    backing_layers: Vec<(&'static str, String)>,
    decoders: Decoders,
    clusters: Cache<Vec<u8>>,
}

impl Image {
    /// Opens the image `path`, and behind the gate `backing` what it names.
    ///
    /// # Errors
    /// `Refused` if it names files that the gate keeps shut, `Unsupported` for features by name, `Corrupt`, `Io`.
    pub fn open(path: &Path, backing: &Backing) -> Result<Self> {
        Self::open_in(path, &mut Chain::new(backing))
    }

    pub(super) fn open_in(path: &Path, chain: &mut Chain<'_>) -> Result<Self> {
        chain.enter(path)?;
        let in_file = |error: Error| error.in_file(path);
        let file = raw::open_bytes(path)?;
        let header = Header::read(&file).map_err(in_file)?;
        let map = Map::read(&file, &header).map_err(in_file)?;
        let data = match &header.data_file {
            None => None,
            Some(None) => return Err(in_file(Error::corrupt(LAYER, "the external data file has no name"))),
            Some(Some(name)) => Some(raw::open_bytes(&chain.admit(path, "external data file", name)?)?),
        };
        let mut backing_layers = Vec::new();
        let backing = match &header.backing {
            None => None,
            Some(reference) => {
                let opened = chain.open(path, reference)?;
                let (size, path) = (opened.disk.size(), opened.path.display());
                backing_layers = opened.below;
                backing_layers.push(("backing file", format!("{path}, disk of {size} bytes")));
                Some(opened.disk)
            }
        };
        Ok(Self {
            path: path.to_owned(),
            decoders: Decoders::new(header.compression),
            clusters: Cache::new(CLUSTER_CACHE, header.cluster_size()),
            file,
            data,
            header,
            map,
            backing,
            backing_layers,
        })
    }

    /// The image and everything below it, the lowest first, for people.
    pub fn layers(&self) -> Vec<(&'static str, String)> {
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
        if header.snapshots > 0 {
            text.push_str(&format!(", {} internal snapshots (not looked at)", header.snapshots));
        }
        if header.dirty {
            text.push_str(", not closed cleanly");
        }
        let mut layers = self.backing_layers.clone();
        layers.push((LAYER, text));
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

    /// Decompresses the cluster of `len` bytes at `host` into `out`.
    fn decode(&self, host: u64, len: u64, out: &mut [u8]) -> Result<()> {
        // The count of sectors is rounded up, so the last one may reach past the end of the file.
        let len = len.min(self.file.size().saturating_sub(host));
        let decoded = self
            .file
            .read_vec(host, usize::try_from(len).unwrap_or(usize::MAX))
            .and_then(|data| self.decoders.decode(&data, out));
        decoded.map_err(|error| error.at(host).in_file(&self.path))
    }

    fn read_compressed(&self, buf: &mut [u8], host: u64, len: u64, skip: u64) -> Result<()> {
        let cluster_size = self.header.cluster_size();
        if skip == 0 && len64(buf) == cluster_size {
            return self.decode(host, len, buf);
        }
        let cluster = self.clusters.get(host, || {
            let mut cluster = vec![0; usize::try_from(cluster_size).unwrap_or(0)];
            self.decode(host, len, &mut cluster)?;
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
            let (now, later) =
                buf.split_at_mut(usize::try_from(run.len).unwrap_or(usize::MAX).min(buf.len()));
            match run.mapping {
                Mapping::Zero => now.fill(0),
                Mapping::Unallocated => self.read_backing(now, offset)?,
                Mapping::Data { host } => self.storage().read_at(now, host)?,
                Mapping::Compressed { host, len, skip } => self.read_compressed(now, host, len, skip)?,
            }
            offset = offset.saturating_add(run.len);
            buf = later;
        }
        Ok(())
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent> {
        let wanted = range.end.saturating_sub(range.start);
        let run = self.run(range.start, wanted)?;
        match run.mapping {
            Mapping::Zero => Ok(Extent::zero(run.len)),
            Mapping::Compressed { .. } => Ok(Extent::data(run.len)),
            // Preallocated clusters are holes in the file.
            Mapping::Data { host } => self.storage().extent_at(host..host.saturating_add(run.len)),
            Mapping::Unallocated => match &self.backing {
                Some(backing) if range.start < backing.size() => {
                    let end = range.start.saturating_add(run.len).min(backing.size());
                    backing.extent_at(range.start..end)
                }
                _ => Ok(Extent::zero(run.len)),
            },
        }
    }
}
