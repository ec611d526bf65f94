//! The house rules that can be read off the sources: which way imports go, how long a file may be, what must not be left
//! in code, that what is linked to exists, that the deliberate mistakes can still be made.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::installed::{runs, skip};

/// Which crates of the workspace a crate may depend on.
const CRATES: [(&str, &[&str]); 5] = [
    ("broker-core", &[]),
    ("sim", &["broker-core"]),
    ("chaos-scenarios", &["broker-core", "sim"]),
    ("real-runtime", &["broker-core"]),
    ("tests", &["broker-core", "sim", "chaos-scenarios", "real-runtime"]),
];

/// The floors of broker-core, from the ground up. A module imports from lower floors only, not from its own.
const FLOORS: [&[&str]; 10] = [
    &["base"],
    &["storage", "topic"],
    &["cluster"],
    &["auth", "codec", "event"],
    &["face", "message"],
    &["shard"],
    &["replication"],
    &["session"],
    &["routing"],
    &["broker"],
];

/// What broker-core's lib.rs shows under a second name, and where it is.
const SECOND_NAMES: [(&str, &str); 6] = [
    ("ids", "base"),
    ("limits", "base"),
    ("rng", "base"),
    ("time", "base"),
    ("Input", "face"),
    ("Output", "face"),
];

/// Lines above which a file must be in [`LONG_FILES`].
const LINES_MAX: usize = 500;

/// Files that are longer, and why.
const LONG_FILES: [(&str, &str); 2] = [
    (
        "real-runtime/src/node/tests.rs",
        "a scripted core, disk and network, and one story for each promise of the loop",
    ),
    ("tests/tests/codec_hostile.rs", "a table: one hostile packet a row, to be read as a whole"),
];

/// Crates that are built in several versions, and whose fault it is; in the order of the alphabet.
///
/// `raft` is at its newest release, and consensus is not written anew for a few small crates. Nothing from the network reaches
/// `protobuf`, and no draw of its `rand` has an effect (broker-core/src/replication/raft).
const SEVERAL_VERSIONS: [(&str, &str); 10] = [
    ("bitflags", "raft, by the protobuf-build that makes its messages"),
    ("bytes", "one version, built for raft's build script too"),
    ("getrandom", "raft, by rand 0.8"),
    ("protobuf", "one version, built for raft's build script too"),
    ("rand", "raft"),
    ("rand_chacha", "raft, by rand 0.8"),
    ("rand_core", "raft, by rand 0.8"),
    ("syn", "raft, by getset and thiserror 1"),
    ("thiserror", "raft"),
    ("thiserror-impl", "raft, by thiserror 1"),
];

#[test]
fn crates_depend_one_way() {
    let names: Vec<&str> = CRATES.iter().map(|(name, _)| *name).collect();
    for (name, allowed) in CRATES {
        let manifest = read(&root().join(name).join("Cargo.toml"));
        let mut section = "";
        for line in manifest.lines() {
            if let Some(header) = line.strip_prefix('[') {
                section = header;
            } else if section.contains("dependencies") {
                let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
                let is_ours = names.contains(&dependency);
                assert!(!is_ours || allowed.contains(&dependency), "{name} must not depend on {dependency}");
            }
        }
    }
}

#[test]
fn modules_of_the_core_import_lower_floors_only() {
    let source = root().join("broker-core/src");
    let floor_of: BTreeMap<&str, usize> = FLOORS
        .iter()
        .enumerate()
        .flat_map(|(floor, modules)| modules.iter().map(move |name| (*name, floor)))
        .collect();
    let mut seen = BTreeSet::new();
    for path in core_files() {
        let relative = path.strip_prefix(&source).expect("it is below").with_extension("");
        let module = relative.iter().next().expect("a file has a name").to_string_lossy().into_owned();
        if module == "lib" {
            continue;
        }
        let own =
            *floor_of.get(module.as_str()).unwrap_or_else(|| panic!("{module} has no floor; give it one"));
        for import in imports(&production_code(&read(&path))) {
            let second = SECOND_NAMES.iter().find(|(name, _)| *name == import);
            let import = second.map_or(import.as_str(), |(_, module)| module);
            let other = *floor_of
                .get(import)
                .unwrap_or_else(|| panic!("{}: what is crate::{import}?", path.display()));
            assert!(
                import == module || other < own,
                "{}: {module} (floor {own}) imports {import} (floor {other})",
                path.display()
            );
        }
        seen.insert(module);
    }
    let expected: BTreeSet<String> = floor_of.keys().map(|name| (*name).to_owned()).collect();
    assert_eq!(seen, expected, "the table of floors names what is there");
}

