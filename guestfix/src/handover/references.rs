//! What the guest's configuration still says of AWS: each place with file and line, so that somebody decides.
//!
//! A bounded look at the folders where applications are configured. What was not looked at is counted and
//! said.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use libdisk::vfs::{FileType, Metadata};
use regex::{Regex, RegexSet};
use serde::Serialize;

use crate::platform::aws;
use crate::rule::{Evidence, Place};
use crate::secrets::{is_secret, is_secret_text, masked};
use crate::text::bytes;
use crate::{Result, View};

/// The folders that are looked through.
pub const FOLDERS: [&str; 7] =
    ["/etc", "/opt", "/srv", "/var/www", "/var/spool/cron", "/usr/local/etc", "/inetpub"];

/// Folders of them that no person writes: what comes with packages, caches, histories.
const LEFT_OUT: [&str; 12] = [
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/pki/ca-trust",
    "/etc/selinux",
    "/etc/ssl/certs",
    "/etc/udev/hwdb.d",
    "/opt/aws",
    "/opt/amazon",
    "/etc/services",
    "/etc/mime.types",
    "/etc/localtime",
    "/etc/ld.so.cache",
];
/// Names of folders that hold other people's work, wherever they are.
const FOREIGN: [&str; 6] = [".git", "node_modules", "site-packages", "vendor", "__pycache__", ".svn"];

/// The most files that are read, bytes of one, bytes of all, names that are looked at, folders below each
/// other, and places that are kept.
const FILES: usize = 5_000;
const FILE: u64 = 256 << 10;
const BYTES: u64 = 64 << 20;
const NAMES: usize = 50_000;
const DEPTH: usize = 12;
const FOUND: usize = 2_000;
/// The longest piece of a line that is shown, in characters.
const SHOWN: usize = 160;

/// One place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reference {
    /// What of AWS it names: "database (RDS)".
    pub kind: &'static str,
    /// File and line.
    pub place: Place,
    /// The line, secrets in it masked; the name alone where the whole file is a secret.
    pub text: String,
}

/// All places, and what was not looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct References {
    /// By file and line.
    pub found: Vec<Reference>,
    /// How many files were read.
    pub files: usize,
    /// What was left out, and how often: "larger than 256 KiB".
    pub left_out: BTreeMap<&'static str, usize>,
    /// What could not be read, and why.
    pub unread: Vec<Evidence>,
}

/// A private address, and a text that says where a service is and who asks: what a move of networks changes.
const ELSEWHERE: [(&str, &str); 2] = [
    (
        "connection string",
        r"jdbc:[a-z]+:|(?:mysql|postgres(?:ql)?|mongodb(?:\+srv)?|rediss?|amqps?|mssql|sqlserver|ldaps?)://|(?i-u:data source|server) *=[^;]{1,200};",
    ),
    (
        "private address",
        r"\b(?:10\.(?:[0-9]{1,3}\.){2}[0-9]{1,3}|192\.168\.[0-9]{1,3}\.[0-9]{1,3}|172\.(?:1[6-9]|2[0-9]|3[01])\.[0-9]{1,3}\.[0-9]{1,3})\b",
    ),
];

fn kinds() -> impl Iterator<Item = (&'static str, &'static str)> {
    aws::NAMED.into_iter().chain(ELSEWHERE)
}

static ANY: LazyLock<Option<RegexSet>> =
    LazyLock::new(|| RegexSet::new(kinds().map(|(_, pattern)| pattern)).ok());
static EACH: LazyLock<Vec<Regex>> =
    LazyLock::new(|| kinds().filter_map(|(_, pattern)| Regex::new(pattern).ok()).collect());

/// Looks through the guest.
///
/// # Errors
/// None for what cannot be read, which is part of the answer; what the view reports otherwise.
pub fn references(view: &dyn View) -> Result<References> {
    let mut scan = Scan { view, all: References::default(), names: 0, bytes: 0 };
    for folder in FOLDERS {
        scan.folder(folder, 0);
    }
    let mut all = scan.all;
    all.found.sort_by(|a, b| a.place.cmp(&b.place));
    Ok(all)
}

struct Scan<'a> {
    view: &'a dyn View,
    all: References,
    names: usize,
    bytes: u64,
}

impl Scan<'_> {
    fn leave_out(&mut self, why: &'static str) {
        *self.all.left_out.entry(why).or_default() += 1;
    }

    fn unread(&mut self, path: &str, why: &crate::Error) {
        self.all.unread.push(Evidence::new(Place::file(path), why.to_string()));
    }

    fn folder(&mut self, path: &str, depth: usize) {
        if depth > DEPTH {
            return self.leave_out("folders deeper than 12");
        }
        let names = match self.view.list(path) {
            Ok(names) => names,
            Err(error) => return self.unread(path, &error),
        };
        for name in names {
            self.names += 1;
            if self.names > NAMES {
                return self.leave_out("names after the first 50,000");
            }
            let path = format!("{path}/{name}");
            if LEFT_OUT.contains(&path.as_str()) || FOREIGN.contains(&name.as_str()) {
                self.leave_out("folders of packages, certificates and repositories");
                continue;
            }
            match self.view.lstat(&path) {
                Ok(Some(node)) if node.file_type == FileType::Directory => self.folder(&path, depth + 1),
                Ok(Some(node)) if node.file_type == FileType::Regular => self.file(&path, &node),
                // A link leads to a file that is looked at where it is, or is none of these folders.
                Ok(_) => {}
                Err(error) => self.unread(&path, &error),
            }
        }
    }

    fn file(&mut self, path: &str, node: &Metadata) {
        if node.size > FILE {
            return self.leave_out("files larger than 256 KiB");
        }
        if self.all.files >= FILES || self.bytes + node.size > BYTES {
            return self.leave_out("files after the first 5,000 or 64 MiB");
        }
        let content = match self.view.read(path) {
            Ok(content) => content.unwrap_or_default(),
            Err(error) => return self.unread(path, &error),
        };
        self.all.files += 1;
        self.bytes += node.size;
        if content.iter().take(8 << 10).any(|byte| *byte == 0) {
            return self.leave_out("files that are no text");
        }
        let text = bytes::decode(&content);
        let secret = is_secret(path) || is_secret_text(&text);
        for (number, line) in (1..).zip(text.lines()) {
            if self.all.found.len() >= FOUND {
                return self.leave_out("files after the first 2,000 places");
            }
            if let Some(kind) = kind_of(line) {
                let text = if secret { "(the file is a secret, and not shown)".into() } else { shown(line) };
                self.all.found.push(Reference { kind, place: Place::line(path, number), text });
            }
        }
    }
}

