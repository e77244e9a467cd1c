//! The state of a fleet in S3 or in Azure: each file is an object.

use std::fmt;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use guestfix::edit::hex;
use libdisk::cloud::ebs;
use libdisk::cloud::objects::{Objects, Place};
use sha2::{Digest, Sha256};

use super::sent::Sent;
use super::store::{Entry, Kept, Store};
use crate::name;

/// How often a log is written, at most: each time all of it goes over the network.
const TELL: Duration = Duration::from_secs(20);
/// So much is kept of a log, in bytes; what is older goes.
const LOG: usize = 1 << 20;

/// The objects below one place.
#[derive(Debug)]
pub(crate) struct Remote {
    objects: Arc<Objects>,
    /// The folder of this machine for what may be fetched again.
    local: PathBuf,
}

impl Remote {
    /// With a folder of this machine for what may be fetched again.
    pub(crate) fn new(objects: Objects, local: &Path) -> Self {
        let place = hex(&Sha256::digest(objects.place().to_string()));
        let local = local.join("fleet").join(place.chars().take(16).collect::<String>());
        Self { objects: Arc::new(objects), local }
    }
}

/// Where this machine keeps what may be fetched again.
pub(super) fn local() -> PathBuf {
    let cache = ebs::default_folder().and_then(|ebs| ebs.parent().map(ToOwned::to_owned));
    cache.unwrap_or_else(|| std::env::temp_dir().join("refloat"))
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.objects.place())
    }
}

impl Store for Remote {
    fn read(&self, key: &str) -> Result<Option<Entry>> {
        let object = self.objects.get(key)?;
        Ok(object.map(|object| Entry {
            bytes: object.bytes,
            version: object.version,
            written: object.written,
        }))
    }

    fn write(&self, key: &str, bytes: &[u8]) -> Result<()> {
        Ok(self.objects.put(key, bytes)?)
    }

    fn swap(&self, key: &str, version: Option<&str>, bytes: &[u8]) -> Result<Option<String>> {
        Ok(self.objects.swap(key, version, bytes)?)
    }

    fn append(&self, key: &str) -> Result<Box<dyn Write + Send>> {
        let objects = Arc::clone(&self.objects);
        Ok(Box::new(Log { objects, key: key.to_owned(), waiting: Vec::new(), told: Instant::now() }))
    }

    fn now(&self) -> Result<u64> {
        self.objects.now().context("nothing is known of the service's clock yet")
    }

    /// On this machine alone: another one fetches it again.
    fn folder(&self, key: &str) -> Result<PathBuf> {
        let path = self.local.join(key);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("{}: cannot be made", name::shown(&path)))?;
        Ok(path)
    }

    fn kept(&self, key: &str) -> Result<Box<dyn Kept>> {
        Ok(Box::new(Sent::fetch(&self.objects, key, self.folder(key)?)?))
    }

    fn typed(&self) -> String {
        self.objects.place().to_string()
    }

    fn place(&self) -> Option<&Place> {
        Some(self.objects.place())
    }
}

