//! A document for people, before it is known whether it becomes Markdown or a page of HTML.

use crate::report::escape::escape_html;

/// A piece of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// A heading; 1 is the title.
    Heading(u8, String),
    /// A paragraph.
    Text(String),
    /// Steps to be ticked off, in their order.
    Steps(Vec<Step>),
    /// A table: its head, then its rows.
    Table(Vec<&'static str>, Vec<Vec<String>>),
    /// Commands, or another text whose lines stay as they are.
    Code(String),
    /// A unified diff.
    Diff(String),
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Step {
    /// What to do.
    pub text: String,
    /// The commands that do it.
    pub code: Option<String>,
}

impl Step {
    /// A step that no command does.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: None }
    }

    /// A step that commands do.
    pub fn by(text: impl Into<String>, code: impl Into<String>) -> Self {
        Self { text: text.into(), code: Some(code.into()) }
    }
}

/// As Markdown (CommonMark 0.31 with GitHub's tables and task lists).
pub fn markdown(blocks: &[Block]) -> String {
    let mut text = String::new();
    for block in blocks {
        if !text.is_empty() {
            text.push('\n');
        }
        match block {
            Block::Heading(level, words) => {
                text += &format!("{} {}\n", "#".repeat(usize::from(*level)), plain(words));
            }
            Block::Text(words) => text += &format!("{}\n", plain(words)),
            Block::Steps(steps) => {
                for step in steps {
                    text += &format!("- [ ] {}\n", plain(&step.text));
                    if let Some(code) = &step.code {
                        text += &fenced("sh", code, "      ");
                    }
                }
            }
            Block::Table(head, rows) => {
                let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
                text += &row(head.iter().map(|cell| plain(cell)).collect());
                text += &row(head.iter().map(|_| "---".to_owned()).collect());
                rows.iter().for_each(|cells| text += &row(cells.iter().map(|cell| plain(cell)).collect()));
            }
            Block::Code(code) => text += &fenced("sh", code, ""),
            Block::Diff(diff) => text += &fenced("diff", diff, ""),
        }
    }
    text
}

/// A block of code, behind more backquotes than are in it.
fn fenced(language: &str, code: &str, margin: &str) -> String {
    let longest = code.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(3.max(longest + 1));
    let lines: String = code.lines().map(|line| format!("{margin}{}\n", one_line(line))).collect();
    format!("{margin}{fence}{language}\n{lines}{margin}{fence}\n")
}

/// A line without what steers a terminal or ends the line.
fn one_line(text: &str) -> String {
    crate::report::escape::escape_line(text).into_owned()
}

/// Text in which no character means anything to Markdown.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for c in one_line(text).chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '&' | '~' | '!') {
            plain.push('\\');
        }
        plain.push(c);
    }
    plain
}

const STYLE: &str = "\
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}
th,td{border:1px solid #8888;padding:.3rem .6rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}
pre{border:1px solid #8888;padding:.6rem;overflow-x:auto;white-space:pre-wrap}
ul.steps{list-style:none;padding-left:0}
@media print{body{margin:0;max-width:none}pre,tr{break-inside:avoid}}
";

/// As one page of HTML that needs nothing else.
pub fn html(blocks: &[Block]) -> String {
    let title = blocks.iter().find_map(|block| match block {
        Block::Heading(1, words) => Some(escape_html(words)),
        _ => None,
    });
    let title = title.unwrap_or_default();
    let mut text = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
    );
    for block in blocks {
        match block {
            Block::Heading(level, words) => text += &format!("<h{level}>{}</h{level}>\n", escape_html(words)),
            Block::Text(words) => text += &format!("<p>{}</p>\n", escape_html(words)),
            Block::Steps(steps) => {
                text += "<ul class=\"steps\">\n";
                for step in steps {
                    let code = step.code.as_ref().map(|code| pre(code)).unwrap_or_default();
                    let step = escape_html(&step.text);
                    text += &format!("<li><label><input type=\"checkbox\"> {step}</label>{code}</li>\n");
                }
                text += "</ul>\n";
            }
            Block::Table(head, rows) => {
                let cells = |tag: &str, cells: Vec<String>| -> String {
                    cells.iter().map(|cell| format!("<{tag}>{cell}</{tag}>")).collect()
                };
                let head = head.iter().map(|cell| escape_html(cell)).collect();
                text += &format!("<table>\n<thead><tr>{}</tr></thead>\n<tbody>\n", cells("th", head));
                for row in rows {
                    let row = row.iter().map(|cell| escape_html(cell)).collect();
                    text += &format!("<tr>{}</tr>\n", cells("td", row));
                }
                text += "</tbody>\n</table>\n";
            }
            Block::Code(lines) | Block::Diff(lines) => text += &format!("{}\n", pre(lines)),
        }
    }
    text + "</main>\n</body>\n</html>\n"
}

fn pre(code: &str) -> String {
    let lines: Vec<String> = code.lines().map(escape_html).collect();
    format!("<pre>{}</pre>", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        let evil = "<script>alert(1)</script> | **x** `y` [a](b)\u{1b}[2J\n# z";
        let blocks = [
            Block::Heading(1, evil.into()),
            Block::Text(evil.into()),
            Block::Steps(vec![Step::by(evil, "echo ```` <b>")]),
            Block::Table(vec!["a"], vec![vec![evil.into()]]),
        ];
        let (markdown, html) = (markdown(&blocks), html(&blocks));
        assert!(!html.contains("<script>") && !html.contains("<b>"), "{html}");
        assert!(!markdown.contains("<script>\u{29}") && markdown.contains("\\<script\\>"), "{markdown}");
        for text in [&markdown, &html] {
            assert!(!text.contains('\u{1b}') && !text.contains("\n# z"), "{text}");
        }
        // The fence is longer than any in the code.
        assert!(markdown.contains("`````sh"), "{markdown}");
        let row = markdown.lines().find(|line| line.contains("alert") && line.starts_with('|')).unwrap();
        assert_eq!(row.matches("\\|").count() + 2, row.matches('|').count(), "{row}");
    }
}
