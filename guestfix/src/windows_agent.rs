//! Azure's agent for Windows, which somebody brought: the folder that a machine with it has below
//! `C:\WindowsAzure` ("Install the Azure Virtual Machine Agent in offline mode", Microsoft Learn, 2020-07-06).

use std::sync::Arc;

use crate::pe::Pe;
use crate::platform::azure;
use crate::{Error, Result};

/// How the folders are called that its installer and its updates make.
const VERSIONED: &str = "GuestAgent_";
/// And the one of its first installation.
const FIRST: &str = "Packages";
/// Bytes of a program by which it is known for one.
const HEAD: usize = 4096;

/// The files of the agent, and what its services start of them.
#[derive(Debug, Clone)]
pub struct WindowsAgent {
    /// Where they go, in the guest's tree.
    folder: String,
    /// By their paths below that, sorted.
    files: Vec<(String, Arc<[u8]>)>,
    programs: Vec<(&'static str, String)>,
}

impl WindowsAgent {
    /// The agent in a folder of this name: `files` are all in it, by their paths below it with `/` between names.
    ///
    /// # Errors
    /// `Refused` where a program of a service is missing or is none, or a name is none for Windows.
    pub fn new(name: &str, mut files: Vec<(String, Arc<[u8]>)>) -> Result<Self> {
        files.sort_by(|a, b| a.0.cmp(&b.0));
        let refused = |what: String| Err(Error::Refused(what));
        if let Some((path, _)) = files.iter().find(|(path, _)| !path.split('/').all(is_name)) {
            return refused(format!("{path} is no name for a file of Windows"));
        }
        let mut programs = Vec::new();
        for (service, program) in azure::WINDOWS_AGENTS {
            // Older ones have one of the two in a folder of its own.
            let is_it = |path: &str| {
                let depth = path.split('/').count();
                depth <= 2 && path.rsplit('/').next().is_some_and(|name| name.eq_ignore_ascii_case(program))
            };
            let Some((path, content)) = files.iter().find(|(path, _)| is_it(path)) else {
                return refused(format!("there is no {program}, which the service {service} starts"));
            };
            let head = content.get(..HEAD.min(content.len())).unwrap_or_default();
            if Pe::parse(head).is_none() {
                return refused(format!("{path} is no program of Windows"));
            }
            programs.push((service, path.clone()));
        }
        let known = name.get(..VERSIONED.len()).is_some_and(|head| head.eq_ignore_ascii_case(VERSIONED));
        let name = if known && is_name(name) { name } else { FIRST };
        Ok(Self { folder: format!("/WindowsAzure/{name}"), files, programs })
    }

    /// Each file: where it goes in the guest's tree, and what is in it.
    pub fn files(&self) -> impl Iterator<Item = (String, &Arc<[u8]>)> {
        self.files.iter().map(|(path, content)| (format!("{}/{path}", self.folder), content))
    }

    /// Each service with the command that it runs: `C:\WindowsAzure\…\WaAppAgent.exe`. The drive of Windows is
    /// `C:` to itself.
    pub fn services(&self) -> impl Iterator<Item = (&'static str, String)> {
        let command = |path: &String| format!("C:{}/{path}", self.folder).replace('/', "\\");
        self.programs.iter().map(move |(service, path)| (*service, command(path)))
    }
}

/// Whether Windows takes it for the name of a file ("Naming Files, Paths, and Namespaces", Microsoft Learn).
fn is_name(name: &str) -> bool {
    let is_bad = |c: char| c.is_control() || "\\/:*?\"<>|".contains(c);
    !name.is_empty()
        && !name.ends_with(['.', ' '])
        && !name.contains(is_bad)
        && name.encode_utf16().count() < 256
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of a program without sections.
    fn program() -> Arc<[u8]> {
        let mut file = vec![0; 0x100];
        (file[0], file[1], file[0x3c]) = (b'M', b'Z', 0x80);
        file[0x80..0x86].copy_from_slice(b"PE\0\0\x64\x86");
        file.into()
    }

    fn of(name: &str, paths: &[&str]) -> Result<WindowsAgent> {
        WindowsAgent::new(name, paths.iter().map(|path| ((*path).to_owned(), program())).collect())
    }

    #[test]
    fn both_layouts_are_known() {
        let name = "GuestAgent_2.7.41491.1083_2023-05-17_110503";
        let agent = of(name, &["WindowsAzureGuestAgent.exe", "waappagent.exe", "a/b.dll"]).unwrap();
        let files: Vec<_> = agent.files().map(|(path, _)| path).collect();
        assert_eq!(files[0], format!("/WindowsAzure/{name}/WindowsAzureGuestAgent.exe"));
        let services: Vec<_> = agent.services().collect();
        assert_eq!(services[1], ("RdAgent", format!("C:\\WindowsAzure\\{name}\\waappagent.exe")));
        let agent = of("donor", &["WaAppAgent.exe", "GuestAgent/WindowsAzureGuestAgent.exe"]).unwrap();
        let services: Vec<_> = agent.services().collect();
        let program = "C:\\WindowsAzure\\Packages\\GuestAgent\\WindowsAzureGuestAgent.exe";
        assert_eq!(services[0], ("WindowsAzureGuestAgent", program.to_owned()));
    }

    #[test]
    fn what_is_no_agent_is_refused_by_name() {
        let why = |paths: &[&str]| of("Packages", paths).unwrap_err().to_string();
        let both = ["WaAppAgent.exe", "WindowsAzureGuestAgent.exe"];
        assert_eq!(
            why(&both[..1]),
            "there is no WindowsAzureGuestAgent.exe, which the service WindowsAzureGuestAgent starts"
        );
        assert_eq!(
            why(&["a/b/WaAppAgent.exe", both[1]]),
            "there is no WaAppAgent.exe, which the service RdAgent starts"
        );
        for bad in ["a:b", "a/..", "a/", "nul\u{1}", "a\\b", "x ."] {
            assert_eq!(why(&[both[0], both[1], bad]), format!("{bad} is no name for a file of Windows"));
        }
        let text = both.map(|path| (path.to_owned(), Arc::from(&b"#!/bin/sh"[..])));
        let error = WindowsAgent::new("x", text.to_vec()).unwrap_err().to_string();
        assert_eq!(error, "WindowsAzureGuestAgent.exe is no program of Windows");
    }
}
