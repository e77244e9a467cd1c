//! A small cache whose entries are loaded once, however many threads want them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use block::Result;

/// One entry: locked while it is being loaded, so that others wait for it and do not load it too.
type Slot<T> = Arc<Mutex<Option<Arc<T>>>>;

/// The entries used last, by their place in the file.
#[derive(Debug)]
pub(crate) struct Cache<T> {
    /// The one used last is in front.
    slots: Mutex<VecDeque<(u64, Slot<T>)>>,
    capacity: usize,
}

impl<T> Cache<T> {
    /// A cache of entries of `entry_len` bytes that holds `budget` bytes of them, and four at least.
    pub(crate) fn new(budget: u64, entry_len: u64) -> Self {
        let capacity =
            budget.checked_div(entry_len).and_then(|n| usize::try_from(n).ok()).unwrap_or(0).max(4);
        Self { slots: Mutex::default(), capacity }
    }

    /// The entry at `key`; `load` gets it if it is not there.
    pub(crate) fn get(&self, key: u64, load: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let slot = self.slot(key);
        let mut entry = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = &*entry {
            return Ok(found.clone());
        }
        let loaded = Arc::new(load()?);
        *entry = Some(loaded.clone());
        Ok(loaded)
    }

    fn slot(&self, key: u64) -> Slot<T> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let place = slots.iter().position(|(at, _)| *at == key);
        let (_, slot) = place.and_then(|place| slots.remove(place)).unwrap_or_default();
        slots.push_front((key, slot.clone()));
        slots.truncate(self.capacity);
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_once_and_forgets_the_oldest() {
        let cache = Cache::new(0, 1);
        let loads = std::cell::Cell::new(0);
        let get = |key: u64| {
            *cache
                .get(key, || {
                    loads.set(loads.get() + 1);
                    Ok(key * 2)
                })
                .unwrap()
        };
        assert_eq!((get(1), get(1), loads.get()), (2, 2, 1));
        (2..=4).for_each(|key| assert_eq!(get(key), key * 2));
        assert_eq!((get(1), loads.get()), (2, 4));
        get(5);
        assert_eq!((get(1), loads.get()), (2, 5), "1 was used last");
        assert_eq!((get(2), loads.get()), (4, 6), "2 was not");
    }

    #[test]
    fn an_error_is_not_kept() {
        let cache = Cache::<u8>::new(0, 1);
        assert!(cache.get(1, || Err(block::Error::corrupt("test", "no"))).is_err());
        assert_eq!(*cache.get(1, || Ok(7)).unwrap(), 7);
    }
}
