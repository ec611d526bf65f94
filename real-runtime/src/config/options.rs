//! The documentation of every option: the only source of `quorate config` and of `docs/configuration.md`.

use super::Config;
use std::fmt::Write as _;

/// One option.
#[derive(Debug)]
pub(super) struct OptionDoc {
    /// Its section; empty for the top of the file.
    pub(super) section: &'static str,
    /// Its name.
    pub(super) name: &'static str,
    /// What stands in the template if the option has no default, or is of a section that is not there by default.
    pub(super) example: Option<&'static str>,
    /// Whether the example is what the option is if it is left out of its section.
    pub(super) is_default: bool,
    /// What it does, with its unit.
    pub(super) text: &'static str,
}

const fn option(section: &'static str, name: &'static str, text: &'static str) -> OptionDoc {
    OptionDoc { section, name, example: None, is_default: true, text }
}

const fn unset(
    section: &'static str,
    name: &'static str,
    example: &'static str,
    text: &'static str,
) -> OptionDoc {
    OptionDoc { section, name, example: Some(example), is_default: false, text }
}

/// An option of a section that is not there by default; it has a default where the section is.
const fn inside(
    section: &'static str,
    name: &'static str,
    default: &'static str,
    text: &'static str,
) -> OptionDoc {
    OptionDoc { section, name, example: Some(default), is_default: true, text }
}

