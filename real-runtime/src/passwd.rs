//! `quorate passwd`: sets a user's password, or removes the user.

use crate::auth::{PasswordFileError, Passwords};
use crate::cli::PasswdArgs;
use crate::failure::Failure;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Stdin, Write as _};

/// MQTT cannot carry a longer password.
const PASSWORD_BYTES_MAX: u64 = 65_535;

/// Carries out `args`.
///
/// # Errors
/// If the password cannot be read, or the file cannot be read or replaced; it is then unchanged.
pub fn run(args: &PasswdArgs) -> Result<(), Failure> {
    if args.delete {
        return Passwords::delete(&args.file, &args.user).map_err(|error| failure(&error));
    }
    let stdin = io::stdin();
    let password = if args.stdin {
        read_line(&stdin)?
    } else if stdin.is_terminal() {
        ask_twice(&stdin)?
    } else {
        return Err(Failure::usage(
            "standard input is no terminal; give --stdin to read the password from it",
        ));
    };
    if password.is_empty() {
        return Err(Failure::usage("an empty password protects nothing; nothing was changed"));
    }
    Passwords::set(&args.file, &args.user, &password).map_err(|error| failure(&error))
}

fn failure(error: &PasswordFileError) -> Failure {
    match error {
        PasswordFileError::BadName(_) => Failure::usage(error.to_string()),
        _ => Failure::run(error.to_string()),
    }
}

fn ask_twice(stdin: &Stdin) -> Result<Vec<u8>, Failure> {
    let first = ask(stdin, "Password: ")?;
    let second = ask(stdin, "The same again: ")?;
    if first != second {
        return Err(Failure::usage("the two passwords differ; nothing was changed"));
    }
    Ok(first)
}

fn ask(stdin: &Stdin, prompt: &str) -> Result<Vec<u8>, Failure> {
    let silence = Silence::on(stdin)?;
    let mut stderr = io::stderr();
    let asked = stderr.write_all(prompt.as_bytes()).and_then(|()| stderr.flush());
    asked.map_err(|error| Failure::run(format!("cannot write to the terminal: {error}")))?;
    let line = read_line(stdin);
    drop(silence);
    eprintln!();
    line
}

fn read_line(stdin: &Stdin) -> Result<Vec<u8>, Failure> {
    let mut line = Vec::new();
    stdin
        .lock()
        .take(PASSWORD_BYTES_MAX + 2)
        .read_until(b'\n', &mut line)
        .map_err(|error| Failure::run(format!("cannot read the password: {error}")))?;
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    if line.len() as u64 > PASSWORD_BYTES_MAX {
        return Err(Failure::usage(format!("a password has at most {PASSWORD_BYTES_MAX} bytes")));
    }
    Ok(line)
}

/// A terminal that does not echo, until this is dropped.
///
/// Signals from the keyboard are off as well, since one would end the process and leave the terminal silent; an empty
/// line ends the command.
struct Silence<'a> {
    terminal: &'a Stdin,
    before: Termios,
}

impl<'a> Silence<'a> {
    fn on(terminal: &'a Stdin) -> Result<Self, Failure> {
        let failed =
            |error| Failure::run(format!("cannot turn off the terminal's echo: {error}; use --stdin"));
        let before = tcgetattr(terminal).map_err(failed)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        tcsetattr(terminal, OptionalActions::Flush, &silent).map_err(failed)?;
        Ok(Silence { terminal, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        if let Err(error) = tcsetattr(self.terminal, OptionalActions::Flush, &self.before) {
            eprintln!("quorate: cannot turn the terminal's echo on again: {error}; type `stty sane`");
        }
    }
}
