//! Free memory that stays with this machine while it is measured.

use std::fs;

/// From which order on free pages are handed back: `Documentation/mm/free_page_reporting.rst` of Linux.
const ORDER: &str = "/sys/module/page_reporting/parameters/page_reporting_order";
/// Larger than the largest block of free pages (`MAX_PAGE_ORDER`, 10): none is handed back.
const NONE: &str = "11";

/// While this lives, a virtual machine does not hand free pages back to its host. Otherwise it does so when an
/// output is removed, and the next program pays for each of them again, as system time that is several times
/// what the copy itself takes, and now one side's, now the other's.
#[derive(Debug)]
pub struct KeptPages {
    told: &'static str,
    /// What was set before.
    before: Option<String>,
}

impl KeptPages {
    /// Keeps them, where they are handed back and we may change that.
    pub fn keep() -> Self {
        let Ok(before) = fs::read_to_string(ORDER) else {
            return Self { told: "free pages stay with this machine", before: None };
        };
        match fs::write(ORDER, NONE) {
            Ok(()) => {
                let told = "free pages are kept from the host while this runs";
                Self { told, before: Some(before) }
            }
            Err(_) => {
                let told = "free pages go back to the host: whoever takes them next pays for that, and both sides' \
                            times are the longer for it";
                Self { told, before: None }
            }
        }
    }

    /// What becomes of them, for people.
    pub fn told(&self) -> &'static str {
        self.told
    }
}

impl Drop for KeptPages {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = fs::write(ORDER, before.trim());
        }
    }
}
