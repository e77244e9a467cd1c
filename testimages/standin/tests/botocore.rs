//! Amazon's own client against the stand-in: it must understand every answer as it understands the service's.

use std::io::{Seek, SeekFrom, Write};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use standin::{
    Account, BLOCK_SIZE, BLOCK_TOKEN_LIFE, Call, Config, Credentials, Fault, Faults, Given, Instance,
    PAGE_TOKEN_LIFE, Server, Snapshot, State, Synthetic,
};
use testimages::boto::Boto;

const FIRST: &str = "snap-0123456789abcdef0";
const SECOND: &str = "snap-0123456789abcdef1";

/// A server with `snapshots`, and boto3 in front of it.
fn serve(config: Config) -> Option<(Server, Boto)> {
    let key = |key: fn(&Credentials) -> &str| config.credentials.as_ref().map_or("test", key).to_owned();
    let (access, secret) = (key(|pair| &pair.access_key), key(|pair| &pair.secret_key));
    let server = Server::start(config).unwrap();
    let boto = Boto::start(&server.endpoint(), &access, &secret)?;
    Some((server, boto))
}

fn serve_one(snapshot: Snapshot) -> Option<(Server, Boto)> {
    serve(Config { snapshots: vec![snapshot], ..Config::default() })
}

/// An image of `blocks` blocks, the ones of `data` not all zero.
fn image(blocks: usize, data: &[usize]) -> Vec<u8> {
    let mut image = vec![0; blocks * BLOCK_SIZE];
    for block in data {
        image[block * BLOCK_SIZE + block] = 1 + *block as u8;
    }
    image
}

fn list(boto: &mut Boto, more: Value) -> Result<Value, Value> {
    let mut arguments = json!({ "SnapshotId": FIRST });
    arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    boto.call("ebs", "list_snapshot_blocks", arguments)
}

fn get(boto: &mut Boto, snapshot: &str, block: u64, token: &Value) -> Result<Value, Value> {
    let arguments = json!({ "SnapshotId": snapshot, "BlockIndex": block, "BlockToken": token });
    boto.call("ebs", "get_snapshot_block", arguments)
}

fn changed(boto: &mut Boto, first: &str, second: &str) -> Result<Value, Value> {
    let arguments = json!({ "FirstSnapshotId": first, "SecondSnapshotId": second });
    boto.call("ebs", "list_changed_blocks", arguments)
}

fn indexes(blocks: &Value) -> Vec<u64> {
    blocks.as_array().unwrap().iter().map(|block| block["BlockIndex"].as_u64().unwrap()).collect()
}

#[track_caller]
fn assert_refused(result: Result<Value, Value>, status: u16, code: &str, reason: Option<&str>) {
    let error = result.expect_err("it was not refused");
    assert_eq!(error["code"], code, "{error}");
    assert_eq!(error["status"], status, "{error}");
    assert_eq!(error["reason"].as_str(), reason, "{error}");
    // botocore has a class for each error of the service model, but not for those that all services share.
    const SHARED: [&str; 4] = [
        "ThrottlingException",
        "InvalidSignatureException",
        "UnrecognizedClientException",
        "ExpiredTokenException",
    ];
    let class = if SHARED.contains(&code) { "ClientError" } else { code };
    assert_eq!(error["type"], class, "{error}");
}

#[test]
fn a_snapshot_is_listed_page_by_page() {
    let shape = Synthetic { gib: 1, listed: 30, zero: 10, seed: 3 };
    let Some((server, mut boto)) = serve_one(Snapshot::synthetic(FIRST, shape)) else { return };
    let all: Vec<_> = server.snapshot(FIRST).unwrap().listed(0).collect();
    assert!((550..680).contains(&all.len()), "{}", all.len());
    let mut seen = Vec::new();
    let mut more = json!({ "MaxResults": 250 });
    loop {
        let page = list(&mut boto, more).unwrap();
        assert_eq!((&page["BlockSize"], &page["VolumeSize"]), (&json!(BLOCK_SIZE), &json!(1)));
        let expiry = page["ExpiryTime"].as_str().unwrap();
        assert!(expiry.starts_with("20"), "{expiry} is no date");
        seen.extend(indexes(&page["Blocks"]));
        let Some(next) = page["NextToken"].as_str() else { break };
        // The starting index counts for the first page only.
        more = json!({ "MaxResults": 250, "NextToken": next, "StartingBlockIndex": 2000 });
    }
    assert_eq!(seen, all);
    assert_eq!(server.counts().list, 3);
    let from = list(&mut boto, json!({ "StartingBlockIndex": 1000 })).unwrap();
    let rest: Vec<_> = all.iter().copied().filter(|index| *index >= 1000).take(100).collect();
    assert_eq!(indexes(&from["Blocks"]), rest);
    for wrong in [100_000, 10_001] {
        let result = list(&mut boto, json!({ "MaxResults": wrong }));
        assert_refused(result, 400, "ValidationException", Some("INVALID_PARAMETER_VALUE"));
    }
}

