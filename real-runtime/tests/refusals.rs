//! What cannot work ends with one sentence, a status other than 0, and nothing lost or overwritten.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use support::{Client, Running, run, serve};
use tempfile::{TempDir, tempdir};

fn folder() -> TempDir {
    tempdir().expect("a temporary folder")
}

/// A configuration file in `folder`.
fn config(folder: &TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("q.toml");
    fs::write(&path, text).expect("writable");
    path
}

/// Every file of the data folder, but for the lock.
fn contents(data: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(data).expect("a folder").map(|entry| entry.expect("readable").path());
    let files = files.filter(|path| path.file_name().is_some_and(|name| name != "lock"));
    files.map(|path| (path.clone(), fs::read(path).expect("a file"))).collect()
}

/// A data folder in which a session and a message for it were stored, by a broker that was stopped in order.
fn used_data(folder: &TempDir) -> PathBuf {
    let data = folder.path().join("data");
    let mut broker = Running::start(&mut serve(&data));
    let address = broker.address();
    let (mut reader, _) = Client::connect(address, "reader", false, None);
    reader.subscribe("a");
    drop(reader);
    let (mut writer, _) = Client::connect(address, "writer", true, None);
    writer.publish("a", "kept", false);
    broker.terminate();
    assert!(broker.end().status.success());
    data
}

/// The first segment of the log.
fn segment(data: &Path) -> PathBuf {
    contents(data).into_keys().find(|path| name(path).starts_with("wal-")).expect("a segment")
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).expect("our names are ASCII")
}

#[test]
fn an_unknown_option_is_named_with_its_line_and_the_nearest_known_one() {
    let folder = folder();
    let path = config(&folder, "[limits]\n\nqueue_mesages_max = 1\n");
    let data = folder.path().join("data");
    let ended = run(serve(&data).arg("--config").arg(&path));
    let sentence = ended.sentence(2);
    assert!(sentence.starts_with(&format!("{}:3: unknown option", path.display())), "{sentence}");
    assert!(sentence.contains("did you mean `queue_messages_max`?"), "{sentence}");
    assert!(!data.exists());
}

#[test]
fn a_value_that_cannot_be_is_named_with_its_line() {
    let folder = folder();
    let path = config(&folder, "\n[limits]\nreceive_max = 0\n");
    let ended = run(serve(folder.path()).arg("--config").arg(&path));
    let expected = format!("{}:3: `limits.receive_max` cannot be 0", path.display());
    assert!(ended.sentence(2).starts_with(&expected), "{ended:?}");
}

#[test]
fn a_configuration_that_cannot_be_read_is_named() {
    let folder = folder();
    let ended = run(serve(folder.path()).args(["--config", "/nonexistent/q.toml"]));
    assert!(ended.sentence(2).contains("/nonexistent/q.toml"), "{ended:?}");
}

#[test]
fn without_authentication_only_loopback_is_served() {
    let folder = folder();
    let data = folder.path().join("data");
    let ended = run(serve(&data).args(["--listen", "0.0.0.0:0"]));
    let sentence = ended.sentence(2);
    assert!(sentence.contains("will not listen on 0.0.0.0:0"), "{sentence}");
    assert!(sentence.contains("allow_anonymous = true"), "{sentence}");
    assert!(!data.exists());
    let path = config(&folder, "allow_anonymous = true\n");
    let mut broker = Running::start(serve(&data).args(["--listen", "0.0.0.0:0", "--config"]).arg(path));
    assert!(broker.address().ip().is_loopback());
    assert!(broker.address().ip().is_unspecified());
}

#[test]
fn a_port_in_use_is_named_and_the_data_is_not_touched() {
    let folder = folder();
    let data = folder.path().join("data");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let ended = run(serve(&data).args(["--listen", &address]));
    let sentence = ended.sentence(1);
    assert!(sentence.contains(&address) && sentence.contains("another program uses it"), "{sentence}");
    assert!(!data.exists());
}

#[test]
fn an_address_of_another_machine_is_named() {
    let folder = folder();
    let path = config(&folder, "allow_anonymous = true\nlisten = [\"192.0.2.1:0\"]\n");
    let mut command = support::quorate();
    let ended =
        run(command.args(["serve", "--data"]).arg(folder.path().join("data")).arg("--config").arg(path));
    assert!(ended.sentence(1).contains("192.0.2.1:0"), "{ended:?}");
}

