//! moto, the AWS emulator of PyPI: a judge of what reads EBS snapshots, and of what keeps files in S3, as nobody here
//! wrote it.
//!
//! It keeps every block in memory and serves them from one Python process: for images of some MiB, and for
//! right or wrong, never for speed. Known to differ from the service: one page whatever is asked for, block
//! tokens that are not checked and do not expire, no lineage, no throttling, and HTTP 500 for an unknown
//! snapshot. Of S3 it honours `If-Match` and `If-None-Match`, but looks and writes in two steps, and another
//! write may come between them: it is made to take one write at a time.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{boto, judge};

/// A running moto; dropping it stops it.
#[derive(Debug)]
pub struct Moto {
    python: PathBuf,
    child: Child,
    endpoint: String,
}

impl Moto {
    /// Starts moto on a free port of loopback; `None`, after a visible skip, when it cannot be had.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub fn start() -> Option<Self> {
        let python = boto::python()?;
        let mut child = Command::new(&python)
            .args(["-c", include_str!("serve.py")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let mut port = String::new();
        let stdout = child.stdout.take().expect("a piped stdout");
        BufReader::new(stdout).read_line(&mut port).expect("moto tells its port");
        let moto = Self { python, child, endpoint: format!("http://127.0.0.1:{}", port.trim()) };
        assert!(port.trim().parse::<u16>().is_ok(), "moto did not start");
        Some(moto)
    }

    /// Its URL, without a slash at the end. Any credentials do; the region is [`boto::REGION`].
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Makes an empty bucket in S3.
    ///
    /// # Panics
    /// When moto or boto3 refuses.
    #[track_caller]
    pub fn bucket(&self, name: &str) {
        let mut boto = boto::Boto::start(&self.endpoint, "test", "test").expect("boto3 is where moto is");
        let made = boto.call("s3", "create_bucket", serde_json::json!({ "Bucket": name }));
        assert!(made.is_ok(), "{made:?}");
    }

    /// Makes a completed snapshot of the raw image `image` (all-zero blocks are left out); its id.
    ///
    /// # Panics
    /// When moto or boto3 refuses.
    #[track_caller]
    pub fn snapshot(&self, image: &Path, tags: &BTreeMap<&str, &str>) -> String {
        let mut command = Command::new(&self.python);
        command.args(["-c", include_str!("load.py"), &self.endpoint, boto::REGION]).arg(image);
        command.arg(serde_json::to_string(tags).expect("strings become JSON"));
        let output = judge::run(&mut command);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write};

    use serde_json::json;

    use super::*;
    use crate::boto::Boto;

    const BLOCK: u64 = 512 << 10;

    #[test]
    fn images_become_snapshots_whose_changes_are_told() {
        let Some(moto) = Moto::start() else { return };
        let mut boto = Boto::start(moto.endpoint(), "test", "test").expect("boto3 is where moto is");
        let mut image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(5 * BLOCK + 512).unwrap();
        let mut put = |block: u64, text: &[u8]| {
            image.seek(SeekFrom::Start(block * BLOCK + 7)).unwrap();
            image.write_all(text).unwrap();
            image.path().to_owned()
        };
        put(0, b"first");
        put(2, b"kept");
        let path = put(5, b"tail");
        let first = moto.snapshot(&path, &BTreeMap::from([("set", "one")]));
        put(0, &[0; 5]);
        put(1, b"new");
        put(5, b"tale");
        let second = moto.snapshot(&path, &BTreeMap::new());

        let listed = boto.call("ebs", "list_snapshot_blocks", json!({ "SnapshotId": first })).unwrap();
        assert_eq!((&listed["BlockSize"], &listed["VolumeSize"]), (&json!(BLOCK), &json!(1)));
        let indexes = |blocks: &serde_json::Value| -> Vec<_> {
            blocks.as_array().unwrap().iter().map(|block| block["BlockIndex"].as_u64().unwrap()).collect()
        };
        assert_eq!(indexes(&listed["Blocks"]), [0, 2, 5]);
        let arguments = json!({ "FirstSnapshotId": first, "SecondSnapshotId": second });
        let changed = boto.call("ebs", "list_changed_blocks", arguments).unwrap();
        assert_eq!(indexes(&changed["ChangedBlocks"]), [0, 1, 5]);
        assert!(changed["ChangedBlocks"][0]["SecondBlockToken"].is_null(), "{changed}");
        assert!(changed["ChangedBlocks"][1]["FirstBlockToken"].is_null(), "{changed}");

        let token = &listed["Blocks"][2]["BlockToken"];
        let arguments = json!({ "SnapshotId": first, "BlockIndex": 5, "BlockToken": token });
        let block = boto.call("ebs", "get_snapshot_block", arguments).unwrap();
        assert_eq!((&block["BlockData"]["length"], &block["DataLength"]), (&json!(BLOCK), &json!(BLOCK)));
        assert_eq!(block["BlockData"]["sha256"], block["Checksum"]);

        let found = boto.call("ec2", "describe_snapshots", json!({ "SnapshotIds": [first] })).unwrap();
        assert_eq!(found["Snapshots"][0]["State"], "completed");
        assert_eq!(found["Snapshots"][0]["Tags"], json!([{ "Key": "set", "Value": "one" }]));
    }
}
