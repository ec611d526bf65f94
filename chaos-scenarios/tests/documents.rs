//! Pages of `docs/` that say what the code says. `UPDATE_DOCS=1 cargo test -p chaos-scenarios --test documents` writes them anew.

use chaos_scenarios::checkers;
use chaos_scenarios::diagram;
use chaos_scenarios::stories;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// Holds a generated part of a page, between two marks, to what the code says.
fn hold(page: &str, mark: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    let text = std::fs::read_to_string(&path).expect("the page is there");
    let (begin, end) = (format!("<!-- {mark}: begin -->\n"), format!("<!-- {mark}: end -->"));
    let from = text.find(&begin).expect("the page has the mark of the beginning") + begin.len();
    let to = text.find(&end).expect("the page has the mark of the end");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let updated = [&text[..from], generated, &text[to..]].concat();
        std::fs::write(&path, updated).expect("the page can be written");
    } else {
        assert_eq!(
            &text[from..to],
            generated,
            "docs/{page} is out of date; run this test with UPDATE_DOCS=1"
        );
    }
}

#[test]
fn the_page_of_invariants_lists_every_checker() {
    let mut table = String::from("| # | name | promise | clause |\n|---|---|---|---|\n");
    for checker in checkers::ALL {
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} |",
            checker.number, checker.name, checker.statement, checker.clause
        );
    }
    hold("invariants.md", "checkers", &table);
}

#[test]
fn the_page_of_the_simulation_lists_every_fault() {
    let stories = stories::ALL.iter().chain(stories::cluster::all());
    let scenarios = stories.flat_map(|story| (0..60).map(|seed| story.scenario(seed)));
    let faults = scenarios.flat_map(|scenario| scenario.faults);
    let known: BTreeMap<&str, &str> = faults.map(|fault| (fault.kind.name(), fault.kind.about())).collect();
    let mut table = String::from("| fault | while it lasts |\n|---|---|\n");
    for (name, about) in known {
        let _ = writeln!(table, "| {name} | {about} |");
    }
    hold("simulation.md", "faults", &table);
}

#[test]
fn the_page_of_the_simulation_lists_every_story_of_several_nodes() {
    let mut table = String::from("| story | what goes wrong in it | where it happened |\n|---|---|---|\n");
    for story in stories::cluster::all().iter().filter(|story| !story.name.starts_with("cluster/")) {
        let _ = writeln!(table, "| `{}` | {} | {} |", story.name, story.about, story.source);
    }
    hold("simulation.md", "stories of a cluster", &table);
}

#[test]
fn the_page_of_the_simulation_lists_every_story() {
    let mut table = String::from("| story | what goes wrong in it | where it happened |\n|---|---|---|\n");
    for story in stories::ALL {
        let _ = writeln!(table, "| `{}` | {} | {} |", story.name, story.about, story.source);
    }
    hold("simulation.md", "stories", &table);
}

#[test]
fn the_page_of_the_architecture_shows_an_exchange_as_it_is() {
    hold("architecture.md", "diagram", &diagram::exchange(0));
}