/// Every option, in the order of the documentation.
pub(super) const OPTIONS: &[OptionDoc] = &[
    option(
        "",
        "listen",
        "The addresses to serve MQTT on, IPv4 and IPv6, each \"ADDRESS:PORT\" or \"[ADDRESS]:PORT\". \
         Without `password_file` or `allow_anonymous` only loopback addresses are accepted.",
    ),
    option(
        "",
        "data",
        "The folder of the write-ahead log and its snapshots, relative to the folder Quorate is started in. It is \
         created if it does not exist. One process at a time can use it.",
    ),
    option(
        "",
        "durability",
        "What an acknowledgement waits for. \"sync\": the message is on disk (fdatasync). \"async\": nothing, the message \
         is written in the background, and a crash may lose what was acknowledged shortly before.",
    ),
    option(
        "",
        "sys_interval_s",
        "How often the node tells of itself, in seconds, in messages that are retained under `$SYS/brokers/NODE/`; 0 is never. They are gone \
         when the node has been silent for three times as long.",
    ),
    option(
        "",
        "allow_anonymous",
        "Whether clients that give no user name are let in. While there is no `password_file`, all clients are let in, \
         but on loopback addresses only, unless this is true.",
    ),
    unset(
        "",
        "password_file",
        "\"./passwords\"",
        "The user names and passwords (Argon2id) of those who may connect; made by `quorate passwd FILE USER`. It is \
         read at the start, and anew on SIGHUP; one that cannot be used then changes nothing, and the log says why. Who \
         is connected stays so.",
    ),
    option(
        "log",
        "level",
        "The least important lines still written to standard error: \"off\", \"error\", \"warn\", \"info\", \"debug\" \
         (every connection, every message not delivered) or \"trace\".",
    ),
    option("log", "format", "\"text\" for people, \"json\" for one JSON object a line."),
    option(
        "auth",
        "checks_at_once_max",
        "Passwords checked at the same time; each check takes 19 MiB and tens of milliseconds of a core. \
         From 1 to 1024.",
    ),
    option(
        "auth",
        "checks_waiting_max",
        "Clients whose password waits to be checked; one more is refused with 0x88 (v3.1.1: 0x03).",
    ),
    option(
        "net",
        "close_timeout_ms",
        "How long a connection that is being closed may take to accept its last bytes, in milliseconds.",
    ),
    option(
        "net",
        "shutdown_timeout_ms",
        "How long clients may take to accept their last bytes when Quorate is stopped, in milliseconds. What must \
         reach the disk is written even after that.",
    ),
    option(
        "storage",
        "segment_bytes",
        "The size of one file of the write-ahead log, in bytes, from 65536 to 4294967296; rounded up to sectors of 512. A \
         record that is larger has a file of its own.",
    ),
    option(
        "storage",
        "snapshot_log_bytes",
        "A snapshot is taken when this many bytes were logged since the last one, and at least twice its size.",
    ),
    option(
        "storage",
        "sync_delay_max_ms",
        "How long a write that no acknowledgement waits for may stay unsynced, in milliseconds.",
    ),
    option(
        "storage",
        "queue_bytes_max",
        "Bytes that may wait for the disk; beyond it no client is read until the disk has caught up.",
    ),
    option(
        "limits",
        "packet_bytes_max",
        "Largest MQTT packet taken from a client, in bytes; a larger one closes the client with 0x95. From 128 to \
         268435460, the largest that MQTT has.",
    ),
    option(
        "limits",
        "receive_max",
        "Unacknowledged QoS 1 and 2 publishes a client may have towards the broker (Receive Maximum in CONNACK); more \
         close it with 0x93.",
    ),
    option(
        "limits",
        "inflight_max",
        "Unacknowledged QoS 1 and 2 messages towards one client; the client's own Receive Maximum may lower it. From \
         1 to 16383.",
    ),
    option(
        "limits",
        "queue_messages_max",
        "Messages queued for one session; one more is dropped with a recorded reason.",
    ),
    option(
        "limits",
        "queue_bytes_max",
        "Bytes of topic and payload queued for one session; a message that would pass it is dropped with a recorded \
         reason. At least `packet_bytes_max`.",
    ),
    option(
        "limits",
        "outbox_bytes_max",
        "Bytes that wait for one client's socket; beyond it QoS 0 is dropped with a recorded reason, QoS 1 and 2 stay \
         queued, and the client is not read. At least `packet_bytes_max`.",
    ),
    option("limits", "subscriptions_max", "Subscriptions of one session; one more is refused with 0x97."),
    option(
        "limits",
        "topic_levels_max",
        "Levels of a topic name or filter; more are refused with 0x90 or 0x8F.",
    ),
    option(
        "limits",
        "topic_bytes_max",
        "Bytes of a topic name or filter; more are refused with 0x90 or 0x8F.",
    ),
    option(
        "limits",
        "connections_max",
        "Open client connections; one more is refused with 0x97 (v3.1.1: 0x03), or closed at once if many more come.",
    ),
    option(
        "limits",
        "sessions_max",
        "Sessions, connected or not; one more is refused with 0x97 (v3.1.1: 0x03).",
    ),
    option(
        "limits",
        "retained_messages_max",
        "Retained messages; one more topic is refused with 0x97 (QoS 0: dropped with a recorded reason).",
    ),
    option("limits", "retained_bytes_max", "Bytes of retained topics and payloads, likewise."),
    option("limits", "topic_alias_max", "Topic aliases a client may set (Topic Alias Maximum in CONNACK)."),
    option(
        "limits",
        "topic_alias_out_max",
        "Topic aliases the broker sets towards a client that allows them; 0 sets none.",
    ),
    option(
        "limits",
        "session_expiry_max_s",
        "Longest session expiry granted, in seconds; 4294967295 is for ever.",
    ),
    option(
        "limits",
        "keep_alive_max_s",
        "Longest keep alive accepted, in seconds; a longer or absent one is replaced and told in CONNACK (v5). 0 leaves \
         the client's.",
    ),
    option("limits", "connect_timeout_ms", "Time for a new connection to send its CONNECT, in milliseconds."),
    option(
        "limits",
        "client_id_bytes_max",
        "Bytes of a client identifier; a longer one is refused with 0x85 (v3.1.1: 0x02). At least 23.",
    ),
    unset(
        "cluster",
        "name",
        "\"lab\"",
        "The name of the cluster, the same on all members: up to 64 letters, digits, '-', '_' and '.'. A member of a cluster of \
         another name is turned away.",
    ),
    unset(
        "cluster",
        "node",
        "1",
        "The number of this node among the members, from 1. It belongs to the data: a node that has lost its data must come \
         back under a new number.",
    ),
    unset(
        "cluster",
        "listen",
        "\"127.0.0.1:7001\"",
        "The address to listen on for the other members. Without `secret_file` only a loopback address is accepted.",
    ),
    unset(
        "cluster",
        "members",
        "[{ node = 1, address = \"127.0.0.1:7001\" }, { node = 2, address = \"127.0.0.1:7002\" }, { node = 3, address = \"127.0.0.1:7003\" }]",
        "All members with which the cluster begins, this node too, each with its number and the address where the others reach it; the same \
         on all of them. Addresses may change between starts, who began the cluster may not: it is part of the data. Who is a member later on \
         `quorate members` says, and every member remembers. Of a node that joins: some members that it can ask, without itself; these may change.",
    ),
    inside(
        "cluster",
        "joins",
        "false",
        "Whether this node is none of those with which the cluster begins: it waits until the cluster is told to take it, with `quorate members join`, \
         under a number that no member ever had.",
    ),
    unset(
        "cluster",
        "secret_file",
        "\"./cluster-secret\"",
        "A file with at least 16 bytes, better 32 random ones, that all members have and nobody else. Members prove to each other \
         that they know it, without sending it. It does not encrypt what they send each other.",
    ),
    inside(
        "cluster",
        "shards",
        "16",
        "How many parts the topics and sessions are divided into, from 1 to 64; the same on all members, and for ever, also of those that join.",
    ),
    inside(
        "cluster",
        "replicas",
        "3",
        "How many members hold each part; all of them if they are fewer. An acknowledgement waits for the disks of more than half \
         of them. The same on all members, and for ever.",
    ),
    inside(
        "cluster",
        "queue_bytes_max",
        "67108864",
        "Bytes that may wait to be sent to one member; beyond it the link with that member is closed, and what matters is sent anew \
         on the next one.",
    ),
    unset(
        "acl",
        "user",
        "\"sensor-*\"",
        "The user names the rule is about; `*` stands for any text. Every client if left out.",
    ),
    unset(
        "acl",
        "client",
        "\"*\"",
        "The client identifiers the rule is about; `*` stands for any text. Every client if left out.",
    ),
    unset("acl", "access", "\"allow\"", "\"allow\" or \"deny\"."),
    unset("acl", "action", "\"publish\"", "\"publish\", \"subscribe\" or \"all\"."),
    unset(
        "acl",
        "filter",
        "\"sensors/%u/#\"",
        "The topics the rule is about. `%c` stands for the client identifier and `%u` for the user name; a rule that \
         needs one the client did not give is skipped, and a client whose name has `+`, `#` or `/` is refused.",
    ),
];

