//! Many machines: the list, the leases, and what engines see.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use standin::{Faults, Snapshot};
use testimages::engine::{self, Slurm};
use testimages::{judge, synthetic};

use crate::cloud::{Cloud, ID, same};
use crate::program::{command, failure, json, refloat};

/// A machine that migrates without a word, and the VHD that `migrate` alone makes of it.
fn sound(folder: &Path) -> Option<&'static str> {
    let machine = synthetic::named("debian-mbr-ext4");
    machine.copy_into(folder)?;
    refloat(folder, "migrate debian-mbr-ext4.raw alone.vhd --for azure-gen1", 0);
    Some("debian-mbr-ext4.raw")
}

/// A folder with a fleet of these rows.
fn planned(folder: &Path, header: &str, rows: &[String]) {
    fs::write(folder.join("list.csv"), format!("{header}\n{}\n", rows.join("\n"))).unwrap();
    json(folder, "fleet plan list.csv -o fleet --force", 0);
}

fn receipt(folder: &Path, row: usize) -> Option<Value> {
    let bytes = fs::read(folder.join(format!("fleet/vm/{row:04}/receipt.json"))).ok()?;
    Some(serde_json::from_slice(&bytes).unwrap())
}

#[test]
fn a_fleet_is_moved_wave_by_wave_and_each_machine_as_alone() {
    let folder = tempfile::tempdir_in(testimages::cache::directory()).unwrap();
    let folder = folder.path();
    let Some(source) = sound(folder) else { return };
    fs::write(folder.join("empty.raw"), vec![0; 1 << 20]).unwrap();
    let row = |id: &str, source: &str, wave: u32, after: &str| {
        format!("{id},{source},{id}.vhd,azure-gen1,{wave},{after}")
    };
    let rows = [row("last", source, 1, ""), row("second", source, 0, "first"), row("first", source, 0, "")];
    planned(folder, "id,source,target,for,wave,after", &rows);

    let status = json(folder, "fleet status fleet", 0);
    assert_eq!(
        status["machines"].as_array().unwrap().iter().filter(|row| row["stage"] == "waiting").count(),
        3
    );
    // What waits for another is not begun, and the engine is told to come again.
    let later = json(folder, "fleet run fleet --index 1", 3);
    assert!(later["error"].as_str().is_none(), "{later}");
    assert!(later["machines"][0]["why"].as_str().unwrap().contains("waits for first"), "{later}");

    let ran = json(folder, "fleet run fleet --jobs 2", 0);
    assert_eq!(ran["machines"].as_array().unwrap().len(), 3);
    let alone = folder.join("alone.vhd");
    let times = |row| {
        let receipt = receipt(folder, row).unwrap();
        (receipt["began"].as_u64().unwrap(), receipt["ended"].as_u64().unwrap())
    };
    assert!(times(2).1 <= times(1).0 && times(1).1 <= times(0).0, "the order");
    for id in ["first", "second", "last"] {
        assert!(same(&folder.join(format!("{id}.vhd")), &alone), "{id}");
    }
    // Twice is once: nothing is written again.
    assert!(json(folder, "fleet status fleet", 0)["machines"][0]["bytes"].as_u64().unwrap() > 1 << 20);
    let modified = || fs::metadata(folder.join("first.vhd")).unwrap().modified().unwrap();
    let before = modified();
    json(folder, "fleet run fleet", 0);
    assert_eq!(modified(), before);

    // One that will not boot is refused, and what comes after it is not begun.
    let rows = [row("first", source, 0, ""), row("bad", "empty.raw", 0, ""), row("late", source, 1, "")];
    planned(folder, "id,source,target,for,wave,after", &rows);
    let status = json(folder, "fleet status fleet", 0);
    assert_eq!(status["machines"][0]["stage"], "waiting", "the receipt there is of another row");
    let said = String::from_utf8(command(folder, "fleet run fleet").output().unwrap().stderr).unwrap();
    assert!(said.contains("bad comes first"), "{said}");
    let status = json(folder, "fleet status fleet --html status.html --metrics status.prom", 0);
    let stage = |row: usize| status["machines"][row]["stage"].as_str().unwrap().to_owned();
    assert_eq!((stage(0), stage(2)), ("done".into(), "waiting".into()));
    assert!(["refused", "failed"].contains(&stage(1).as_str()), "{status}");
    assert_eq!(status["causes"][0]["machines"][0], "bad");
    let page = fs::read_to_string(folder.join("status.html")).unwrap();
    assert!(page.contains("bad") && !page.contains("<script"), "{page}");
    let metrics = fs::read_to_string(folder.join("status.prom")).unwrap();
    assert!(metrics.contains("refloat_fleet_machines{stage=\"waiting\"}"), "{metrics}");
}

