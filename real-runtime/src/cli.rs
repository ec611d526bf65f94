//! The command line.

use broker_core::cluster::{Change, Member, Weight};
use broker_core::ids::NodeId;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::net::SocketAddr;
use std::path::PathBuf;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Run a cluster on this machine.
    Dev(DevArgs),
    /// Serve MQTT.
    Serve(ServeArgs),
    /// Show the members of a cluster, or change them.
    Members(MembersArgs),
    /// Edit a password file.
    Passwd(PasswdArgs),
    /// Print the documented defaults.
    Config {
        /// As the page of the documentation.
        markdown: bool,
    },
}

/// `quorate serve`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServeArgs {
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// The addresses to listen on, instead of the configured ones, if there are any here.
    pub listen: Vec<SocketAddr>,
    /// The data folder, instead of the configured one.
    pub data: Option<PathBuf>,
    /// Whether to stop when standard input ends.
    pub until_stdin_ends: bool,
}

/// `quorate dev`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevArgs {
    /// How many nodes.
    pub nodes: u16,
    /// The MQTT port of the first node; the others have those after it.
    pub port: u16,
    /// The folder of all nodes.
    pub data: PathBuf,
    /// Whether a node that ends is started again.
    pub restart: bool,
}

impl Default for DevArgs {
    fn default() -> Self {
        DevArgs { nodes: 3, port: 1883, data: PathBuf::from("./quorate-dev"), restart: true }
    }
}

/// `quorate members`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MembersArgs {
    /// The configuration of a member.
    pub config: Option<PathBuf>,
    /// What is to change; nothing if the members are to be shown.
    pub change: Option<Change>,
    /// Whether to wait until everything is where it should be.
    pub wait: bool,
}

/// Nodes that one machine can be asked for.
const DEV_NODES_MAX: i64 = 16;
/// The highest port of a first node: above it are the other nodes' ports, and those for members.
const DEV_PORT_MAX: i64 = 65_000;

/// `quorate passwd`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswdArgs {
    /// The password file.
    pub file: PathBuf,
    /// The user.
    pub user: String,
    /// Whether the password is a line of standard input.
    pub stdin: bool,
    /// Whether the user is to be removed.
    pub delete: bool,
}

/// Parses the arguments of the process; ends it after `--help`, `--version` and wrong use (status 2).
pub fn parse() -> Request {
    request(&command().get_matches())
}

fn command() -> Command {
    Command::new("quorate")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A durable MQTT 3.1.1 and 5.0 broker. Without a command it runs a cluster of three nodes on this machine.")
        .subcommand(
            Command::new("dev")
                .about("Run a cluster on this machine, to try it: each node a process, one of which can be killed")
                .args(dev_args()),
        )
        .subcommand(Command::new("serve").about("Serve MQTT: a node alone, or a member of a cluster").args(serve_args()))
        .subcommand(members_command())
        .subcommand(
            Command::new("passwd")
                .about("Set a user's password in a password file, or remove the user")
                .arg(Arg::new("file").value_name("FILE").required(true).value_parser(value_parser!(PathBuf)))
                .arg(Arg::new("user").value_name("USER").required(true))
                .arg(flag("stdin", "Read the password from the first line of standard input"))
                .arg(flag("delete", "Remove the user").conflicts_with("stdin")),
        )
        .subcommand(
            Command::new("config")
                .about("Print every option with its default and its meaning, as a configuration file")
                .arg(flag("markdown", "Print it as a page of documentation")),
        )
}

fn dev_args() -> [Arg; 4] {
    [
        Arg::new("nodes")
            .long("nodes")
            .value_name("N")
            .value_parser(value_parser!(u16).range(1..=DEV_NODES_MAX))
            .help("How many nodes, 3 if left out; those that the folder does not have yet join the others"),
        Arg::new("port")
            .long("port")
            .value_name("FIRST")
            .value_parser(value_parser!(u16).range(1..=DEV_PORT_MAX))
            .help("The MQTT port of the first node, 1883 if left out; the others follow, and 100 above are those for members"),
        Arg::new("data")
            .long("data")
            .value_name("DIR")
            .value_parser(value_parser!(PathBuf))
            .help("The folder of all nodes, ./quorate-dev if left out; kept between runs"),
        flag("no-restart", "Do not start a node again that has ended"),
    ]
}