#[test]
fn blocks_come_with_their_checksum_from_bytes_and_from_files() {
    let mut bytes = image(4, &[0, 2]);
    bytes.truncate(3 * BLOCK_SIZE + 512);
    bytes[3 * BLOCK_SIZE] = 9;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(bytes.len() as u64).unwrap();
    for block in [0, 2, 3] {
        let start = block * BLOCK_SIZE;
        file.seek(SeekFrom::Start(start as u64)).unwrap();
        file.write_all(&bytes[start..(start + 512)]).unwrap();
    }
    let snapshots = vec![
        Snapshot::from_bytes(FIRST, bytes.clone()).written([1, 2047, 2048]),
        Snapshot::from_file(SECOND, file.path()).unwrap().gib(3),
    ];
    let Some((server, mut boto)) = serve(Config { snapshots, ..Config::default() }) else { return };
    let listed = list(&mut boto, json!({})).unwrap();
    assert_eq!(indexes(&listed["Blocks"]), [0, 1, 2, 3, 2047]);
    bytes.resize(4 * BLOCK_SIZE, 0);
    bytes.extend([0; BLOCK_SIZE]);
    for (place, block) in listed["Blocks"].as_array().unwrap().iter().enumerate() {
        let index = block["BlockIndex"].as_u64().unwrap();
        let got = get(&mut boto, FIRST, index, &block["BlockToken"]).unwrap();
        let expected = STANDARD.encode(Sha256::digest(&bytes[place * BLOCK_SIZE..][..BLOCK_SIZE]));
        assert_eq!(got["BlockData"], json!({ "length": BLOCK_SIZE, "sha256": expected }));
        assert_eq!((&got["Checksum"], &got["ChecksumAlgorithm"]), (&json!(expected), &json!("SHA256")));
        assert_eq!(got["DataLength"], BLOCK_SIZE);
    }
    assert_eq!(server.counts().blocks[FIRST][&3], 1);
    assert_eq!(server.counts().bytes, 5 * BLOCK_SIZE as u64);

    let of_file = boto.call("ebs", "list_snapshot_blocks", json!({ "SnapshotId": SECOND })).unwrap();
    assert_eq!((indexes(&of_file["Blocks"]), &of_file["VolumeSize"]), (vec![0, 2, 3], &json!(3)));
    let tail = &of_file["Blocks"][2]["BlockToken"];
    let got = get(&mut boto, SECOND, 3, tail).unwrap();
    assert_eq!(
        got["BlockData"]["sha256"],
        STANDARD.encode(Sha256::digest(&bytes[3 * BLOCK_SIZE..][..BLOCK_SIZE]))
    );
    // A token is of one block of one snapshot.
    for (snapshot, index) in [(SECOND, 2), (FIRST, 3)] {
        let result = get(&mut boto, snapshot, index, tail);
        assert_refused(result, 400, "ValidationException", Some("INVALID_BLOCK_TOKEN"));
    }
}

#[test]
fn changed_blocks_tell_what_either_snapshot_lacks() {
    let before = image(5, &[0, 1, 3]);
    let mut after = image(6, &[1, 2, 3, 5]);
    after[3 * BLOCK_SIZE + 100] = 7;
    let volume = "vol-0123456789abcdef0";
    let snapshots = vec![
        Snapshot::from_bytes(FIRST, before).of_volume(volume),
        Snapshot::from_bytes(SECOND, after).of_volume(volume),
        Snapshot::from_bytes("snap-00ff", image(1, &[0])),
    ];
    let Some((_server, mut boto)) = serve(Config { snapshots, ..Config::default() }) else { return };
    let page = changed(&mut boto, FIRST, SECOND).unwrap();
    let blocks = page["ChangedBlocks"].as_array().unwrap();
    let sides: Vec<_> = blocks
        .iter()
        .map(|block| {
            let has = |side: &str| block[side].is_string();
            (block["BlockIndex"].as_u64().unwrap(), has("FirstBlockToken"), has("SecondBlockToken"))
        })
        .collect();
    assert_eq!(sides, [(0, true, false), (2, false, true), (3, true, true), (5, false, true)]);
    get(&mut boto, FIRST, 0, &blocks[0]["FirstBlockToken"]).unwrap();
    get(&mut boto, SECOND, 3, &blocks[2]["SecondBlockToken"]).unwrap();
    let result = changed(&mut boto, "snap-00ff", SECOND);
    assert_refused(result, 400, "ValidationException", Some("UNRELATED_SNAPSHOTS"));
    let result = boto.call("ebs", "list_changed_blocks", json!({ "SecondSnapshotId": SECOND }));
    assert_refused(result, 400, "ValidationException", Some("INVALID_PARAMETER_VALUE"));
}

