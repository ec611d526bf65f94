//! A long campaign in pieces, each of which is written to a folder when it is done: whoever interrupts it loses a piece at most.

use super::{Summary, Task, summary, trials};
use crate::trial::{self, Ending, Trial};
use crate::{situations, stories};
use serde::{Deserialize, Serialize};
use sim::TraceHash;
use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

/// Runs of one piece.
const PIECE_RUNS: usize = 1_000;

/// What a piece came to in which every run held.
#[derive(Serialize, Deserialize)]
struct Piece {
    /// The first of its runs. If it is another one now, the piece was made by another program.
    first: TraceHash,
    seeds: u64,
    regressions: u64,
    simulated_ms: u64,
    messages: u64,
    stories: BTreeMap<String, u64>,
    situations: BTreeMap<String, u64>,
}

/// Makes all runs, as [`super::run`] does, but for the pieces that are in `folder` already; `found` is told how many runs each of those is.
/// A piece with a run that does not hold is not kept.
///
/// # Errors
/// If the folder cannot be read or written, or has a piece that this program would not have made.
pub fn run(
    folder: &Path,
    tasks: &[Task],
    jobs: usize,
    done: impl FnMut(&Trial),
    found: impl FnMut(usize),
) -> io::Result<Summary> {
    run_by(PIECE_RUNS, folder, tasks, jobs, done, found)
}

fn run_by(
    runs: usize,
    folder: &Path,
    tasks: &[Task],
    jobs: usize,
    mut done: impl FnMut(&Trial),
    mut found: impl FnMut(usize),
) -> io::Result<Summary> {
    fs::create_dir_all(folder)?;
    let mut whole = summary(tasks, BTreeMap::new());
    for (number, tasks) in tasks.chunks(runs).enumerate() {
        let first = &tasks[0];
        let story = first.story.name.replace('/', "-");
        let path = folder.join(format!("{number:05}-{story}-{}-{}.json", first.seed, tasks.len()));
        if let Some(piece) = load(&path, first)? {
            found(tasks.len());
            whole.join(piece);
            continue;
        }
        let trials = trials(tasks, jobs, |_| false, &mut done);
        let first = trials[&0].trace;
        let piece = summary(tasks, trials);
        if piece.ending() == Ending::Holds {
            store(&path, first, &piece)?;
        }
        whole.join(piece);
    }
    Ok(whole)
}

fn load(path: &Path, first: &Task) -> io::Result<Option<Summary>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    let piece: Option<Piece> = serde_json::from_str(&text).ok();
    let same = piece.filter(|piece| piece.first == trial::run(first.story, first.seed).trace);
    let summary = same.and_then(Piece::summary);
    let foreign =
        || io::Error::other(format!("{} was made by another program; give another folder", path.display()));
    summary.map(Some).ok_or_else(foreign)
}

/// Under its name there is a whole piece, or none.
fn store(path: &Path, first: TraceHash, summary: &Summary) -> io::Result<()> {
    let text = serde_json::to_string_pretty(&Piece::of(first, summary)).map_err(io::Error::other)?;
    let unfinished = path.with_extension("part");
    fs::write(&unfinished, text)?;
    fs::rename(&unfinished, path)
}

impl Piece {
    fn of(first: TraceHash, summary: &Summary) -> Self {
        let Summary { seeds, regressions, simulated_ms, messages, .. } = *summary;
        let stories = summary.stories.iter().map(|(name, (runs, _))| ((*name).to_owned(), *runs)).collect();
        let situations = summary.situations.iter().map(|(name, runs)| ((*name).to_owned(), *runs)).collect();
        Piece { first, seeds, regressions, simulated_ms, messages, stories, situations }
    }

    /// `None` if it has a name that is not known.
    fn summary(self) -> Option<Summary> {
        let Piece { seeds, regressions, simulated_ms, messages, .. } = self;
        let known: BTreeMap<&str, &'static str> =
            situations::names().chain(situations::names_of_cluster()).map(|name| (name, name)).collect();
        let stories = self.stories.iter().map(|(name, runs)| Some((stories::find(name)?.name, (*runs, 0))));
        let situations = self.situations.iter().map(|(name, runs)| Some((*known.get(&name[..])?, *runs)));
        Some(Summary {
            seeds,
            regressions,
            simulated_ms,
            messages,
            stories: stories.collect::<Option<_>>()?,
            situations: situations.collect::<Option<_>>()?,
            ..Summary::default()
        })
    }
}

impl Summary {
    fn join(&mut self, other: Summary) {
        self.seeds += other.seeds;
        self.regressions += other.regressions;
        self.violations += other.violations;
        self.liveness_failures += other.liveness_failures;
        self.crashes += other.crashes;
        self.simulated_ms += other.simulated_ms;
        self.messages += other.messages;
        for (name, (runs, failed)) in other.stories {
            let story = self.stories.entry(name).or_default();
            *story = (story.0 + runs, story.1 + failed);
        }
        for (name, runs) in other.broken {
            *self.broken.entry(name).or_default() += runs;
        }
        for (name, runs) in other.situations {
            *self.situations.entry(name).or_default() += runs;
        }
        self.failures.extend(other.failures);
    }
}

#[cfg(test)]
mod tests {
    use super::{Summary, run_by};
    use crate::campaign::{self, Task};
    use crate::stories;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn tasks() -> Vec<Task> {
        campaign::unknown(campaign::tasks(0, 7, stories::find("pubcomp-without-delivery")))
    }

    fn text(summary: &Summary) -> String {
        serde_json::to_string(summary).expect("it is only numbers and names")
    }

    /// What it comes to, and how many runs were there already.
    fn in_pieces(folder: &Path) -> (String, usize) {
        let mut again = 0;
        let summary = run_by(3, folder, &tasks(), 2, |_| {}, |runs| again += runs);
        (text(&summary.expect("the folder is there")), again)
    }

    #[test]
    fn an_interrupted_campaign_goes_on_and_comes_to_the_same() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let whole = text(&campaign::run(&tasks(), 2, |_| {}));
        assert_eq!(in_pieces(folder.path()), (whole.clone(), 0));
        let files = fs::read_dir(folder.path()).expect("it was made");
        let mut files: Vec<PathBuf> = files.map(|file| file.expect("it is there").path()).collect();
        files.sort();
        assert_eq!(files.len(), 3);
        fs::remove_file(&files[1]).expect("it is there");
        assert_eq!(in_pieces(folder.path()), (whole, 4));
        // With another program the first run of a piece is another one.
        fs::copy(&files[0], &files[1]).expect("both can be there");
        assert!(run_by(3, folder.path(), &tasks(), 2, |_| {}, |_| {}).is_err());
    }
}
