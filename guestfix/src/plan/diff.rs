//! A plan for people: unified diffs.

use similar::TextDiff;

use crate::edit::pieces::assemble;
use crate::edit::{Before, Content, Edit, Step};
use crate::report::{Ink, Line, Page};
use crate::secrets::{is_secret, is_secret_text, masked};
use crate::text::bytes;
use crate::{Result, View};

/// Every step as a diff, headed by the rules that asked for it.
pub(super) fn render(steps: &[Step], view: &dyn View) -> Result<Page> {
    let mut page = Page::new();
    for step in steps {
        page.append(one(step, view)?);
        page.gap();
    }
    Ok(page)
}

/// One step.
pub(super) fn one(step: &Step, view: &dyn View) -> Result<Page> {
    let mut page = Page::new();
    page.line(Line::default().ink(Ink::Faint, format!("# {}", step.rules.join(", "))));
    edit(&mut page, &step.edit, view)?;
    Ok(page)
}

fn edit(page: &mut Page, edit: &Edit, view: &dyn View) -> Result<()> {
    match edit {
        Edit::Wrap { head, rendering } => {
            page.prose(0, format!("put 1 MiB before the disk, {} bytes of it not zero", head.len()));
            lines(page, rendering);
        }
        Edit::ReplayJournal { volume } => page.prose(0, format!("replay the journal of {volume}")),
        Edit::PutFile { path, before, content: Content::Text(new), rendering, .. } => {
            put(page, path, before, new.as_bytes(), rendering, view)?;
        }
        Edit::PutFile { path, before, content: Content::Bytes(new), rendering, .. } => {
            put(page, path, before, new, rendering, view)?;
        }
        Edit::PutFile {
            path, before, content: Content::Edited { sha256, pieces, .. }, rendering, ..
        } => {
            let old = view.read(path)?.unwrap_or_default();
            put(page, path, before, &assemble(path, &old, pieces, sha256)?, rendering, view)?;
        }
        Edit::PutFile { path, content: Content::CopyOf(from), .. } => {
            page.prose(0, format!("copy {from} to {path}"));
        }
        Edit::PutLink { path, before, target } => {
            page.prose(0, format!("link {path} -> {target}, over {}", was(before)));
        }
        Edit::Remove { path, before } => match old_text(before, path, view)? {
            Some(old) => unified(page, path, false, &old, ""),
            None => page.prose(0, format!("remove {path}, {}{}", was(before), unshown(path))),
        },
        Edit::PutBytes { disk, offset, content, rendering, .. } => {
            let disk = libdisk::volume::volume_name(*disk, None);
            page.prose(0, format!("change {} bytes of {disk} at byte {offset:#x}", content.len()));
            lines(page, rendering);
        }
    }
    Ok(())
}

/// New content, as a diff where both it and what it replaces are text and nobody has said in words what
/// changes.
fn put(
    page: &mut Page,
    path: &str,
    before: &Before,
    new: &[u8],
    rendering: &[String],
    view: &dyn View,
) -> Result<()> {
    let texts = old_text(before, path, view)?.zip(text(path, new)).filter(|_| rendering.is_empty());
    match texts {
        Some((old, new)) if old == new && *before != Before::Absent => {
            page.prose(0, format!("change {path} in a value that is not shown"));
        }
        Some((old, new)) => unified(page, path, *before == Before::Absent, &old, &new),
        None => {
            let (len, unshown) = (new.len(), unshown(path));
            page.prose(0, format!("put {len} bytes at {path}, over {}{unshown}", was(before)));
            lines(page, rendering);
        }
    }
    Ok(())
}

/// What is said of a file that is a secret.
fn unshown(path: &str) -> &'static str {
    if is_secret(path) { ": it holds secrets and is not shown" } else { "" }
}

/// The old text, empty where there was nothing; `None` where there was something that is not shown as text.
fn old_text(before: &Before, path: &str, view: &dyn View) -> Result<Option<String>> {
    match before {
        Before::Absent => Ok(Some(String::new())),
        Before::Link { .. } => Ok(None),
        Before::File { .. } => Ok(view.read(path)?.and_then(|old| text(path, &old))),
    }
}

/// Content as text, bytes that are not UTF-8 as `\xE9`, secrets in it masked; `None` for what is no text, or
/// a secret as a whole.
fn text(path: &str, content: &[u8]) -> Option<String> {
    if content.contains(&0) || is_secret(path) {
        return None;
    }
    let text = bytes::shown_bytes(content);
    (!is_secret_text(&text)).then(|| masked(&text).into_owned())
}

/// Two states of a file as a diff, secrets masked; `None` where one of them is no text, or is a secret.
pub fn text_diff(path: &str, old: Option<&[u8]>, new: Option<&[u8]>) -> Option<Page> {
    let shown = |content: Option<&[u8]>| content.map_or(Some(String::new()), |content| text(path, content));
    let (was, is) = (shown(old)?, shown(new)?);
    let mut page = Page::new();
    match was == is {
        true => page.prose(0, format!("{path} changed in a value or attribute that is not shown")),
        false => unified(&mut page, path, old.is_none(), &was, &is),
    }
    Some(page)
}

fn was(before: &Before) -> String {
    match before {
        Before::Absent => "nothing".to_owned(),
        Before::File { size, .. } => format!("a file of {size} bytes"),
        Before::Link { target } => format!("a link to {target}"),
    }
}

/// A unified diff, as `patch` takes it where no character had to be escaped.
fn unified(page: &mut Page, path: &str, is_new: bool, old: &str, new: &str) {
    let from = if is_new { "/dev/null".to_owned() } else { format!("a{path}") };
    let to = if new.is_empty() && !is_new { "/dev/null".to_owned() } else { format!("b{path}") };
    page.line(Line::default().ink(Ink::Heading, format!("--- {from}")));
    page.line(Line::default().ink(Ink::Heading, format!("+++ {to}")));
    let diff = TextDiff::from_lines(old, new);
    for hunk in diff.unified_diff().iter_hunks() {
        for line in hunk.to_string().split_terminator('\n') {
            let ink = match line.as_bytes().first() {
                Some(b'+') => Ink::Added,
                Some(b'-') => Ink::Removed,
                Some(b'@') => Ink::Note,
                _ => Ink::Plain,
            };
            page.line(Line::default().ink(ink, line));
        }
    }
}

fn lines(page: &mut Page, rendering: &[String]) {
    rendering.iter().for_each(|line| page.line(Line::new(format!("  {line}")).hang(4)));
}
