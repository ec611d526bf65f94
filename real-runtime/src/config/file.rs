//! Reads the configuration file. Every error names the file, the line, the key and the remedy.

use super::{Config, options};
use crate::failure::Failure;
use serde::de::Deserialize as _;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Names further apart than this are no slip of the finger.
const TYPO_DISTANCE_MAX: usize = 3;

/// A configuration file that was read, kept to point into it.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    text: String,
}

/// Something wrong with the value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The key, with its section and dots.
    pub key: String,
    /// What is wrong and what to do, as a sentence.
    pub sentence: String,
}

impl Source {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(path).map_err(|error| {
            Failure::usage(format!(
                "cannot read the configuration {}: {error}; give a file that can be read, or none to use the defaults \
                 (`quorate config` prints them)",
                path.display()
            ))
        })?;
        Ok(Source { path: path.to_owned(), text })
    }

    /// Parses the file.
    ///
    /// # Errors
    /// Names file, line and key, and says what to do.
    pub fn parse(&self) -> Result<Config, Failure> {
        let table = DeTable::parse(&self.text).map_err(|error| self.toml_failure(&error, None))?;
        self.refuse_unknown(table.get_ref())?;
        let deserializer =
            toml::Deserializer::parse(&self.text).map_err(|error| self.toml_failure(&error, None))?;
        Config::deserialize(deserializer).map_err(|error| self.toml_failure(&error, Some(table.get_ref())))
    }

    /// The failure for `complaint`, with the line where its key is set, if this file sets it.
    pub fn failure(&self, complaint: &Complaint) -> Failure {
        let line = DeTable::parse(&self.text)
            .ok()
            .and_then(|table| span_of(table.get_ref(), &complaint.key))
            .map_or_else(String::new, |span| format!(":{}", self.line(span.start)));
        Failure::usage(format!("{}{line}: {}", self.path.display(), complaint.sentence))
    }

    fn refuse_unknown(&self, table: &DeTable<'_>) -> Result<(), Failure> {
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            if !options::names("").contains(&name) {
                return Err(self.unknown("", key));
            }
            for (section_key, _) in tables_in(value.get_ref()).flatten() {
                if !options::names(name).contains(&section_key.get_ref().as_ref()) {
                    return Err(self.unknown(name, section_key));
                }
            }
        }
        Ok(())
    }

    fn unknown(&self, section: &str, key: &Spanned<std::borrow::Cow<'_, str>>) -> Failure {
        let name = key.get_ref().as_ref();
        let place = self.place(key.span().start);
        let what = if section.is_empty() { format!("`{name}`") } else { format!("`{section}.{name}`") };
        let remedy = suggestion(section, name).map_or_else(
            || "remove it".to_owned(),
            |better| {
                let shown = match better.section {
                    same if same == section => format!("`{}`", better.name),
                    "" => format!("`{}` at the top of the file", better.name),
                    other => format!("`{}` in the section [{other}]", better.name),
                };
                format!("did you mean {shown}?")
            },
        );
        Failure::usage(format!(
            "{place}: unknown option {what}; {remedy} (`quorate config` lists every option)"
        ))
    }

    fn toml_failure(&self, error: &toml::de::Error, table: Option<&DeTable<'_>>) -> Failure {
        let at = error.span().map_or(0, |span| span.start);
        let key =
            table.and_then(|table| key_at(table, at)).map_or_else(String::new, |key| format!("`{key}`: "));
        // The parser's own message may take several lines; ours is one.
        let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
        Failure::usage(format!(
            "{}: {key}{message}; correct the line (`quorate config` shows every option with its default)",
            self.place(at)
        ))
    }

    fn place(&self, offset: usize) -> String {
        format!("{}:{}", self.path.display(), self.line(offset))
    }

    fn line(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
    }
}

/// The tables right below a value: itself, or those of an array of tables.
fn tables_in<'a, 'i>(value: &'a DeValue<'i>) -> impl Iterator<Item = &'a DeTable<'i>> {
    let own = value.as_table();
    let listed = value.as_array().into_iter().flat_map(|array| array.iter());
    own.into_iter().chain(listed.filter_map(|item| item.get_ref().as_table()))
}