#[test]
fn changed_blocks_are_paged() {
    let snapshot = |id, seed| {
        Snapshot::synthetic(id, Synthetic { gib: 1, listed: 50, zero: 50, seed }).of_volume("vol-1")
    };
    let snapshots = vec![snapshot(FIRST, 1), snapshot(SECOND, 2).rewritten(0..4096)];
    let Some((server, mut boto)) = serve(Config { snapshots, ..Config::default() }) else { return };
    let listed = |id: &str| server.snapshot(id).unwrap().listed(0).collect::<std::collections::BTreeSet<_>>();
    let all: Vec<_> = listed(FIRST).union(&listed(SECOND)).copied().collect();
    let mut seen = Vec::new();
    let mut arguments = json!({ "FirstSnapshotId": FIRST, "SecondSnapshotId": SECOND, "MaxResults": 1000 });
    loop {
        let page = boto.call("ebs", "list_changed_blocks", arguments.clone()).unwrap();
        seen.extend(indexes(&page["ChangedBlocks"]));
        let Some(next) = page["NextToken"].as_str() else { break };
        arguments["NextToken"] = next.into();
    }
    assert_eq!(seen, all);
    assert_eq!(server.counts().changed, 2);
}

#[test]
fn tokens_expire() {
    let shape = Synthetic { gib: 1, listed: 30, zero: 10, seed: 3 };
    let Some((server, mut boto)) = serve_one(Snapshot::synthetic(FIRST, shape)) else { return };
    let page = list(&mut boto, json!({})).unwrap();
    let (next, block) = (&page["NextToken"], &page["Blocks"][0]);
    let block =
        |boto: &mut Boto| get(boto, FIRST, block["BlockIndex"].as_u64().unwrap(), &block["BlockToken"]);
    list(&mut boto, json!({ "NextToken": next })).unwrap();
    server.advance(PAGE_TOKEN_LIFE);
    let result = list(&mut boto, json!({ "NextToken": next }));
    assert_refused(result, 400, "ValidationException", Some("INVALID_PAGE_TOKEN"));
    block(&mut boto).unwrap();
    server.advance(BLOCK_TOKEN_LIFE - PAGE_TOKEN_LIFE);
    assert_refused(block(&mut boto), 400, "ValidationException", Some("INVALID_BLOCK_TOKEN"));
}

#[test]
fn what_cannot_be_read_is_refused_with_the_reason() {
    let data = || image(1, &[0]);
    let snapshots = vec![
        Snapshot::from_bytes(FIRST, data()).encrypted("arn:aws:kms:us-east-1:1:key/k", false),
        Snapshot::from_bytes("snap-aa", data()).state(State::Pending),
        Snapshot::from_bytes("snap-bb", data()).state(State::Archived),
    ];
    let Some((_server, mut boto)) = serve(Config { snapshots, ..Config::default() }) else { return };
    let page = list(&mut boto, json!({})).unwrap();
    let result = get(&mut boto, FIRST, 0, &page["Blocks"][0]["BlockToken"]);
    assert_refused(result, 403, "AccessDeniedException", Some("DEPENDENCY_ACCESS_DENIED"));
    let mut list = |id: &str| boto.call("ebs", "list_snapshot_blocks", json!({ "SnapshotId": id }));
    assert_refused(list("snap-ff"), 404, "ResourceNotFoundException", Some("SNAPSHOT_NOT_FOUND"));
    for id in ["snap-aa", "snap-bb", "vol-1"] {
        assert_refused(list(id), 400, "ValidationException", Some("INVALID_SNAPSHOT_ID"));
    }
}