#[test]
fn a_list_with_faults_is_refused_whole() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(
        folder.join("list.csv"),
        "id,source,target,for\na,no.raw,a.vhd,azure-gen1\nb,ebs:i-0abc,b.vhd,azure-gen9\n",
    )
    .unwrap();
    let said = failure(folder, "fleet plan list.csv -o fleet");
    assert!(
        said.contains("line 2 (a)") && said.contains("line 3 (b)") && said.contains("azure-gen9"),
        "{said}"
    );
    assert!(!folder.join("fleet").exists());
    let said = failure(folder, "fleet run fleet");
    assert!(said.contains("fleet plan LIST.csv"), "{said}");
    fs::write(
        folder.join("list.csv"),
        "id,source,target,for\na,ebs:i-0abc@eu-west-1,azure:01234567-89ab-cdef-0123-456789abcdef/g/a,azure-gen1\n",
    )
    .unwrap();
    json(folder, "fleet plan list.csv -o fleet", 0);
    json(folder, "fleet plan list.csv -o fleet", 0);
    let said = failure(folder, "fleet run fleet --index 1");
    assert!(said.contains("there is no row 1: the list has 1 machine, and its one row is 0"), "{said}");
    fs::write(
        folder.join("list.csv"),
        "id,source,target,for\nb,ebs:i-0abc@eu-west-1,azure:01234567-89ab-cdef-0123-456789abcdef/g/b,azure-gen1\n",
    )
    .unwrap();
    let said = failure(folder, "fleet plan list.csv -o fleet");
    assert!(said.contains("another list") && said.contains("--force"), "{said}");
    let said = failure(folder, "fleet plan list.csv --simulate");
    assert!(said.contains("gib"), "{said}");
}