/// The dotted key whose value holds the byte at `offset`.
fn key_at(table: &DeTable<'_>, offset: usize) -> Option<String> {
    for (key, value) in table {
        for (inner, inner_value) in tables_in(value.get_ref()).flatten() {
            if inner_value.span().contains(&offset) || inner.span().contains(&offset) {
                return Some(format!("{}.{}", key.get_ref(), inner.get_ref()));
            }
        }
        if value.span().contains(&offset) || key.span().contains(&offset) {
            return Some(key.get_ref().to_string());
        }
    }
    None
}

/// Where `key` is set.
fn span_of(table: &DeTable<'_>, key: &str) -> Option<Range<usize>> {
    let (first, rest) = key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)));
    let (name, value) = table.iter().find(|(name, _)| name.get_ref().as_ref() == first)?;
    match rest {
        None => Some(name.span()),
        Some(rest) => tables_in(value.get_ref()).find_map(|inner| span_of(inner, rest)),
    }
}

/// The option most like `name`, first in the same section, then in any other.
fn suggestion(section: &str, name: &str) -> Option<&'static options::OptionDoc> {
    let distance = |option: &options::OptionDoc| {
        let elsewhere = usize::from(option.section != section);
        (strsim::damerau_levenshtein(option.name, name), elsewhere)
    };
    let nearest = options::OPTIONS.iter().min_by_key(|option| distance(option))?;
    (distance(nearest).0 <= TYPO_DISTANCE_MAX.min(name.len() / 2)).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::{Complaint, Config, Source};
    use std::path::PathBuf;

    fn source(text: &str) -> Source {
        Source { path: PathBuf::from("q.toml"), text: text.to_owned() }
    }

    fn refusal(text: &str) -> String {
        source(text).parse().expect_err("to be refused").to_string()
    }

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(source("").parse(), Ok(Config::default()));
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_one() {
        let cases = [
            ("\nlisen = []\n", "q.toml:2: unknown option `lisen`; did you mean `listen`?"),
            (
                "[limits]\nrecieve_max = 1\n",
                "q.toml:2: unknown option `limits.recieve_max`; did you mean `receive_max`?",
            ),
            (
                "receive_max = 1\n",
                "unknown option `receive_max`; did you mean `receive_max` in the section [limits]?",
            ),
            ("[log]\ndata = \"x\"\n", "`log.data`; did you mean `data` at the top of the file?"),
            ("colour = 1\n", "unknown option `colour`; remove it"),
            ("[[acl]]\nfilters = \"a\"\n", "`acl.filters`; did you mean `filter`?"),
        ];
        for (text, expected) in cases {
            let refusal = refusal(text);
            assert!(refusal.contains(expected), "{text:?}: {refusal}");
        }
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_line_and_key() {
        let cases = [
            ("\n\n[limits]\nreceive_max = \"many\"\n", "q.toml:4: `limits.receive_max`: "),
            ("[limits]\nreceive_max = 70000\n", "q.toml:2: `limits.receive_max`: "),
            ("durability = \"never\"\n", "q.toml:1: `durability`: "),
            ("listen = [\"here\"]\n", "q.toml:1: `listen`: "),
            ("data = \"a\"\ndata = \"b\"\n", "q.toml:2: "),
            ("data = \n", "q.toml:1: "),
            ("[[acl]]\naccess = \"allow\"\n", "q.toml:1: `acl`: missing field"),
        ];
        for (text, expected) in cases {
            let refusal = refusal(text);
            assert!(refusal.starts_with(expected), "{text:?}: {refusal}");
            assert!(!refusal.contains('\n'), "{text:?}: one line: {refusal:?}");
        }
    }

    #[test]
    fn a_complaint_points_at_the_line_that_sets_the_key() {
        let source = source("data = \"x\"\n[limits]\n# more\nreceive_max = 0\n");
        let complaint = |key: &str| Complaint { key: key.to_owned(), sentence: "no".to_owned() };
        assert_eq!(source.failure(&complaint("limits.receive_max")).to_string(), "q.toml:4: no");
        assert_eq!(source.failure(&complaint("listen")).to_string(), "q.toml: no");
    }
}
