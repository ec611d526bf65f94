//! The command line.

use clap::{Arg, ArgAction, Command, value_parser};
use std::net::SocketAddr;
use std::path::PathBuf;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
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
}

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
        .about("A durable MQTT 3.1.1 and 5.0 broker. Without a command it serves, with the defaults.")
        .args(serve_args())
        .args_conflicts_with_subcommands(true)
        .subcommand(Command::new("serve").about("Serve MQTT").args(serve_args()))
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

fn serve_args() -> [Arg; 3] {
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
        Some((_, matches)) => Request::Serve(serve(matches)),
        None => Request::Serve(serve(matches)),
    }
}

fn serve(matches: &clap::ArgMatches) -> ServeArgs {
    ServeArgs {
        config: matches.get_one::<PathBuf>("config").cloned(),
        listen: matches.get_many::<SocketAddr>("listen").into_iter().flatten().copied().collect(),
        data: matches.get_one::<PathBuf>("data").cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{PasswdArgs, PathBuf, Request, ServeArgs, command, request};

    fn parse(line: &str) -> Request {
        request(&command().try_get_matches_from(line.split(' ')).expect("a valid line"))
    }

    #[test]
    fn the_command_line_is_well_defined() {
        command().debug_assert();
    }

    #[test]
    fn a_bare_start_serves_with_the_defaults() {
        assert_eq!(parse("quorate"), Request::Serve(ServeArgs::default()));
        assert_eq!(parse("quorate serve"), Request::Serve(ServeArgs::default()));
    }

    #[test]
    fn serve_takes_its_options_with_and_without_its_name() {
        let expected = Request::Serve(ServeArgs {
            config: Some(PathBuf::from("q.toml")),
            listen: vec!["127.0.0.1:1".parse().expect("v4"), "[::1]:2".parse().expect("v6")],
            data: Some(PathBuf::from("d")),
        });
        assert_eq!(
            parse("quorate serve --config q.toml --listen 127.0.0.1:1 --listen [::1]:2 --data d"),
            expected
        );
        assert_eq!(parse("quorate --config q.toml --listen 127.0.0.1:1 --listen [::1]:2 --data d"), expected);
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