#[test]
fn faults_are_what_botocore_knows_from_the_service() {
    let Some((server, mut boto)) = serve_one(Snapshot::from_bytes(FIRST, image(2, &[0, 1]))) else { return };
    let page = list(&mut boto, json!({})).unwrap();
    let token = page["Blocks"][1]["BlockToken"].clone();
    let throttled = "RequestThrottledException";
    let refusals = [
        (Fault::Throttled, 400, throttled, Some("RESOURCE_LEVEL_THROTTLE")),
        (Fault::KmsThrottled, 400, throttled, Some("DEPENDENCY_REQUEST_THROTTLED")),
        (Fault::AccountThrottled, 400, "ThrottlingException", None),
        (Fault::Internal, 500, "InternalServerException", None),
        (Fault::ExpiredBlockToken, 400, "ValidationException", Some("INVALID_BLOCK_TOKEN")),
        (Fault::KmsRefusal, 403, "AccessDeniedException", Some("DEPENDENCY_ACCESS_DENIED")),
        (Fault::Denied, 403, "AccessDeniedException", Some("UNAUTHORIZED_ACCOUNT")),
        (Fault::ExpiredCredentials, 403, "ExpiredTokenException", None),
        (
            Fault::QuotaExceeded,
            402,
            "ServiceQuotaExceededException",
            Some("DEPENDENCY_SERVICE_QUOTA_EXCEEDED"),
        ),
        (Fault::Gone, 404, "ResourceNotFoundException", Some("SNAPSHOT_NOT_FOUND")),
    ];
    for (fault, status, code, reason) in refusals {
        server.set_faults(Faults::default().at(Call::Get, 1..2, fault));
        get(&mut boto, FIRST, 1, &token).unwrap();
        assert_refused(get(&mut boto, FIRST, 1, &token), status, code, reason);
        get(&mut boto, FIRST, 1, &token).unwrap();
    }
    let before = server.counts();
    let broken = [(Fault::HangUp, "ConnectionClosedError"), (Fault::Truncated, "ResponseStreamingError")];
    for (fault, class) in broken {
        server.set_faults(Faults::default().at(Call::Get, 0..1, fault));
        let error = get(&mut boto, FIRST, 1, &token).unwrap_err();
        assert_eq!(error["type"], class, "{error}");
        get(&mut boto, FIRST, 1, &token).unwrap();
    }
    server.set_faults(Faults::default().at(Call::Get, 0..1, Fault::Altered));
    let altered = get(&mut boto, FIRST, 1, &token).unwrap();
    assert_ne!(altered["BlockData"]["sha256"], altered["Checksum"]);
    let after = server.counts();
    assert_eq!(after.faults - before.faults, 3);
    assert_eq!(after.blocks[FIRST][&1] - before.blocks[FIRST][&1], 2);

    server.set_faults(Faults::default().chance(Fault::EmptyPage, 1.0));
    let empty = list(&mut boto, json!({})).unwrap();
    assert_eq!(empty["Blocks"], json!([]));
    server.set_faults(Faults::default().chance(Fault::ExpiredPageToken, 1.0));
    let result = list(&mut boto, json!({ "NextToken": empty["NextToken"] }));
    assert_refused(result, 400, "ValidationException", Some("INVALID_PAGE_TOKEN"));
    server.set_faults(Faults::default().latency(Duration::from_millis(300)));
    let start = std::time::Instant::now();
    let page = list(&mut boto, json!({ "NextToken": empty["NextToken"] })).unwrap();
    assert_eq!(indexes(&page["Blocks"]), [0, 1]);
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[test]
fn rates_are_limited() {
    let Some((server, mut boto)) = serve_one(Snapshot::from_bytes(FIRST, image(1, &[0]))) else { return };
    let page = list(&mut boto, json!({})).unwrap();
    let token = &page["Blocks"][0]["BlockToken"];
    for (faults, code) in [
        (Faults::default().snapshot_rate(2), "RequestThrottledException"),
        (Faults::default().account_rate(2), "ThrottlingException"),
    ] {
        server.set_faults(faults);
        let results: Vec<_> = (0..8).map(|_| get(&mut boto, FIRST, 0, token)).collect();
        assert!(results[..2].iter().all(Result::is_ok), "{results:?}");
        let error = results.into_iter().find_map(Result::err).expect("a throttle");
        assert_eq!(error["code"], code);
        std::thread::sleep(Duration::from_millis(600));
        get(&mut boto, FIRST, 0, token).unwrap();
    }
    assert!(server.counts().throttled > 0);
}

#[test]
fn the_signature_is_checked() {
    let pair = |secret: &str| Credentials { access_key: "AKIDEXAMPLE".into(), secret_key: secret.into() };
    let config = Config {
        snapshots: vec![Snapshot::synthetic(FIRST, Synthetic { gib: 1, listed: 10, zero: 0, seed: 1 })],
        credentials: Some(pair("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")),
        ..Config::default()
    };
    let Some((server, mut boto)) = serve(config) else { return };
    let page = list(&mut boto, json!({ "MaxResults": 100 })).unwrap();
    list(&mut boto, json!({ "NextToken": page["NextToken"] })).unwrap();
    let block = &page["Blocks"][0];
    get(&mut boto, FIRST, block["BlockIndex"].as_u64().unwrap(), &block["BlockToken"]).unwrap();
    boto.call(
        "ec2",
        "describe_snapshots",
        json!({ "Filters": [{ "Name": "tag:a b", "Values": ["é/+ *~"] }] }),
    )
    .unwrap();
    let mut wrong = Boto::start(&server.endpoint(), "AKIDEXAMPLE", "not the secret").unwrap();
    assert_refused(list(&mut wrong, json!({})), 403, "InvalidSignatureException", None);
    let error = wrong.call("ec2", "describe_snapshots", json!({})).unwrap_err();
    assert_eq!(error["code"], "SignatureDoesNotMatch");
    let mut unknown = Boto::start(&server.endpoint(), "AKIDOTHER", "secret").unwrap();
    assert_refused(list(&mut unknown, json!({})), 403, "UnrecognizedClientException", None);
}

#[test]
fn ec2_tells_snapshots_and_the_volumes_of_an_instance() {
    let snapshot = |id: &str, volume: &str| {
        Snapshot::from_bytes(id, image(1, &[0]))
            .of_volume(volume)
            .description("set <1> & co")
            .tag("set", "one")
    };
    let snapshots = vec![
        snapshot(FIRST, "vol-a").encrypted("arn:aws:kms:us-east-1:1:key/k", true),
        snapshot(SECOND, "vol-b").gib(7).state(State::Pending),
        Snapshot::from_bytes("snap-00ff", image(1, &[0])).state(State::Archived),
    ];
    let instances = vec![Instance {
        id: "i-0123456789abcdef0".into(),
        root_device: "/dev/xvda".into(),
        volumes: vec![("/dev/xvda".into(), "vol-a".into()), ("/dev/sdf".into(), "vol-b".into())],
        given: vec![("vol-b".into(), Given { kind: "gp3".into(), iops: Some(4000), throughput: Some(250) })],
        ..Instance::default()
    }];
    let Some((_server, mut boto)) = serve(Config { snapshots, instances, ..Config::default() }) else {
        return;
    };
    let mut ec2 = |operation: &str, arguments: Value| boto.call("ec2", operation, arguments);

    let found = ec2("describe_snapshots", json!({ "SnapshotIds": [SECOND, FIRST] })).unwrap();
    let found = found["Snapshots"].as_array().unwrap().clone();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0]["Encrypted"], true);
    assert_eq!(found[0]["KmsKeyId"], "arn:aws:kms:us-east-1:1:key/k");
    assert_eq!(found[0]["StartTime"], "2026-11-01 00:00:00+00:00");
    assert_eq!(found[0]["Tags"], json!([{ "Key": "set", "Value": "one" }]));
    assert_eq!(found[0]["Description"], "set <1> & co");
    assert_eq!((&found[1]["State"], &found[1]["VolumeSize"]), (&json!("pending"), &json!(7)));
    assert_eq!(found[1]["VolumeId"], "vol-b");

    let mut by = |name: &str, value: &str| {
        let arguments =
            json!({ "OwnerIds": ["self"], "Filters": [{ "Name": name, "Values": [value, "x"] }] });
        let found = ec2("describe_snapshots", arguments).unwrap();
        found["Snapshots"].as_array().unwrap().iter().map(|it| it["SnapshotId"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(by("tag:set", "one"), [FIRST, SECOND]);
    assert_eq!(by("description", "set <1> & co"), [FIRST, SECOND]);
    assert_eq!(by("volume-id", "vol-b"), [SECOND]);
    assert_eq!(by("status", "completed"), ["snap-00ff", FIRST]);
    assert_eq!(by("tag:set", "two"), Vec::<Value>::new());

    let error = ec2("describe_snapshots", json!({ "SnapshotIds": ["snap-0f"] })).unwrap_err();
    assert_eq!((&error["code"], &error["status"]), (&json!("InvalidSnapshot.NotFound"), &json!(400)));
    let arguments = json!({ "InstanceIds": ["i-0123456789abcdef0"] });
    let found = ec2("describe_instances", arguments).unwrap();
    let instance = &found["Reservations"][0]["Instances"][0];
    assert_eq!(instance["RootDeviceName"], "/dev/xvda");
    let volumes = instance["BlockDeviceMappings"].as_array().unwrap();
    assert_eq!(volumes.len(), 2);
    assert_eq!(
        (&volumes[1]["DeviceName"], &volumes[1]["Ebs"]["VolumeId"]),
        (&json!("/dev/sdf"), &json!("vol-b"))
    );
    let filter =
        json!({ "Filters": [{ "Name": "attachment.instance-id", "Values": ["i-0123456789abcdef0"] }] });
    let found = ec2("describe_volumes", filter).unwrap();
    assert_eq!(found["Volumes"][0]["Attachments"][0]["Device"], "/dev/xvda");
    assert_eq!(
        (&found["Volumes"][1]["VolumeId"], &found["Volumes"][1]["Size"]),
        (&json!("vol-b"), &json!(7))
    );
    let given = ["VolumeType", "Iops", "Throughput"].map(|name| found["Volumes"][1][name].clone());
    assert_eq!(given, [json!("gp3"), json!(4000), json!(250)]);
    assert_eq!(found["Volumes"][0]["VolumeType"], "standard");
    let error = ec2("describe_instances", json!({ "InstanceIds": ["i-0f"] })).unwrap_err();
    assert_eq!(error["code"], "InvalidInstanceID.NotFound");
    assert_eq!(ec2("describe_regions", json!({})).unwrap_err()["code"], "InvalidAction");
}

#[test]
fn ec2_pages_its_snapshots_and_throttles() {
    let snapshots =
        (0..12).map(|number| Snapshot::from_bytes(&format!("snap-{number:02x}"), image(1, &[0]))).collect();
    let Some((server, mut boto)) = serve(Config { snapshots, ..Config::default() }) else { return };
    let mut seen = 0;
    let mut arguments = json!({ "MaxResults": 5 });
    loop {
        let page = boto.call("ec2", "describe_snapshots", arguments.clone()).unwrap();
        seen += page["Snapshots"].as_array().unwrap().len();
        let Some(next) = page["NextToken"].as_str().filter(|token| !token.is_empty()) else { break };
        arguments["NextToken"] = next.into();
    }
    assert_eq!((seen, server.counts().ec2), (12, 3));
    server.set_faults(Faults::default().at(Call::Ec2, 0..1, Fault::Throttled));
    let error = boto.call("ec2", "describe_snapshots", json!({})).unwrap_err();
    assert_eq!((&error["code"], &error["status"]), (&json!("RequestLimitExceeded"), &json!(503)));
}

#[test]
fn an_organization_tells_its_accounts_and_lets_a_role_in() {
    let account = |id: &str, role: Option<&str>| Account {
        id: id.into(),
        name: format!("account <{id}>"),
        role: role.map(str::to_owned),
        closed: false,
    };
    let accounts = vec![
        account("111111111111", Some("move")),
        account("222222222222", None),
        account("333333333333", None),
        Account { closed: true, ..account("444444444444", None) },
    ];
    let Some((_server, mut boto)) = serve(Config { accounts, ..Config::default() }) else { return };
    let first = boto.call("organizations", "list_accounts", json!({})).unwrap();
    assert_eq!(first["Accounts"].as_array().unwrap().len(), 3);
    let next =
        boto.call("organizations", "list_accounts", json!({ "NextToken": first["NextToken"] })).unwrap();
    assert_eq!(next["Accounts"][0]["Id"], "444444444444");
    assert!(next["NextToken"].is_null(), "{next}");
    let mut assume = |account: &str| {
        let role = format!("arn:aws:iam::{account}:role/move");
        boto.call("sts", "assume_role", json!({ "RoleArn": role, "RoleSessionName": "me" }))
    };
    assert_eq!(assume("111111111111").unwrap()["Credentials"]["AccessKeyId"], "ASIA111111111111");
    assert!(format!("{:?}", assume("222222222222").unwrap_err()).contains("AccessDenied"));
}
