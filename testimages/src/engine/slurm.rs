//! Slurm: one controller and one node on loopback, in a folder of their own.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::judge;

/// Programs that it takes.
const PROGRAMS: &[&str] = &["munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue"];

/// A cluster of this machine alone, until it is dropped.
#[derive(Debug)]
pub struct Slurm {
    folder: tempfile::TempDir,
    daemons: Vec<Child>,
}

/// A port of loopback that nobody uses.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Slurm {
    /// Starts it; `None`, after a visible skip, where it is not installed or this is not root.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub fn start() -> Option<Self> {
        if !judge::need_all(PROGRAMS) {
            return None;
        }
        if !rustix::process::getuid().is_root() {
            judge::missing("root, for Slurm");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        // Munge takes no socket or key that others could change the way to.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("state")).unwrap();
        let key: Vec<u8> = (0..128).map(|_| fastrand::u8(..)).collect();
        fs::write(at("munge.key"), key).unwrap();
        fs::set_permissions(at("munge.key"), fs::Permissions::from_mode(0o600)).unwrap();
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let host = host.trim().split('.').next().unwrap();
        let socket = at("munge.socket");
        fs::write(at("slurm.conf"), conf(folder.path(), host, &socket)).unwrap();

        let mut slurm = Self { daemons: Vec::new(), folder };
        let at = |name: &str| slurm.folder.path().join(name);
        let mut munged = judge::tool("munged");
        munged.arg("--foreground").arg("--force").arg("--socket").arg(&socket);
        munged.arg("--key-file").arg(at("munge.key")).arg("--pid-file").arg(at("munge.pid"));
        munged.arg("--log-file").arg(at("munge.log")).arg("--seed-file").arg(at("munge.seed"));
        let mut controller = judge::tool("slurmctld");
        controller.args(["-D", "-f"]).arg(at("slurm.conf"));
        let mut node = judge::tool("slurmd");
        node.args(["-D", "-f"]).arg(at("slurm.conf"));
        for (command, name) in
            [(&mut munged, "munged"), (&mut controller, "slurmctld"), (&mut node, "slurmd")]
        {
            let log = fs::File::create(slurm.folder.path().join(format!("{name}.out"))).unwrap();
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
            slurm.daemons.push(command.spawn().unwrap());
            if name == "munged" {
                slurm.wait("munge", Duration::from_secs(20), |_| socket.exists());
            }
        }
        slurm.wait("an idle node", Duration::from_secs(60), |slurm| {
            slurm.try_run("sinfo", &["-h", "-o", "%T"]).is_some_and(|said| said.contains("idle"))
        });
        Some(slurm)
    }

    fn wait(&self, what: &str, most: Duration, mut done: impl FnMut(&Self) -> bool) {
        let began = Instant::now();
        while !done(self) {
            assert!(began.elapsed() < most, "no {what}:\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn logs(&self) -> String {
        let names = ["munged.out", "slurmctld.out", "slurmd.out", "slurmctld.log", "slurmd.log"];
        let tail = |name: &&str| {
            let text = fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().rev().take(15).collect();
            format!("{name}:\n{}\n", lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
        };
        names.iter().map(tail).collect()
    }

    /// A command of Slurm, for this cluster.
    pub fn command(&self, program: &str) -> Command {
        let mut command = judge::tool(program);
        command.env("SLURM_CONF", self.folder.path().join("slurm.conf"));
        command
    }

    fn try_run(&self, program: &str, args: &[&str]) -> Option<String> {
        let output = self.command(program).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Submits a batch script; the number of the job.
    ///
    /// # Panics
    /// When it is not taken.
    #[track_caller]
    pub fn submit(&self, script: &Path) -> String {
        let mut sbatch = self.command("sbatch");
        sbatch.arg("--parsable").arg(script);
        let output = judge::run(&mut sbatch);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Waits until no task of a job is left in the queue.
    ///
    /// # Panics
    /// When that takes longer.
    #[track_caller]
    pub fn finish(&self, job: &str, most: Duration) {
        self.wait("end of the job", most, |slurm| slurm.is_finished(job));
    }

    /// Whether no task of a job is left in the queue.
    pub fn is_finished(&self, job: &str) -> bool {
        self.try_run("squeue", &["-h", "-j", job]).is_none_or(|left| left.trim().is_empty())
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        for daemon in self.daemons.iter_mut().rev() {
            // What has ended already is as well.
            drop(daemon.kill());
            drop(daemon.wait());
        }
    }
}

/// All sockets on loopback, all files in the folder.
fn conf(folder: &Path, host: &str, munge: &Path) -> String {
    let at = |name: &str| folder.join(name).display().to_string();
    let (controller, node) = (port(), port());
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "ClusterName=refloat\nSlurmctldHost={host}(127.0.0.1)\nSlurmUser=root\nSlurmdUser=root\n\
         AuthType=auth/munge\nAuthInfo=socket={}\nCryptoType=crypto/munge\nMpiDefault=none\n\
         ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nReturnToService=2\n\
         SlurmctldPort={controller}\nSlurmdPort={node}\nStateSaveLocation={}\nSlurmdSpoolDir={}\n\
         SlurmctldLogFile={}\nSlurmdLogFile={}\nSlurmctldPidFile={}\nSlurmdPidFile={}\n\
         SwitchType=switch/none\nSchedulerType=sched/backfill\nSelectType=select/cons_tres\n\
         SelectTypeParameters=CR_Core\nJobAcctGatherType=jobacct_gather/none\nJobRequeue=1\n\
         CommunicationParameters=NoInAddrAny,NoCtldInAddrAny\n\
         NodeName={host} NodeAddr=127.0.0.1 CPUs={processors} State=UNKNOWN\n\
         PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n",
        munge.display(),
        at("state"),
        at("spool"),
        at("slurmctld.log"),
        at("slurmd.log"),
        at("slurmctld.pid"),
        at("slurmd.pid"),
    )
}
