//! The password file: a line `USER:HASH` for each user, HASH an Argon2id PHC string.
//!
//! Lines that begin with `#` and empty lines are kept as they are. The file is replaced as a whole and at once, so that
//! neither a crash nor a reader at the same moment sees half of it.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A larger file is somebody's mistake, and would be read into memory.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The users of a password file and the hashes of their passwords.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passwords {
    hashes: BTreeMap<String, String>,
    /// What a password is checked against for a user that does not exist, so that the time of the answer is the same.
    decoy: String,
}

/// Why a password file cannot be used.
#[derive(Debug)]
pub enum PasswordFileError {
    /// A call to the operating system failed.
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// The operating system's answer.
        error: io::Error,
    },
    /// A line is not `USER:HASH`.
    BadLine {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The file is larger than any password file.
    TooLarge(PathBuf),
    /// The user is not in the file.
    NoSuchUser(PathBuf, String),
    /// The name cannot be in a password file.
    BadName(NameError),
    /// The password could not be hashed.
    Hash(String),
}

/// Why a name cannot be in a password file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// It has no character.
    Empty,
    /// It begins with `#`, or has a `:` or a control character.
    Character,
}

impl Passwords {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, or a line of it is not `USER:HASH`.
    pub fn read(path: &Path) -> Result<Self, PasswordFileError> {
        Self::parse(path, &read_bounded(path)?)
    }

    /// How many users there are.
    pub fn users(&self) -> usize {
        self.hashes.len()
    }

    /// Whether `password` is the password of `user`. Takes tens of milliseconds, whether or not the user exists.
    pub fn verify(&self, user: &str, password: &[u8]) -> bool {
        let hash = self.hashes.get(user);
        let text = hash.unwrap_or(&self.decoy);
        let verified = PasswordHash::new(text)
            .is_ok_and(|parsed| Argon2::default().verify_password(password, &parsed).is_ok());
        hash.is_some() && verified
    }

    /// Sets the password of `user` in the file at `path`, which is made if it does not exist.
    ///
    /// # Errors
    /// If the name cannot be in a password file, or the file cannot be read or replaced; it is then unchanged.
    pub fn set(path: &Path, user: &str, password: &[u8]) -> Result<(), PasswordFileError> {
        check_name(user).map_err(PasswordFileError::BadName)?;
        let old = match read_bounded(path) {
            Err(PasswordFileError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                String::new()
            }
            other => other?,
        };
        Self::parse(path, &old)?;
        let entry = format!("{user}:{}", hash(password)?);
        let mut found = false;
        let mut lines = Vec::new();
        for line in old.lines() {
            if is_entry_of(line, user) {
                found = true;
                lines.push(entry.as_str());
            } else {
                lines.push(line);
            }
        }
        if !found {
            lines.push(&entry);
        }
        replace(path, &lines)
    }

    /// Removes `user` from the file at `path`.
    ///
    /// # Errors
    /// If it is not there, or the file cannot be read or replaced; it is then unchanged.
    pub fn delete(path: &Path, user: &str) -> Result<(), PasswordFileError> {
        let old = read_bounded(path)?;
        if !Self::parse(path, &old)?.hashes.contains_key(user) {
            return Err(PasswordFileError::NoSuchUser(path.to_owned(), user.to_owned()));
        }
        let lines: Vec<_> = old.lines().filter(|line| !is_entry_of(line, user)).collect();
        replace(path, &lines)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, PasswordFileError> {
        let mut hashes = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = |why| PasswordFileError::BadLine { path: path.to_owned(), line: index + 1, why };
            let (user, hash) = line.split_once(':').ok_or_else(|| bad("it has no ':'"))?;
            check_name(user).map_err(|_| bad("its user name is empty or has control characters"))?;
            let parsed = PasswordHash::new(hash).map_err(|_| bad("what follows ':' is no password hash"))?;
            if parsed.algorithm.as_str() != "argon2id" || parsed.hash.is_none() {
                return Err(bad("its password hash is not of Argon2id"));
            }
            if hashes.insert(user.to_owned(), hash.to_owned()).is_some() {
                return Err(bad("its user is on an earlier line too"));
            }
        }
        Ok(Passwords { hashes, decoy: hash(b"")? })
    }
}

/// Whether `name` can be in a password file.
fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.starts_with('#') || name.contains(|c: char| c == ':' || c.is_control()) {
        return Err(NameError::Character);
    }
    Ok(())
}

fn is_entry_of(line: &str, user: &str) -> bool {
    !line.starts_with('#') && line.split_once(':').is_some_and(|(name, _)| name == user)
}

fn hash(password: &[u8]) -> Result<String, PasswordFileError> {
    let hashed: PasswordHash = Argon2::default()
        .hash_password(password)
        .map_err(|error| PasswordFileError::Hash(error.to_string()))?;
    Ok(hashed.to_string())
}

