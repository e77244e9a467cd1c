//! Slurm: an array job. A task that ends with 3, or is killed, is put back by Slurm itself, some two minutes later.

use anyhow::Result;

use super::Job;

/// How often a task that was killed is put back: one that needs too much memory would be killed again and again.
const KILLED: u32 = 10;

/// The batch script.
pub(super) fn script(job: &Job<'_>) -> Result<String> {
    let (last, tasks) = (job.last(), job.fleet.tasks);
    let command = job.command();
    // `RequeueExit=3` of slurm.conf does the same; not every site has it, and a task may ask for it.
    Ok(format!(
        "#!/bin/sh\n\
         #SBATCH --job-name=refloat\n\
         #SBATCH --array=0-{last}%{tasks}\n\
         #SBATCH --requeue\n\
         #SBATCH --signal=B:TERM@60\n\
         #SBATCH --output=/dev/null\n\
         \n\
         # One machine a task. What it said is in vm/NNNN/log.\n\
         {command} &\n\
         task=$!\n\
         trap 'kill -TERM \"$task\"' TERM INT\n\
         wait \"$task\"; code=$?\n\
         # A signal ends the wait, not yet the task.\n\
         while kill -0 \"$task\" 2>/dev/null; do wait \"$task\"; code=$?; done\n\
         # 3: the same command goes on; also where the task was killed, but not for ever.\n\
         if [ \"$code\" -eq 3 ] || {{ [ \"$code\" -gt 128 ] && [ \"${{SLURM_RESTART_COUNT:-0}}\" -lt {KILLED} ]; }}; then\n\
         \x20   scontrol requeue \"${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}\" && sleep 60\n\
         fi\n\
         exit \"$code\"\n"
    ))
}
