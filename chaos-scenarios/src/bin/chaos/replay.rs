//! `chaos replay`.

use chaos_scenarios::{account, trial};
use clap::ArgMatches;
use sim::{Outcome, Production, RunOptions};
use std::io::Write as _;

pub(crate) fn replay(options: &ArgMatches) -> Result<u8, String> {
    let story = super::story(options)?.ok_or("a scenario is required")?;
    let seed = options.get_one::<u64>("seed").copied().ok_or("a seed is required")?;
    let scenario = story.scenario(seed);
    std::panic::set_hook(Box::new(|_| {}));
    let (first, second) = (trial::perform(&scenario), trial::perform(&scenario));
    drop(std::panic::take_hook());
    let mut out = std::io::stdout().lock();
    let mut say = |text: &str| out.write_all(text.as_bytes()).map_err(|error| error.to_string());
    if options.get_flag("history") {
        say(&account::history(&first))?;
    }
    let judged = trial::judge(story, seed, &first);
    say(&account::tell(&scenario, &first, &judged))?;
    let status = if first.trace == second.trace {
        super::status(judged.ending())
    } else {
        say(&first_difference(&scenario))?;
        super::NOT_DETERMINISTIC
    };
    say(&format!("trace {}\n", first.trace))?;
    Ok(status)
}

/// The first event in which two runs of a scenario differ.
fn first_difference(scenario: &sim::scenario::Scenario) -> String {
    let run = || -> Outcome {
        sim::run(scenario, &Production, RunOptions { lines: true, ..RunOptions::default() })
    };
    let (first, second) = (run().lines.unwrap_or_default(), run().lines.unwrap_or_default());
    let place = first
        .iter()
        .zip(&second)
        .position(|(one, other)| one != other)
        .unwrap_or(first.len().min(second.len()));
    let none = "the end".to_owned();
    format!(
        "two runs differ, first in event {place}:\n  {}\n  {}\n",
        first.get(place).unwrap_or(&none),
        second.get(place).unwrap_or(&none)
    )
}
