//! Fleets whose state is in S3 or in Azure: no folder that all tasks reach.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use standin::{Faults, Snapshot};
use testimages::azurite::Azurite;
use testimages::engine::{self, Slurm};
use testimages::moto::Moto;
use testimages::{judge, length, synthetic};

use crate::cloud::{Cloud, same};
use crate::program::{Refloat, command, refloat};

/// What is in a bucket of moto, read as any HTTP client reads it.
fn object(moto: &Moto, path: &str) -> Vec<u8> {
    let address = moto.endpoint().trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    // Whose the signature is it looks at, and at nothing else of it.
    let signed = "AWS4-HMAC-SHA256 Credential=test/20261130/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
    let headers = format!("Host: {address}\r\nConnection: close\r\nAuthorization: {signed}\r\n");
    write!(stream, "GET {path} HTTP/1.1\r\n{headers}\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{path}: {}", String::from_utf8_lossy(&answer));
    answer.split_off(end + 4)
}

#[test]
fn a_fleet_is_moved_with_its_state_in_s3() {
    let folder = tempfile::tempdir_in(testimages::cache::directory()).unwrap();
    let folder = folder.path();
    let Some(moto) = Moto::start() else { return };
    if synthetic::named("debian-mbr-ext4").copy_into(folder).is_none() {
        return;
    }
    moto.bucket("fleet");
    refloat(folder, "migrate debian-mbr-ext4.raw alone.vhd --for azure-gen1", 0);
    let rows = ["one", "two"].map(|id| format!("{id},debian-mbr-ext4.raw,{id}.vhd,azure-gen1\n"));
    fs::write(folder.join("list.csv"), format!("id,source,target,for\n{}", rows.concat())).unwrap();
    let with = |line: &str| {
        let mut command = command(folder, line);
        command.env("AWS_ENDPOINT_URL_S3", moto.endpoint()).env("AWS_REGION", "us-east-1");
        command.env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE").env("AWS_SECRET_ACCESS_KEY", "hidden/key");
        command.env("REFLOAT_CACHE", folder.join("cache"));
        command
    };
    let answer = |line: &str, exit: i32| -> Value {
        let output = with(&format!("{line} --json")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{line}\n{said}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let planned = answer("fleet plan list.csv -o s3://fleet/run-1 --tasks 2", 0);
    let engines = planned["engines"].as_array().unwrap();
    assert_eq!(engines[0]["command"], "aws s3 cp s3://fleet/run-1/slurm.sh - | sbatch");
    answer("fleet plan list.csv -o s3://fleet/run-1 --tasks 2", 0);

    // Job files name the place, and mount nothing.
    for (file, judge) in
        [("k8s-job.yaml", engine::kubernetes as fn(&Path)), ("aws-batch.json", engine::batch as fn(&Path))]
    {
        let text = object(&moto, &format!("/fleet/run-1/{file}"));
        let said = String::from_utf8_lossy(&text);
        assert!(
            said.contains("s3://fleet/run-1") && !said.contains("efs") && !said.contains("Claim"),
            "{said}"
        );
        fs::write(folder.join(file), text).unwrap();
        judge(&folder.join(file));
    }
    let script = object(&moto, "/fleet/run-1/slurm.sh");
    assert!(String::from_utf8_lossy(&script).contains("fleet run s3://fleet/run-1 &"));
    let policy: Value = serde_json::from_slice(&object(&moto, "/fleet/run-1/aws-policy.json")).unwrap();
    assert_eq!(policy["Statement"][0]["Resource"], "arn:aws:s3:::fleet/run-1/*");

    // Two workers at it at the same time: each machine is moved once.
    let mut other =
        with("fleet run s3://fleet/run-1").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while with("fleet run s3://fleet/run-1").output().unwrap().status.code() != Some(0) {
        assert!(began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(300));
    }
    other.wait().unwrap();
    let status = answer("fleet status s3://fleet/run-1", 0);
    assert_eq!(status["counts"][0]["machines"], 2, "{status}");
    for (row, id) in ["one", "two"].into_iter().enumerate() {
        assert!(same(&folder.join(format!("{id}.vhd")), &folder.join("alone.vhd")), "{id}");
        let receipt = object(&moto, &format!("/fleet/run-1/vm/{row:04}/receipt.json"));
        let receipt: Value = serde_json::from_slice(&receipt).unwrap();
        assert_eq!((&receipt["id"], &receipt["attempts"]), (&Value::from(id), &Value::from(1)));
        let log = object(&moto, &format!("/fleet/run-1/vm/{row:04}/log"));
        let log = String::from_utf8_lossy(&log);
        assert!(log.contains(" done\n") && !log.contains("hidden"), "{log}");
    }
    // What is wrong is said by its own name, and the key by none.
    let wrong = with("fleet status s3://no-such-bucket/x").output().unwrap();
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert!(
        wrong.status.code() == Some(2) && said.contains("make the bucket first") && !said.contains("hidden"),
        "{said}"
    );
}

/// EBS and Azurite, where the blobs go and where the state is.
struct Afar {
    cloud: Cloud,
    azurite: Azurite,
}

/// The state of the fleet in the container of the blobs.
const STATE: &str = "fleet/run-1";

impl Afar {
    /// `refloat LINE`, where `DIR` stands for where the state is, as on the machine of this name.
    fn command(&self, machine: &str, line: &str) -> Refloat {
        let line = line.replace("DIR", &format!("azure:{}", self.azurite.url(STATE)));
        let mut command = self.cloud.command(&line);
        command.env("REFLOAT_AZURE_SAS", self.azurite.all()).env("REFLOAT_CACHE", self.folder(machine));
        command
    }

    fn folder(&self, machine: &str) -> PathBuf {
        self.cloud.path().join(machine)
    }

    #[track_caller]
    fn json(&self, line: &str, exit: i32) -> Value {
        let output = self.command("here", &format!("{line} --json")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{line}\n{said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn plan(&self, sources: &[String], options: &str) {
        let row = |(number, source): (usize, &String)| {
            format!(
                "vm-{number},ebs:{source}@eu-west-1,azure:{},azure-gen1\n",
                self.azurite.url(&blob(number))
            )
        };
        let rows: String = sources.iter().enumerate().map(row).collect();
        fs::write(self.cloud.path().join("list.csv"), format!("id,source,target,for\n{rows}")).unwrap();
        self.json(&format!("fleet plan list.csv -o DIR {options}"), 0);
    }

    fn kept(&self, row: usize, file: &str) -> Vec<u8> {
        self.azurite.download(&format!("{STATE}/vm/{row:04}/{file}"))
    }

    /// Moves the machines one by one and into files, before anything is counted; the sums of their content.
    fn alone(&self, sources: &[String]) -> Vec<Value> {
        let one = |(number, source): (usize, &String)| {
            let line = format!("migrate ebs:{source}@eu-west-1 alone-{number}.vhd --for azure-gen1 --json");
            let output = self.command("alone", &line).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            serde_json::from_slice::<Value>(&output.stdout).unwrap()["written"]["content"].clone()
        };
        let sums = sources.iter().enumerate().map(one).collect();
        self.cloud.server.reset_counts();
        sums
    }

    /// The blob of a row is what `migrate` alone makes.
    #[track_caller]
    fn is_as_alone(&self, row: usize) {
        let line = format!("verify azure:{} alone-{row}.vhd", self.azurite.url(&blob(row)));
        let output = self.command("verify", &line).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "vm-{row}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Blocks that were sent.
    fn fetched(&self) -> u64 {
        let counts = self.cloud.server.counts();
        counts.blocks.values().flat_map(BTreeMap::values).map(|times| u64::from(*times)).sum()
    }

    /// Blocks that were sent more than once, of all snapshots.
    fn twice(&self) -> u64 {
        let counts = self.cloud.server.counts();
        counts
            .blocks
            .values()
            .flat_map(BTreeMap::values)
            .map(|times| u64::from(times.saturating_sub(1)))
            .sum()
    }
}

fn blob(number: usize) -> String {
    format!("vm-{number}.vhd")
}

/// A guest with so many MiB of its own behind its partitions.
fn guest(folder: &Path, name: &str, seed: u64, mib: usize) -> Option<PathBuf> {
    let image = synthetic::named("debian-mbr-ext4").copy_into(folder)?;
    let path = folder.join(format!("{name}.raw"));
    fs::rename(image, &path).unwrap();
    let mut noise = vec![0; mib << 20];
    fastrand::Rng::with_seed(seed).fill(&mut noise);
    let mut file = fs::File::options().append(true).open(&path).unwrap();
    file.write_all(&noise).unwrap();
    Some(path)
}

#[test]
fn a_machine_is_gone_on_with_by_another_worker_that_shares_no_folder() {
    let Some(azurite) = Azurite::start() else { return };
    let folder = tempfile::tempdir_in(testimages::cache::directory()).unwrap();
    let Some(path) = guest(folder.path(), "one", 1, 96) else { return };
    let id = "snap-00000000000000001";
    let cloud = Cloud::new(vec![Snapshot::from_file(id, &path).unwrap()], vec![]);
    let afar = Afar { cloud, azurite };
    afar.alone(&[id.to_owned()]);
    afar.plan(&[id.to_owned()], "");
    // It takes some seconds, in which what was sent is told.
    afar.cloud.server.set_faults(Faults::seeded(1).account_rate(20));
    let mut first = afar.command("first", "fleet run DIR --index 0 --lease 3");
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while afar.fetched() < 120 {
        assert!(began.elapsed() < Duration::from_secs(60) && first.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(50));
    }
    first.kill().unwrap();
    first.wait().unwrap();
    let (fetched, twice) = (afar.fetched(), afar.twice());
    assert_eq!(twice, 0);
    afar.cloud.server.set_faults(Faults::default());
    let ends = Instant::now() + Duration::from_secs(60);
    // The lease of the first has to end first.
    while afar.command("second", "fleet run DIR --index 0 --lease 3").output().unwrap().status.code()
        != Some(0)
    {
        assert!(Instant::now() < ends, "{}", String::from_utf8_lossy(&afar.kept(0, "log")));
        std::thread::sleep(Duration::from_millis(300));
    }
    // What is read to plan is read again, and what was under way since the last word: not all of it.
    let twice = afar.twice();
    eprintln!("{fetched} blocks until the kill, {twice} of them fetched again");
    assert!(twice < fetched * 3 / 4, "{twice} of {fetched}");
    afar.is_as_alone(0);
    // No signature is on record.
    for file in ["log", "receipt.json", "state.json", "lease"] {
        let text = afar.kept(0, file);
        assert!(!String::from_utf8_lossy(&text).contains("sig="), "{file}");
    }
    let receipt: Value = serde_json::from_slice(&afar.kept(0, "receipt.json")).unwrap();
    assert!(receipt["attempts"].as_u64().unwrap() >= 2, "{receipt}");
    let script = afar.azurite.download(&format!("{STATE}/slurm.sh"));
    assert!(!String::from_utf8_lossy(&script).contains("sig="));
    afar.azurite.download(&format!("{STATE}/azure-state-role.json"));
}

/// The processes of the tasks that work on this state.
fn tasks(state: &str) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let process = |name: &str| {
        let words = fs::read(format!("/proc/{name}/cmdline")).ok()?;
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        let ours = words.contains("refloat fleet run") && words.contains(state);
        ours.then(|| name.parse().ok()).flatten()
    };
    entries.filter_map(|entry| process(&entry.file_name().to_string_lossy())).collect()
}

#[test]
fn slurm_moves_twenty_four_machines_whatever_happens_to_its_tasks() {
    const MACHINES: usize = 24;
    const RATE: u32 = 400;
    if !length::long() {
        eprintln!("skipped: REFLOAT_LONG=1 has Slurm move {MACHINES} machines");
        return;
    }
    let (Some(slurm), Some(azurite)) = (Slurm::start(), Azurite::start()) else { return };
    let folder = tempfile::tempdir_in(testimages::cache::directory()).unwrap();
    let kinds = ["a", "b", "c"];
    let guests: Option<Vec<_>> =
        kinds.iter().zip(1..).map(|(name, seed)| guest(folder.path(), name, seed, 24)).collect();
    let Some(guests) = guests else { return };
    let id = |number: usize| format!("snap-{number:017x}");
    let snapshots =
        (0..MACHINES).map(|number| Snapshot::from_file(&id(number), &guests[number % 3]).unwrap());
    let afar = Afar { cloud: Cloud::new(snapshots.collect(), vec![]), azurite };
    let sources: Vec<String> = (0..MACHINES).map(id).collect();
    let sums = afar.alone(&sources);
    afar.plan(&sources, &format!("--tasks 2 --ebs-requests-per-second {}", RATE - 20));
    afar.cloud.server.set_faults(Faults::seeded(24).account_rate(RATE));
    let state = afar.azurite.url(STATE);
    let script = folder.path().join("slurm.sh");
    let text = String::from_utf8(afar.azurite.download(&format!("{STATE}/slurm.sh"))).unwrap();
    // Tasks have the environment of who submits.
    let command = afar.command("node", "");
    let variables = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let export = |(name, value): (&std::ffi::OsStr, &std::ffi::OsStr)| {
        format!("export {}='{}'\n", name.to_string_lossy(), value.to_string_lossy())
    };
    let exports: String = variables.map(export).collect();
    fs::write(&script, text.replacen("\n\n", &format!("\n\n{exports}"), 1)).unwrap();
    let began = Instant::now();
    let job = slurm.submit(&script);

    let mut random = fastrand::Rng::with_seed(15);
    let (mut killed, mut again, mut downs) = (0, 0, 0);
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let node = host.trim().split('.').next().unwrap().to_owned();
    let update = |what: &str| {
        let mut scontrol = slurm.command("scontrol");
        scontrol.args(["update", &format!("NodeName={node}"), what, "Reason=test"]);
        scontrol.output().unwrap().status.success()
    };
    let mut beside = Vec::new();
    while !slurm.is_finished(&job) {
        assert!(began.elapsed() < Duration::from_secs(3000), "{}", afar.json("fleet status DIR", 0));
        std::thread::sleep(Duration::from_millis(random.u64(1000..4000)));
        let running = tasks(&state);
        if killed < 16 && !running.is_empty() {
            let process = running[random.usize(..running.len())];
            drop(judge::tool("kill").args(["-9", &process.to_string()]).status());
            killed += 1;
        }
        if again < 12 {
            // An engine that takes a task for lost, and starts it again.
            let row = random.usize(..MACHINES);
            let mut task = afar.command("other", &format!("fleet run DIR --index {row}"));
            beside.push(task.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
            again += 1;
            // No more at once than have a share.
            beside.retain_mut(|task| task.try_wait().unwrap().is_none());
            if beside.len() > 1 {
                beside.remove(0).wait().unwrap();
            }
        }
        if downs == 0 && began.elapsed() > Duration::from_secs(30) {
            assert!(update("State=DOWN"), "the node is taken down");
            std::thread::sleep(Duration::from_secs(5));
            // It may have come back by itself.
            update("State=RESUME");
            downs += 1;
        }
    }
    for mut task in beside {
        task.wait().unwrap();
    }
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    let status = afar.json("fleet status DIR", 0);
    let attempts: u64 =
        status["machines"].as_array().unwrap().iter().map(|row| row["attempts"].as_u64().unwrap()).sum();
    let counts = afar.cloud.server.counts();
    let blocks: usize = counts.blocks.values().map(BTreeMap::len).sum();
    let (twice, throttled) = (afar.twice(), counts.throttled);
    eprintln!(
        "{MACHINES} machines in {minutes:.1} min: {attempts} attempts, {killed} tasks killed, {again} run beside, {downs} \
         node down; {blocks} blocks, {twice} fetched again, {throttled} requests over the quota"
    );
    assert_eq!(status["counts"][0]["machines"], MACHINES, "{status}");
    for (number, sum) in sums.iter().enumerate() {
        afar.is_as_alone(number);
        let receipt: Value = serde_json::from_slice(&afar.kept(number, "receipt.json")).unwrap();
        assert_eq!(receipt["row"], number);
        // What a task says it sent is what a single run made.
        assert!(sum.is_string() && receipt["migrate"]["written"]["content"] == *sum, "{receipt}");
        // And that is what is there, byte by byte, as a plain reader gets it and a program of nobody's here compares it.
        let got = folder.path().join("got.vhd");
        afar.azurite.copy_to(&blob(number), &got);
        assert!(same(&got, &afar.folder(&format!("alone-{number}.vhd"))), "vm-{number}");
    }
    assert_eq!(throttled, 0);
    // Each kill costs what was under way; 64 are, at most.
    assert!(twice <= (killed + 2 * downs) * 64, "{twice}");
}
