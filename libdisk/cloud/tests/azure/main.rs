//! Page blobs, served by the stand-in.

use std::time::Duration;

use block::testing::conformance;
use block::{BlockRead, ErrorKind};
use cloud::azure::{Blob, BlobUrl, Options, PageBlob, Signature, Signatures};
use cloud::{Cloud, Failure, FaultKind};
use standin::{BlobFault, BlobServer};

fn options(query: &str) -> Options {
    let signatures = Signatures::default();
    let signatures = match query {
        "" => signatures,
        query => signatures.and_text(query, "a test").unwrap(),
    };
    Options { signatures, cache: None, patience: Duration::from_secs(30), ..Options::default() }
}

fn url(server: &BlobServer) -> BlobUrl {
    server.url("disk.vhd").parse().unwrap()
}

fn blob(server: &BlobServer) -> Blob {
    Blob::new(&url(server), &options(&server.signature())).unwrap()
}

/// A blob of 3 MiB and a footer, with something here and there.
fn filled(server: &BlobServer) -> Vec<u8> {
    let blob = blob(server);
    let mut bytes = vec![0; (3 << 20) + 512];
    blob.create(bytes.len() as u64, true).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    for range in [0..4096, 4096..8192, (1 << 20) - 512..(1 << 20) + 1024, (3 << 20)..(3 << 20) + 512] {
        random.fill(&mut bytes[range.clone()]);
        blob.put(range.start as u64, &bytes[range]).unwrap();
    }
    bytes
}

#[test]
fn a_blob_is_a_device_like_any_other() {
    let server = BlobServer::start().unwrap();
    let bytes = filled(&server);
    let opened = PageBlob::open(&url(&server), &options(&server.signature())).unwrap();
    conformance::read(&opened.disk(), &bytes);
    let before = server.blob_counts().reads;
    // What holds nothing is not asked for, and what was read is not read again.
    opened.disk().read_vec(0, 3 << 20).unwrap();
    assert_eq!(server.blob_counts().reads, before);
    let extents = opened.extent_at(8192..3 << 20).unwrap();
    assert_eq!(extents, block::Extent::zero((1 << 20) - 512 - 8192));
    // With a cache, another process reads nothing either.
    let folder = tempfile::tempdir().unwrap();
    let cached = Options { cache: Some(folder.path().into()), ..options(&server.signature()) };
    let first = PageBlob::open(&url(&server), &cached).unwrap();
    first.disk().read_vec(0, bytes.len()).unwrap();
    let before = server.blob_counts().reads;
    let second = PageBlob::open(&url(&server), &cached).unwrap();
    assert!(second.disk().read_vec(0, bytes.len()).unwrap() == bytes);
    assert_eq!((server.blob_counts().reads, second.tally().reads), (before, 0));
    // A blob that was changed is not what was opened.
    let blob = blob(&server);
    blob.clear(0..4096).unwrap();
    let other = PageBlob::open(&url(&server), &options(&server.signature())).unwrap();
    assert_eq!(other.disk().read_vec(0, 8192).unwrap()[..4096], [0; 4096]);
    blob.put(0, &[1; 512]).unwrap();
    let error = other.disk().read_vec(1 << 20, 512).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed);
}

#[test]
fn faults_pass_or_are_told_with_their_kind() {
    let server = BlobServer::start().unwrap();
    let bytes = filled(&server);
    use BlobFault::{Busy, Half, Internal, Lost, Reset, Timeout, TooMany};
    server.fail(3, &[Busy, TooMany, Internal, Timeout, Reset, Lost, Half].map(|fault| (fault, 0.08)));
    let blob = blob(&server);
    for _ in 0..20 {
        let mut read = vec![0; 8192];
        blob.read(0, &mut read, None).unwrap();
        assert!(read == bytes[..8192]);
        assert_eq!(blob.ranges(0..3 << 20, None).unwrap().len(), 2);
    }
    assert!(blob.tally().retries > 5, "{:?}", blob.tally());
    server.fail(0, &[]);
    let of = |query: &str| {
        let blob = Blob::new(&url(&server), &options(query)).unwrap();
        blob.properties().unwrap_err()
    };
    let good = server.signature();
    for (query, kind) in
        [(good.replace("sig=", "sig=x"), FaultKind::Credentials), (String::new(), FaultKind::Credentials)]
    {
        let failure = of(&query);
        assert_eq!((failure.kind(), failure.cloud()), (kind, Cloud::Azure), "{failure}");
    }
    let told = of("").to_string();
    assert!(told.contains("no shared access signature was given"), "{told}");
    server.end_signature();
    assert_eq!(of(&good).kind(), FaultKind::Expired);
    let none = server.url("none.vhd").parse().unwrap();
    let failure = PageBlob::open(&none, &options(&server.signature())).unwrap_err();
    assert_eq!(failure.kind(), FaultKind::NotFound);
    let blob = Blob::new(&none, &options(&server.signature())).unwrap();
    let refused = |failure: Result<(), Failure>| failure.unwrap_err().kind();
    assert_eq!(refused(blob.put(0, &[0; 512])), FaultKind::NotFound);
    blob.create(1 << 20, true).unwrap();
    assert_eq!(refused(blob.create(1 << 20, true)), FaultKind::Changed);
    assert_eq!(refused(blob.put(100, &[0; 512])), FaultKind::Invalid);
    assert_eq!(refused(blob.put(0, &vec![0; (4 << 20) + 512])), FaultKind::Invalid);
    assert_eq!(refused(blob.put(1 << 20, &[0; 512])), FaultKind::Invalid);
    let elsewhere = server.url("x").replace("/container/", "/nowhere/").parse().unwrap();
    let blob = Blob::new(&elsewhere, &options(&server.signature())).unwrap();
    assert_eq!(blob.properties().unwrap_err().kind(), FaultKind::NotFound);
    // Typed with the address it is the blob's own.
    let typed = vec![(url(&server).to_string(), Signature::new(&server.signature(), "x").unwrap())];
    let own = Options { signatures: Signatures::of_blobs(typed), ..options("sig=other") };
    assert!(Blob::new(&url(&server), &own).unwrap().properties().unwrap().is_some());
}