#[test]
fn files_are_short_or_have_a_reason() {
    let mut long = BTreeSet::new();
    for path in sources() {
        let lines = read(&path).lines().count();
        if lines > LINES_MAX {
            let name = relative(&path);
            assert!(
                LONG_FILES.iter().any(|(known, _)| *known == name),
                "{name} has {lines} lines and no reason for it"
            );
            long.insert(name);
        }
    }
    for (name, _) in LONG_FILES {
        assert!(long.contains(name), "{name} is not that long any more");
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    // A test module is for the module beside it.
    for path in sources().into_iter().filter(|path| !is_test_module(path)) {
        assert!(read(&path).starts_with("//! "), "{} does not begin with `//! `", relative(&path));
    }
}

#[test]
fn nothing_is_left_undone() {
    // Written so that this file does not find itself.
    let marks = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X"].concat()];
    for path in sources() {
        for (number, line) in read(&path).lines().enumerate() {
            let mark = marks.iter().find(|mark| line.contains(*mark));
            assert!(mark.is_none(), "{}:{}: {line}", relative(&path), number + 1);
        }
    }
}

#[test]
fn the_core_names_the_reason_wherever_it_may_panic() {
    for path in core_files() {
        let code = production_code(&read(&path));
        assert!(!code.contains(".unwrap()"), "{}: use expect, and say why it holds", relative(&path));
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let documents = [files_in(&root(), "md"), files_in(&root().join("docs"), "md")].concat();
    assert!(documents.contains(&root().join("README.md")), "the documents are found");
    let mut links = 0;
    for document in documents {
        let text = read(&document);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#', ' ']).next()) {
            let is_local = !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:");
            if is_local {
                links += 1;
                let path = document.parent().expect("a file is in a folder").join(target);
                assert!(path.exists(), "{} links to {target}", relative(&document));
            }
        }
    }
    assert!(links > 0, "links are recognised");
}

#[test]
fn every_deliberate_mistake_can_be_planted() {
    if !(runs("patch", &["--version"]) || skip("patch is not installed")) {
        return;
    }
    let mistakes = files_in(&root().join("chaos-scenarios/mistakes"), "patch");
    assert!(mistakes.len() > 20, "the mistakes are found");
    let mut refused = Vec::new();
    for mistake in &mistakes {
        // As ci/mistakes plants it: no line may differ, and a mistake that is there already is not taken back.
        let planted = Command::new("patch")
            .args(["--dry-run", "--force", "--fuzz=0", "--strip=1", "--input"])
            .arg(mistake)
            .current_dir(root())
            .output()
            .expect("patch can be started");
        if !planted.status.success() {
            let said = [planted.stdout, planted.stderr].concat();
            refused.push(format!("{}: {}", relative(mistake), String::from_utf8_lossy(&said)));
        }
    }
    assert!(refused.is_empty(), "make the same mistake in the code of today:\n{}", refused.concat());
}

#[test]
fn a_crate_has_one_version_or_a_reason() {
    let tree = cargo_tree(&["--duplicates", "--depth", "0", "--prefix", "none", "--format", "{p}"]);
    let several: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    let several: Vec<&str> = several.into_iter().filter(|name| !name.is_empty()).collect();
    let known: Vec<&str> = SEVERAL_VERSIONS.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        several, known,
        "a crate in two versions is built twice, and has two sets of mistakes:\n{tree}"
    );
}

#[test]
fn what_is_built_comes_from_crates_io_under_a_licence_of_the_list() {
    let allowed = allowed_licences();
    let tree = cargo_tree(&["--prefix", "none", "--format", "{p}|{l}"]);
    let lines: BTreeSet<&str> =
        tree.lines().filter(|line| !line.is_empty()).map(|line| line.trim_end_matches(" (*)")).collect();
    assert!(lines.len() > CRATES.len() + 20, "the dependencies are listed");
    for line in lines {
        let (package, licence) = line.split_once('|').expect("the format has one");
        // Cargo names the source only where it is another than the registry's: for our own crates, the folder.
        let package = package.trim_end_matches(" (proc-macro)");
        let ours = CRATES.iter().any(|(name, _)| package.split(' ').next() == Some(name));
        assert!(ours || !package.contains('('), "{package} does not come from crates.io");
        assert!(is_allowed(licence, &allowed), "{package}: `{licence}` is not in the list of deny.toml");
    }
}

/// What is built here, as cargo tells it: Cargo.lock also names crates that no build needs.
fn cargo_tree(more: &[&str]) -> String {
    let arguments = [&["tree", "--workspace", "--offline", "--locked"], more].concat();
    let tree = Command::new(env!("CARGO"))
        .args(&arguments)
        .current_dir(root())
        .output()
        .expect("cargo can be started");
    assert!(tree.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&tree.stderr));
    String::from_utf8(tree.stdout).expect("names are text")
}

