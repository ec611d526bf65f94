//! What a process used, as the system counts it.

use crate::failed;
use real_runtime::failure::Failure;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The unit of the times in `/proc/PID/stat`.
fn tick() -> Duration {
    Duration::from_secs(1) / u32::try_from(rustix::param::clock_ticks_per_second()).expect("a small number")
}

/// CPU time of all threads, in user and in system mode.
pub(crate) fn cpu(process: u32) -> Result<Duration, Failure> {
    let path = format!("/proc/{process}/stat");
    let stat = fs::read_to_string(&path).map_err(|error| failed(&format!("read {path}"), error))?;
    // The name in parentheses may have spaces. After it: the third field; utime is the 14th, stime the 15th.
    let rest = stat.rsplit(')').next().unwrap_or_default();
    let ticks: Option<u32> =
        rest.split_whitespace().skip(11).take(2).map(|field| field.parse::<u32>().ok()).sum::<Option<u32>>();
    ticks.map(|ticks| tick() * ticks).ok_or_else(|| failed("understand", &path))
}

/// Resident memory in bytes.
pub(crate) fn resident(process: u32) -> Result<u64, Failure> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).map_err(|error| failed(&format!("read {path}"), error))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes =
        line.and_then(|line| line.split_whitespace().next()).and_then(|field| field.parse::<u64>().ok());
    kilobytes.map(|kilobytes| kilobytes << 10).ok_or_else(|| failed("understand", &path))
}

/// `strace -c` on a process.
pub(crate) struct Trace {
    strace: Child,
    output: tempfile::NamedTempFile,
}

impl Trace {
    /// Attaches to all threads of `process`. `None` if there is no strace, or it is not allowed to.
    pub(crate) fn attach(process: u32) -> Result<Option<Trace>, Failure> {
        let output =
            tempfile::NamedTempFile::new().map_err(|error| failed("make a temporary file", error))?;
        let spawned = Command::new("strace")
            .args(["-f", "-c", "-o"])
            .arg(output.path())
            .args(["-p", &process.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut strace) = spawned else { return Ok(None) };
        let begun = Instant::now();
        while !is_traced(process) {
            if strace.try_wait().is_ok_and(|ended| ended.is_some())
                || begun.elapsed() > Duration::from_secs(5)
            {
                // It may have ended already.
                let _ = strace.kill();
                let _ = strace.wait();
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Some(Trace { strace, output }))
    }

    /// Detaches and gives the number of system calls.
    pub(crate) fn detach(mut self) -> Result<u64, Failure> {
        let id = rustix::process::Pid::from_raw(self.strace.id().cast_signed()).expect("a process");
        rustix::process::kill_process(id, rustix::process::Signal::INT)
            .map_err(|error| failed("stop strace", error))?;
        self.strace.wait().map_err(|error| failed("wait for strace", error))?;
        let table =
            fs::read_to_string(self.output.path()).map_err(|error| failed("read strace's table", error))?;
        let total = table.lines().find(|line| line.trim_end().ends_with(" total"));
        let calls =
            total.and_then(|line| line.split_whitespace().nth(3)).and_then(|field| field.parse().ok());
        calls.ok_or_else(|| failed("understand strace's table", &table))
    }
}

fn is_traced(process: u32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { return false };
    tasks.flatten().all(|task| {
        fs::read_to_string(task.path().join("status")).is_ok_and(|status| {
            status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
        })
    })
}
