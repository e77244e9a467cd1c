//! The words of a command, with variables and names of files filled in.

use super::{Run, Value};
use crate::bootwalk::grub::device::File;
use crate::bootwalk::grub::script::{Piece, Word};
use crate::{Result, limits};

impl Run<'_> {
    /// The words with their variables filled in; an error where one is unsure.
    pub(super) fn expand(&self, words: &[Word]) -> Result<Vec<String>, String> {
        let mut out = Vec::new();
        for word in words {
            let mut open: Option<String> = word.quoted.then(String::new);
            for piece in &word.pieces {
                match piece {
                    Piece::Text(text) => open.get_or_insert_default().push_str(text),
                    Piece::Variable { name, quoted } => {
                        let value = match self.value(name) {
                            Value::Known(value) => value,
                            Value::Unsure(why) => return Err(why),
                        };
                        if *quoted {
                            open.get_or_insert_default().push_str(&value);
                            continue;
                        }
                        let mut parts = value.split([' ', '\t', '\n']);
                        if let Some(first) = parts.next().filter(|first| !first.is_empty()) {
                            open.get_or_insert_default().push_str(first);
                        }
                        for part in parts {
                            out.extend(open.take());
                            open = (!part.is_empty()).then(|| part.to_owned());
                        }
                    }
                }
            }
            out.extend(open);
        }
        Ok(out)
    }

    /// The words with their variables filled in, and those with a `*` as the files that they name.
    pub(super) fn globbed(&self, words: &[Word]) -> Result<Result<Vec<String>, String>> {
        let mut out = Vec::new();
        for word in words {
            let expanded = match self.expand(std::slice::from_ref(word)) {
                Ok(expanded) => expanded,
                Err(why) => return Ok(Err(why)),
            };
            for path in expanded {
                let Some((folder, pattern)) =
                    path.rsplit_once('/').filter(|(_, name)| name.contains('*') && !word.quoted)
                else {
                    out.push(path);
                    continue;
                };
                let (start, end) = pattern.split_once('*').unwrap_or((pattern, ""));
                let fits = |name: &String| {
                    name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
                };
                let names = match self.locate(folder)? {
                    File::At(found) => self.guest.view.list(&found)?,
                    File::Absent(_) | File::NoDevice(_) => Vec::new(),
                    File::Unseen(why) => return Ok(Err(why)),
                };
                limits::at_most(folder, names.len() as u64, limits::NAMES, "names")?;
                out.extend(names.into_iter().filter(fits).map(|name| format!("{folder}/{name}")));
            }
        }
        Ok(Ok(out))
    }
}
