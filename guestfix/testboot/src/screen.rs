//! The screen of a machine that says nothing on its serial console, as far as it shows text.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Where a VGA card has its text in memory, and how long it is: 25 rows of 80 characters, each with a byte of
/// colours behind it.
const PAGE: (u32, usize) = (0xb8000, 25 * ROW);
const ROW: usize = 80 * 2;

/// How long QEMU is given to write it down; on a busy host that takes a while.
const PATIENCE: Duration = Duration::from_secs(5);

/// The rows with something in them. QEMU, whose monitor listens at `monitor`, writes the page to the file
/// `page`; nothing if it does not.
pub(crate) fn rows(monitor: &Path, page: &Path, cancel: &AtomicBool) -> Vec<String> {
    // What was there before.
    drop(fs::remove_file(page));
    let Ok(mut stream) = UnixStream::connect(monitor) else { return Vec::new() };
    let command = format!("pmemsave {:#x} {} \"{}\"\n", PAGE.0, PAGE.1, page.display());
    if stream.write_all(command.as_bytes()).is_err() {
        return Vec::new();
    }
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until && !cancel.load(Ordering::Relaxed) {
        match fs::read(page) {
            Ok(bytes) if bytes.len() == PAGE.1 => return text(&bytes),
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    Vec::new()
}

fn text(page: &[u8]) -> Vec<String> {
    let row = |row: &[u8]| -> String {
        let characters = row.iter().step_by(2).map(|byte| match byte {
            0x20..=0x7e => char::from(*byte),
            _ => ' ',
        });
        characters.collect::<String>().trim_end().to_owned()
    };
    page.chunks_exact(ROW).map(row).filter(|row| !row.trim().is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixListener;

    use super::*;

    fn page(rows: &[&str]) -> Vec<u8> {
        let mut page = [b' ', 7].repeat(PAGE.1 / 2);
        for (number, row) in rows.iter().enumerate() {
            for (at, byte) in row.bytes().enumerate() {
                page[number * ROW + at * 2] = byte;
            }
        }
        page
    }

    #[test]
    fn the_rows_are_what_qemu_writes_down() {
        let folder = tempfile::tempdir().unwrap();
        let (monitor, file) = (folder.path().join("monitor"), folder.path().join("screen"));
        assert!(rows(&monitor, &file, &AtomicBool::new(false)).is_empty());
        let listener = UnixListener::bind(&monitor).unwrap();
        let qemu = std::thread::spawn(move || {
            let mut command = String::new();
            BufReader::new(listener.accept().unwrap().0).read_line(&mut command).unwrap();
            let name = command.trim().strip_prefix("pmemsave 0xb8000 4000 \"").unwrap();
            let page = page(&["XZ-compressed data is corrupt", "", " -- System halted\u{1}"]);
            fs::write(name.strip_suffix('"').unwrap(), page).unwrap();
        });
        assert_eq!(
            rows(&monitor, &file, &AtomicBool::new(false)),
            ["XZ-compressed data is corrupt", " -- System halted"]
        );
        qemu.join().unwrap();
    }
}
