//! Who may connect: everybody, or those in a password file.

mod gate;
mod passwords;

pub use gate::{Anonymous, PasswordGate};
pub use passwords::{NameError, PasswordFileError, Passwords};
