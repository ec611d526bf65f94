//! How members that know each other by number tell whether the other one still has the data that it had.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Who a member is, beside its number: what tells it from one that has lost its data, or has older data than it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    /// The number of its data folder.
    pub folder: u64,
    /// Which life of that this is.
    pub life: u64,
    /// The number of the process: a copy of the folder can be begun with the same life.
    pub start: u64,
}

impl Introduction {
    /// Judges whether who was `known` may introduce itself like this now.
    ///
    /// # Errors
    /// Says why it cannot be the same.
    pub fn follows(&self, known: &Introduction) -> Result<(), Stranger> {
        if self == known {
            Ok(())
        } else if self.folder != known.folder {
            Err(Stranger::OtherFolder)
        } else if self.life <= known.life {
            Err(Stranger::OlderFolder)
        } else {
            Ok(())
        }
    }
}

/// Why somebody is not the member it says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stranger {
    /// It has another data folder than the member had: that is lost.
    OtherFolder,
    /// It has an older copy of the data folder than the member had, or lost the end of it.
    OlderFolder,
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stranger::OtherFolder => "it has lost its data folder and begun another one",
            Stranger::OlderFolder => "its data folder is older than the one that it had, or has lost its end",
        })
    }
}
