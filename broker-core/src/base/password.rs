//! What a client proves itself with, kept out of whatever is printed.

use bytes::Bytes;
use std::fmt;

/// A client's password: any bytes. It never shows in a log, a trace or the message of a failed assertion, since its
/// `Debug` says `<hidden>` and it has no `Display`; what is to be checked asks for the bytes by name.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Bytes);

impl Password {
    /// The password `bytes`.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Password(bytes.into())
    }

    /// The password in the clear.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<hidden>")
    }
}

#[cfg(test)]
mod tests {
    use super::Password;

    #[test]
    fn a_password_is_not_printed_whatever_holds_it() {
        let password = Password::new("hunter2");
        assert_eq!(format!("{password:?}"), "<hidden>");
        assert_eq!(format!("{:#?}", Some(&password)), "Some(\n    <hidden>,\n)");
        assert_eq!(password.reveal(), b"hunter2");
    }
}
