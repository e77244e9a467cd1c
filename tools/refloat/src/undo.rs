//! `refloat undo`: put back what `apply --in-place` changed, to the bit.

use serde::Serialize;

use crate::answer::{self, Answer, Help, Outcome};
use crate::cli::{Global, UndoArgs};

#[derive(Serialize)]
struct Undone {
    image: String,
}

pub(crate) fn run(global: &Global, args: &UndoArgs) -> Outcome {
    guestfix::undo::undo(&args.image).help("the image and its .undo file must be as refloat left them")?;
    let image = args.image.display().to_string();
    if global.json {
        answer::json("refloat.undo/1", &Undone { image })?;
    } else {
        answer::text(&format!("{image}: as it was before\n"))?;
    }
    Ok(Answer::Yes)
}
