//! A serial console as lines of text, without the escapes that colour it and move its cursor.

/// A longer line is cut: no console writes one, but a guest might.
const LONGEST: usize = 8 << 10;

/// Takes the bytes of a serial port and gives lines.
#[derive(Debug, Default)]
pub struct Console {
    state: State,
    line: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// In `ESC [ ...`, which a byte from `@` to `~` ends.
    Control,
    /// In `ESC ] ...`, which BEL or ESC ends.
    Command,
    /// In `ESC ( x` and the like: one byte more.
    Charset,
}

impl Console {
    /// Takes `bytes`, and hands each line that they end to `line`. A carriage return and a cursor movement to
    /// another place end a line too: that is how boot loaders draw menus and systemd redraws its
    /// progress.
    pub fn feed(&mut self, bytes: &[u8], mut line: impl FnMut(&str)) {
        for byte in bytes {
            match (self.state, byte) {
                (State::Text, 0x1b) => self.state = State::Escape,
                (State::Text, b'\n' | b'\r') => self.end(&mut line),
                (State::Text, 0..=0x08 | 0x0b..=0x1f | 0x7f) => {}
                (State::Text, _) if self.line.len() < LONGEST => self.line.push(*byte),
                (State::Text, _) => {}
                (State::Escape, b'[') => self.state = State::Control,
                (State::Escape, b']') => self.state = State::Command,
                (State::Escape, b'(' | b')' | b'#' | b'%') => self.state = State::Charset,
                (State::Control, 0x20..=0x3f) => {}
                (State::Control, b'H' | b'f') => {
                    self.state = State::Text;
                    self.end(&mut line);
                }
                (State::Command, 0x1b) => self.state = State::Escape,
                (State::Command, 0x07) => self.state = State::Text,
                (State::Command, _) => {}
                (State::Escape | State::Control | State::Charset, _) => self.state = State::Text,
            }
        }
    }

    /// The line that has not ended yet: a prompt, perhaps.
    pub fn pending(&self) -> String {
        String::from_utf8_lossy(&self.line).into_owned()
    }

    fn end(&mut self, line: &mut impl FnMut(&str)) {
        let text = String::from_utf8_lossy(&self.line);
        if !text.trim().is_empty() {
            line(&text);
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> (Vec<String>, String) {
        let mut console = Console::default();
        let mut lines = Vec::new();
        // One byte at a time: an escape may be cut anywhere.
        for byte in text {
            console.feed(&[*byte], |line| lines.push(line.to_owned()));
        }
        (lines, console.pending())
    }

    #[test]
    fn colours_and_cursor_movements_are_taken_out() {
        let (found, pending) = lines(
            b"c\x1b[?7l\x1b[2J\x1b[0mSeaBIOS (version 1.16.2)\r\n\x1b[m\x1b[4;2H+--+\x1b[5;2H|\
              [\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39mlocal-fs.target\x1b[0m.\r\r\nhost login: ",
        );
        assert_eq!(found, ["cSeaBIOS (version 1.16.2)", "+--+", "|[  OK  ] Reached target local-fs.target."]);
        assert_eq!(pending, "host login: ");
    }

    #[test]
    fn redrawn_progress_is_a_line_each_time() {
        let (found, _) = lines(
            b"[ *** ] Job a/start running (1s / 9s)\x1b\r\r\x1b[K[***  ] Job a/start running (2s / 9s)\r",
        );
        assert_eq!(found, ["[ *** ] Job a/start running (1s / 9s)", "[***  ] Job a/start running (2s / 9s)"]);
    }

    #[test]
    fn an_endless_line_does_not_grow() {
        assert!(lines(&vec![b'x'; 3 * LONGEST]).1.len() <= LONGEST);
    }
}
