//! How a command ends when it cannot go on: one sentence, and an exit status.

use std::fmt;

/// Why a command ends, as one sentence that says what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    kind: Kind,
    sentence: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Usage,
    Run,
}

impl Failure {
    /// The command line or the configuration asks for something that cannot be: exit status 2.
    pub fn usage(sentence: impl Into<String>) -> Self {
        Failure { kind: Kind::Usage, sentence: sentence.into() }
    }

    /// The machine, the data or the network does not allow it: exit status 1.
    pub fn run(sentence: impl Into<String>) -> Self {
        Failure { kind: Kind::Run, sentence: sentence.into() }
    }

    /// The exit status of the process.
    pub fn status(&self) -> u8 {
        match self.kind {
            Kind::Usage => 2,
            Kind::Run => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for Failure {}
