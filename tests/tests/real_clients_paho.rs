//! Python's paho-mqtt works with the broker; the cases are in `tests/clients`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::tempdir;
use tests::broker::Broker;
use tests::clients::python_with_paho;
use tests::process::Process;

/// Each case bounds its own waits; this bounds them all together.
const LIMIT: Duration = Duration::from_secs(240);

#[test]
fn paho_speaks_version_3_1_1() {
    run_cases("3", 12);
}

#[test]
fn paho_speaks_version_5_0() {
    run_cases("5", 31);
}

/// Runs all cases for `version`, of which there must be `count`.
fn run_cases(version: &str, count: usize) {
    let Some(python) = python_with_paho() else { return };
    let data = tempdir().expect("there is room for a folder");
    let broker = Broker::start(data.path());
    let address = broker.address();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/run.py");
    let mut command = Command::new(python);
    // -B: no compiled files beside the sources.
    command.arg("-B").arg(script);
    command.args([&address.ip().to_string(), &address.port().to_string(), version]);
    let finished = Process::start("paho", &mut command).finish(LIMIT);
    let last = finished.lines.last().map(String::as_str);
    assert_eq!(last, Some(format!("{count} cases, 0 failed").as_str()), "{}", finished.lines.join("\n"));
    assert!(finished.status.success(), "{}", finished.status);
}
