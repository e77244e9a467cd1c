//! The log of a serial console that somebody else keeps, read as a boot is.

use std::time::Duration;

use guestfix::bootwalk::HopKind;

use crate::console::Console;
use crate::verdict::{Reading, Verdict};

/// What a log tells so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How the boot ended, if it did, and what comes now cannot change it.
    pub verdict: Option<Verdict>,
    /// The same if nothing comes any more.
    pub silent: Option<Verdict>,
    /// The last hop reached.
    pub reached: Option<HopKind>,
    /// Devices in `/etc/fstab` that systemd waited for.
    pub waited_for: Vec<String>,
    /// After how long a silence nothing comes any more.
    pub patience: Duration,
}

impl Log {
    /// Reads all of it.
    pub fn of(bytes: &[u8]) -> Self {
        let (mut console, mut reading) = (Console::default(), Reading::default());
        console.feed(bytes, |line| drop(reading.line(line)));
        // What has no end yet may be a prompt.
        reading.prompt(&console.pending());
        Self {
            verdict: reading.verdict(false),
            silent: reading.silent(),
            reached: reading.reached(),
            waited_for: reading.waited_for().to_vec(),
            patience: reading.patience(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_as_far_as_it_goes() {
        let start = b"\x1b[2JBdsDxe: loading Boot0001\r\n[    0.0] Linux version 6.1\r\n".as_slice();
        let log = Log::of(start);
        assert_eq!((log.verdict, log.reached), (None, Some(HopKind::Kernel)));
        let whole = [start, b"Debian GNU/Linux 12 web ttyS0\r\n\r\nweb login: \0\0\0"].concat();
        assert_eq!(Log::of(&whole).verdict, Some(Verdict::Login));
        let stopped =
            [start, b"ALERT!  UUID=1 does not exist.  Dropping to a shell!\r\n(initramfs) "].concat();
        let Some(Verdict::Stopped { hop, .. }) = Log::of(&stopped).verdict else { panic!() };
        assert_eq!(hop, HopKind::Root);
        assert_eq!(Log::of(b"").silent, None);
    }
}