/// A log that grows: what is new is written behind what is there, whoever wrote that.
struct Log {
    objects: Arc<Objects>,
    key: String,
    waiting: Vec<u8>,
    told: Instant,
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.waiting.extend_from_slice(bytes);
        if bytes.ends_with(b"\n") && self.told.elapsed() >= TELL {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        // Also where it fails: the next time is later.
        self.told = Instant::now();
        while !self.waiting.is_empty() {
            let there = self.objects.get(&self.key).map_err(std::io::Error::other)?;
            let (mut text, version) =
                there.map_or_else(Default::default, |there| (there.bytes, Some(there.version)));
            text.extend_from_slice(&self.waiting);
            let from = text.len().saturating_sub(LOG);
            let written =
                self.objects.swap(&self.key, version.as_deref(), text.get(from..).unwrap_or_default());
            if written.map_err(std::io::Error::other)?.is_some() {
                self.waiting.clear();
            }
        }
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Err(error) = self.flush() {
            tracing::warn!(%error, key = self.key, "a log cannot be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use libdisk::cloud::azure::{Signature, Signatures};
    use libdisk::cloud::objects::Options;
    use standin::{Detour, Trouble};
    use testimages::azurite::Azurite;
    use testimages::length;
    use testimages::moto::Moto;

    use super::super::lease::{Asked, Held, tests::race};
    use super::*;

    /// A service, the way to it, and its name for another worker.
    struct Far {
        detour: Detour,
        place: Place,
        signatures: Signatures,
        /// Of all workers, each in a folder of its own.
        folders: tempfile::TempDir,
    }

    impl Far {
        fn store(&self, patience: Duration) -> Remote {
            let mut options = Options { patience, ..Options::new(self.signatures.clone()) };
            options.endpoint = Some(format!("http://{}", self.detour.address()));
            options.region = Some("us-east-1".to_owned());
            options.credentials = Some(("AKIDEXAMPLE".to_owned(), "secret".to_owned()));
            let local = tempfile::tempdir_in(self.folders.path()).unwrap().keep();
            Remote::new(Objects::new(&self.place, &options).unwrap(), &local)
        }

        fn usual(&self) -> Remote {
            self.store(Duration::from_secs(20))
        }
    }

    fn take(store: &dyn Store, key: &str, seconds: u64) -> Asked {
        Held::take(store, key.to_owned(), "one", Duration::from_secs(seconds)).unwrap()
    }

    /// What every service has to do, and what may happen on the way to it.
    fn keeps_its_word(far: &Far) {
        race(length::times(50, 1000), || Box::new(far.usual()));
        is_written_on_condition(far);
        outlives_what_happens_on_the_way(far);
        leases_end_by_the_clock_of_the_service(far);
        keeps_logs_and_what_was_sent(far);
    }

    fn is_written_on_condition(far: &Far) {
        let (one, other) = (far.usual(), far.usual());
        assert_eq!(one.read("none").unwrap(), None);
        let first = one.swap("a", None, b"first").unwrap().unwrap();
        assert_eq!(other.swap("a", None, b"mine").unwrap(), None, "there is one already");
        let second = one.swap("a", Some(&first), b"second").unwrap().unwrap();
        // An update by who has not seen the last one is not lost on anybody.
        assert_eq!(other.swap("a", Some(&first), b"late").unwrap(), None);
        let entry = other.read("a").unwrap().unwrap();
        assert_eq!((entry.bytes.as_slice(), &entry.version), (&b"second"[..], &second));
        // What is gone is not of any version.
        one.objects.delete("a").unwrap();
        one.objects.delete("a").unwrap();
        assert_eq!(other.swap("a", Some(&second), b"late").unwrap(), None);
        assert_eq!(one.read("a").unwrap(), None);
    }

    fn outlives_what_happens_on_the_way(far: &Far) {
        let (one, other) = (far.usual(), far.usual());
        // An answer that is lost: the next try meets what was done, and knows it for its own.
        far.detour.plan(&[Trouble::Lost]);
        let Asked::Held(mut held) = take(&one, "lost", 60) else { panic!("it is ours") };
        far.detour.plan(&[Trouble::Lost]);
        assert!(held.renew(&one).unwrap(), "so is this");
        far.detour.plan(&[Trouble::Busy, Trouble::Busy, Trouble::Lost]);
        assert!(held.renew(&one).unwrap() && !held.is_lost());
        assert!(matches!(take(&other, "lost", 60), Asked::By(_)));
        // An answer that is lost, and another writer before the next try: it is not ours.
        let version = one.read("lost").unwrap().unwrap().version;
        assert!(other.swap("lost", Some(&version), b"{}").unwrap().is_some());
        far.detour.plan(&[Trouble::Lost]);
        assert!(!held.renew(&one).unwrap() && held.is_lost());
        // A service that stays away is given up, and the same command goes on.
        far.detour.fail(1, 1.0, 0.0);
        let error = far.store(Duration::from_millis(300)).write("b", b"b").unwrap_err();
        let failure = crate::snapshot::failure(&error).unwrap();
        assert!(failure.is_resumable(), "{error:#}");
        assert!(!format!("{error:#}").contains("sig="), "{error:#}");
        far.detour.fail(2, 0.1, 0.1);
        race(length::times(10, 100), || {
            // Each race has leases of its own.
            far.usual()
                .objects
                .list("vm/")
                .unwrap()
                .iter()
                .for_each(|key| far.usual().objects.delete(key).unwrap());
            Box::new(far.usual())
        });
        far.detour.fail(3, 0.0, 0.0);
        assert!(far.detour.troubles() > 8);
    }

    fn leases_end_by_the_clock_of_the_service(far: &Far) {
        // Workers' clocks that are an hour off in either direction: no lease is over early or late.
        for (round, ahead) in [3600, -3600].into_iter().enumerate() {
            far.detour.clock(ahead);
            let (one, other, key) = (far.usual(), far.usual(), format!("clock/{round}"));
            let Asked::Held(held) = take(&one, &key, 1) else { panic!() };
            assert!(matches!(take(&other, &key, 1), Asked::By(_)), "{ahead}");
            std::thread::sleep(Duration::from_millis(2100));
            assert!(held.is_lost());
            assert!(matches!(take(&other, &key, 60), Asked::Held(_)), "{ahead}");
        }
        far.detour.clock(0);
    }

    fn keeps_logs_and_what_was_sent(far: &Far) {
        let store = far.usual();
        // Two who write one log at the same time: no line is lost.
        let mut logs = [store.append("vm/1/log").unwrap(), store.append("vm/1/log").unwrap()];
        for round in 0..3 {
            for log in &mut logs {
                writeln!(log, "{round}").unwrap();
                log.flush().unwrap();
            }
        }
        drop(logs);
        assert_eq!(store.read("vm/1/log").unwrap().unwrap().bytes, b"0\n0\n1\n1\n2\n2\n");

        let mut sent = store.kept("vm/1/sent").unwrap();
        let path = sent.path().join("azure");
        std::fs::create_dir(&path).unwrap();
        let mut record: Vec<u8> = (0..9_u32 << 20).map(|at| at.to_le_bytes()[1]).collect();
        std::fs::write(path.join("os.transfer"), &record).unwrap();
        let pages = std::fs::File::create(path.join("os.pages")).unwrap();
        pages.set_len(33 << 20).unwrap();
        assert!(sent.is_due());
        sent.keep(&mut || true).unwrap();
        assert!(!sent.is_due());
        let keys = store.objects.list("vm/1/sent/").unwrap();
        assert_eq!(keys.len(), 3, "pieces of zeros are left out: {keys:?}");
        // Names that lead out of the folder are not followed.
        store.write("vm/1/sent/../../escaped/000000", b"no").ok();
        let mut found = far.usual().kept("vm/1/sent").unwrap();
        let of = |found: &dyn Kept, name: &str| std::fs::read(found.path().join("azure").join(name)).unwrap();
        assert!(of(&*found, "os.transfer") == record && of(&*found, "os.pages") == vec![0; 33 << 20]);
        // A kill leaves more here than was put: the same machine goes on from that, another one from what was put.
        let more = [record.clone(), b"more".to_vec()].concat();
        std::fs::write(path.join("os.transfer"), &more).unwrap();
        assert!(of(&*store.kept("vm/1/sent").unwrap(), "os.transfer") == more);
        assert!(of(&*far.usual().kept("vm/1/sent").unwrap(), "os.transfer") == record);
        // It is begun anew, and shorter; another file is not there any more.
        record.truncate(1 << 20);
        std::fs::write(found.path().join("azure/os.transfer"), &record).unwrap();
        std::fs::remove_file(found.path().join("azure/os.pages")).unwrap();
        found.keep(&mut || true).unwrap();
        let found = far.usual().kept("vm/1/sent").unwrap();
        assert!(of(&*found, "os.transfer") == record && !found.path().join("azure/os.pages").exists());
    }

    #[test]
    fn s3_keeps_the_state_of_a_fleet() {
        let Some(moto) = Moto::start() else { return };
        moto.bucket("fleet");
        let address = moto.endpoint().trim_start_matches("http://");
        let detour = Detour::start(address).unwrap();
        let place = "s3://fleet/some/prefix".parse().unwrap();
        let folders = tempfile::tempdir().unwrap();
        keeps_its_word(&Far { detour, place, signatures: Signatures::default(), folders });
    }

    #[test]
    fn azure_keeps_the_state_of_a_fleet() {
        let Some(azurite) = Azurite::start() else { return };
        let url = azurite.url("some/prefix");
        let address = url.trim_start_matches("http://").split('/').next().unwrap().to_owned();
        let detour = Detour::start(&address).unwrap();
        let url = url.replace(&address, &detour.address());
        let signature = Signature::new(&azurite.all(), "Azurite's").unwrap();
        let signatures = Signatures::of_blobs(vec![(url.clone(), signature)]);
        let (place, folders) = (format!("azure:{url}").parse().unwrap(), tempfile::tempdir().unwrap());
        keeps_its_word(&Far { detour, place, signatures, folders });
    }
}
