//! The binary from its start to its stop.

mod support;

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
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
