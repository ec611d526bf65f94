//! Seeds that failed once: kept, and run first.

use serde::Deserialize;

/// A seed that failed once.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Regression {
    /// The story.
    pub story: String,
    /// The seed.
    pub seed: u64,
    /// What was wrong, and what was done about it.
    pub why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    regression: Vec<Regression>,
}

/// The seeds in `regressions.toml`.
///
/// # Panics
/// If the file, which is part of the program, cannot be read.
pub fn all() -> Vec<Regression> {
    let file: File =
        toml::from_str(include_str!("../regressions.toml")).expect("regressions.toml is well formed");
    file.regression
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_regression_is_of_a_known_story() {
        for regression in super::all() {
            assert!(crate::stories::find(&regression.story).is_some(), "{}", regression.story);
            assert!(!regression.why.is_empty());
        }
    }
}
