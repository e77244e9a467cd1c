//! The elements of an XML document as firewalld writes one: names, attributes, and the text right behind a
//! start tag. No document type, no entities but the five.

/// A start tag.
#[derive(Debug)]
pub(super) struct Element<'a> {
    pub(super) name: &'a str,
    attributes: Vec<(&'a str, &'a str)>,
    /// How many elements it is within.
    pub(super) depth: usize,
    /// What stands behind it, up to the next tag.
    pub(super) text: String,
}

impl<'a> Element<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// As it is written.
    pub(super) fn shown(&self) -> String {
        let attributes = self.attributes.iter().map(|(name, value)| format!(" {name}=\"{value}\""));
        format!("<{}{}>", self.name, attributes.collect::<String>())
    }
}

/// All elements, in the order of their start tags.
pub(super) fn elements(text: &str) -> impl Iterator<Item = Element<'_>> {
    let (mut rest, mut depth) = (text, 0_usize);
    std::iter::from_fn(move || {
        loop {
            rest = rest.split_once('<')?.1;
            if let Some(comment) = rest.strip_prefix("!--") {
                rest = comment.split_once("-->")?.1;
                continue;
            }
            let (tag, behind) = rest.split_once('>')?;
            rest = behind;
            if tag.starts_with('/') {
                depth = depth.saturating_sub(1);
            } else if !tag.starts_with(['?', '!']) {
                let (tag, is_empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
                let name = tag.split_whitespace().next().unwrap_or_default();
                let attributes = attributes(tag.get(name.len()..).unwrap_or_default());
                let text = unescaped(behind.split('<').next().unwrap_or_default().trim());
                let element = Element { name, attributes, depth, text };
                depth = depth.saturating_add(usize::from(!is_empty));
                return Some(element);
            }
        }
    })
}

fn attributes(mut text: &str) -> Vec<(&str, &str)> {
    let mut out = Vec::new();
    while let Some((name, rest)) = text.split_once('=') {
        let rest = rest.trim_start();
        let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) else { break };
        let Some((value, rest)) = rest.get(1..).and_then(|rest| rest.split_once(quote)) else { break };
        out.push((name.trim(), value));
        text = rest;
    }
    out
}

fn unescaped(text: &str) -> String {
    let pairs = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_with_their_depth() {
        let text = "<?xml version=\"1.0\"?>\n<zone target='DROP'>\n <!-- <port/> -->\n <port port=\"22\" \
                    protocol = \"tcp\"/>\n <rule><accept/></rule><a>x &amp; y</a></zone><open";
        let found: Vec<_> =
            elements(text).map(|tag| (tag.name.to_owned(), tag.depth, tag.text.clone())).collect();
        let expect =
            [("zone", 0, ""), ("port", 1, ""), ("rule", 1, ""), ("accept", 2, ""), ("a", 1, "x & y")];
        assert_eq!(found, expect.map(|(name, depth, text)| (name.to_owned(), depth, text.to_owned())));
        let port = elements(text).find(|tag| tag.name == "port").unwrap();
        assert_eq!((port.get("protocol"), port.get("none")), (Some("tcp"), None));
        assert_eq!(port.shown(), "<port port=\"22\" protocol=\"tcp\">");
        for broken in ["<", "<!--", "<a b=", "<a b=\"", "</a></a>", "<é>"] {
            let _ = elements(broken).count();
        }
    }
}
