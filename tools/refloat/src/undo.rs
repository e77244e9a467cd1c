//! `refloat undo`: put back what `apply --in-place` changed, to the bit.

use guestfix::report::Page;
use guestfix::report::escape::escape;
use serde::Serialize;

use crate::answer::{Answer, Help, Outcome};
use crate::cli::UndoArgs;
use crate::context::Context;
use crate::image;

#[derive(Serialize)]
struct Undone {
    image: String,
}

pub(crate) fn run(context: &Context, args: &UndoArgs) -> Outcome {
    let image = image::take(&args.image)?;
    guestfix::undo::undo(&image).help("the image and its .undo file must be as refloat left them")?;
    let undone = Undone { image: args.image.display().to_string() };
    context.answer("refloat.undo/1", &undone, || {
        Ok(Page::from(format!("{}: every changed range is as it was before\n", escape(&undone.image))))
    })?;
    Ok(Answer::Yes)
}
