//! Initramfs images, parsed once each however many rules ask.

use std::cell::RefCell;
use std::sync::Arc;

use initramfs::{Archive, Limits};

use crate::{Error, Result};

/// How many parsed images are kept: those of two kernels, before and after.
const KEPT: usize = 4;
/// How many bytes they may have together, the last one aside.
const KEPT_BYTES: usize = 64 << 20;

/// A cache of parsed initramfs images, by their content, and of those that are none.
#[derive(Default)]
pub struct Archives {
    parsed: RefCell<Vec<Arc<Parsed>>>,
    refused: RefCell<Vec<Refused>>,
}

/// An image that cannot be read. It is known again by its path, size and checksum, for it may be large.
struct Refused {
    path: String,
    size: usize,
    crc: u32,
    source: Arc<initramfs::Error>,
}

self_cell::self_cell!(
    struct Cell {
        owner: Arc<[u8]>,
        #[covariant]
        dependent: Archive,
    }
);

/// A parsed initramfs together with the bytes it borrows from.
pub struct Parsed(Cell);

impl Parsed {
    /// The file as it is in the guest.
    pub fn bytes(&self) -> &Arc<[u8]> {
        self.0.borrow_owner()
    }

    /// What is in it.
    pub fn archive(&self) -> &Archive<'_> {
        self.0.borrow_dependent()
    }
}

impl Archives {
    /// The initramfs with this content; `path` is for messages.
    ///
    /// # Errors
    /// `Initramfs` if the bytes are none that we can read.
    pub fn get(&self, path: &str, bytes: &Arc<[u8]>) -> Result<Arc<Parsed>> {
        let same = |parsed: &&Arc<Parsed>| Arc::ptr_eq(parsed.bytes(), bytes) || parsed.bytes() == bytes;
        if let Some(known) = self.parsed.borrow().iter().find(same) {
            return Ok(known.clone());
        }
        let (size, crc) = (bytes.len(), crc32c::crc32c(bytes));
        let refused = |source: Arc<initramfs::Error>| Error::Initramfs { path: path.to_owned(), source };
        let is_known = |known: &&Refused| known.path == path && known.size == size && known.crc == crc;
        if let Some(known) = self.refused.borrow().iter().find(is_known) {
            return Err(refused(known.source.clone()));
        }
        self.make_room();
        match Cell::try_new(bytes.clone(), |bytes| Archive::parse(bytes, &Limits::default())) {
            Ok(cell) => {
                let parsed = Arc::new(Parsed(cell));
                self.parsed.borrow_mut().push(parsed.clone());
                Ok(parsed)
            }
            Err(source) => {
                let source = Arc::new(source);
                let path = path.to_owned();
                self.refused.borrow_mut().push(Refused { path, size, crc, source: source.clone() });
                Err(refused(source))
            }
        }
    }

    /// Forgets the oldest, so that one more can be kept.
    fn make_room(&self) {
        let mut parsed = self.parsed.borrow_mut();
        while parsed.len() >= KEPT
            || parsed.iter().map(|known| known.bytes().len()).sum::<usize>() > KEPT_BYTES
        {
            parsed.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_content_is_parsed_once() {
        // A newc archive of nothing but its trailer.
        let mut bytes = b"070701".to_vec();
        bytes.extend([b'0'; 8 * 11]);
        bytes.extend(b"0000000b00000000TRAILER!!!\0\0\0\0");
        let (first, second): (Arc<[u8]>, Arc<[u8]>) = (bytes.clone().into(), bytes.into());
        let archives = Archives::default();
        let a = archives.get("/boot/a", &first).unwrap();
        let b = archives.get("/boot/b", &second).unwrap();
        assert!(Arc::ptr_eq(&a, &b));
        let error = archives.get("/boot/c", &Arc::from(&b"no initramfs"[..]));
        assert!(matches!(error, Err(Error::Initramfs { path, .. }) if path == "/boot/c"));
        let again = archives.get("/boot/c", &Arc::from(&b"no initramfs"[..]));
        assert!(matches!(again, Err(Error::Initramfs { path, .. }) if path == "/boot/c"));
        assert_eq!(archives.refused.borrow().len(), 1);
    }
}
