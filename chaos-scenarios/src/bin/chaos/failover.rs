//! `chaos failover`.

use broker_core::time::Duration;
use chaos_scenarios::failover::{failovers, percentile};
use chaos_scenarios::model::Model;
use chaos_scenarios::{stories, trial};
use clap::ArgMatches;
use std::fmt::Write as _;
use std::io::Write as _;

pub(crate) fn failover(options: &ArgMatches) -> Result<u8, String> {
    let number = |name: &str| options.get_one::<u64>(name).copied().unwrap_or(0);
    let story = stories::find("leader-killed").expect("it is told");
    let (mut acknowledged, mut delivered) = (Vec::new(), Vec::new());
    let (mut crashes, mut simulated_ms) = (0, 0);
    let from = number("from");
    for seed in from..from.saturating_add(number("seeds")) {
        let scenario = story.scenario(seed);
        let outcome = trial::perform(&scenario);
        simulated_ms += outcome.stats.simulated_ms;
        for failover in failovers(&Model::new(&scenario, &outcome.history)) {
            crashes += 1;
            acknowledged.extend(failover.acknowledged);
            delivered.extend(failover.delivered);
        }
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{:<40}{:>8}{:>10}{:>10}{:>10}",
        "from the crash of a leader to", "seen", "p50", "p99", "longest"
    );
    for (what, times) in [
        ("an acknowledged publish to its shards", &mut acknowledged),
        ("the delivery of such a publish", &mut delivered),
    ] {
        times.sort_unstable();
        let at = |percent| percentile(times, percent).map_or("-".to_owned(), shown);
        let _ = writeln!(text, "{what:<40}{:>8}{:>10}{:>10}{:>10}", times.len(), at(50), at(99), at(100));
    }
    let _ = writeln!(text, "{crashes} crashes, {} s simulated", simulated_ms / 1_000);
    std::io::stdout().lock().write_all(text.as_bytes()).map_err(|error| error.to_string())?;
    Ok(0)
}

fn shown(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
