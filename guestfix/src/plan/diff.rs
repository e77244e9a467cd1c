//! A plan for people: unified diffs.

use similar::TextDiff;

use crate::edit::{Before, Content, Edit, Step};
use crate::text::bytes;
use crate::{Result, View};

/// Every step as a diff, headed by the rules that asked for it.
pub(super) fn render(steps: &[Step], view: &dyn View) -> Result<String> {
    let mut out = String::new();
    for step in steps {
        out.push_str(&format!("# {}\n", step.rules.join(", ")));
        edit(&mut out, &step.edit, view)?;
        out.push('\n');
    }
    Ok(out)
}

fn edit(out: &mut String, edit: &Edit, view: &dyn View) -> Result<()> {
    match edit {
        Edit::Wrap { head, rendering } => {
            out.push_str(&format!("put 1 MiB before the disk, {} bytes of it not zero\n", head.len()));
            lines(out, rendering);
        }
        Edit::ReplayJournal { volume } => out.push_str(&format!("replay the journal of {volume}\n")),
        Edit::PutFile { path, before, content: Content::Text(new), rendering, .. } => {
            put(out, path, before, new.as_bytes(), rendering, view)?;
        }
        Edit::PutFile { path, before, content: Content::Bytes(new), rendering, .. } => {
            put(out, path, before, new, rendering, view)?;
        }
        Edit::PutFile { path, content: Content::CopyOf(from), .. } => {
            out.push_str(&format!("copy {from} to {path}\n"));
        }
        Edit::PutLink { path, before, target } => {
            out.push_str(&format!("link {path} -> {target}, over {}\n", was(before)));
        }
        Edit::Remove { path, before } => match old_text(before, path, view)? {
            Some(old) => out.push_str(&unified(path, false, &old, "")),
            None => out.push_str(&format!("remove {path}, {}\n", was(before))),
        },
        Edit::PutBytes { offset, content, rendering, .. } => {
            out.push_str(&format!("change {} bytes of the disk at byte {offset:#x}\n", content.len()));
            lines(out, rendering);
        }
    }
    Ok(())
}

/// New content, as a diff where both it and what it replaces are text and nobody has said in words what changes.
fn put(
    out: &mut String,
    path: &str,
    before: &Before,
    new: &[u8],
    rendering: &[String],
    view: &dyn View,
) -> Result<()> {
    let texts = old_text(before, path, view)?.zip(text(new)).filter(|_| rendering.is_empty());
    match texts {
        Some((old, new)) => out.push_str(&unified(path, *before == Before::Absent, &old, &new)),
        None => {
            let len = new.len();
            out.push_str(&format!("put {len} bytes at {path}, over {}\n", was(before)));
            lines(out, rendering);
        }
    }
    Ok(())
}

/// The old text, empty where there was nothing; `None` where there was something that is not text.
fn old_text(before: &Before, path: &str, view: &dyn View) -> Result<Option<String>> {
    match before {
        Before::Absent => Ok(Some(String::new())),
        Before::Link { .. } => Ok(None),
        Before::File { .. } => Ok(view.read(path)?.and_then(|old| text(&old))),
    }
}

/// Content as text, bytes that are not UTF-8 as `\xE9`; `None` for what is no text at all.
fn text(content: &[u8]) -> Option<String> {
    (!content.contains(&0)).then(|| bytes::shown_bytes(content))
}

fn was(before: &Before) -> String {
    match before {
        Before::Absent => "nothing".to_owned(),
        Before::File { size, .. } => format!("a file of {size} bytes"),
        Before::Link { target } => format!("a link to {target}"),
    }
}

fn unified(path: &str, is_new: bool, old: &str, new: &str) -> String {
    let from = if is_new { "/dev/null".to_owned() } else { format!("a{path}") };
    let to = if new.is_empty() && !is_new { "/dev/null".to_owned() } else { format!("b{path}") };
    TextDiff::from_lines(old, new).unified_diff().header(&from, &to).to_string()
}

fn lines(out: &mut String, rendering: &[String]) {
    for line in rendering {
        out.push_str(&format!("  {line}\n"));
    }
}
