//! A source that must not change while it is copied: the copy would hold a bit of both.

use std::ops::Range;
use std::path::{Path, PathBuf};

use block::{Chunk, ContentSum, Done, Error, ErrorKind, FileRange, Receipt, Result, Sink, SinkCaps, Turn};

use super::{LAYER, ResumeKey};

/// The files of a source, and what could be told of them when they were opened.
#[derive(Debug, Clone, Default)]
pub struct Steady {
    files: Vec<(PathBuf, Option<ResumeKey>)>,
}

impl Steady {
    /// Notes the state of these files. Of what is no regular file nobody would see a change.
    ///
    /// # Errors
    /// `Io`.
    pub fn of<'a>(files: impl IntoIterator<Item = &'a Path>) -> Result<Self> {
        let one = |path: &'a Path| Ok((path.to_owned(), ResumeKey::of_files([path])?));
        Ok(Self { files: files.into_iter().map(one).collect::<Result<_>>()? })
    }

    /// A sink that finishes only if none of the files has changed since.
    pub fn guard(&self, sink: Box<dyn Sink>) -> Box<dyn Sink> {
        Box::new(Guarded { sink, source: self.clone() })
    }

    fn check(&self) -> Result<()> {
        for (path, then) in &self.files {
            if then.is_some() && ResumeKey::of_files([path.as_path()])? != *then {
                let what = "the source was written, moved or given other rights while it was copied";
                return Err(Error::new(ErrorKind::Changed, LAYER, what).in_file(path));
            }
        }
        Ok(())
    }
}

struct Guarded {
    sink: Box<dyn Sink>,
    source: Steady,
}

impl Sink for Guarded {
    fn caps(&self) -> SinkCaps {
        self.sink.caps()
    }

    fn put(&self, chunk: Chunk<'_>) -> Result<()> {
        self.sink.put(chunk)
    }

    fn put_in_turn(&self, chunk: Chunk<'_>, turn: &Turn<'_>) -> Result<()> {
        self.sink.put_in_turn(chunk, turn)
    }

    fn share(&self, offset: u64, from: FileRange<'_>) -> Result<bool> {
        self.sink.share(offset, from)
    }

    fn done(&self, range: Range<u64>, sum: ContentSum) -> Result<()> {
        self.sink.done(range, sum)
    }

    fn already_done(&self) -> Result<Done> {
        self.sink.already_done()
    }

    fn finish(self: Box<Self>, content: Option<ContentSum>) -> Result<Receipt> {
        self.source.check()?;
        self.sink.finish(content)
    }
}
