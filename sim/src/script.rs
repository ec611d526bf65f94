//! The steps of a scenario: which are done when.

use crate::history::ClientNo;
use crate::scenario::{Milestone, Scenario, Step, StepId, When};
use crate::stage::{Happening, Stage};
use broker_core::time::Duration;
use std::collections::BTreeMap;

/// A step and how long after its cause it is done.
type Waiting = Vec<(StepId, Duration)>;

/// The steps, and what they wait for.
#[derive(Debug, Default)]
pub(crate) struct Script {
    after: BTreeMap<(StepId, Milestone), Waiting>,
    received: BTreeMap<(ClientNo, u32), Waiting>,
}

impl Script {
    /// Schedules the steps that have a time, and lets the others wait.
    pub(crate) fn begin(scenario: &Scenario, stage: &mut Stage) -> Self {
        let mut script = Script::default();
        for step in &scenario.steps {
            match step.when {
                When::At(at) => stage.schedule(at, Happening::Step(step.id)),
                When::After { step: earlier, milestone, delay_ms } => {
                    let delay = Duration::from_millis(delay_ms);
                    script.after.entry((earlier, milestone)).or_default().push((step.id, delay));
                }
                When::Received { client, count, delay_ms } => {
                    let delay = Duration::from_millis(delay_ms);
                    script.received.entry((client, count)).or_default().push((step.id, delay));
                }
            }
        }
        script
    }

    /// A step reached a milestone.
    pub(crate) fn reached(&mut self, stage: &mut Stage, step: StepId, milestone: Milestone) {
        schedule(stage, self.after.remove(&(step, milestone)));
    }

    /// A client received its `count`-th PUBLISH.
    pub(crate) fn received(&mut self, stage: &mut Stage, client: ClientNo, count: u32) {
        schedule(stage, self.received.remove(&(client, count)));
    }

    /// The step with this name.
    pub(crate) fn step(scenario: &Scenario, id: StepId) -> Option<&Step> {
        scenario.steps.iter().find(|step| step.id == id)
    }
}

fn schedule(stage: &mut Stage, waiting: Option<Waiting>) {
    for (step, delay) in waiting.into_iter().flatten() {
        stage.after(delay, Happening::Step(step));
    }
}
