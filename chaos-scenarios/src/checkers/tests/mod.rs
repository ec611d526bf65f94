//! Each checker on tales by hand: what holds, and each way to break the promise.

mod acknowledgements;
mod cluster;
mod delivery;
mod expiry;
mod flow;
mod liveness;
mod qos2;
mod reports;
mod resend;
mod retained;
mod sessions;
mod shared;
mod subscriptions;
mod takeover;
mod wills;

use super::ALL;
use super::tale::{QOS0, QOS1, QOS2, Tale};

#[test]
fn numbers_and_names_are_unique_and_in_order() {
    assert!(ALL.windows(2).all(|pair| pair[0].number < pair[1].number));
    let mut names: Vec<&str> = ALL.iter().map(|checker| checker.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ALL.len());
}

#[test]
fn nothing_is_wrong_with_a_tale_in_which_everything_arrives() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "a/+", QOS2);
    for qos in [QOS0, QOS1, QOS2] {
        let message = tale.says(alice, "a/b", qos);
        tale.takes(bob, message, 7);
    }
    tale.ends();
    tale.is_fine();
}