#[test]
fn one_damaged_file_stops_one_machine_and_pages_are_written_over_pages_alone() {
    let folder = tempfile::tempdir_in(testimages::cache::directory()).unwrap();
    let folder = folder.path();
    let Some(source) = sound(folder) else { return };
    let rows: Vec<String> = (0..3).map(|row| format!("vm-{row},{source},vm-{row}.vhd,azure-gen1")).collect();
    planned(folder, "id,source,target,for", &rows);
    let state = folder.join("fleet/vm/0001/state.json");
    fs::create_dir_all(state.parent().unwrap()).unwrap();
    fs::write(&state, "{\"stage\":").unwrap();
    let status = json(folder, "fleet status fleet", 0);
    let of = |status: &Value, row: usize, what: &str| {
        status["machines"][row][what].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!([0, 1, 2].map(|row| of(&status, row, "stage")), ["waiting", "failed", "waiting"], "{status}");
    assert!(
        of(&status, 1, "why").contains("vm/0001/state.json") && of(&status, 1, "help").contains("delete")
    );
    // The others are moved; the report tells why one is not.
    let ran = json(folder, "fleet run fleet", 2);
    assert_eq!([0, 1, 2].map(|row| of(&ran, row, "stage")), ["done", "failed", "done"], "{ran}");
    let report = json(folder, "fleet report fleet", 1);
    assert!(of(&report, 1, "why").contains("vm/0001/state.json"), "{report}");
    // What the help says helps.
    fs::remove_file(&state).unwrap();
    json(folder, "fleet run fleet", 0);
    all_done(folder, 3);

    // So it is where a folder has the name of a file, and a file that of a folder.
    for what in ["state.json", ""] {
        let (vm, aside) = (folder.join("fleet/vm/0001"), folder.join("aside"));
        fs::rename(&vm, &aside).unwrap();
        if what.is_empty() {
            fs::write(&vm, "").unwrap();
        } else {
            judge::run(judge::tool("cp").arg("-r").args([&aside, &vm]));
            fs::remove_file(vm.join(what)).unwrap();
            fs::create_dir(vm.join(what)).unwrap();
        }
        for (line, exit) in [("fleet status fleet", 0), ("fleet report fleet", 1), ("fleet run fleet", 2)] {
            let told = json(folder, line, exit);
            assert_eq!([0, 1, 2].map(|row| of(&told, row, "stage")), ["done", "failed", "done"], "{told}");
            assert!(of(&told, 1, "why").contains(&format!("vm/0001/{what}")), "{told}");
        }
        judge::run(judge::tool("rm").arg("-r").arg(&vm));
        fs::rename(&aside, &vm).unwrap();
    }
    // Nor does a machine keep others back whose lock or log cannot be written.
    fs::remove_file(folder.join("fleet/vm/0001/receipt.json")).unwrap();
    fs::remove_file(folder.join("fleet/vm/0001/state.json")).unwrap();
    fs::remove_file(folder.join("fleet/vm/0001/lease.lock")).unwrap();
    fs::create_dir(folder.join("fleet/vm/0001/lease.lock")).unwrap();
    let ran = json(folder, "fleet run fleet", 2);
    assert_eq!([0, 1, 2].map(|row| of(&ran, row, "stage")), ["done", "failed", "done"], "{ran}");
    fs::remove_dir(folder.join("fleet/vm/0001/lease.lock")).unwrap();
    // What is not of this fleet is not written over, and nothing is told to be typed that a fleet has not.
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("vm-1.vhd") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    fs::write(folder.join("vm-1.vhd"), "precious").unwrap();
    let ran = json(folder, "fleet run fleet", 2);
    assert!(of(&ran, 1, "why").contains("exists") && of(&ran, 1, "help").contains("move it away"), "{ran}");
    fs::remove_file(folder.join("vm-1.vhd")).unwrap();
    json(folder, "fleet run fleet", 0);
    all_done(folder, 3);

    // Its own page is written again, and nothing else, whatever its name.
    for (option, name) in [("--html", "status.html"), ("--metrics", "status.prom")] {
        let line = format!("fleet status fleet {option} {name}");
        refloat(folder, &line, 0);
        let page = fs::read(folder.join(name)).unwrap();
        refloat(folder, &line, 0);
        fs::write(folder.join(name), "precious").unwrap();
        let said = failure(folder, &line);
        assert!(said.contains("is not what is written here") && said.contains("help: "), "{said}");
        assert_eq!(fs::read(folder.join(name)).unwrap(), b"precious");
        assert!(!page.is_empty());
    }
    let said = failure(folder, &format!("fleet status fleet --html {source}"));
    assert!(said.contains(source), "{said}");
    assert!(same(&folder.join(source), &synthetic::named("debian-mbr-ext4").path().unwrap()));
    let said = failure(folder, "fleet run fleet --index 99");
    assert!(said.contains("the list has 3 machines, and its rows are 0 to 2"), "{said}");
}

/// How far a row is: as `status` says it, as `run` does with its exit code, and as `report` does with its own.
fn told_of(folder: &Path, row: usize, run: i32, report: i32) -> [Value; 3] {
    let lines = [("fleet status fleet", 0), ("fleet run fleet", run), ("fleet report fleet", report)];
    lines.map(|(line, exit)| json(folder, line, exit)["machines"][row].clone())
}

#[test]
fn what_no_delta_is_for_is_told_and_stays_done() {
    let folder = tempfile::tempdir_in(testimages::cache::directory()).unwrap();
    let folder = folder.path();
    let Some(source) = sound(folder) else { return };
    planned(folder, "id,source,target,for", &[format!("vm-0,{source},vm-0.vhd,azure-gen1")]);
    json(folder, "fleet run fleet", 0);
    let state = folder.join("fleet/vm/0000/state.json");
    let before = fs::read(&state).unwrap();
    for _ in 0..2 {
        let ran = json(folder, "fleet run fleet --delta", 2);
        let (why, help) = (&ran["machines"][0]["why"], ran["machines"][0]["help"].as_str().unwrap());
        assert!(why.as_str().unwrap().contains("not moved from snapshots of AWS"), "{ran}");
        assert!(help.contains("fleet --index 0 --again"), "{ran}");
    }
    assert!(fs::read(&state).unwrap() == before, "something was written");
    assert!(told_of(folder, 0, 0, 0).iter().all(|told| told["stage"] == "done"));

    // A delta that did not end well is that for all, whatever the receipt before it.
    let mut failed: Value = serde_json::from_slice(&before).unwrap();
    (failed["stage"], failed["round"], failed["why"]) = ("failed".into(), 1.into(), "it was cut off".into());
    fs::write(&state, failed.to_string()).unwrap();
    for told in told_of(folder, 0, 2, 1) {
        assert_eq!(told["stage"], "failed", "{told}");
        assert!(told["why"].as_str().unwrap().contains("it was cut off"), "{told}");
    }
    let said = failure(folder, "fleet run fleet");
    assert!(said.contains("--index 0 --delta") && said.contains("--index 0 --again"), "{said}");
    failed["stage"] = "running".into();
    fs::write(&state, failed.to_string()).unwrap();
    json(folder, "fleet run fleet", 2);
    // What the help says helps.
    json(folder, "fleet run fleet --index 0 --again", 0);
    assert!(told_of(folder, 0, 0, 0).iter().all(|told| told["stage"] == "done"));
    assert_eq!(receipt(folder, 0).unwrap()["round"], 1);
}

#[test]
fn a_receipt_is_that_of_its_row_and_the_list_is_the_one_that_was_frozen() {
    let folder = tempfile::tempdir_in(testimages::cache::directory()).unwrap();
    let folder = folder.path();
    let Some(source) = sound(folder) else { return };
    let rows: Vec<String> = (0..2).map(|row| format!("vm-{row},{source},vm-{row}.vhd,azure-gen1")).collect();
    planned(folder, "id,source,target,for", &rows);
    let nobody =
        command(folder, "fleet run fleet").env_remove("USER").env_remove("LOGNAME").output().unwrap();
    assert!(nobody.status.success(), "{nobody:?}");
    let user = judge::run(judge::tool("id").arg("-un"));
    assert_eq!(receipt(folder, 0).unwrap()["by"], String::from_utf8_lossy(&user.stdout).trim());

    let at = |row: usize| folder.join(format!("fleet/vm/{row:04}/receipt.json"));
    let own = fs::read_to_string(at(1)).unwrap();
    let list = receipt(folder, 1).unwrap()["list"].as_str().unwrap().to_owned();
    let others = [
        (None, "its receipt is gone"),
        (Some(fs::read_to_string(at(0)).unwrap()), "its receipt is that of vm-0"),
        (Some(own.replacen("\"row\": 1", "\"row\": 7", 1)), "its receipt is that of row 7"),
        (Some(own.replace(&list, &"0".repeat(64))), "its receipt is of another list"),
        (Some(own.replacen("\"digest\": \"", "\"digest\": \"0", 1)), "its receipt is of other words"),
    ];
    for (there, why) in others {
        match there {
            Some(text) => fs::write(at(1), text).unwrap(),
            None => fs::remove_file(at(1)).unwrap(),
        }
        for told in told_of(folder, 1, 2, 1) {
            assert!(
                told["stage"] == "failed" && told["why"].as_str().unwrap().contains(why),
                "{why}: {told}"
            );
            assert!(told["moved"].is_null(), "{told}");
        }
    }
    // Put back it is done; without it the machine is moved again.
    fs::write(at(1), &own).unwrap();
    assert!(told_of(folder, 1, 0, 0).iter().all(|told| told["stage"] == "done"));
    fs::remove_file(at(1)).unwrap();
    json(folder, "fleet run fleet --index 1 --again", 0);
    assert!(told_of(folder, 1, 0, 0).iter().all(|told| told["stage"] == "done"));
    all_done(folder, 2);

    // A frozen list that somebody changed is no list.
    let frozen = folder.join("fleet/fleet.json");
    let text = fs::read_to_string(&frozen).unwrap();
    for (what, with) in
        [(source, "other.raw"), (list.as_str(), &"0".repeat(64)), ("\"wave\": 0", "\"wave\": 1")]
    {
        assert!(text.contains(what));
        fs::write(&frozen, text.replace(what, with)).unwrap();
        for line in ["fleet status fleet", "fleet run fleet", "fleet report fleet"] {
            let said = failure(folder, line);
            assert!(said.contains("was changed since") && said.contains("--force"), "{said}");
        }
    }
    // Planned again, with a row more, what was done stays done.
    let more = format!("vm-2,{source},vm-2.vhd,azure-gen1");
    planned(folder, "id,source,target,for", &[rows[0].clone(), rows[1].clone(), more]);
    let stages = json(folder, "fleet status fleet", 0)["machines"].clone();
    assert_eq!([0, 1, 2].map(|row| stages[row]["stage"].clone()), ["done", "done", "waiting"]);

    let said = failure(folder, "fleet survey --from-list list.csv -o survey");
    assert!(said.contains("is a list for fleet plan"), "{said}");
}

/// The processes that a process has started, in any of its threads.
pub(crate) fn children(of: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{of}/task")).unwrap().flatten();
    let texts = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    texts
        .flat_map(|text| text.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect()
}

#[test]
fn what_a_stopped_orphan_writes_is_come_back_to() {
    let Some(guest) = synthetic::named("debian-mbr-ext4").path() else { return };
    let cloud = Cloud::new(vec![Snapshot::from_file(ID, &guest).unwrap()], vec![]);
    let at = |name: &str| cloud.path().join(name);
    cloud.refloat("migrate ebs:S alone.vhd --for azure-gen1", 0);
    cloud.forget();
    planned(cloud.path(), "id,source,target,for", &[format!("vm-0,ebs:{ID}@eu-west-1,vm-0.vhd,azure-gen1")]);
    cloud.server.set_faults(Faults::default().latency(Duration::from_millis(200)));
    let signal = |what: &str, process: u32| {
        judge::run(judge::tool("kill").args([what, &process.to_string()]));
    };
    let line = "fleet run fleet --lease 3 --json";
    let mut first = cloud.command(line).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !at("vm-0.vhd.partial").exists() {
        assert!(first.try_wait().unwrap().is_none(), "it ended");
        std::thread::sleep(Duration::from_millis(2));
    }
    // The program that the task runs is stopped, and does not hear that the task is gone.
    let programs: Vec<u32> = children(first.id());
    programs.iter().for_each(|program| signal("-STOP", *program));
    first.kill().unwrap();
    first.wait().unwrap();
    let is_done = at("vm-0.vhd").exists();
    cloud.server.set_faults(Faults::default());
    std::thread::sleep(Duration::from_millis(4500));
    let ran = cloud.command(line).output().unwrap();
    programs.iter().for_each(|program| signal("-CONT", *program));
    let (code, said) = (ran.status.code(), String::from_utf8_lossy(&ran.stdout).into_owned());
    assert!(!programs.is_empty() && !is_done, "it was stopped too late");
    assert!(code == Some(3) && said.contains("another process is writing it"), "{code:?}: {said}");
    // It hears it now, and ends.
    let ends = Instant::now() + Duration::from_secs(30);
    while cloud.command(line).output().unwrap().status.code() != Some(0) {
        assert!(Instant::now() < ends, "{:?}", fs::read_to_string(at("fleet/vm/0000/log")));
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(same(&at("vm-0.vhd"), &at("alone.vhd")));
}

/// A task that an engine starts for a row.
fn task(folder: &Path, row: usize) -> Child {
    let mut command = command(folder, "fleet run fleet --lease 3 --json");
    command.env("SLURM_ARRAY_TASK_ID", row.to_string());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn tasks_that_run_twice_or_are_killed_move_each_machine_once() {
    let folder = tempfile::tempdir_in(testimages::cache::directory()).unwrap();
    let folder = folder.path();
    let Some(source) = sound(folder) else { return };
    let rows: Vec<String> = (0..4).map(|row| format!("vm-{row},{source},vm-{row}.vhd,azure-gen1")).collect();
    planned(folder, "id,source,target,for", &rows);
    let mut random = fastrand::Rng::with_seed(15);
    // As an engine does that loses nodes, and takes some for lost that are not.
    for round in 0..12 {
        let row = round % rows.len();
        let mut tasks = [task(folder, row), task(folder, row)];
        std::thread::sleep(Duration::from_millis(random.u64(20..400)));
        tasks[0].kill().unwrap();
        tasks[0].wait().unwrap();
        let code = tasks[1].wait().unwrap().code();
        assert!(matches!(code, Some(0 | 3)), "row {row}: {code:?}");
    }
    let ends = Instant::now() + Duration::from_secs(60);
    for row in 0..rows.len() {
        // Whose lease has not ended yet is come back to.
        while task(folder, row).wait().unwrap().code() != Some(0) {
            assert!(
                Instant::now() < ends,
                "row {row}: {:?}",
                fs::read_to_string(folder.join(format!("fleet/vm/{row:04}/log")))
            );
            std::thread::sleep(Duration::from_millis(300));
        }
        assert!(same(&folder.join(format!("vm-{row}.vhd")), &folder.join("alone.vhd")), "row {row}");
        assert_eq!(receipt(folder, row).unwrap()["id"], format!("vm-{row}"));
    }
    let status = json(folder, "fleet status fleet", 0);
    assert_eq!(status["counts"][0]["machines"], 4, "{status}");
}

#[test]
fn job_files_are_what_engines_take() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(
        folder.join("list.csv"),
        "id,source,target,for\na,ebs:i-0abc@eu-west-1,azure:01234567-89ab-cdef-0123-456789abcdef/g/a,azure-gen1\n",
    )
    .unwrap();
    let planned = json(folder, "fleet plan list.csv -o fleet --tasks 8", 0);
    assert_eq!(planned["engines"].as_array().unwrap().len(), 4);
    let fleet = folder.join("fleet");
    for script in ["slurm.sh", "hyperqueue.sh"] {
        judge::run(judge::tool("sh").arg("-n").arg(fleet.join(script)));
    }
    assert!(fs::read_to_string(fleet.join("slurm.sh")).unwrap().contains("--array=0-0%8"));
    engine::kubernetes(&fleet.join("k8s-job.yaml"));
    engine::batch(&fleet.join("aws-batch.json"));
    let policy: Value = serde_json::from_slice(&fs::read(fleet.join("aws-policy.json")).unwrap()).unwrap();
    let statements = policy["Statement"].as_array().unwrap();
    assert_eq!(statements[0]["Resource"][0], "arn:aws:ec2:eu-west-1::snapshot/*");
    assert!(statements.iter().all(|statement| statement["Action"] != "*"), "{policy}");
    let role: Value = serde_json::from_slice(&fs::read(fleet.join("azure-role.json")).unwrap()).unwrap();
    assert_eq!(
        role["AssignableScopes"],
        serde_json::json!(["/subscriptions/01234567-89ab-cdef-0123-456789abcdef/resourceGroups/g"])
    );
    let batch: Value = serde_json::from_slice(&fs::read(fleet.join("aws-batch.json")).unwrap()).unwrap();
    assert_eq!(batch["retryStrategy"]["evaluateOnExit"][0]["onExitCode"], "3");
}

/// All are done, each as `migrate` alone makes it.
#[track_caller]
fn all_done(folder: &Path, count: usize) {
    let status = json(folder, "fleet status fleet", 0);
    assert_eq!(status["counts"][0]["machines"], count, "{status}");
    for row in 0..count {
        assert!(same(&folder.join(format!("vm-{row}.vhd")), &folder.join("alone.vhd")), "row {row}");
    }
}

/// Rows of the sound machine; with `REFLOAT_LONG=1` the last waits for the first, which Slurm sees as a task to put
/// back, some two minutes later.
fn rows(source: &str, count: usize) -> Vec<String> {
    let after = |row: usize| if testimages::length::long() && row + 1 == count { "vm-0" } else { "" };
    (0..count).map(|row| format!("vm-{row},{source},vm-{row}.vhd,azure-gen1,{}", after(row))).collect()
}

#[test]
fn slurm_moves_an_array_of_machines() {
    let folder = tempfile::tempdir_in(testimages::cache::directory()).unwrap();
    let folder = folder.path();
    let (Some(slurm), Some(source)) = (Slurm::start(), sound(folder)) else { return };
    planned(folder, "id,source,target,for,after", &rows(source, 4));
    let job = slurm.submit(&folder.join("fleet/slurm.sh"));
    slurm.finish(&job, Duration::from_secs(if testimages::length::long() { 600 } else { 90 }));
    all_done(folder, 4);
    let owner = receipt(folder, 2).unwrap()["owner"].as_str().unwrap().to_owned();
    assert!(owner.ends_with("task 2 of Slurm"), "{owner}");
}

#[test]
fn hyperqueue_moves_an_array_of_machines() {
    let folder = tempfile::tempdir_in(testimages::cache::directory()).unwrap();
    let folder = folder.path();
    let Some(source) = sound(folder) else { return };
    planned(folder, "id,source,target,for,after", &rows(source, 4));
    if engine::hyperqueue(&folder.join("fleet/hyperqueue.sh"), folder) {
        all_done(folder, 4);
    }
}
