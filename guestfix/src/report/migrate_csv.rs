//! A report as the file that Azure Migrate imports servers from ("Tutorial: Assess servers using an imported
//! CSV file", Microsoft Learn, azure-docs, 2020-09-14 and later): a head and one row.
//!
//! What the disk does not say stays empty; cores and memory are known where the instance type is. Azure Migrate
//! estimates costs from such a row, and cannot migrate the server by it: refloat can.

use super::Report;
use super::escape::escape;
use crate::facts::OsKind;

/// The most disks that a row has.
const DISKS: usize = 8;

pub(super) fn render(report: &Report) -> String {
    let gigabytes = |bytes: u64| bytes.div_ceil(1 << 30).to_string();
    let sizes: Vec<u64> = report.machine.sizes().map(|(_, size)| size).collect();
    let instance = report.sizing.as_ref().and_then(|sizing| sizing.instance.as_ref());
    let architecture = match report.guest.arch {
        Some("x86_64") => "x64",
        Some("i386" | "x86") => "x86",
        _ => "",
    };
    let mut row = vec![
        ("Server name", report.guest.host.clone().unwrap_or_else(|| report.image.clone())),
        ("IP address", String::new()),
        ("Cores", instance.map(|it| it.vcpus.to_string()).unwrap_or_default()),
        ("Memory (In MB)", instance.map(|it| it.memory_mib.to_string()).unwrap_or_default()),
        ("OS name", name(report)),
        ("OS version", report.guest.version.clone().unwrap_or_default()),
        ("OS architecture", architecture.to_owned()),
        ("Number of disks", sizes.len().to_string()),
    ]
    .into_iter()
    .map(|(head, cell)| (head.to_owned(), cell))
    .collect::<Vec<_>>();
    for (number, size) in (1..).zip(sizes.iter().take(DISKS)) {
        row.push((format!("Disk {number} size (In GB)"), gigabytes(*size)));
    }
    let firmware = report.guest.firmware.first().copied().unwrap_or_default();
    row.push(("Firmware type".into(), firmware.into()));
    let (head, cells): (Vec<String>, Vec<String>) = row.into_iter().unzip();
    format!("{}\r\n{}\r\n", line(&head), line(&cells))
}

/// Names that Azure Migrate knows, by `ID` of os-release; it takes those that contain one of them.
const NAMES: [(&str, &str); 9] = [
    ("rhel", "Red Hat Enterprise Linux"),
    ("centos", "CentOS"),
    ("ol", "Oracle Linux"),
    ("sles", "SUSE Linux Enterprise"),
    ("opensuse", "SUSE openSUSE"),
    ("debian", "Debian GNU/Linux"),
    ("ubuntu", "Ubuntu Linux"),
    ("fedora", "Red Hat Fedora"),
    ("coreos", "CoreOS Linux"),
];

/// The operating system by a name that Azure Migrate knows, where it has one.
fn name(report: &Report) -> String {
    let guest = &report.guest;
    let pretty = guest.os.clone().unwrap_or_default();
    match guest.kind {
        Some(OsKind::Linux) => {
            let id = guest.id.as_deref().unwrap_or_default();
            let Some((_, name)) = NAMES.iter().find(|(known, _)| id.starts_with(known)) else {
                return pretty;
            };
            let version = guest.version.as_deref().unwrap_or_default();
            let major = version.split('.').next().unwrap_or_default();
            // Versions are parts of some names.
            let versioned = ["rhel", "sles", "debian"].contains(&id) && !major.is_empty();
            if versioned { format!("{name} {major}") } else { (*name).to_owned() }
        }
        Some(OsKind::Windows) | None => pretty,
    }
}

/// A line (RFC 4180). A cell that a spreadsheet would take for a formula is made a text.
fn line(cells: &[String]) -> String {
    let cell = |text: &String| {
        let text = escape(text).into_owned();
        let text = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text };
        let quoted = text.contains([',', '"']);
        if quoted { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
    };
    cells.iter().map(cell).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_ends_no_cell_and_is_no_formula() {
        let cells = ["a,b", "say \"x\"", "=cmd()", "two\nlines", "plain"].map(str::to_owned);
        assert_eq!(line(&cells), "\"a,b\",\"say \"\"x\"\"\",'=cmd(),two\\nlines,plain");
    }
}