fn serve_args() -> [Arg; 4] {
    let path = value_parser!(PathBuf);
    [
        Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(path.clone())
            .help("The configuration file"),
        Arg::new("listen")
            .long("listen")
            .value_name("ADDR:PORT")
            .action(ArgAction::Append)
            .value_parser(value_parser!(SocketAddr))
            .help("Serve on this address instead of the configured ones; can be given several times"),
        Arg::new("data")
            .long("data")
            .value_name("DIR")
            .value_parser(path)
            .help("Keep the data in this folder instead of the configured one"),
        flag(
            "until-stdin-ends",
            "Stop when standard input ends, a pipe of the program that starts this one: so it does not outlive that",
        ),
    ]
}

fn members_command() -> Command {
    let node = |name: &'static str, help: &'static str| {
        Arg::new(name).value_name(name).required(true).value_parser(value_parser!(u32).range(1..)).help(help)
    };
    let address = || {
        Arg::new("ADDR")
            .value_name("ADDR")
            .required(true)
            .value_parser(value_parser!(SocketAddr))
            .help("Where the other members reach it, ADDRESS:PORT")
    };
    let change = |name: &'static str, about: &'static str| Command::new(name).about(about);
    Command::new("members")
        .about("Show the members of a cluster and what each holds, or change who they are")
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .global(true)
                .value_parser(value_parser!(PathBuf))
                .help("The configuration of any member: it says where to ask, and has the secret"),
        )
        .arg(flag("wait", "Wait until everything is where it should be").global(true))
        .subcommand(
            change("join", "Take a node in, which was started with `cluster.joins = true`")
                .arg(node("NODE", "Its number, which no member ever had"))
                .arg(address())
                .arg(
                    Arg::new("weight")
                        .long("weight")
                        .value_name("W")
                        .value_parser(value_parser!(u8).range(1..))
                        .help("Its share of the replicas, relative to the others', which have 1 if it was left out"),
                )
                .arg(
                    Arg::new("domain")
                        .long("domain")
                        .value_name("D")
                        .help("What it shares its failures with, such as a room: replicas are put into different ones"),
                ),
        )
        .subcommand(
            change("drain", "Move everything away from a member, and its clients, until it is to serve again")
                .arg(node("NODE", "The member")),
        )
        .subcommand(change("serve", "Have a member serve again that was drained").arg(node("NODE", "The member")))
        .subcommand(
            change("leave", "Move everything away from a member, and then do without it; its number is not used again")
                .arg(node("NODE", "The member")),
        )
        .subcommand(
            change("replace", "Put a node in the place of a member that leaves, as after the loss of its disk")
                .arg(node("OLD", "The member that leaves"))
                .arg(node("NEW", "The number of the node, which no member ever had"))
                .arg(address()),
        )
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn request(matches: &ArgMatches) -> Request {
    match matches.subcommand() {
        Some(("passwd", matches)) => Request::Passwd(PasswdArgs {
            file: matches.get_one::<PathBuf>("file").cloned().expect("clap requires FILE"),
            user: matches.get_one::<String>("user").cloned().expect("clap requires USER"),
            stdin: matches.get_flag("stdin"),
            delete: matches.get_flag("delete"),
        }),
        Some(("members", matches)) => Request::Members(members(matches)),
        Some(("config", matches)) => Request::Config { markdown: matches.get_flag("markdown") },
        Some(("dev", matches)) => Request::Dev(dev(matches)),
        Some((_, matches)) => Request::Serve(serve(matches)),
        None => Request::Dev(DevArgs::default()),
    }
}

fn members(matches: &ArgMatches) -> MembersArgs {
    // Options that are global are among those of the subcommand, wherever they stand.
    let (change, options) = match matches.subcommand() {
        Some((name, matches)) => (Some(change(name, matches)), matches),
        None => (None, matches),
    };
    let config = options.get_one::<PathBuf>("config").cloned();
    MembersArgs { config, change, wait: options.get_flag("wait") }
}

fn change(name: &str, matches: &ArgMatches) -> Change {
    let node = |name: &str| NodeId(*matches.get_one::<u32>(name).expect("clap requires it"));
    let address = || matches.get_one::<SocketAddr>("ADDR").expect("clap requires it").to_string();
    match name {
        "join" => {
            let node = node("NODE");
            let weight = matches.get_one::<u8>("weight").copied().map(Weight).unwrap_or_default();
            let domain = matches.get_one::<String>("domain").cloned().unwrap_or_default();
            Change::Join { node, member: Member { weight, domain, ..Member::plain(node, address()) } }
        }
        "drain" => Change::Drain(node("NODE")),
        "serve" => Change::Serve(node("NODE")),
        "leave" => Change::Leave(node("NODE")),
        _ => Change::Replace { old: node("OLD"), new: node("NEW"), address: address() },
    }
}

