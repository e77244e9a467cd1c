//! A blob as a device whose blocks are read when they are needed.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use block::{BlockRead, Disk, Error, Extent, Result};
use sha2::{Digest, Sha256};

use super::client::{Blob, Kind, Options, Properties};
use super::tally::Tally;
use super::url::BlobUrl;
use super::{LAYER, PAGE};
use crate::blocks::{self, Blocks};
use crate::cache::Cache;
use crate::fault::{Fault, FaultKind};
use crate::retry::{Cloud, Failure};
use crate::{BLOCK, to_u64, to_usize};

/// The bytes of a blob, its footer included, as they were when it was opened: what changes afterwards is an
/// error. Clones share everything.
#[derive(Debug, Clone)]
pub struct PageBlob(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    blob: Blob,
    properties: Properties,
    /// Where something is. Of a blob that is not of pages that is not told.
    ranges: OnceLock<Vec<Range<u64>>>,
    kept: Blocks,
}

impl PageBlob {
    /// Opens the blob at `url`.
    ///
    /// # Errors
    /// `NotFound` if there is none; what the service says.
    pub fn open(url: &BlobUrl, options: &Options) -> Result<Self, Failure> {
        Self::open_as(url, options, url.as_str())
    }

    /// The same, where `name` says what it is for the cache: it stays where the URL may not.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(super) fn open_as(url: &BlobUrl, options: &Options, name: &str) -> Result<Self, Failure> {
        let blob = Blob::new(url, options)?;
        let Some(properties) = blob.properties()? else {
            let fault = Fault::new(FaultKind::NotFound, "there is no blob of that name");
            return Err(Failure::new(Cloud::Azure, url.as_str(), "its properties", fault));
        };
        // A blob that was changed is another one.
        let digest = Sha256::digest(format!("{name} {} {}", properties.etag, properties.size));
        let place: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let cache = options
            .cache
            .as_deref()
            .and_then(|root| Cache::open_if_possible(root, &place, options.cache_blocks));
        let (ranges, kept) = (OnceLock::new(), Blocks::new(cache));
        Ok(Self(Arc::new(Inner { blob, properties, ranges, kept })))
    }

    /// Where it is.
    pub fn url(&self) -> &BlobUrl {
        self.0.blob.url()
    }

    /// What is known of it.
    pub fn properties(&self) -> &Properties {
        &self.0.properties
    }

    /// The device.
    pub fn disk(&self) -> Disk {
        Disk::new(self.clone())
    }

    /// Says whether what follows is a transfer of everything: what is read once is not kept.
    pub fn set_streaming(&self, streaming: bool) {
        self.0.kept.set_streaming(streaming);
    }

    /// What has been read so far.
    pub fn tally(&self) -> Tally {
        self.0.blob.tally()
    }
}

impl Inner {
    /// Where something is: all of it, where that is not told.
    fn ranges(&self) -> Result<&[Range<u64>], Failure> {
        if let Some(known) = self.ranges.get() {
            return Ok(known);
        }
        let size = self.properties.size;
        let found = match self.properties.kind {
            Kind::Page => self.blob.ranges(0..size, Some(&self.properties.etag))?,
            Kind::Other(_) => std::iter::once(0..size).collect(),
        };
        Ok(self.ranges.get_or_init(|| found))
    }

    /// The first range that ends after `at`.
    fn after(&self, at: u64) -> Result<Option<&Range<u64>>, Failure> {
        let ranges = self.ranges()?;
        Ok(ranges.get(ranges.partition_point(|range| range.end <= at)))
    }

    /// Fetches `block`; `None`, and no request, if nothing is there.
    fn fetch(&self, block: u64, buf: &mut [u8]) -> Result<Option<[u8; 32]>, Failure> {
        let start = block.saturating_mul(BLOCK);
        let end = start.saturating_add(to_u64(buf.len())).min(self.properties.size);
        if self.after(start)?.is_none_or(|range| range.start >= end) {
            return Ok(None);
        }
        let there = buf.get_mut(..to_usize(end.saturating_sub(start))).unwrap_or_default();
        self.blob.read(start, there, Some(&self.properties.etag))?;
        Ok(Some(Sha256::digest(&*buf).into()))
    }
}

fn failed(failure: Failure, offset: u64) -> Error {
    Error::from(failure).at(offset)
}

impl BlockRead for PageBlob {
    fn layer(&self) -> &'static str {
        LAYER
    }

    fn size(&self) -> u64 {
        self.0.properties.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let inner = &*self.0;
        blocks::read_parts(buf, offset, |block, skip, part| {
            let counter = inner.blob.counter();
            inner.kept.read(block, (skip, part), &|| counter.cached(), &|buf| inner.fetch(block, buf))
        })
        .map_err(|failure| failed(failure, offset))
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent> {
        let found = self.0.after(range.start).map_err(|failure| failed(failure, range.start))?;
        let len = |end: u64| end.min(range.end).saturating_sub(range.start);
        Ok(match found {
            Some(data) if data.start <= range.start => Extent::data(len(data.end)),
            Some(data) => Extent::zero(len(data.start)),
            None => Extent::zero(len(range.end)),
        })
    }
}

const _: () = assert!(BLOCK.is_multiple_of(PAGE));
