//! The `quorate` binary as a child process, and just enough of MQTT to talk to it.
#![allow(dead_code, reason = "each test binary uses its own part")]

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader, ErrorKind, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// More than anything here takes on a slow machine.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A command of the binary.
pub(crate) fn quorate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
    command.stdin(Stdio::null());
    command
}

/// `quorate serve` with `data` as its folder and a port of the system's choice.
pub(crate) fn serve(data: &Path) -> Command {
    let mut command = quorate();
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
    command
}

/// What a command that ended left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The one sentence with which the command ended, having failed with `status`.
    pub(crate) fn sentence(&self, status: i32) -> &str {
        assert_eq!(self.status.code(), Some(status), "{self:?}");
        assert_eq!(self.stdout, "", "nothing is announced");
        let mut sentences = self.stderr.lines().filter_map(|line| line.strip_prefix("quorate: "));
        let sentence = sentences.next().unwrap_or_else(|| panic!("no sentence: {self:?}"));
        assert_eq!(sentences.next(), None, "one sentence: {self:?}");
        assert!(self.stderr.trim_end().ends_with(sentence), "the sentence comes last: {self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        sentence
    }
}

/// Runs `command`, which ends by itself.
pub(crate) fn run(command: &mut Command) -> Ended {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary was built");
    Running::new(child).end()
}

/// A child process; killed when dropped.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    errors: Receiver<String>,
    stderr: String,
}

