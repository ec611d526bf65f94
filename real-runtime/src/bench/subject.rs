//! The brokers that are measured, each a process of its own with a folder of its own.

use crate::failed;
use real_runtime::failure::Failure;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a broker may take until it accepts connections.
const START_MAX: Duration = Duration::from_secs(30);

/// A broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    QuorateAsync,
    QuorateSync,
    Mosquitto,
    Rumqttd,
}

impl Subject {
    pub(crate) const ALL: [Subject; 4] =
        [Subject::QuorateAsync, Subject::QuorateSync, Subject::Mosquitto, Subject::Rumqttd];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Subject::QuorateAsync => "quorate async",
            Subject::QuorateSync => "quorate sync",
            Subject::Mosquitto => "mosquitto",
            Subject::Rumqttd => "rumqttd",
        }
    }

    /// Where its program is, if it is installed.
    pub(crate) fn program(self) -> Option<PathBuf> {
        match self {
            Subject::QuorateAsync | Subject::QuorateSync => {
                let ours = std::env::current_exe().ok()?;
                Some(ours.with_file_name("quorate")).filter(|path| path.is_file())
            }
            Subject::Mosquitto => find("mosquitto"),
            Subject::Rumqttd => find("rumqttd"),
        }
    }

    /// Starts it and waits until it accepts connections.
    pub(crate) fn start(self) -> Result<Running, Failure> {
        let program = self.program().ok_or_else(|| failed("start", self.name()))?;
        let folder = tempfile::tempdir().map_err(|error| failed("make a temporary folder", error))?;
        let address = free_address()?;
        let mut command = Command::new(program);
        self.configure(&mut command, folder.path(), address)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| failed(&format!("start {}", self.name()), error))?;
        let mut running = Running { child, address, _folder: folder };
        running.until_it_listens(self)?;
        Ok(running)
    }

    /// The same terms for all: anonymous clients, nothing logged, the same number of messages in flight.
    fn configure(self, command: &mut Command, folder: &Path, address: SocketAddr) -> Result<(), Failure> {
        let port = address.port();
        let (name, text) = match self {
            Subject::QuorateAsync | Subject::QuorateSync => {
                let durability = if self == Subject::QuorateSync { "sync" } else { "async" };
                let data = folder.join("data");
                let text = format!(
                    "listen = [\"{address}\"]\ndata = {data:?}\ndurability = \"{durability}\"\n[log]\nlevel = \"error\"\n"
                );
                ("quorate.toml", text)
            }
            Subject::Mosquitto => (
                "mosquitto.conf",
                format!(
                    "listener {port} 127.0.0.1\nallow_anonymous true\nlog_type none\nmax_inflight_messages 256\n\
                     max_queued_messages 100000\nset_tcp_nodelay true\nuser root\n"
                ),
            ),
            Subject::Rumqttd => (
                "rumqttd.toml",
                format!(
                    "id = 0\n[router]\nid = 0\nmax_connections = 10010\nmax_outgoing_packet_count = 200\n\
                     max_segment_size = 104857600\nmax_segment_count = 10\n[v4.1]\nname = \"v4-1\"\n\
                     listen = \"{address}\"\nnext_connection_delay_ms = 1\n[v4.1.connections]\n\
                     connection_timeout_ms = 60000\nmax_payload_size = 20480\nmax_inflight_count = 256\n"
                ),
            ),
        };
        let file = folder.join(name);
        fs::write(&file, text).map_err(|error| failed("write a configuration", error))?;
        match self {
            Subject::QuorateAsync | Subject::QuorateSync => command.args(["serve", "--config"]).arg(file),
            Subject::Mosquitto | Subject::Rumqttd => command.arg("-c").arg(file),
        };
        Ok(())
    }
}

/// A broker that accepts connections; killed when dropped.
pub(crate) struct Running {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Running {
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    fn until_it_listens(&mut self, subject: Subject) -> Result<(), Failure> {
        let begun = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            let ended = self.child.try_wait().map_err(|error| failed("ask for a process", error))?;
            if let Some(status) = ended {
                return Err(failed(&format!("start {}", subject.name()), format!("it ended with {status}")));
            }
            if begun.elapsed() > START_MAX {
                return Err(failed(&format!("start {}", subject.name()), "it does not listen"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> Result<SocketAddr, Failure> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| failed("find a port", error))?;
    listener.local_addr().map_err(|error| failed("find a port", error))
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let system = [PathBuf::from("/usr/sbin")];
    std::env::split_paths(&path).chain(system).map(|folder| folder.join(program)).find(|path| path.is_file())
}
