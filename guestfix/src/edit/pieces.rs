//! New content as what stays of the old and what is new.

use std::ops::Range;

use similar::{ChangeTag, DiffTag, TextDiff};

use super::{Content, Piece, sha256};
use crate::secrets::holds_secret;
use crate::text::bytes::{decode, encode};
use crate::{Error, Result};

/// A changed part longer than this is not looked at character by character.
const LONG: usize = 4096;

/// Fewer equal bytes than these are no piece by themselves.
const FEW: usize = 8;

impl Content {
    /// The new content of a text file as a change of the old.
    ///
    /// # Errors
    /// `Refused` if a secret would be spelt out in the plan all the same.
    pub(crate) fn edited(path: &str, old: &[u8], new: &[u8]) -> Result<Self> {
        let pieces = pieces(&decode(old), &decode(new));
        let spelt = |piece: &Piece| matches!(piece, Piece::Put(text) if holds_secret(text));
        if pieces.iter().any(spelt) {
            let what = "in the guest is to change where it holds a secret, which is in no plan";
            return Err(Error::Refused(format!("{path} {what}")));
        }
        Ok(Self::Edited { sha256: sha256(new), size: new.len() as u64, pieces })
    }

    /// The new content of a file whose parts stay where they are, as a change of the old.
    pub(crate) fn edited_in_place(old: &[u8], new: &[u8]) -> Self {
        Self::Edited { sha256: sha256(new), size: new.len() as u64, pieces: pieces_in_place(old, new) }
    }
}

/// The new content that `pieces` make of the old.
///
/// # Errors
/// `OtherImage` if that is not what the plan had.
pub(crate) fn assemble(path: &str, old: &[u8], pieces: &[Piece], digest: &str) -> Result<Vec<u8>> {
    let mut new = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Keep(Range { start, end }) => {
                let range = usize::try_from(*start).ok().zip(usize::try_from(*end).ok());
                new.extend_from_slice(range.and_then(|(start, end)| old.get(start..end)).unwrap_or_default());
            }
            Piece::Put(text) => new.extend_from_slice(&encode(text)),
            Piece::PutBytes(bytes) => new.extend_from_slice(bytes),
        }
    }
    if sha256(&new) == digest {
        return Ok(new);
    }
    Err(Error::OtherImage { what: format!("{path} does not become what the plan had") })
}

/// Bytes that are equal at the same place are kept, but for a few between others.
fn pieces_in_place(old: &[u8], new: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(rest) = new.get(at..).filter(|rest| !rest.is_empty()) {
        let before = old.get(at..).unwrap_or_default();
        let equal = before.iter().zip(rest).take_while(|(a, b)| a == b).count();
        if equal >= FEW || equal == rest.len() {
            pieces.push(Piece::Keep(at as u64..(at + equal) as u64));
            at += equal;
            continue;
        }
        let put = &rest[..=equal];
        match pieces.last_mut() {
            Some(Piece::PutBytes(last)) => last.extend_from_slice(put),
            _ => pieces.push(Piece::PutBytes(put.to_vec())),
        }
        at += put.len();
    }
    pieces
}

/// Lines that stay are kept, and of lines that change the characters that stay.
fn pieces(old: &str, new: &str) -> Vec<Piece> {
    let mut out = Pieces::default();
    let lines = TextDiff::from_lines(old, new);
    for op in lines.ops() {
        let (mut before, mut after) = (String::new(), String::new());
        for change in lines.iter_changes(op) {
            if change.tag() != ChangeTag::Insert {
                before.push_str(change.value());
            }
            if change.tag() != ChangeTag::Delete {
                after.push_str(change.value());
            }
        }
        match op.tag() {
            DiffTag::Equal => out.keep(&before),
            DiffTag::Delete => out.skip(&before),
            DiffTag::Insert => out.put(&after),
            DiffTag::Replace if before.len().max(after.len()) > LONG => {
                let start = common(before.chars(), after.chars());
                let (head, old_rest, new_rest) = (&after[..start], &before[start..], &after[start..]);
                let end = common(old_rest.chars().rev(), new_rest.chars().rev());
                out.keep(head);
                out.skip(&old_rest[..old_rest.len() - end]);
                out.put(&new_rest[..new_rest.len() - end]);
                out.keep(&new_rest[new_rest.len() - end..]);
            }
            DiffTag::Replace => {
                let chars = TextDiff::from_chars(&*before, &*after);
                for change in chars.iter_all_changes() {
                    match change.tag() {
                        ChangeTag::Equal => out.keep(change.value()),
                        ChangeTag::Delete => out.skip(change.value()),
                        ChangeTag::Insert => out.put(change.value()),
                    }
                }
            }
        }
    }
    out.pieces
}