impl Running {
    /// Starts `command`.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::new(
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary was built"),
        )
    }

    /// Starts `command`, whose standard error nobody reads: it is closed at once.
    pub(crate) fn start_unheard(command: &mut Command) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary was built");
        drop(child.stderr.take());
        let lines = lines_of(child.stdout.take().expect("piped"));
        Running { child, lines, errors: channel().1, stderr: String::new() }
    }

    fn new(mut child: Child) -> Self {
        let lines = lines_of(child.stdout.take().expect("piped"));
        let errors = lines_of(child.stderr.take().expect("piped"));
        Running { child, lines, errors, stderr: String::new() }
    }

    /// The address in the next line `listening mqtt ADDR:PORT`.
    pub(crate) fn address(&mut self) -> SocketAddr {
        match self.lines.recv_timeout(LONG) {
            Ok(line) => {
                let address =
                    line.strip_prefix("listening mqtt ").unwrap_or_else(|| panic!("not announced: {line}"));
                address.parse().expect("an address")
            }
            Err(RecvTimeoutError::Timeout) => panic!("it does not serve"),
            Err(RecvTimeoutError::Disconnected) => panic!("it ended: {}", self.errors()),
        }
    }

    /// Waits for a line on standard error that has `text` in it.
    pub(crate) fn log_line(&mut self, text: &str) {
        loop {
            let line =
                self.errors.recv_timeout(LONG).unwrap_or_else(|_| panic!("no {text:?} in {}", self.stderr));
            self.stderr += &format!("{line}\n");
            if line.contains(text) {
                return;
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("piped")
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGHUP.
    pub(crate) fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.child.id().cast_signed()).expect("a process");
        kill_process(id, signal).expect("it is ours");
    }

    /// Kills it, with no chance to write anything.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours");
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it is ours") {
                break status;
            }
            assert!(begun.elapsed() < LONG, "it does not end");
            thread::sleep(Duration::from_millis(5));
        };
        let stdout = self.lines.iter().flat_map(|line| [line, "\n".to_owned()]).collect();
        Ended { status, stdout, stderr: self.errors() }
    }

    /// All of standard error, once the process has ended.
    fn errors(&mut self) -> String {
        self.errors.iter().for_each(|line| self.stderr += &format!("{line}\n"));
        std::mem::take(&mut self.stderr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of `stream` as they come.
fn lines_of(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        // The test may end before the child does.
        BufReader::new(stream).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    lines
}

/// A connection that speaks MQTT 3.1.1 by the byte.
pub(crate) struct Client {
    stream: TcpStream,
}

impl Client {
    /// Connects, and gives Session Present and the return code of CONNACK as well.
    pub(crate) fn connect(
        address: SocketAddr,
        id: &str,
        clean: bool,
        login: Option<(&str, &str)>,
    ) -> (Self, [u8; 2]) {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(LONG)).expect("a duration");
        let flags = u8::from(clean) << 1 | if login.is_some() { 0xC0 } else { 0 };
        let mut body = b"\0\x04MQTT\x04".to_vec();
        body.extend([flags, 0, 60]);
        let texts = [Some(id), login.map(|(user, _)| user), login.map(|(_, password)| password)];
        for text in texts.into_iter().flatten() {
            body.extend(u16::try_from(text.len()).expect("short").to_be_bytes());
            body.extend(text.as_bytes());
        }
        send(&mut stream, 0x10, &body);
        let mut client = Client { stream };
        let (kind, body) = client.packet();
        assert_eq!(kind, 0x20, "CONNACK");
        (client, [body[0], body[1]])
    }

    /// Subscribes at QoS 1.
    pub(crate) fn subscribe(&mut self, filter: &str) {
        assert_eq!(self.try_subscribe(filter), 1, "granted");
    }

    /// Asks for a subscription at QoS 1 and gives the return code of SUBACK.
    pub(crate) fn try_subscribe(&mut self, filter: &str) -> u8 {
        let mut body = vec![0, 1];
        body.extend(u16::try_from(filter.len()).expect("short").to_be_bytes());
        body.extend(filter.as_bytes());
        body.push(1);
        send(&mut self.stream, 0x82, &body);
        let (kind, body) = self.packet();
        assert_eq!((kind, &body[..2]), (0x90, &[0, 1][..]), "SUBACK");
        body[2]
    }

    /// Publishes at QoS 1 and waits for PUBACK.
    pub(crate) fn publish(&mut self, topic: &str, payload: &str, retain: bool) {
        self.publish_only(topic, payload, retain);
        assert_eq!(self.packet(), (0x40, vec![0, 9]), "PUBACK");
    }

    /// Publishes at QoS 1.
    pub(crate) fn publish_only(&mut self, topic: &str, payload: &str, retain: bool) {
        let mut body = u16::try_from(topic.len()).expect("short").to_be_bytes().to_vec();
        body.extend(topic.as_bytes());
        body.extend([0, 9]);
        body.extend(payload.as_bytes());
        send(&mut self.stream, 0x32 | u8::from(retain), &body);
    }

    /// The payload of the next packet, which is a PUBLISH at QoS 1 with this topic.
    pub(crate) fn message(&mut self, topic: &str) -> String {
        let (kind, body) = self.packet();
        assert_eq!(kind & 0xF6, 0x32, "PUBLISH at QoS 1");
        let rest = &body[2..];
        let rest = rest.strip_prefix(topic.as_bytes()).expect("the topic");
        String::from_utf8(rest[2..].to_vec()).expect("text")
    }

    /// Waits for the end of the stream.
    pub(crate) fn end(mut self) {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).expect("an orderly end");
    }

    /// What still comes until the connection is lost.
    pub(crate) fn rest(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("not lost: {error}"),
            _ => rest,
        }
    }

    fn packet(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).expect("an answer");
        assert!(head[1] < 0x80, "short packets only");
        let mut body = vec![0; usize::from(head[1])];
        self.stream.read_exact(&mut body).expect("the whole packet");
        (head[0], body)
    }
}

fn send(stream: &mut TcpStream, kind: u8, body: &[u8]) {
    let mut packet = vec![kind];
    let mut len = body.len();
    while len >= 0x80 {
        packet.push(u8::try_from(len & 0x7F).expect("seven bits") | 0x80);
        len >>= 7;
    }
    packet.push(u8::try_from(len).expect("seven bits"));
    packet.extend(body);
    stream.write_all(&packet).expect("it listens");
}
