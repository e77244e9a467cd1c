//! Azurite, Microsoft's emulator of Azure Storage: a judge of what reads and writes blobs, as nobody here
//! wrote it.
//!
//! It keeps blobs in files and spends some 16 CPU seconds on a GiB: for right or wrong, never for speed. Known
//! to differ from the service: it takes puts of more than 4 MiB, tells each put as a page range of its own,
//! and never throttles.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tempfile::TempDir;

use crate::{cache, judge, length};

/// Azurite and the Node.js that it needs, each package with the digest of what it holds.
const PACKAGE: &str = include_str!("package.json");
const LOCK: &str = include_str!("package-lock.json");

/// The account that every Azurite has, with its key: both are in its documentation.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// The one container.
const CONTAINER: &str = "vhds";

/// A running Azurite with one empty container; dropping it stops it and removes what it held.
#[derive(Debug)]
pub struct Azurite {
    child: Child,
    address: String,
    _data: TempDir,
}

impl Azurite {
    /// Starts Azurite on a free port of loopback; `None`, after a visible skip, when it cannot be had.
    ///
    /// # Panics
    /// When it does not start, or when it cannot be had and `CI=true`.
    #[track_caller]
    pub fn start() -> Option<Self> {
        let modules = modules()?;
        let data = tempfile::tempdir_in(cache::directory()).expect("a folder for blobs");
        let mut child = Command::new(modules.join(".bin/node"))
            .arg(modules.join("azurite/dist/src/blob/main.js"))
            .args([
                "--silent",
                "--blobHost",
                "127.0.0.1",
                "--blobPort",
                "0",
                "--disableTelemetry",
                "--location",
            ])
            .arg(data.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Node.js starts");
        let lines = BufReader::new(child.stdout.take().expect("a piped stdout")).lines();
        let mut lines = lines.map_while(Result::ok);
        let address = lines.find_map(|line| Some(line.split_once("listens on http://")?.1.trim().to_owned()));
        // Nobody reads on: it is silent from here.
        let azurite = Self { child, address: address.expect("Azurite did not start"), _data: data };
        let query = format!("restype=container&{}", azurite.sas("rwdlac", LATER));
        let (status, _) =
            azurite.request("PUT", &format!("/{ACCOUNT}/{CONTAINER}?{query}")).expect("an answer");
        assert_eq!(status, 201, "the container is made");
        Some(azurite)
    }

    /// The URL of a blob in its container, without a signature.
    pub fn url(&self, blob: &str) -> String {
        format!("http://{}/{ACCOUNT}/{CONTAINER}/{blob}", self.address)
    }

    /// A shared access signature of the account, with these permissions ("r", "rwdlac"), until `ends`
    /// ("2099-01-01T00:00:00Z"). "Create an account SAS", learn.microsoft.com.
    pub fn sas(&self, permissions: &str, ends: &str) -> String {
        let (version, starts) = ("2018-11-09", "2020-01-01T00:00:00Z");
        let signed = format!("{ACCOUNT}\n{permissions}\nb\nsco\n{starts}\n{ends}\n\nhttps,http\n{version}\n");
        let key = BASE64_STANDARD.decode(KEY).expect("the key is base64");
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key of any length");
        mac.update(signed.as_bytes());
        let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
        let encoded =
            |text: &str| text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D").replace(':', "%3A");
        format!(
            "sv={version}&ss=b&srt=sco&sp={permissions}&st={}&se={}&spr=https,http&sig={}",
            encoded(starts),
            encoded(ends),
            encoded(&signature)
        )
    }

    /// A signature that allows everything for long.
    pub fn all(&self) -> String {
        self.sas("rwdlac", LATER)
    }

    /// What is in a blob, read as any HTTP client reads it.
    ///
    /// # Panics
    /// When it cannot be read.
    #[track_caller]
    pub fn download(&self, blob: &str) -> Vec<u8> {
        let path = format!("/{ACCOUNT}/{CONTAINER}/{blob}?{}", self.all());
        let (status, body) = self.request("GET", &path).expect("an answer");
        assert_eq!(status, 200, "{blob}");
        body
    }

    /// Writes a page blob that ends with a page that is not zero, as a VHD does, into a new file: the ranges that it
    /// lists ("Get Page Ranges", learn.microsoft.com), read as any HTTP client reads them, and holes between.
    ///
    /// # Panics
    /// When it cannot be read or written.
    #[track_caller]
    pub fn copy_to(&self, blob: &str, path: &Path) {
        let at = format!("/{ACCOUNT}/{CONTAINER}/{blob}?{}", self.all());
        let (status, list) = self.request("GET", &format!("{at}&comp=pagelist")).expect("an answer");
        assert_eq!(status, 200, "{blob}");
        let list = String::from_utf8(list).expect("a list is text");
        let numbers = |name: &str| -> Vec<u64> {
            let tag = format!("<{name}>");
            list.split(&tag)
                .skip(1)
                .map(|part| part.split('<').next().and_then(|text| text.parse().ok()).expect("a number"))
                .collect()
        };
        let file = File::create(path).expect("a file");
        for (start, end) in numbers("Start").into_iter().zip(numbers("End")) {
            let range = format!("x-ms-range: bytes={start}-{end}\r\n");
            let (status, bytes) = self.send("GET", &at, &range, &[]).expect("an answer");
            assert_eq!((status, bytes.len() as u64), (206, end + 1 - start), "{blob}");
            file.write_all_at(&bytes, start).expect("a file that can be written");
        }
    }

    /// Makes a block blob of these bytes.
    ///
    /// # Panics
    /// When it is refused.
    #[track_caller]
    pub fn upload_block_blob(&self, blob: &str, bytes: &[u8]) {
        let path = format!("/{ACCOUNT}/{CONTAINER}/{blob}?{}", self.all());
        let (status, _) = self.send("PUT", &path, "x-ms-blob-type: BlockBlob\r\n", bytes).expect("an answer");
        assert_eq!(status, 201, "{blob}");
    }

    fn request(&self, method: &str, path: &str) -> Result<(u16, Vec<u8>)> {
        self.send(method, path, "", &[])
    }

    /// One request on a connection of its own; the status and the body.
    fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Result<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect(&self.address)?;
        let (host, length) = (&self.address, body.len());
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n\
             x-ms-version: 2019-12-12\r\n{headers}\r\n"
        )?;
        stream.write_all(body)?;
        let mut answer = BufReader::new(stream);
        let (mut line, mut status, mut chunked) = (String::new(), None, false);
        while answer.read_line(&mut line)? > 2 {
            status = status.or_else(|| line.split(' ').nth(1)?.parse().ok());
            chunked |= line.to_ascii_lowercase().starts_with("transfer-encoding: chunked");
            line.clear();
        }
        let mut bytes = Vec::new();
        if chunked {
            loop {
                line.clear();
                answer.read_line(&mut line)?;
                let length = u64::from_str_radix(line.trim(), 16).context("the length of a chunk")?;
                if length == 0 {
                    break;
                }
                (&mut answer).take(length).read_to_end(&mut bytes)?;
                answer.read_exact(&mut [0; 2])?;
            }
        } else {
            answer.read_to_end(&mut bytes)?;
        }
        Ok((status.context("an answer without a status")?, bytes))
    }
}

