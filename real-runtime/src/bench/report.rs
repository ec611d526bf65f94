//! The figures as a section of a page.

use crate::load::Workload;
use crate::rounds::{Cost, Results};
use crate::{Options, failed};
use real_runtime::failure::Failure;
use std::fs;
use std::path::Path;

const BEGIN: &str = "<!-- bench: begin -->";
const END: &str = "<!-- bench: end -->";

/// The section, without its marks.
pub(crate) fn markdown(results: &Results) -> String {
    let Options { rounds, deliveries, idle, .. } = results.options;
    let mut out = format!(
        "Made by `cargo run --release -p real-runtime --bin bench -- --rounds {rounds} --deliveries {deliveries} --write \
         docs/performance.md`\n(after `cargo build --release`). Messages of 64 bytes, 4 a call; one broker at a time, \
         all brokers and workloads in\nturn, {rounds} rounds. Median, and in parentheses the least and the most.\n\n\
         **A ratio below 2 between two CPU figures is noise**: on the machines these were measured on, the same broker \
         varied\nby up to 4 between runs. System calls are counted, not timed, in one run under `strace`, and are \
         comparable.\n\n\
         The load is closed: at most 400 deliveries are outstanding for each subscriber (one in the rows \"one by \
         one\"), so\nnothing is dropped and a broker that is busy finds much to do at once; that is where writing once a \
         turn pays, and \"one\nby one\" is where it cannot. In the row with durable sessions Quorate writes every \
         message to its log, with `sync` before the\nacknowledgement; mosquitto and rumqttd keep them in memory, as they do \
         by default.\n\n",
    );
    out += &table(results, "broker CPU, µs a delivery", |cost| Some(spread(&cost.cpu_us, 1.0)));
    if results.costs.iter().any(|cost| cost.calls.is_some()) {
        out +=
            &table(results, "system calls a delivery", |cost| cost.calls.map(|calls| format!("{calls:.2}")));
    }
    out += &head("resident memory", results);
    let title = format!("KiB an idle connection, of {idle}");
    out += &row(&title, results.idle.iter().map(|idle| spread(&idle.bytes, 1024.0)));
    if !results.missing.is_empty() {
        out += &format!("\nNot installed, so left out: {}.\n", results.missing.join(", "));
    }
    out
}

/// Puts `text` into the section of the page at `path`, which gets one at its end if it has none.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let old = match fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "# Performance\n".to_owned(),
        other => other.map_err(|error| failed(&format!("read {}", path.display()), error))?,
    };
    let section = format!("{BEGIN}\n{text}{END}");
    let new = match (old.find(BEGIN), old.find(END)) {
        (Some(begin), Some(end)) if begin < end => {
            format!("{}{section}{}", &old[..begin], &old[end + END.len()..])
        }
        _ => format!("{}\n\n## Beside other brokers\n\n{section}\n", old.trim_end()),
    };
    fs::write(path, new).map_err(|error| failed(&format!("write {}", path.display()), error))
}

fn table(results: &Results, title: &str, cell: impl Fn(&Cost) -> Option<String>) -> String {
    let mut out = head(title, results);
    for workload in Workload::ALL {
        let costs = results.costs.iter().filter(|cost| cost.workload == workload);
        out += &row(&workload.name(), costs.map(|cost| cell(cost).unwrap_or_else(|| "–".to_owned())));
    }
    out + "\n"
}

fn head(title: &str, results: &Results) -> String {
    let rule = row("---", results.idle.iter().map(|_| "---".to_owned()));
    row(title, results.idle.iter().map(|idle| idle.subject.name().to_owned())) + &rule
}

fn row(title: &str, cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<_> = cells.collect();
    format!("| {title} | {} |\n", cells.join(" | "))
}

/// Median, least and most of sorted figures.
fn spread(figures: &[f64], unit: f64) -> String {
    match (figures.first(), figures.get(figures.len() / 2), figures.last()) {
        (Some(least), Some(median), Some(most)) => {
            format!("{:.1} ({:.1}–{:.1})", median / unit, least / unit, most / unit)
        }
        _ => "–".to_owned(),
    }
}
