//! The binary from its start to its stop.

mod support;

use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use support::{Client, Running, quorate, run, serve};
use tempfile::tempdir;

fn set_password(file: &Path, user: &str, password: &str) {
    let mut command = quorate();
    command.arg("passwd").arg(file).args([user, "--stdin"]).stdin(Stdio::piped());
    let mut running = Running::start(&mut command);
    running.stdin().write_all(format!("{password}\n").as_bytes()).expect("it reads");
    assert!(running.end().status.success());
}

#[test]
fn it_serves_both_families_and_stops_in_order() {
    let folder = tempdir().expect("a temporary folder");
    let mut broker = Running::start(serve(folder.path()).args(["--listen", "[::1]:0"]));
    let (v4, v6) = (broker.address(), broker.address());
    assert!(v4.is_ipv4() && v6.is_ipv6());
    let (mut reader, connack) = Client::connect(v6, "reader", true, None);
    assert_eq!(connack, [0, 0]);
    reader.subscribe("a/+");
    let (mut writer, _) = Client::connect(v4, "writer", true, None);
    writer.publish("a/b", "hello", false);
    assert_eq!(reader.message("a/b"), "hello");
    broker.terminate();
    reader.end();
    writer.end();
    let ended = broker.end();
    assert!(ended.status.success(), "{ended:?}");
}

#[test]
fn it_goes_on_when_it_could_open_no_more_files_for_a_while() {
    let folder = tempdir().expect("a temporary folder");
    let mut command = Command::new("sh");
    let script = "ulimit -n 40 && exec \"$0\" serve --listen 127.0.0.1:0 --data \"$1\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_quorate")]).arg(folder.path());
    let mut broker = Running::start(&mut command);
    let address = broker.address();
    let silent: Vec<_> =
        (0..60).map(|_| TcpStream::connect(address).expect("the system queues them")).collect();
    let waiting = thread::spawn(move || Client::connect(address, "late", true, None).1);
    // Those in the queue before the late one are still there when it is let in.
    broker.log_line("cannot accept connections");
    drop(silent);
    assert_eq!(waiting.join().expect("it is let in"), [0, 0]);
    broker.terminate();
    assert!(broker.end().status.success());
}

#[test]
fn it_goes_on_when_nobody_reads_its_log_any_more() {
    let folder = tempdir().expect("a temporary folder");
    let config = folder.path().join("q.toml");
    std::fs::write(&config, "[log]\nlevel = \"debug\"\n").expect("writable");
    let data = folder.path().join("data");
    let mut broker = Running::start_unheard(serve(&data).arg("--config").arg(&config));
    let address = broker.address();
    for name in ["first", "second"] {
        let (mut client, connack) = Client::connect(address, name, true, None);
        assert_eq!(connack, [0, 0]);
        client.publish("a", "there is a line about every connection", false);
    }
    broker.terminate();
    assert!(broker.end().status.success());
}

#[test]
fn what_a_client_calls_itself_is_no_line_of_the_log() {
    let folder = tempdir().expect("a temporary folder");
    let config = folder.path().join("q.toml");
    std::fs::write(&config, "[log]\nlevel = \"debug\"\n").expect("writable");
    let data = folder.path().join("data");
    let mut broker = Running::start(serve(&data).arg("--config").arg(&config));
    let address = broker.address();
    Client::connect(address, "x\nforged", true, None);
    broker.log_line(r#"client="x\nforged""#);
    broker.terminate();
    let ended = broker.end();
    assert!(!ended.stderr.lines().any(|line| line.starts_with("forged")), "{ended:?}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let folder = tempdir().expect("a temporary folder");
    let config = folder.path().join("q.toml");
    std::fs::write(&config, "[net]\nclose_timeout_ms = 600000\nshutdown_timeout_ms = 600000\n")
        .expect("writable");
    let mut broker = Running::start(serve(&folder.path().join("data")).arg("--config").arg(&config));
    let address = broker.address();
    // It keeps its side open, so the broker waits for it.
    let (_client, _) = Client::connect(address, "c", true, None);
    broker.terminate();
    broker.log_line("stopping");
    broker.terminate();
    let ended = broker.end();
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("quorate: stopped at once by a second signal"), "{ended:?}");
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let folder = tempdir().expect("a temporary folder");
    let mut broker = Running::start(&mut serve(folder.path()));
    let mut address = broker.address();
    let (mut reader, _) = Client::connect(address, "reader", false, None);
    reader.subscribe("a");
    drop(reader);
    for round in 0..3 {
        let (mut writer, _) = Client::connect(address, "writer", true, None);
        writer.publish("a", &format!("message {round}"), false);
        broker.kill();
        broker = Running::start(&mut serve(folder.path()));
        address = broker.address();
    }
    let (mut reader, connack) = Client::connect(address, "reader", false, None);
    assert_eq!(connack, [1, 0], "the session is there");
    for round in 0..3 {
        assert_eq!(reader.message("a"), format!("message {round}"));
    }
}

#[test]
fn a_disk_that_takes_no_more_ends_it_and_what_was_acknowledged_is_kept() {
    let folder = tempdir().expect("a temporary folder");
    let config = folder.path().join("q.toml");
    std::fs::write(&config, "[storage]\nsegment_bytes = 65536\n").expect("writable");
    let data = folder.path().join("data");
    // No file may be longer than this, and a message that is gets a file of its own.
    let script = "trap '' XFSZ; ulimit -f 512 && exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args([
        "-c",
        script,
        env!("CARGO_BIN_EXE_quorate"),
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--config",
    ]);
    let mut broker = Running::start(command.arg(&config).arg("--data").arg(&data));
    let address = broker.address();
    let (mut reader, _) = Client::connect(address, "reader", false, None);
    reader.subscribe("a");
    drop(reader);
    let (mut writer, _) = Client::connect(address, "writer", true, None);
    writer.publish("a", "small", false);
    writer.publish_only("a", &"x".repeat(700_000), false);
    assert_eq!(writer.rest(), [], "it is not acknowledged");
    let ended = broker.end();
    assert_eq!(ended.status.code(), Some(1));
    let sentence = ended.stderr.lines().last().expect("a sentence");
    assert!(sentence.starts_with("quorate: the data folder"), "{sentence}");
    assert!(sentence.contains("nothing more is acknowledged"), "{sentence}");
    let mut broker = Running::start(serve(&data).arg("--config").arg(&config));
    let (mut reader, connack) = Client::connect(broker.address(), "reader", false, None);
    assert_eq!(connack, [1, 0]);
    assert_eq!(reader.message("a"), "small");
}

