//! The answer to Get Page Ranges.

use std::ops::Range;

use block::ranges::merged;

use roxmltree::Document;

use super::PAGE;
use crate::fault::{Fault, FaultKind};

/// The ranges in `body`, ascending, none touching another, all within `within`. The service may cut what is
/// one range into many, so only what they cover together means anything.
///
/// # Errors
/// `Protocol` where it is no such answer.
pub(super) fn ranges(body: &[u8], within: &Range<u64>) -> Result<Vec<Range<u64>>, Fault> {
    let wrong = |what: &str| Fault::new(FaultKind::Protocol, format!("the list of page ranges {what}"));
    let text = std::str::from_utf8(body).map_err(|_| wrong("is no UTF-8"))?;
    let document = Document::parse(text.trim_start_matches('\u{feff}')).map_err(|_| wrong("is no XML"))?;
    let root = document.root_element();
    if !root.has_tag_name("PageList") {
        return Err(wrong("is none"));
    }
    let mut found = Vec::new();
    for node in root.children().filter(|node| node.has_tag_name("PageRange")) {
        let number = |name: &str| {
            let child = node.children().find(|child| child.has_tag_name(name));
            child.and_then(|child| child.text()?.trim().parse::<u64>().ok())
        };
        let range =
            number("Start").zip(number("End")).and_then(|(start, last)| Some(start..last.checked_add(1)?));
        let range =
            range.filter(|range| range.start < range.end).ok_or_else(|| wrong("has one without an end"))?;
        if !range.start.is_multiple_of(PAGE) || !range.end.is_multiple_of(PAGE) {
            return Err(wrong("has one that is not of whole pages"));
        }
        let cut = range.start.max(within.start)..range.end.min(within.end);
        if cut.start < cut.end {
            found.push(cut);
        }
    }
    Ok(merged(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_in_any_order_and_cut() {
        let body = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><PageList><PageRange><Start>1024</Start><End>1535</End>\
                    </PageRange><PageRange><Start>0</Start><End>511</End></PageRange><PageRange><Start>512</Start>\
                    <End>1023</End></PageRange><ClearRange><Start>4096</Start><End>4607</End></ClearRange>\
                    <PageRange><Start>8192</Start><End>16383</End></PageRange><NextMarker/></PageList>";
        assert_eq!(ranges(body.as_bytes(), &(0..1 << 20)).unwrap(), [0..1536, 8192..16384]);
        assert_eq!(ranges(body.as_bytes(), &(512..9216)).unwrap(), [512..1536, 8192..9216]);
        assert_eq!(ranges(b"<PageList/>", &(0..9216)).unwrap(), []);
        for body in [
            "",
            "<html/>",
            "<PageList><PageRange/></PageList>",
            "<PageList><PageRange><Start>5</Start><End>511</End></PageRange></PageList>",
            "<PageList><PageRange><Start>512</Start><End>18446744073709551615</End></PageRange></PageList>",
            "<PageList><PageRange><Start>1024</Start><End>511</End></PageRange></PageList>",
        ] {
            assert_eq!(ranges(body.as_bytes(), &(0..512)).unwrap_err().kind(), FaultKind::Protocol, "{body}");
        }
    }
}
