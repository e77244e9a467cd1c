//! `/etc/fstab`: six fields between blanks, octal escapes for blanks in them (fstab(5)).

use super::bytes::{decode, encode};
use super::{comment_out, lines, rewrite};

/// A line that names something to mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// From 1.
    pub line: usize,
    /// What is mounted, unescaped.
    pub spec: String,
    /// Where, unescaped.
    pub target: String,
    /// Type.
    pub kind: String,
    /// Options; "defaults" where the line gives none.
    pub options: String,
}

impl Entry {
    /// Whether this is one of the options.
    pub fn has_option(&self, name: &str) -> bool {
        has_option(&self.options, name)
    }
}

/// What becomes of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The first field is replaced by this, not yet escaped.
    Spec(String),
    /// These options are added, where they are missing; one with a value replaces another value.
    AddOptions(&'static [&'static str]),
    /// All options are replaced by these.
    Options(String),
    /// The line becomes a comment that says why.
    CommentOut(&'static str),
}

/// Whether an option list holds this option; `name` may end in `=` to stand for any value.
pub fn has_option(options: &str, name: &str) -> bool {
    options
        .split(',')
        .any(|option| if name.ends_with('=') { option.starts_with(name) } else { option == name })
}

/// All lines that name something to mount.
pub fn entries(text: &str) -> Vec<Entry> {
    lines(text).filter_map(|line| entry(line.number, line.body)).collect()
}

/// The text with some entries changed; `None` leaves one as it is.
pub fn edit(text: &str, mut change: impl FnMut(&Entry) -> Option<Change>) -> String {
    rewrite(text, |line| {
        let entry = entry(line.number, line.body)?;
        let fields = fields(line.body);
        Some(match change(&entry)? {
            Change::CommentOut(why) => comment_out(line.body, why),
            Change::Spec(spec) => replace(line.body, fields[0], &escape(&spec)),
            Change::AddOptions(added) => put_options(line.body, &with_options(&entry.options, added))?,
            Change::Options(options) => put_options(line.body, &options)?,
        })
    })
}

/// The line with other options.
fn put_options(body: &str, options: &str) -> Option<String> {
    let (fields, options) = (fields(body), escape(options));
    match (fields.get(3), fields.get(2)) {
        (Some(field), _) => Some(replace(body, field, &options)),
        (None, Some(kind)) => Some(replace(body, kind, &format!("{kind} {options}"))),
        (None, None) => None,
    }
}

fn entry(line: usize, body: &str) -> Option<Entry> {
    let fields = fields(body);
    match fields.as_slice() {
        [spec, target, kind, rest @ ..] if !spec.starts_with('#') => Some(Entry {
            line,
            spec: unescape(spec),
            target: unescape(target),
            kind: unescape(kind),
            options: rest.first().map_or_else(|| "defaults".to_owned(), |options| unescape(options)),
        }),
        _ => None,
    }
}

/// The words of a line between blanks; comments are not known.
pub(super) fn fields(body: &str) -> Vec<&str> {
    body.split([' ', '\t']).filter(|field| !field.is_empty()).collect()
}

/// `body` with `field`, a slice of it, replaced.
pub(super) fn replace(body: &str, field: &str, new: &str) -> String {
    let start = field.as_ptr().addr() - body.as_ptr().addr();
    format!("{}{new}{}", &body[..start], &body[start + field.len()..])
}

/// An option list with these more, each in the place of another value of it.
pub fn with_options(options: &str, added: &[&str]) -> String {
    let key = |option: &str| option.split_once('=').map_or(option, |(key, _)| key).to_owned();
    let replaced = |option: &&str| added.iter().any(|new| key(new) == key(option));
    let kept = options.split(',').filter(|option| !option.is_empty() && !replaced(option));
    kept.chain(added.iter().copied()).collect::<Vec<_>>().join(",")
}

fn unescape(field: &str) -> String {
    let field = encode(field);
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = &*field;
    while let [first, tail @ ..] = rest {
        let octal = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                Some((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'))
            }
            _ => None,
        };
        bytes.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &rest[4..] } else { tail };
    }
    decode(&bytes)
}

fn escape(field: &str) -> String {
    let mut out = String::with_capacity(field.len());
    for c in field.chars() {
        match c {
            ' ' => out.push_str("\\040"),
            '\t' => out.push_str("\\011"),
            '\n' => out.push_str("\\012"),
            '\\' => out.push_str("\\134"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    const SAMPLE: &str = "# /etc/fstab\n/dev/xvda1\t/  ext4 defaults,discard 0 1  # root\r\n  LABEL=a\\040b /mnt/x\\040y xfs\nproc /proc proc nodev";

    #[test]
    fn fields_are_unescaped() {
        let entries = entries(SAMPLE);
        assert_eq!(entries.len(), 3);
        assert_eq!(
            (entries[0].line, entries[0].spec.as_str(), entries[0].kind.as_str()),
            (2, "/dev/xvda1", "ext4")
        );
        assert_eq!((entries[1].spec.as_str(), entries[1].target.as_str()), ("LABEL=a b", "/mnt/x y"));
        assert_eq!(entries[1].options, "defaults");
    }

    #[test]
    fn an_edit_changes_only_its_field() {
        let new = edit(SAMPLE, |e| (e.target == "/").then(|| Change::Spec("UUID=1 2".into())));
        assert_eq!(new, SAMPLE.replace("/dev/xvda1", "UUID=1\\0402"));
        let new = edit(SAMPLE, |e| (e.kind == "xfs").then_some(Change::AddOptions(&["nofail", "x=1"])));
        assert_eq!(new, SAMPLE.replace(" xfs\n", " xfs defaults,nofail,x=1\n"));
        let new = edit("a b c x=2,nofail 0 0\n", |_| Some(Change::AddOptions(&["nofail", "x=1"])));
        assert_eq!(new, "a b c nofail,x=1 0 0\n");
        let new = edit("a b c d\n", |_| Some(Change::CommentOut("gone")));
        assert_eq!(new, "# refloat: gone: a b c d\n");
        assert!(super::entries(&new).is_empty());
    }

    #[test]
    fn random_text_is_neither_changed_nor_a_problem() {
        let mut random = Random(1);
        for _ in 0..3000 {
            let text = random.text();
            assert_eq!(edit(&text, |_| None), text);
            let changed = edit(&text, |entry| Some(Change::Spec(entry.spec.clone())));
            assert_eq!(super::entries(&changed), super::entries(&text), "{text:?}");
        }
    }
}