/// A day that no test sees.
const LATER: &str = "2099-01-01T00:00:00Z";

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder `node_modules` with Azurite, made in the cache by the first who asks; `None`, after a visible
/// skip, without npm or a network.
fn modules() -> Option<PathBuf> {
    // Once for all tests of a program: to find out that there is no network takes a while.
    static MODULES: OnceLock<Result<PathBuf>> = OnceLock::new();
    if length::quick() {
        judge::skip("Azurite, which a quick run leaves out");
        return None;
    }
    judge::need("npm")?;
    let recipe = [PACKAGE.as_bytes(), LOCK.as_bytes()];
    match MODULES.get_or_init(|| cache::cached("azurite", &recipe, install)) {
        Ok(folder) => Some(folder.join("node_modules")),
        Err(error) => {
            judge::missing(&format!("Azurite from npm ({error:#})"));
            None
        }
    }
}

fn install(out: &Path) -> Result<()> {
    let folder = out.join("azurite");
    cache::npm(&folder, PACKAGE, LOCK)?;
    ensure!(folder.join("node_modules/.bin/node").exists(), "there is no Node.js for this kind of machine");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_open_it_and_others_do_not() {
        let Some(azurite) = Azurite::start() else { return };
        azurite.upload_block_blob("some.txt", b"text");
        assert_eq!(azurite.download("some.txt"), b"text");
        for query in [
            azurite.sas("r", "2021-01-01T00:00:00Z"),
            azurite.sas("w", LATER),
            azurite.all().replace("sig=", "sig=x"),
        ] {
            let (status, body) =
                azurite.request("GET", &format!("/{ACCOUNT}/{CONTAINER}/some.txt?{query}")).unwrap();
            assert_eq!(status, 403, "{}", String::from_utf8_lossy(&body));
        }
    }
}
