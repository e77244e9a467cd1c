//! Faults that are lines of text files.

use crate::rule::{Evidence, Place};
use crate::text::{self, Line, lines};
use crate::{Result, Stage, View};

/// The lines of these files of which `fault` says what is wrong; a file that is not there has none.
pub(in crate::rules) fn faults(
    view: &dyn View,
    files: &[String],
    fault: impl Fn(&Line<'_>) -> Option<String>,
) -> Result<Vec<Evidence>> {
    let mut evidence = Vec::new();
    for file in files {
        let text = view.text(file)?.unwrap_or_default();
        let found = lines(&text).filter_map(|line| Some((line.number, fault(&line)?)));
        evidence.extend(found.map(|(line, what)| Evidence::new(Place::line(file, line), what)));
    }
    Ok(evidence)
}

/// Changes lines of these files: `change` answers the new body of a line, or `None` to leave it.
pub(in crate::rules) fn rewrite(
    stage: &mut Stage<'_>,
    files: &[String],
    change: impl Fn(&Line<'_>) -> Option<String>,
) -> Result<()> {
    for file in files {
        stage.edit(file, |text| text::rewrite(text, &change))?;
    }
    Ok(())
}