/// Bytes that two texts have in common, from the end at which both are read.
fn common(a: impl Iterator<Item = char>, b: impl Iterator<Item = char>) -> usize {
    a.zip(b).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum()
}

#[derive(Default)]
struct Pieces {
    pieces: Vec<Piece>,
    /// How far the old content has been gone through, in its own bytes.
    at: u64,
}

impl Pieces {
    fn keep(&mut self, text: &str) {
        let end = self.at + encode(text).len() as u64;
        match self.pieces.last_mut() {
            _ if text.is_empty() => {}
            Some(Piece::Keep(range)) if range.end == self.at => range.end = end,
            _ => self.pieces.push(Piece::Keep(self.at..end)),
        }
        self.at = end;
    }

    fn skip(&mut self, text: &str) {
        self.at += encode(text).len() as u64;
    }

    fn put(&mut self, text: &str) {
        match self.pieces.last_mut() {
            _ if text.is_empty() => {}
            Some(Piece::Put(last)) => last.push_str(text),
            _ => self.pieces.push(Piece::Put(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::random::Random;

    fn round(old: &[u8], new: &[u8]) -> Vec<Piece> {
        let pieces = pieces(&decode(old), &decode(new));
        assert_eq!(assemble("x", old, &pieces, &sha256(new)).unwrap(), new);
        pieces
    }

    #[test]
    fn what_stays_is_not_repeated() {
        let old = b"# caf\xe9\n//s/x /m cifs password=hunter2 0 0\nUUID=1 / ext4\n";
        let new = b"# caf\xe9\n//s/x /m cifs password=hunter2,nofail 0 0\nUUID=1 / ext4\n";
        let pieces = round(old, new);
        assert_eq!(pieces, [Piece::Keep(0..37), Piece::Put(",nofail".into()), Piece::Keep(37..56)]);
        let gone = [b"# refloat: gone: ", &old[..]].concat();
        assert!(!format!("{:?}", round(old, &gone)).contains("hunter"));
        let error = assemble("x", b"other", &pieces, &sha256(new)).unwrap_err();
        assert!(matches!(error, Error::OtherImage { .. }));
    }

    #[test]
    fn bytes_that_stay_in_their_place_are_not_repeated() {
        let old: Vec<u8> = (0..100).collect();
        let mut new = old.clone();
        (new[20], new[23], new[60]) = (0xf0, 0xf1, 0xf2);
        let put = |bytes: &[u8]| Piece::PutBytes(bytes.to_vec());
        let pieces = pieces_in_place(&old, &new);
        let kept = |range: Range<u64>| Piece::Keep(range);
        let wanted = [kept(0..20), put(&[0xf0, 21, 22, 0xf1]), kept(24..60), put(&[0xf2]), kept(61..100)];
        assert_eq!(pieces, wanted);
        let mut random = Random(78);
        for _ in 0..2000 {
            let (old, new) = (random.text().into_bytes(), random.text().into_bytes());
            let mut mixed = [&old[..old.len() / 2], &new, &old[old.len() / 2..]].concat();
            if let Some(byte) = mixed.last_mut() {
                *byte ^= 1;
            }
            for new in [&new, &mixed, &old] {
                assert_eq!(&assemble("x", &old, &pieces_in_place(&old, new), &sha256(new)).unwrap(), new);
            }
        }
    }

    #[test]
    fn a_secret_is_not_spelt_out() {
        let made = Content::edited("/x", b"", b"password=hunter2\n");
        assert!(matches!(made, Err(Error::Refused(_))));
    }

    #[test]
    fn any_text_becomes_any_other() {
        let mut random = Random(77);
        for _ in 0..2000 {
            let (old, mut new) = (random.text(), random.text());
            if random.below(2) == 0 {
                new = old.replace("key", "other") + &new;
            }
            round(old.as_bytes(), new.as_bytes());
        }
        round("a\n".repeat(5000).as_bytes(), "b\n".repeat(5000).as_bytes());
    }
}