#[test]
fn a_data_folder_in_use_is_left_to_the_process_that_uses_it() {
    let folder = folder();
    let data = folder.path().join("data");
    let mut first = Running::start(&mut serve(&data));
    let address = first.address();
    let ended = run(&mut serve(&data));
    let sentence = ended.sentence(1);
    assert!(sentence.contains(&format!("in use by process {}", first.id())), "{sentence}");
    let (mut client, _) = Client::connect(address, "c", true, None);
    client.publish("still/here", "x", true);
}

#[test]
fn a_data_folder_that_cannot_be_made_is_named() {
    let ended = run(&mut serve(Path::new("/proc/quorate")));
    assert!(ended.sentence(1).contains("/proc/quorate"), "{ended:?}");
}

#[test]
fn a_damaged_log_is_named_and_left_as_it_is() {
    let folder = folder();
    let data = used_data(&folder);
    let path = segment(&data);
    let mut bytes = fs::read(&path).expect("a file");
    let at = bytes.windows(4).position(|window| window == b"kept").expect("the message is in the log");
    bytes[at] ^= 1;
    fs::write(&path, bytes).expect("writable");
    let before = contents(&data);
    let ended = run(&mut serve(&data));
    let sentence = ended.sentence(1);
    assert!(sentence.contains(name(&path)) && sentence.contains("is damaged"), "{sentence}");
    assert!(contents(&data) == before, "something was changed");
}

#[test]
fn a_file_of_somebody_else_is_named_and_left_as_it_is() {
    let folder = folder();
    let data = used_data(&folder);
    let path = segment(&data);
    let mut bytes = fs::read(&path).expect("a file");
    bytes[..64].fill(b'x');
    fs::write(&path, bytes).expect("writable");
    let before = contents(&data);
    let ended = run(&mut serve(&data));
    assert!(ended.sentence(1).contains("is not a file of Quorate"), "{ended:?}");
    assert!(contents(&data) == before, "something was changed");
}

#[test]
fn a_newer_format_is_named_and_left_as_it_is() {
    let folder = folder();
    let data = used_data(&folder);
    let path = segment(&data);
    let mut bytes = fs::read(&path).expect("a file");
    // The header of docs/wal-format.md: the version at 8, the checksum of 64 bytes at 12.
    bytes[8..12].copy_from_slice(&99_u32.to_le_bytes());
    bytes[12..16].fill(0);
    let checksum = crc32c::crc32c(&bytes[..64]);
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    fs::write(&path, bytes).expect("writable");
    let before = contents(&data);
    let ended = run(&mut serve(&data));
    let sentence = ended.sentence(1);
    assert!(sentence.contains("has format 99") && sentence.contains("start the newer program"), "{sentence}");
    assert!(contents(&data) == before, "something was changed");
}

#[test]
fn a_password_file_that_cannot_be_used_is_named() {
    let folder = folder();
    let data = folder.path().join("data");
    let path = config(&folder, "password_file = \"/nonexistent/passwords\"\n");
    let ended = run(serve(&data).arg("--config").arg(&path));
    assert!(ended.sentence(1).contains("/nonexistent/passwords"), "{ended:?}");
    let passwords = folder.path().join("passwords");
    fs::write(&passwords, "# people\nalice:secret\n").expect("writable");
    let path = config(&folder, &format!("password_file = {passwords:?}\n"));
    let ended = run(serve(&data).arg("--config").arg(&path));
    assert!(ended.sentence(1).starts_with(&format!("{}:2: ", passwords.display())), "{ended:?}");
    assert!(!ended.stderr.contains("secret"), "a password is not shown");
    assert!(!data.exists());
}

#[test]
fn members_are_asked_for_with_the_configuration_of_one_that_answers() {
    let folder = folder();
    let members = |arguments: &[&str]| run(support::quorate().arg("members").args(arguments));
    let ended = members(&[]);
    assert!(
        ended.sentence(2).ends_with("Give the configuration of any member with --config FILE"),
        "{ended:?}"
    );
    let path = config(&folder, "");
    let shown = path.to_str().expect("our names are ASCII");
    let ended = members(&["--config", shown]);
    assert!(ended.sentence(2).contains("is the configuration of a node that stands alone"), "{ended:?}");
    // A port that was free a moment ago.
    let address =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let text = format!(
        "[cluster]\nname = \"lab\"\nnode = 1\nlisten = \"{address}\"\nmembers = [{{ node = 1, address = \"{address}\" }}]\n"
    );
    let ended = members(&["--config", config(&folder, &text).to_str().expect("ASCII"), "drain", "1"]);
    let expected =
        format!("no member answers (node 1 at {address}: Connection refused (os error 111)); start one");
    assert!(ended.sentence(1).starts_with(&expected), "{ended:?}");
}