/// What a line names; a comment names nothing.
fn kind_of(line: &str) -> Option<&'static str> {
    let line = line.trim_start();
    if line.starts_with(['#', ';']) || line.starts_with("//") || line.starts_with("<!--") {
        return None;
    }
    let found = ANY.as_ref()?.matches(line).iter().next()?;
    kinds().nth(found).map(|(kind, _)| kind)
}

/// A line for people: around what it names, without secrets.
fn shown(line: &str) -> String {
    let line = masked(line.trim());
    let at = EACH.iter().find_map(|pattern| pattern.find(&line)).map_or(0, |found| found.start());
    let before = line.get(..at).unwrap_or_default().chars().count();
    let from = if before > SHOWN / 2 { before - SHOWN / 4 } else { 0 };
    let piece: String = line.chars().skip(from).take(SHOWN).collect();
    let (head, tail) = (from > 0, from + SHOWN < line.chars().count());
    format!("{}{piece}{}", if head { "..." } else { "" }, if tail { "..." } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn every_kind_is_known_by_a_line_of_it() {
        assert_eq!(EACH.len(), kinds().count());
        let lines = [
            ("database (RDS)", "DB_HOST=prod.c9akciq32.eu-west-1.rds.amazonaws.com"),
            ("cache (ElastiCache)", "cache: web.abc.0001.euw1.cache.amazonaws.com:6379"),
            ("queue (SQS)", "url = https://sqs.eu-west-1.amazonaws.com/123456789012/jobs"),
            ("load balancer (ELB)", "proxy_pass http://internal-web-12.eu-west-1.elb.amazonaws.com;"),
            ("file system (EFS or FSx)", "fs-0123456789abcdef0.efs.eu-west-1.amazonaws.com:/ /data nfs4 0 0"),
            ("container registry (ECR)", "image: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/web:1"),
            ("object storage (S3)", "aws s3 sync s3://backups/x /srv"),
            ("object storage (S3)", "endpoint=https://assets.s3.eu-west-1.amazonaws.com/x"),
            ("AWS endpoint", "endpoint=https://kms.eu-west-1.amazonaws.com"),
            ("resource name (ARN)", "role_arn = arn:aws:iam::123456789012:role/web"),
            ("access key", "aws_access_key_id = AKIAABCDEFGHIJKLMNOP"),
            ("private host name of EC2", "server ip-10-0-1-17.eu-west-1.compute.internal"),
            ("metadata service", "curl http://169.254.169.254/latest/meta-data/"),
            ("name server or clock of a VPC", "server 169.254.169.123 prefer iburst"),
            ("connection string", "url=jdbc:postgresql://db:5432/app"),
            ("connection string", "\"Server=db01;Database=app;User Id=sa;\""),
            ("private address", "upstream app { server 10.0.3.21:8080; }"),
        ];
        for (kind, line) in lines {
            assert_eq!(kind_of(line), Some(kind), "{line}");
        }
        for line in
            ["# server 10.0.3.21", "Listen 80", "version 1.10.0.3", "; s3://x", "8.8.8.8", "310.0.0.1"]
        {
            assert_eq!(kind_of(line), None, "{line}");
        }
    }

    #[test]
    fn a_secret_is_masked_and_what_was_left_out_is_said() {
        let long = format!("{} endpoint=https://kms.eu-west-1.amazonaws.com\n", "x".repeat(400));
        let guest = Bench::debian()
            .file("/etc/app.conf", "[db]\nurl=postgres://app:hunter2@db.rds.amazonaws.com/x\n")
            .file("/srv/long.conf", &long)
            .file("/root/app.conf", "s3://not-looked-at\n")
            .file("/opt/big.log", "s3://x\n".repeat(60_000))
            .file("/etc/keys/a.conf", "s3://in-a-secret\n");
        let all = guest.guest(|guest| references(guest.view)).unwrap();
        let text = |place: &str| {
            let found = all.found.iter().find(|one| one.place.to_string() == place);
            found.map(|one| one.text.clone()).unwrap_or_default()
        };
        assert_eq!(all.found.len(), 3, "{all:?}");
        assert!(text("/etc/app.conf:2").contains("db.rds.amazonaws.com"));
        assert!(!text("/etc/app.conf:2").contains("hunter2"));
        assert!(text("/srv/long.conf:1").contains("kms.eu-west-1"));
        assert!(!text("/etc/keys/a.conf:1").contains("in-a-secret"));
        assert_eq!(all.left_out.get("files larger than 256 KiB"), Some(&1));
    }
}
