//! Which blocks a snapshot has, and their tokens: as much of the list as was needed, and no more than a few
//! pages.

use std::ops::Range;

use super::service::Listed;

/// How many pages are kept: with the longest tokens 25 MB, with real ones about 6. A page that was dropped is
/// listed again when it is needed.
const PAGES: usize = 8;

/// A stretch of the list.
#[derive(Debug)]
struct Page {
    /// The blocks that it tells all about.
    range: Range<u64>,
    /// The ones that are there, ascending, and where each token ends in `tokens`.
    blocks: Vec<(u64, usize)>,
    tokens: String,
    /// When it was last of use.
    used: u64,
}

impl Page {
    /// The place of `block` in `blocks`, or of the next one.
    fn search(&self, block: u64) -> Result<usize, usize> {
        self.blocks.binary_search_by_key(&block, |(block, _)| *block)
    }

    fn token(&self, place: usize) -> &str {
        let end_of = |place: usize| self.blocks.get(place).map(|(_, end)| *end);
        let start = place.checked_sub(1).and_then(end_of).unwrap_or(0);
        end_of(place).and_then(|end| self.tokens.get(start..end)).unwrap_or_default()
    }
}

/// The pages that are known.
#[derive(Debug, Default)]
pub(super) struct Index {
    pages: Vec<Page>,
    clock: u64,
}

/// What the list says of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// The page that tells is not here.
    Unknown,
    /// Never written: zero.
    Absent,
    /// There, under this token.
    Present(String),
}

impl Index {
    /// Takes in what a list that was asked for from block `from` on gave; `listed.next` says whether there is
    /// more after it.
    pub(super) fn add(&mut self, from: u64, listed: Listed) {
        let last = listed.blocks.last().map_or(from, |(block, _)| block.saturating_add(1));
        let end = if listed.next.is_some() { last.max(from) } else { listed.volume_blocks };
        let mut page =
            Page { range: from..end, blocks: Vec::new(), tokens: String::new(), used: self.tick() };
        for (block, token) in listed.blocks.into_iter().filter(|(block, _)| *block >= from) {
            page.tokens.push_str(&token);
            page.blocks.push((block, page.tokens.len()));
        }
        page.blocks.shrink_to_fit();
        page.tokens.shrink_to_fit();
        if self.pages.len() >= PAGES
            && let Some(oldest) =
                (0..self.pages.len()).min_by_key(|place| self.pages.get(*place).map(|page| page.used))
        {
            self.pages.swap_remove(oldest);
        }
        self.pages.push(page);
    }

    /// What is known of `block`.
    pub(super) fn entry(&mut self, block: u64) -> Entry {
        let Some(page) = self.page(block) else { return Entry::Unknown };
        match page.search(block) {
            Ok(place) => Entry::Present(page.token(place).to_owned()),
            Err(_) => Entry::Absent,
        }
    }

    /// How many blocks from `block` on, up to `end`, are alike, and whether they are there; `None` if that is
    /// not known.
    pub(super) fn run(&mut self, block: u64, end: u64) -> Option<(u64, bool)> {
        let page = self.page(block)?;
        let end = end.min(page.range.end);
        Some(match page.search(block) {
            Ok(place) => {
                let rest = page.blocks.get(place..).unwrap_or_default();
                let run = rest.iter().zip(block..end).take_while(|((there, _), at)| there == at).count();
                (crate::to_u64(run), true)
            }
            Err(place) => {
                let next = page.blocks.get(place).map_or(end, |(next, _)| (*next).min(end));
                (next.saturating_sub(block), false)
            }
        })
    }

    /// Drops the page that gave `token` for `block`, as it has expired, and tells where it began. A newer one
    /// stays.
    pub(super) fn forget(&mut self, block: u64, token: &str) -> Option<u64> {
        let expired = self.pages.iter().position(|page| {
            page.range.contains(&block) && page.search(block).is_ok_and(|place| page.token(place) == token)
        });
        Some(self.pages.swap_remove(expired?).range.start)
    }

    fn page(&mut self, block: u64) -> Option<&Page> {
        let now = self.tick();
        let page = self.pages.iter_mut().find(|page| page.range.contains(&block))?;
        page.used = now;
        Some(page)
    }

    fn tick(&mut self) -> u64 {
        self.clock = self.clock.saturating_add(1);
        self.clock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(blocks: &[u64], more: bool) -> Listed {
        let blocks = blocks.iter().map(|block| (*block, format!("token-{block}"))).collect();
        Listed { volume_blocks: 1000, blocks, next: more.then(String::new) }
    }

    #[test]
    fn a_page_tells_all_about_its_range() {
        let mut index = Index::default();
        index.add(10, listed(&[12, 13, 14, 20], true));
        assert_eq!(index.entry(9), Entry::Unknown);
        assert_eq!(index.entry(10), Entry::Absent);
        assert_eq!(index.entry(13), Entry::Present("token-13".into()));
        assert_eq!(index.entry(20), Entry::Present("token-20".into()));
        assert_eq!(index.entry(21), Entry::Unknown);
        assert_eq!(index.run(10, 1000), Some((2, false)));
        assert_eq!(index.run(12, 1000), Some((3, true)));
        assert_eq!(index.run(12, 13), Some((1, true)));
        assert_eq!(index.run(15, 1000), Some((5, false)));
        assert_eq!(index.run(15, 17), Some((2, false)));
        assert_eq!(index.run(20, 1000), Some((1, true)));
        assert_eq!(index.run(21, 1000), None);

        index.add(21, listed(&[], false));
        assert_eq!(index.run(21, 1000), Some((979, false)));
    }

    #[test]
    fn it_stays_small_and_forgets_what_has_expired() {
        let mut index = Index::default();
        for from in 0..100 {
            index.add(from, listed(&[from], true));
            assert_eq!(index.entry(0), Entry::Present("token-0".into()), "what is used stays");
        }
        assert_eq!(index.pages.len(), PAGES);
        assert_eq!(index.forget(0, "another token"), None);
        assert_ne!(index.entry(0), Entry::Unknown);
        assert_eq!(index.forget(0, "token-0"), Some(0));
        assert_eq!(index.entry(0), Entry::Unknown);
    }
}
