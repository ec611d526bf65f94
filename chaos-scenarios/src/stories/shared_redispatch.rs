//! Members of a group leave in every way while messages are with them.

use super::Story;
use super::plot::{Plot, RELIABLE};
use sim::scenario::{Action, FaultKind, Scenario};

pub(super) const STORY: Story = Story::new(
    "shared-redispatch",
    "what a member of a group did not acknowledge is given to another, or not, as the norm says",
    "emqx PR#9094, emqx PR#8527, vernemq#595",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::new("shared-redispatch", seed);
    let publisher = plot.durable("publisher");
    plot.work(publisher, (200, 3_500), (2, 40), RELIABLE, &["job/a", "job/b"]);
    for name in ["one", "two", "three"] {
        let member = if plot.rng.chance(2, 3) { plot.durable_v5(name) } else { plot.clean(name) };
        let qos = plot.reliable();
        plot.subscribe(50, member, "$share/g/job/+", qos);
        plot.spec(member).conduct.ack_ms.max = plot.ms(0, 100);
        plot.spec(member).receive_max = Some(10);
        let (from_ms, until_ms) = (plot.ms(400, 2_000), plot.ms(2_100, 3_800));
        match plot.rng.below(6) {
            0 => plot.fault(from_ms, until_ms, FaultKind::NoAck { client: member }),
            1 => plot.fault(from_ms, until_ms, FaultKind::ClientCrash { client: member }),
            2 => plot.away(member, from_ms, until_ms),
            3 => {
                plot.at(from_ms, member, Action::Unsubscribe { filters: vec!["$share/g/job/+".to_owned()] });
            }
            4 => {
                plot.fault(from_ms, from_ms + 300, FaultKind::NoAck { client: member });
                plot.at(from_ms + 250, member, Action::Drop);
                plot.at(from_ms + 400, member, Action::Connect { clean_start: Some(true), node: None });
            }
            _ => plot.fault(from_ms, from_ms, FaultKind::Reset { client: member }),
        }
    }
    if plot.rng.chance(1, 2) {
        let at_ms = plot.ms(500, 3_500);
        plot.crash(at_ms);
    }
    plot.ends(5_000)
}
