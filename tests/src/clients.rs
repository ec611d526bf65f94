//! Real MQTT clients: mosquitto's, and Python's paho-mqtt.
//!
//! Where they are not installed their tests are [skipped](crate::installed).

use crate::broker::{Broker, build_folder};
use crate::installed::{runs, skip};
use crate::process::{Finished, Process};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// How long one step of a real client may take.
pub const LIMIT: Duration = Duration::from_secs(20);

/// The versions of the protocol, in mosquitto's words.
pub const VERSIONS: [&str; 2] = ["mqttv311", "mqttv5"];

/// Whether mosquitto's clients are here.
///
/// # Panics
/// If they are not, in CI.
pub fn have_mosquitto() -> bool {
    let present =
        ["mosquitto_pub", "mosquitto_sub", "stdbuf"].into_iter().all(|name| runs(name, &["--help"]));
    present || skip("mosquitto_pub and mosquitto_sub are not installed")
}

/// A Python that has paho-mqtt: the one that `ci/install` made, or the machine's.
///
/// # Panics
/// If there is none, in CI.
pub fn python_with_paho() -> Option<PathBuf> {
    let installed = build_folder().parent().expect("a profile is in a folder").join("clients/bin/python");
    let candidates = [installed, PathBuf::from("python3")];
    let found = candidates.into_iter().find(|python| runs(python, &["-c", "import paho.mqtt.enums"]));
    if found.is_none() {
        skip("no Python with paho-mqtt 2 is installed");
    }
    found
}

/// Runs `mosquitto_pub` to its end.
pub fn mosquitto_pub(broker: &Broker, version: &str, arguments: &[&str]) -> Finished {
    let mut command = Command::new("mosquitto_pub");
    Process::start("mosquitto_pub", towards(&mut command, broker, version).args(arguments)).finish(LIMIT)
}

/// Publishes with `mosquitto_pub`.
///
/// # Panics
/// If it fails.
pub fn publish(broker: &Broker, version: &str, arguments: &[&str]) {
    let finished = mosquitto_pub(broker, version, arguments);
    assert!(finished.status.success(), "mosquitto_pub {arguments:?}: {finished:?}");
}

/// A running `mosquitto_sub`, and what it received.
pub struct Subscriber {
    process: Process,
    /// Messages that came before the subscription was acknowledged: a resumed session does not wait for it.
    early: VecDeque<String>,
}

impl Subscriber {
    /// Starts `mosquitto_sub` and waits until its subscriptions are acknowledged.
    ///
    /// # Panics
    /// If they are not.
    pub fn start(broker: &Broker, version: &str, arguments: &[&str]) -> Self {
        Subscriber::start_with_format(broker, version, "%t %q %r %p", arguments)
    }

    /// As [`Subscriber::start`]; messages are printed in mosquitto's `format`.
    pub fn start_with_format(broker: &Broker, version: &str, format: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new("stdbuf");
        // Without this it says nothing into a pipe before its buffer is full.
        command.args(["-oL", "mosquitto_sub"]);
        towards(&mut command, broker, version).args(["-d", "-F", &format!("MSG {format}")]).args(arguments);
        let mut process = Process::start("mosquitto_sub", &mut command);
        process.expect("Subscribed", LIMIT, |line| line.starts_with("Subscribed").then_some(()));
        let early = process.heard().iter().filter_map(|line| message(line)).collect();
        Subscriber { process, early }
    }

    /// The next message, as `TOPIC QOS RETAIN PAYLOAD` unless another format was asked for.
    ///
    /// # Panics
    /// If none comes.
    pub fn next_message(&mut self) -> String {
        self.early.pop_front().unwrap_or_else(|| self.process.expect("a message", LIMIT, message))
    }

    /// Ends it as `kill -9` does, so that the broker sees its socket close without a DISCONNECT.
    pub fn kill_9(self) {
        self.process.kill_9();
    }
}

/// Makes or resumes a session that persists, subscribed as `arguments` say, and leaves with a DISCONNECT.
///
/// # Panics
/// If the client fails.
pub fn leave_session(broker: &Broker, version: &str, arguments: &[&str]) {
    let mut command = Command::new("mosquitto_sub");
    towards(&mut command, broker, version).args(["-c", "-E"]).args(arguments);
    let finished = Process::start("mosquitto_sub", &mut command).finish(LIMIT);
    assert!(finished.status.success(), "mosquitto_sub {arguments:?}: {finished:?}");
}

fn towards<'c>(command: &'c mut Command, broker: &Broker, version: &str) -> &'c mut Command {
    let address = broker.address();
    command.args(["-h", &address.ip().to_string(), "-p", &address.port().to_string(), "-V", version])
}

fn message(line: &str) -> Option<String> {
    line.strip_prefix("MSG ").map(str::to_owned)
}
