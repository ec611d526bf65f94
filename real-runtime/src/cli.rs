//! The command line.

use clap::{Arg, ArgAction, Command, value_parser};
use std::net::SocketAddr;
use std::path::PathBuf;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Run a cluster on this machine.
    Dev(DevArgs),
    /// Serve MQTT.
    Serve(ServeArgs),
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
            .help("How many nodes; 3 if left out"),
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

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn request(matches: &clap::ArgMatches) -> Request {
    match matches.subcommand() {
        Some(("passwd", matches)) => Request::Passwd(PasswdArgs {
            file: matches.get_one::<PathBuf>("file").cloned().expect("clap requires FILE"),
            user: matches.get_one::<String>("user").cloned().expect("clap requires USER"),
            stdin: matches.get_flag("stdin"),
            delete: matches.get_flag("delete"),
        }),
        Some(("config", matches)) => Request::Config { markdown: matches.get_flag("markdown") },
        Some(("dev", matches)) => Request::Dev(dev(matches)),
        Some((_, matches)) => Request::Serve(serve(matches)),
        None => Request::Dev(DevArgs::default()),
    }
}

fn dev(matches: &clap::ArgMatches) -> DevArgs {
    let default = DevArgs::default();
    DevArgs {
        nodes: matches.get_one::<u16>("nodes").copied().unwrap_or(default.nodes),
        port: matches.get_one::<u16>("port").copied().unwrap_or(default.port),
        data: matches.get_one::<PathBuf>("data").cloned().unwrap_or(default.data),
        restart: !matches.get_flag("no-restart"),
    }
}

fn serve(matches: &clap::ArgMatches) -> ServeArgs {
    ServeArgs {
        config: matches.get_one::<PathBuf>("config").cloned(),
        listen: matches.get_many::<SocketAddr>("listen").into_iter().flatten().copied().collect(),
        data: matches.get_one::<PathBuf>("data").cloned(),
        until_stdin_ends: matches.get_flag("until-stdin-ends"),
    }
}

#[cfg(test)]
mod tests {
    use super::{DevArgs, PasswdArgs, PathBuf, Request, ServeArgs, command, request};

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
    fn passwd_takes_a_file_and_a_user() {
        let expected =
            PasswdArgs { file: PathBuf::from("f"), user: "u".to_owned(), stdin: false, delete: true };
        assert_eq!(parse("quorate passwd f u --delete"), Request::Passwd(expected));
        assert!(
            command().try_get_matches_from(["quorate", "passwd", "f", "u", "--delete", "--stdin"]).is_err()
        );
    }
}