/// What stands before each section.
const SECTIONS: &[(&str, &str)] = &[
    ("", "Every option with its default. An option that is left out has the value shown here."),
    ("log", "What is logged."),
    ("auth", "The checking of passwords, which takes time on purpose."),
    ("net", "The sockets."),
    ("storage", "The write-ahead log."),
    ("limits", "The bounds of the broker. Each one is answered and counted when it is reached."),
    (
        "cluster",
        "The cluster that this node is a member of. Without this section a node holds everything itself.",
    ),
    (
        "acl",
        "Who may publish and subscribe where. One [[acl]] table is one rule; the first rule that matches decides, and if \
         none does the answer is no. Without any rule everything is allowed. A will counts as a publish.",
    ),
];

/// The names of the options of `section`; of the top: the sections too.
pub(super) fn names(section: &str) -> Vec<&'static str> {
    let options = OPTIONS.iter().filter(|option| option.section == section).map(|option| option.name);
    let sections =
        SECTIONS.iter().map(|(name, _)| *name).filter(|name| section.is_empty() && !name.is_empty());
    options.chain(sections).collect()
}

/// The documented default configuration, as printed by `quorate config`.
pub fn template() -> String {
    let mut out = String::from("# Quorate's configuration.\n");
    for (section, text) in SECTIONS {
        out.push('\n');
        comment(&mut out, text);
        match *section {
            "" => {}
            "acl" => out.push_str("# [[acl]]\n"),
            "cluster" => out.push_str("# [cluster]\n"),
            section => writeln!(out, "[{section}]").expect("a String takes everything"),
        }
        for option in OPTIONS.iter().filter(|option| option.section == *section) {
            out.push('\n');
            comment(&mut out, option.text);
            let mark = if option.example.is_some() { "# " } else { "" };
            writeln!(out, "{mark}{} = {}", option.name, value(option)).expect("a String takes everything");
        }
    }
    out
}

