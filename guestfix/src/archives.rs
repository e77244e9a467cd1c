//! Initramfs images, parsed once each however many rules ask.

use std::cell::RefCell;
use std::sync::Arc;

use initramfs::{Archive, Limits};

use crate::{Error, Result};

/// How many parsed images are kept: those of two kernels, before and after. Unpacked, one may take hundreds of MiB.
const KEPT: usize = 4;

/// A cache of parsed initramfs images, by their content.
#[derive(Default)]
pub struct Archives {
    parsed: RefCell<Vec<Arc<Parsed>>>,
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
        let cell = Cell::try_new(bytes.clone(), |bytes| Archive::parse(bytes, &Limits::default()));
        let cell = cell.map_err(|source| Error::Initramfs { path: path.to_owned(), source })?;
        let parsed = Arc::new(Parsed(cell));
        let mut cache = self.parsed.borrow_mut();
        if cache.len() == KEPT {
            cache.remove(0);
        }
        cache.push(parsed.clone());
        Ok(parsed)
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
    }
}
