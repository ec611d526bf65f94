//! A child process whose every line is heard, and which ends with the test that started it.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// A running child process. Dropping it kills it.
pub struct Process {
    name: String,
    child: Child,
    lines: Receiver<String>,
    heard: Vec<String>,
}

/// A child process that ended by itself.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it said, on standard output and standard error, line by line.
    pub lines: Vec<String>,
}

impl Process {
    /// Starts `command`. `name` is for messages.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(name: impl Into<String>, command: &mut Command) -> Self {
        let name = name.into();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("{name}: cannot start {command:?}: {error}"));
        let (sender, lines) = mpsc::channel();
        hear(child.stdout.take().expect("it is piped"), sender.clone());
        hear(child.stderr.take().expect("it is piped"), sender);
        Process { name, child, lines, heard: Vec::new() }
    }

    /// Waits until it says a line for which `wanted` gives something.
    ///
    /// # Panics
    /// If it ends, or `limit` passes, before it says so.
    pub fn expect<T>(&mut self, what: &str, limit: Duration, wanted: impl Fn(&str) -> Option<T>) -> T {
        let end = Instant::now() + limit;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let found = wanted(&line);
                    self.heard.push(line);
                    if let Some(found) = found {
                        return found;
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.fail(&format!("did not say {what} within {limit:?}")),
                Err(RecvTimeoutError::Disconnected) => self.fail(&format!("ended and never said {what}")),
            }
        }
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// If `limit` passes first.
    pub fn finish(mut self, limit: Duration) -> Finished {
        let end = Instant::now() + limit;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => self.heard.push(line),
                Err(RecvTimeoutError::Timeout) => self.fail(&format!("did not end within {limit:?}")),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let status =
            self.child.wait().unwrap_or_else(|error| panic!("{}: cannot be waited for: {error}", self.name));
        Finished { status, lines: std::mem::take(&mut self.heard) }
    }

    /// Ends it as `kill -9` does, and waits until it is gone.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub fn kill_9(mut self) {
        self.end().unwrap_or_else(|error| panic!("{}: cannot be killed: {error}", self.name));
    }

    /// Everything it has said so far, line by line.
    pub fn lines(&mut self) -> &[String] {
        self.heard.extend(self.lines.try_iter());
        &self.heard
    }

    /// The number the system gave it.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The lines that were heard, in order; what [`Process::expect`] passed over is among them.
    pub fn heard(&self) -> &[String] {
        &self.heard
    }

    /// Everything it has said so far.
    pub fn transcript(&mut self) -> String {
        self.heard.extend(self.lines.try_iter());
        self.heard.iter().fold(String::new(), |mut text, line| {
            writeln!(text, "  {}: {line}", self.name).expect("a String takes every text");
            text
        })
    }

    fn end(&mut self) -> io::Result<()> {
        // Killing a child that has ended already is no error.
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    fn fail(&mut self, why: &str) -> ! {
        let transcript = self.transcript();
        panic!("{} {why}; it said:\n{transcript}", self.name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("{} may still run: {error}", self.name);
        }
        if thread::panicking() {
            eprint!("{}", self.transcript());
        }
    }
}

fn hear(pipe: impl Read + Send + 'static, lines: Sender<String>) {
    thread::spawn(move || {
        // Not every payload is UTF-8.
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { return }; // a pipe that cannot be read has ended
            if lines.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::Process;
    use std::process::Command;
    use std::time::Duration;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn a_process_is_heard_to_its_end() {
        let mut process =
            Process::start("sh", Command::new("sh").args(["-c", "echo ready; echo bad >&2; exit 3"]));
        process.expect("ready", SOON, |line| (line == "ready").then_some(()));
        let finished = process.finish(SOON);
        assert_eq!(finished.status.code(), Some(3));
        assert!(finished.lines.contains(&"bad".to_owned()));
    }

    #[test]
    #[should_panic(expected = "did not end within")]
    fn a_process_that_hangs_fails_its_test() {
        Process::start("sleep", Command::new("sleep").arg("60")).finish(Duration::from_millis(50));
    }

    #[test]
    #[should_panic(expected = "ended and never said")]
    fn a_process_that_ends_early_fails_its_test() {
        Process::start("true", &mut Command::new("true")).expect("ready", SOON, |_| None::<()>);
    }
}
