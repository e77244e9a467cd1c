//! Page and block tokens: what they name, and until when.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::snapshot::mix;

/// How long a page of a listing can be asked for after the one before it.
pub const PAGE_TOKEN_LIFE: Duration = Duration::from_secs(60 * 60);

/// How long a block can be read after it was listed.
pub const BLOCK_TOKEN_LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Makes every token begin with `+/+/`, so that a client which does not percent-encode them never gets far.
const PREFIX: [u8; 3] = [0xfb, 0xff, 0xbf];

/// What a token names: a page of a listing, or a block of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    /// Which listing or snapshot it is of.
    pub(crate) of: u64,
    /// The block, or the first block of the page.
    pub(crate) index: u64,
}

impl Token {
    /// As it is sent: 44 characters of `[A-Za-z0-9+/=]`.
    pub(crate) fn issue(self, now: Duration) -> String {
        let fields = [self.of, self.index, now.as_secs()];
        let mut bytes = PREFIX.to_vec();
        bytes.extend(fields.iter().flat_map(|field| field.to_be_bytes()));
        bytes.extend((seal(fields) as u32).to_be_bytes());
        STANDARD.encode(bytes)
    }

    /// Whether `text` is this token, issued less than `life` before `now`.
    pub(crate) fn is(self, text: &str, now: Duration, life: Duration) -> bool {
        let index = Self::index(text, self.of, now, life);
        index == Some(self.index)
    }

    /// The index in `text`, a token of the listing or snapshot `of` that is still good.
    pub(crate) fn index(text: &str, of: u64, now: Duration, life: Duration) -> Option<u64> {
        let bytes = STANDARD.decode(text).ok()?;
        let fields = bytes.strip_prefix(&PREFIX)?;
        let (fields, sealed) = fields.split_at_checked(24)?;
        let (fields, _) = fields.as_chunks::<8>();
        let fields = [0, 1, 2].map(|at| u64::from_be_bytes(fields[at]));
        let [found, index, issued] = fields;
        let whole = *sealed == (seal(fields) as u32).to_be_bytes();
        (whole && found == of && now < Duration::from_secs(issued) + life).then_some(index)
    }
}

fn seal(fields: [u64; 3]) -> u64 {
    fields.into_iter().fold(0, |seal, field| mix(seal ^ field))
}

/// What [`Token::of`] is for the listing or snapshot named by `parts`.
pub(crate) fn name(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0, |name, byte| mix(name ^ u64::from(byte)))
}

/// The time, which tests can put forward.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    ahead: AtomicU64,
}

impl Clock {
    /// Since 1970.
    pub(crate) fn now(&self) -> Duration {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        now + Duration::from_secs(self.ahead.load(Ordering::Relaxed))
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.ahead.fetch_add(by.as_secs(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_block_and_its_time_only() {
        let now = Duration::from_secs(1_800_000_000);
        let token = Token { of: name(&["snap-1"]), index: 7 };
        let text = token.issue(now);
        assert!(text.len() <= 256 && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"+/=".contains(&c)));
        assert!(text.contains('+') && text.contains('/') && text.ends_with('='), "{text}");
        let life = Duration::from_secs(60);
        assert!(token.is(&text, now, life));
        assert!(token.is(&text, now + life - Duration::from_secs(1), life));
        assert!(!token.is(&text, now + life, life));
        assert!(!Token { index: 8, ..token }.is(&text, now, life));
        assert!(!Token { of: name(&["snap-2"]), ..token }.is(&text, now, life));
        assert!(!token.is(&text.replace(' ', "+").replacen('/', " ", 1), now, life));
        assert!(!token.is(&text.to_lowercase(), now, life));
        assert!(!token.is("", now, life));
        assert!(!token.is("AAAA", now, life));
    }
}