fn dev(matches: &ArgMatches) -> DevArgs {
    let default = DevArgs::default();
    DevArgs {
        nodes: matches.get_one::<u16>("nodes").copied().unwrap_or(default.nodes),
        port: matches.get_one::<u16>("port").copied().unwrap_or(default.port),
        data: matches.get_one::<PathBuf>("data").cloned().unwrap_or(default.data),
        restart: !matches.get_flag("no-restart"),
    }
}

fn serve(matches: &ArgMatches) -> ServeArgs {
    ServeArgs {
        config: matches.get_one::<PathBuf>("config").cloned(),
        listen: matches.get_many::<SocketAddr>("listen").into_iter().flatten().copied().collect(),
        data: matches.get_one::<PathBuf>("data").cloned(),
        until_stdin_ends: matches.get_flag("until-stdin-ends"),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Change, DevArgs, Member, MembersArgs, NodeId, PasswdArgs, PathBuf, Request, ServeArgs, Weight,
        command, request,
    };

    fn parse(line: &str) -> Request {
        request(&command().try_get_matches_from(line.split(' ')).expect("a valid line"))
    }

    #[test]
    fn the_command_line_is_well_defined() {
        command().debug_assert();
    }

    #[test]
    fn a_bare_start_is_a_cluster_and_a_bare_serve_a_node_alone() {
        assert_eq!(parse("quorate"), Request::Dev(DevArgs::default()));
        assert_eq!(parse("quorate dev"), Request::Dev(DevArgs::default()));
        assert_eq!(parse("quorate serve"), Request::Serve(ServeArgs::default()));
    }

    #[test]
    fn dev_takes_its_options() {
        let expected = DevArgs { nodes: 5, port: 2000, data: PathBuf::from("d"), restart: false };
        assert_eq!(parse("quorate dev --nodes 5 --port 2000 --data d --no-restart"), Request::Dev(expected));
        for wrong in ["--nodes 0", "--nodes 17", "--port 0", "--port 65001"] {
            let line = format!("quorate dev {wrong}");
            assert!(command().try_get_matches_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn serve_takes_its_options() {
        let expected = Request::Serve(ServeArgs {
            config: Some(PathBuf::from("q.toml")),
            listen: vec!["127.0.0.1:1".parse().expect("v4"), "[::1]:2".parse().expect("v6")],
            data: Some(PathBuf::from("d")),
            until_stdin_ends: true,
        });
        let line =
            "quorate serve --config q.toml --listen 127.0.0.1:1 --listen [::1]:2 --data d --until-stdin-ends";
        assert_eq!(parse(line), expected);
    }

    #[test]
    fn members_takes_a_change_and_its_options_before_and_behind_it() {
        let args = |change| Request::Members(MembersArgs { config: Some("q".into()), change, wait: false });
        assert_eq!(parse("quorate members --config q"), args(None));
        for (line, change) in [
            ("drain 2", Change::Drain(NodeId(2))),
            ("serve 2", Change::Serve(NodeId(2))),
            ("leave 2", Change::Leave(NodeId(2))),
            ("join 4 [::1]:7", Change::Join { node: NodeId(4), member: Member::plain(NodeId(4), "[::1]:7") }),
        ] {
            assert_eq!(parse(&format!("quorate members --config q {line}")), args(Some(change.clone())));
            assert_eq!(parse(&format!("quorate members {line} --config q")), args(Some(change)));
        }
        let member =
            Member { weight: Weight(2), domain: "d".to_owned(), ..Member::plain(NodeId(4), "1.2.3.4:5") };
        let join = Change::Join { node: NodeId(4), member };
        assert_eq!(
            parse("quorate members join 4 1.2.3.4:5 --wait --weight 2 --domain d"),
            Request::Members(MembersArgs { config: None, change: Some(join), wait: true })
        );
        let replace = Change::Replace { old: NodeId(1), new: NodeId(9), address: "1.2.3.4:5".to_owned() };
        assert_eq!(parse("quorate members replace 1 9 1.2.3.4:5 --config q"), args(Some(replace)));
        for wrong in ["drain 0", "drain", "join 4", "join 4 here", "join 4 1.2.3.4:5 --weight 0", "move 1"] {
            let line = format!("quorate members {wrong}");
            assert!(command().try_get_matches_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn passwd_takes_a_file_and_a_user() {
        let expected =
            PasswdArgs { file: PathBuf::from("f"), user: "u".to_owned(), stdin: false, delete: true };
        assert_eq!(parse("quorate passwd f u --delete"), Request::Passwd(expected));
        assert!(
            command().try_get_matches_from(["quorate", "passwd", "f", "u", "--delete", "--stdin"]).is_err()
        );
    }
}