#[test]
fn passwords_of_the_file_are_asked_for() {
    let folder = tempdir().expect("a temporary folder");
    let passwords = folder.path().join("passwords");
    set_password(&passwords, "alice", "one");
    set_password(&passwords, "bob", "two");
    let mut delete = quorate();
    assert!(run(delete.arg("passwd").arg(&passwords).args(["bob", "--delete"])).status.success());
    let config = folder.path().join("q.toml");
    let acl = "[[acl]]\naccess = \"allow\"\naction = \"all\"\nfilter = \"of/%u/#\"\n";
    std::fs::write(&config, format!("password_file = {passwords:?}\n{acl}")).expect("writable");
    let data = folder.path().join("data");
    let mut broker = Running::start(serve(&data).arg("--config").arg(&config));
    let address = broker.address();
    let code = |login| Client::connect(address, "c", true, login).1[1];
    assert_eq!(code(Some(("alice", "one"))), 0);
    assert_eq!(code(Some(("alice", "two"))), 4, "bad user name or password");
    assert_eq!(code(Some(("bob", "two"))), 4, "he was removed");
    assert_eq!(code(None), 5, "not authorized");
    let (mut reader, _) = Client::connect(address, "reader", true, Some(("alice", "one")));
    reader.subscribe("of/alice/#");
    assert_eq!(reader.try_subscribe("of/#"), 0x80, "that is more than hers");
    let (mut writer, _) = Client::connect(address, "writer", true, Some(("alice", "one")));
    writer.publish("of/bob/x", "not hers", false);
    writer.publish("of/alice/x", "hers", false);
    assert_eq!(reader.message("of/alice/x"), "hers");
}

#[test]
fn a_password_file_that_was_changed_is_read_anew_and_a_bad_one_changes_nothing() {
    let folder = tempdir().expect("a temporary folder");
    let passwords = folder.path().join("passwords");
    set_password(&passwords, "alice", "one");
    let config = folder.path().join("q.toml");
    std::fs::write(&config, format!("password_file = {passwords:?}\n")).expect("writable");
    let mut broker = Running::start(serve(&folder.path().join("data")).arg("--config").arg(&config));
    let address = broker.address();
    let code = |login| Client::connect(address, "c", true, Some(login)).1[1];
    let (mut alice, _) = Client::connect(address, "alice", true, Some(("alice", "one")));

    set_password(&passwords, "bob", "two");
    set_password(&passwords, "alice", "three");
    assert_eq!((code(("bob", "two")), code(("alice", "one"))), (4, 0), "nobody has said so yet");
    broker.hang_up();
    broker.log_line("the password file was read anew");
    assert_eq!((code(("bob", "two")), code(("alice", "one")), code(("alice", "three"))), (0, 4, 0));
    alice.publish("a", "she was connected, and stays so", false);

    let good = std::fs::read(&passwords).expect("it is there");
    std::fs::write(&passwords, "alice\n").expect("writable");
    broker.hang_up();
    broker.log_line("the passwords stay as they were read before");
    assert_eq!(code(("bob", "two")), 0);
    std::fs::remove_file(&passwords).expect("ours");
    broker.hang_up();
    broker.log_line("cannot read the password file");
    assert_eq!(code(("bob", "two")), 0);

    std::fs::write(&passwords, good).expect("writable");
    broker.hang_up();
    broker.log_line("the password file was read anew");
    broker.terminate();
    assert!(broker.end().status.success());
}

#[test]
fn a_password_is_not_taken_from_a_pipe_unless_asked_to() {
    let folder = tempdir().expect("a temporary folder");
    let file = folder.path().join("passwords");
    let ended = run(quorate().arg("passwd").arg(&file).arg("alice"));
    assert!(ended.sentence(2).contains("--stdin"), "{ended:?}");
    let ended = run(quorate().arg("passwd").arg(&file).args(["a:b", "--stdin"]));
    assert_eq!(ended.status.code(), Some(2));
    assert!(!file.exists());
}

#[test]
fn the_printed_configuration_can_be_served_with() {
    let folder = tempdir().expect("a temporary folder");
    let printed = run(quorate().arg("config"));
    assert!(printed.status.success() && printed.stdout.contains("receive_max = 1024"));
    let config = folder.path().join("q.toml");
    std::fs::write(&config, printed.stdout).expect("writable");
    let mut broker = Running::start(serve(&folder.path().join("data")).arg("--config").arg(config));
    broker.address();
}

#[test]
fn wrong_use_ends_with_status_2() {
    for args in [&["--nonsense"][..], &["serve", "--listen", "nowhere"], &["passwd"], &["sing"]] {
        let ended = run(quorate().args(args));
        assert_eq!(ended.status.code(), Some(2), "{args:?}");
        assert!(ended.stdout.is_empty() && !ended.stderr.is_empty(), "{args:?}");
    }
}