/// `docs/configuration.md`.
pub fn markdown() -> String {
    let mut out = String::from(
        "# Configuration\n\n\
         `quorate serve --config FILE` reads a [TOML](https://toml.io) file. Every option has a default, so a file holds \
         only what\nis to differ, and no file is needed at all. `quorate config` prints this page as a file to start \
         from. An unknown option\nis refused, with the nearest known one. `--listen` and `--data` override the file.\n",
    );
    for (section, text) in SECTIONS {
        let title = match *section {
            "" => "Top of the file".to_owned(),
            "acl" => "`[[acl]]`".to_owned(),
            section => format!("`[{section}]`"),
        };
        write!(out, "\n## {title}\n\n{text}\n\n| option | default | meaning |\n|---|---|---|\n")
            .expect("a String takes everything");
        for option in OPTIONS.iter().filter(|option| option.section == *section) {
            let value = match option.example {
                Some(example) if !option.is_default => format!("not set, e.g. `{example}`"),
                _ => format!("`{}`", value(option)),
            };
            writeln!(out, "| `{}` | {value} | {} |", option.name, option.text)
                .expect("a String takes everything");
        }
    }
    out
}

fn value(option: &OptionDoc) -> String {
    if let Some(example) = option.example {
        return example.to_owned();
    }
    let defaults = toml::Table::try_from(Config::default()).expect("the defaults can be written as TOML");
    let section = match option.section {
        "" => &defaults,
        section => defaults[section].as_table().expect("a section is a table"),
    };
    section[option.name].to_string()
}

/// Writes `text` as comment lines of at most 100 characters.
fn comment(out: &mut String, text: &str) {
    let mut line = String::from("#");
    for word in text.split(' ') {
        if line.len() + 1 + word.len() > 100 {
            out.push_str(&line);
            out.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    out.push_str(&line);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::{Config, OPTIONS, SECTIONS, markdown, template};
    use std::collections::BTreeSet;

    #[test]
    fn the_template_is_the_default() {
        let parsed: Config = toml::from_str(&template()).expect("the template is a valid configuration");
        assert_eq!(parsed, Config::default());
    }

    #[test]
    fn every_option_is_documented_and_every_documented_option_exists() {
        let defaults = toml::Table::try_from(Config::default()).expect("TOML");
        let mut existing = BTreeSet::new();
        for (key, value) in &defaults {
            match value.as_table() {
                Some(section) => existing.extend(section.keys().map(|name| (key.as_str(), name.as_str()))),
                None => drop(existing.insert(("", key.as_str()))),
            }
        }
        // An array of tables and options without a default do not show in the defaults.
        existing.remove(&("", "acl"));
        let with_default = OPTIONS.iter().filter(|option| option.example.is_none());
        let documented: BTreeSet<_> = with_default.map(|option| (option.section, option.name)).collect();
        assert_eq!(documented, existing);
    }

    #[test]
    fn the_commented_examples_work_too() {
        let uncommented: String = template()
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(rest) if rest.contains(" = ") && !rest.contains(". ") || rest.starts_with('[') => rest,
                _ => line,
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        let parsed: Config = toml::from_str(&uncommented).expect("the examples are valid");
        assert_eq!(parsed.acl.len(), 1);
        assert!(parsed.acl[0].user.is_some() && parsed.acl[0].client.is_some());
        assert!(parsed.password_file.is_some());
        assert_eq!(parsed.check(), Ok(()));
        // What stands there for options that have a default is that default.
        let cluster = parsed.cluster.expect("it is among the examples");
        let left_out: String = toml::to_string(&cluster)
            .expect("TOML")
            .lines()
            .filter(|line| {
                !["joins", "shards", "replicas", "queue_bytes_max"].iter().any(|name| line.starts_with(name))
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        assert_eq!(toml::from_str(&left_out), Ok(cluster));
    }

    #[test]
    fn sections_are_told_once() {
        let sections: BTreeSet<_> = SECTIONS.iter().map(|(name, _)| *name).collect();
        assert_eq!(sections.len(), SECTIONS.len());
        assert!(OPTIONS.iter().all(|option| sections.contains(option.section)));
    }

    #[test]
    fn the_page_in_the_documentation_is_the_one_printed_here() {
        let page = include_str!("../../../docs/configuration.md");
        assert!(
            page == markdown(),
            "docs/configuration.md is out of date; write it anew with `quorate config --markdown`"
        );
    }
}
