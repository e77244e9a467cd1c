//! `refloat undo`: put back what `apply --in-place` changed, to the bit.

use serde::Serialize;

use crate::answer::{self, Answer, Help, Outcome};
use crate::cli::{Global, UndoArgs};
use crate::image;

#[derive(Serialize)]
struct Undone {
    image: String,
}

pub(crate) fn run(global: &Global, args: &UndoArgs) -> Outcome {
    let image = image::take(&args.image)?;
    guestfix::undo::undo(&image).help("the image and its .undo file must be as refloat left them")?;
    let image = args.image.display().to_string();
    if global.json {
        answer::json("refloat.undo/1", &Undone { image })?;
    } else {
        answer::text(&format!("{image}: as it was before\n"))?;
    }
    Ok(Answer::Yes)
}
