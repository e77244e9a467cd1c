//! `refloat undo`: put back what `apply --in-place` changed, to the bit.

use guestfix::report::Page;
use guestfix::report::escape::escape;
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::{Answer, Help, Outcome};
use crate::cli::UndoArgs;
use crate::context::Context;
use crate::document::Document;
use crate::{help, image, name};

#[derive(Serialize, JsonSchema)]
pub(crate) struct Undone {
    image: String,
    /// The images that were changed together with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    others: Vec<String>,
}

impl Document for Undone {
    const SCHEMA: &'static str = "refloat.undo/1";
}

pub(crate) fn run(context: &Context, args: &UndoArgs) -> Outcome {
    // What one plan changed is put back as one.
    let set = guestfix::undo::set_of(&args.image)?;
    let taken = set.iter().map(|image| image::take(image)).collect::<anyhow::Result<Vec<_>>>()?;
    guestfix::undo::undo(&taken).help(help::UNDO_FILE)?;
    let mut names = set.iter().map(name::shown);
    let undone = Undone { image: names.next().unwrap_or_default(), others: names.collect() };
    context.answer(&undone, || {
        let line = |image: &String| format!("{}: every changed range is as it was before\n", escape(image));
        let lines = std::iter::once(&undone.image).chain(&undone.others).map(line);
        Ok(Page::from(lines.collect::<String>()))
    })?;
    Ok(Answer::Yes)
}
