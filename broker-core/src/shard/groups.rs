//! Shared subscriptions: each message goes to one member of each group that matches. \[MQTT-4.8.2\]

use super::session::Subscription;
use crate::base::ids::Incarnation;
use crate::codec::packet::QoS;
use crate::topic::TopicFilter;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One member of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Member {
    pub(super) session: Incarnation,
    pub(super) subscription: Subscription,
}

/// The members of one share name and filter, and whose turn it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Group {
    members: Vec<Member>,
    turn: u64,
}

/// All groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Groups {
    groups: BTreeMap<TopicFilter, Group>,
}

impl Groups {
    /// The filters of all groups.
    pub(super) fn filters(&self) -> impl Iterator<Item = &TopicFilter> {
        self.groups.keys()
    }

    /// The members of all groups.
    pub(super) fn members(&self) -> BTreeSet<(TopicFilter, Incarnation)> {
        let groups = self.groups.iter();
        groups
            .flat_map(|(filter, group)| group.members.iter().map(|member| (filter.clone(), member.session)))
            .collect()
    }

    /// Adds a member, or changes its options. True if the group is new.
    pub(super) fn join(&mut self, filter: &TopicFilter, member: Member) -> bool {
        let new = !self.groups.contains_key(filter);
        let group = self.groups.entry(filter.clone()).or_default();
        match group.members.iter_mut().find(|old| old.session == member.session) {
            Some(old) => *old = member,
            None => group.members.push(member),
        }
        new
    }

    /// Removes a member. True if the group is empty and gone.
    pub(super) fn leave(&mut self, filter: &TopicFilter, session: Incarnation) -> bool {
        let Some(group) = self.groups.get_mut(filter) else { return false };
        group.members.retain(|member| member.session != session);
        let empty = group.members.is_empty();
        if empty {
            self.groups.remove(filter);
        }
        empty
    }

    /// The member that gets the next message of QoS 1 or 2: in turn among those that are connected, else in turn among those that it can
    /// wait for, which it does not for a member that takes QoS 0 only.
    pub(super) fn pick(
        &mut self,
        filter: &TopicFilter,
        connected: impl Fn(Incarnation) -> bool,
    ) -> Option<Member> {
        let group = self.groups.get_mut(filter)?;
        let count = group.members.len() as u64;
        let from_turn = |offset: u64| usize::try_from((group.turn + offset) % count).expect("below a length");
        let in_turn = || (0..count).map(from_turn);
        let chosen = in_turn().find(|&index| connected(group.members[index].session)).or_else(|| {
            in_turn().find(|&index| group.members[index].subscription.options.qos > QoS::AtMostOnce)
        })?;
        group.turn = (chosen as u64 + 1) % count;
        Some(group.members[chosen])
    }

    /// The `rotation`-th connected member, for a message that leaves no trace in the replicated state.
    pub(super) fn pick_volatile(
        &self,
        filter: &TopicFilter,
        rotation: u64,
        connected: impl Fn(Incarnation) -> bool,
    ) -> Option<Member> {
        let members = &self.groups.get(filter)?.members;
        let candidates = members.iter().filter(|member| connected(member.session));
        let count = candidates.clone().count() as u64;
        let nth = usize::try_from(rotation.checked_rem(count)?).expect("below a length");
        candidates.clone().nth(nth).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::{Groups, Incarnation, Member, Subscription, TopicFilter};
    use crate::codec::packet::{QoS, SubscriptionOptions};
    use bytestring::ByteString;

    fn member(session: u64) -> Member {
        // The third one takes QoS 0 only.
        let qos = if session == 3 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        let subscription =
            Subscription { options: SubscriptionOptions { qos, ..SubscriptionOptions::default() }, id: None };
        Member { session: Incarnation(session), subscription }
    }

    #[test]
    fn members_take_turns_and_absent_ones_are_passed_over() {
        let filter = TopicFilter::parse(&ByteString::from("$share/g/a")).expect("valid");
        let mut groups = Groups::default();
        assert!(groups.join(&filter, member(1)));
        assert!(!groups.join(&filter, member(2)));
        groups.join(&filter, member(3));
        let mut picks = |absent: u64| {
            let mut next = || groups.pick(&filter, |m| m.0 != absent).expect("a member").session.0;
            [next(), next(), next()]
        };
        assert_eq!(picks(0), [1, 2, 3]);
        assert_eq!(picks(2), [1, 3, 1]);
        let mut waits = || groups.pick(&filter, |_| false).map(|m| m.session.0);
        assert_eq!([waits(), waits(), waits()], [Some(2), Some(1), Some(2)]);
        assert!(!groups.leave(&filter, Incarnation(1)));
        assert!(!groups.leave(&filter, Incarnation(2)));
        assert!(groups.leave(&filter, Incarnation(3)));
    }
}
