//! The broker under test, as a process.
//!
//! It is the `quorate` of this build, unless the environment variable `BROKER_UNDER_TEST` says otherwise: the path of
//! another one, or `mosquitto`, which shows whether a test that fails is wrong about real clients, and whether a promise
//! that holds here holds elsewhere.

use crate::process::Process;
use std::env;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

/// How long a broker may take to serve.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A broker on a free port of 127.0.0.1. Dropping it kills it.
pub struct Broker {
    process: Process,
    address: SocketAddr,
}

impl Broker {
    /// Starts a broker on the data in `data`, and waits until it serves.
    ///
    /// # Panics
    /// If it does not serve in time.
    pub fn start(data: &Path) -> Self {
        match env::var_os("BROKER_UNDER_TEST") {
            None => Broker::quorate(quorate_binary(), data),
            Some(name) if name == "mosquitto" => Broker::mosquitto(data),
            Some(path) => Broker::quorate(Path::new(&path), data),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it as `kill -9` does.
    pub fn kill_9(self) {
        self.process.kill_9();
    }

    fn quorate(binary: &Path, data: &Path) -> Self {
        let mut command = Command::new(binary);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        let mut process = Process::start("quorate", &mut command);
        let address = process.expect("listening mqtt ADDR:PORT", START_LIMIT, |line| {
            line.strip_prefix("listening mqtt ")?.parse().ok()
        });
        Broker { process, address }
    }

    fn mosquitto(data: &Path) -> Self {
        let port = free_port();
        let config = data.join("mosquitto.conf");
        let folder = data.display();
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {folder}/\nuser root\nmax_packet_size 1048576\nmax_queued_messages 0\n"
        );
        fs::write(&config, text).expect("the data folder is writable");
        let mut process = Process::start("mosquitto", Command::new("mosquitto").arg("-c").arg(config));
        process.expect("running", START_LIMIT, |line| line.contains(" running").then_some(()));
        Broker { process, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) }
    }
}

/// The folder of cargo's profile that this test was built into, such as `target/debug`.
///
/// # Panics
/// If the test was not built by cargo.
pub fn build_folder() -> PathBuf {
    let test = env::current_exe().expect("a test knows its own path");
    let deps = test.parent().expect("a file is in a folder");
    deps.parent().expect("cargo puts tests into `deps`").to_path_buf()
}

/// The `quorate` beside this test; built if it is not there, or older than its sources. A test of one package alone
/// does not make cargo build the binary of another.
///
/// # Panics
/// If it cannot be built.
pub fn quorate_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let binary = build_folder().join("quorate");
        if !is_fresh(&binary) {
            let mut cargo = Command::new(env!("CARGO"));
            let folder = build_folder();
            // `debug` is where cargo puts what the profiles `dev` and `test` make; the others have folders of their names.
            let profile = folder.file_name().filter(|name| *name != "debug").unwrap_or("test".as_ref());
            cargo
                .args(["build", "--quiet", "-p", "real-runtime", "--bin", "quorate", "--profile"])
                .arg(profile);
            cargo.arg("--target-dir").arg(folder.parent().expect("a profile is in a folder"));
            let status = cargo.status().expect("cargo can be started");
            assert!(status.success(), "{cargo:?} failed");
            assert!(is_fresh(&binary), "{cargo:?} did not make {} anew", binary.display());
        }
        binary
    })
}

/// Whether `binary` is there and newer than each source that cargo names in the file beside it.
fn is_fresh(binary: &Path) -> bool {
    let modified = |path: &Path| -> io::Result<SystemTime> { fs::metadata(path)?.modified() };
    let (Ok(built), Ok(sources)) = (modified(binary), fs::read_to_string(binary.with_extension("d"))) else {
        return false;
    };
    let (_, sources) = sources.split_once(": ").expect("cargo writes `binary: source source ...`");
    sources.split_ascii_whitespace().all(|source| modified(Path::new(source)).is_ok_and(|time| time <= built))
}

/// A port that was free a moment ago; for brokers that cannot be asked to choose one.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("127.0.0.1 has a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}