/// The licences in deny.toml.
fn allowed_licences() -> BTreeSet<String> {
    let text = read(&root().join("deny.toml"));
    let list = text.split_once("\nallow = [").and_then(|(_, rest)| rest.split_once(']'));
    let (list, _) = list.expect("deny.toml lists licences");
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether the SPDX expression `licence` leaves a choice within `allowed`. AND binds closer than OR.
fn is_allowed(licence: &str, allowed: &BTreeSet<String>) -> bool {
    // How crates wrote OR before there were expressions.
    let spaced = licence.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    any_allowed(&mut words, allowed) == Some(true) && words.next().is_none()
}

/// `None` if it is no expression.
fn any_allowed<'a>(
    words: &mut Peekable<impl Iterator<Item = &'a str>>,
    allowed: &BTreeSet<String>,
) -> Option<bool> {
    let (mut any, mut all) = (false, true);
    loop {
        all &= if words.next_if_eq(&"(").is_some() {
            let inner = any_allowed(words, allowed)?;
            words.next_if_eq(&")")?;
            inner
        } else {
            let mut name = vec![words.next_if(is_name)?];
            while let Some(word) = words.next_if(is_name) {
                name.push(word);
            }
            allowed.contains(&name.join(" "))
        };
        match words.next_if(|word| *word != ")") {
            Some("AND") => {}
            Some("OR") => (any, all) = (any | all, true),
            Some(_) => return None,
            None => return Some(any | all),
        }
    }
}

fn is_name(word: &&str) -> bool {
    !["AND", "OR", "(", ")"].contains(word)
}

/// What `crate::` is followed by, in `code`.
fn imports(code: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            None => found.extend([word(rest)]),
            Some(list) => found.extend(first_words(list).map(word)),
        }
    }
    found
}

/// The elements of a `{ ... }` whose first brace is taken off.
fn first_words(list: &str) -> impl Iterator<Item = &str> {
    let mut depth = 1;
    let end = list.find(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth == 0
    });
    let mut depth = 0;
    list[..end.unwrap_or(list.len())].split(move |c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    })
}

/// `text` without comments and tests. A test module within a file is the last thing in it.
fn production_code(text: &str) -> String {
    let mut code = Vec::new();
    let mut lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            code.push(line);
        } else if !lines.next().is_some_and(|next| next.ends_with(';')) {
            break;
        }
    }
    code.join("\n")
}

/// The files of broker-core that are part of the broker.
fn core_files() -> Vec<PathBuf> {
    let mut files = rust_files(&root().join("broker-core/src"));
    files.retain(|path| !is_test_module(path));
    files
}

/// Whether `path` is a `tests.rs`, or below a `tests/`, within the sources of a crate.
fn is_test_module(path: &Path) -> bool {
    path.iter().skip_while(|part| *part != "src").any(|part| part == "tests" || part == "tests.rs")
}

fn sources() -> Vec<PathBuf> {
    let files: Vec<PathBuf> = CRATES.iter().flat_map(|(name, _)| rust_files(&root().join(name))).collect();
    assert!(files.len() > 50, "the sources are found");
    files
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                files.extend(rust_files(&path));
            }
        } else if has_extension(&path, "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The files with this extension in a folder, not in those below it.
fn files_in(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| has_extension(path, extension))
        .collect();
    files.sort();
    files
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the workspace").to_path_buf()
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn imports_are_recognised() {
    let code = "use crate::base::ids::X;\nuse crate::{topic::{a, b}, codec};\nfn f() { crate::face::go() }";
    let found: Vec<String> = imports(code).into_iter().collect();
    assert_eq!(found, ["base", "codec", "face", "topic"]);
    let with_test_file = production_code("#[cfg(test)]\nmod tests;\nuse crate::base;");
    assert_eq!(imports(&with_test_file).into_iter().collect::<Vec<_>>(), ["base"]);
    assert!(imports(&production_code("//! crate::a\n/// crate::b\n#[cfg(test)]\nuse crate::c;")).is_empty());
}

#[test]
fn licences_are_understood() {
    let allowed = BTreeSet::from(["A", "B", "B WITH C"].map(str::to_owned));
    for licence in
        ["A", "A OR X", "X OR A", "X/A", "(X OR A) AND B", "X AND A OR B", "X OR B WITH C", "A OR (X AND Y)"]
    {
        assert!(is_allowed(licence, &allowed), "{licence}");
    }
    for licence in
        ["", "X", "A AND X", "(A OR X) AND Y", "X OR Y AND A", "A WITH C", "A B", "(A", "A)", "A OR"]
    {
        assert!(!is_allowed(licence, &allowed), "{licence}");
    }
}