fn read_bounded(path: &Path) -> Result<String, PasswordFileError> {
    let failed = |error| PasswordFileError::Io { doing: "read", path: path.to_owned(), error };
    let file = File::open(path).map_err(failed)?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(PasswordFileError::TooLarge(path.to_owned()));
    }
    Ok(text)
}

/// Puts `lines` in the place of the file at `path`: a new file beside it, synced, then renamed over it.
fn replace(path: &Path, lines: &[&str]) -> Result<(), PasswordFileError> {
    // A symbolic link stays one: the file it leads to is replaced.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let beside = folder.join(format!(".{name}.{}", std::process::id()));
    let failed = |error| PasswordFileError::Io { doing: "write", path: path.clone(), error };
    let result = write_new(&beside, lines).and_then(|()| fs::rename(&beside, &path));
    if let Err(error) = result {
        // What is left of the attempt is of no use; that it may not go away changes nothing about the failure.
        let _ = fs::remove_file(&beside);
        return Err(failed(error));
    }
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn write_new(path: &Path, lines: &[&str]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    for line in lines {
        file.write_all(line.as_bytes())?;
        file.write_all(b"\n")?;
    }
    file.sync_all()
}

impl fmt::Display for PasswordFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PasswordFileError::Io { doing, path, error } => write!(
                f,
                "cannot {doing} the password file {}: {error}; correct the path or its permissions",
                path.display()
            ),
            PasswordFileError::BadLine { path, line, why } => write!(
                f,
                "{}:{line}: the line is not USER:HASH: {why}; remove it, and set the password with `quorate passwd`",
                path.display()
            ),
            PasswordFileError::TooLarge(path) => {
                write!(f, "{} is too large for a password file; correct the path", path.display())
            }
            PasswordFileError::NoSuchUser(path, user) => {
                write!(f, "{} has no user `{user}`; nothing was changed", path.display())
            }
            PasswordFileError::BadName(NameError::Empty) => {
                f.write_str("a user name has at least one character")
            }
            PasswordFileError::BadName(NameError::Character) => f.write_str(
                "a user name cannot begin with '#', nor have ':' or control characters; choose another",
            ),
            PasswordFileError::Hash(why) => {
                write!(f, "the password cannot be hashed: {why}; choose a shorter one")
            }
        }
    }
}

impl std::error::Error for PasswordFileError {}

#[cfg(test)]
mod tests {
    use super::{NameError, PasswordFileError, Passwords};
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    #[test]
    fn a_user_is_added_changed_and_removed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("passwords");
        Passwords::set(&file, "alice", b"one").expect("a new file");
        assert_eq!(fs::metadata(&file).expect("it exists").permissions().mode() & 0o777, 0o600);
        Passwords::set(&file, "bob", b"two").expect("a second user");
        Passwords::set(&file, "alice", b"three").expect("a new password");
        let passwords = Passwords::read(&file).expect("what we wrote");
        assert!(passwords.verify("alice", b"three") && passwords.verify("bob", b"two"));
        assert!(
            !passwords.verify("alice", b"one")
                && !passwords.verify("carol", b"")
                && !passwords.verify("", b"")
        );
        Passwords::delete(&file, "alice").expect("she is there");
        assert!(!Passwords::read(&file).expect("still good").verify("alice", b"three"));
        assert!(matches!(Passwords::delete(&file, "alice"), Err(PasswordFileError::NoSuchUser(..))));
        assert_eq!(fs::read_dir(folder.path()).expect("ours").count(), 1, "nothing is left beside the file");
    }

    #[test]
    fn comments_survive_and_bad_lines_are_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("passwords");
        fs::write(&file, "# people\n\n").expect("writable");
        Passwords::set(&file, "alice", b"one").expect("comments are fine");
        assert!(fs::read_to_string(&file).expect("readable").starts_with("# people\n\nalice:$argon2id$"));
        for bad in ["alice", "alice:secret", ":x", "a:$argon2id$v=19$m=16,t=2,p=1$c2FsdHNhbHQ"] {
            fs::write(&file, format!("# c\n{bad}\n")).expect("writable");
            assert!(
                matches!(Passwords::read(&file), Err(PasswordFileError::BadLine { line: 2, .. })),
                "{bad}"
            );
            assert!(Passwords::set(&file, "bob", b"x").is_err(), "a damaged file is not rewritten: {bad}");
        }
    }

    #[test]
    fn names_that_would_break_the_file_are_refused() {
        let nowhere = PathBuf::from("/nonexistent/passwords");
        for (name, error) in
            [("", NameError::Empty), ("a:b", NameError::Character), ("a\nb", NameError::Character)]
        {
            let result = Passwords::set(&nowhere, name, b"x");
            assert!(matches!(result, Err(PasswordFileError::BadName(found)) if found == error), "{name:?}");
        }
        assert!(matches!(Passwords::set(&nowhere, "a", b"x"), Err(PasswordFileError::Io { .. })));
    }
}
