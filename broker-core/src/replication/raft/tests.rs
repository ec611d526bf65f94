use super::wire::{Place, Wire};
use super::{Commit, GroupSetup, ProposeError, RaftGroup, Role, StepError, TailLimits};
use crate::base::ids::{Index, NodeId, ShardId, Term, WriteId};
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::face::Recovered;
use crate::replication::configuration::{Configuration, Reconfigure, Step};
use crate::replication::node_log::NodeLog;
use crate::replication::replica::{Base, EntryKind, LogEntry};
use bytes::Bytes;

const GROUP: ShardId = ShardId(5);
const TAIL: TailLimits = TailLimits { entries_max: 3, bytes_max: 1_000 };

fn members() -> Vec<NodeId> {
    [1, 2, 3].map(NodeId).to_vec()
}

fn setup(node: u32) -> GroupSetup {
    GroupSetup { group: GROUP, node: NodeId(node), seed: 1, tail: TAIL }
}

fn empty_log() -> NodeLog {
    NodeLog::open(&Recovered::default(), Instant::ZERO).expect("nothing to read").log
}

/// A replica whose disk syncs when it is told to.
struct One {
    log: NodeLog,
    group: RaftGroup,
    writing: Option<WriteId>,
    said: Vec<(NodeId, Wire)>,
    applied: Vec<Commit>,
}

impl One {
    fn new(node: u32) -> Self {
        let mut log = empty_log();
        let group = RaftGroup::found(setup(node), &members(), vec![], &mut log);
        let mut one = One { log, group, writing: None, said: Vec::new(), applied: Vec::new() };
        one.turn(true);
        one
    }

    fn turn(&mut self, sync: bool) {
        self.advance();
        self.writing = self.log.take_write(Instant::ZERO).map(|write| write.id).or(self.writing);
        if sync && let Some(write) = self.writing.take() {
            self.log.persisted(write);
            self.advance();
        }
    }

    fn advance(&mut self) {
        let mut out = Vec::new();
        self.group.advance(&mut self.log, &mut out);
        self.said.extend(out.into_iter().map(|(to, bytes)| (to, Wire::decode(&bytes).expect("our own"))));
        self.applied.extend(std::iter::from_fn(|| self.group.next_committed()));
        if self.group.wants_machine() {
            self.group.offer_machine(vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")]);
        }
    }

    fn hear(&mut self, from: u32, wire: &Wire) -> Result<(), StepError> {
        self.group.step(NodeId(from), &wire.encode())
    }

    fn said(&mut self) -> Vec<(NodeId, Wire)> {
        std::mem::take(&mut self.said)
    }
}

fn place(index: u64, term: u64) -> Place {
    Place { index: Index(index), term: Term(term) }
}

fn append(term: u64, previous: Place, commit: u64, data: &'static [u8]) -> Wire {
    let entries =
        vec![LogEntry { term: Term(term), kind: EntryKind::Machine, data: Bytes::from_static(data) }];
    Wire::Append { term: Term(term), previous, commit: Index(commit), entries }
}

#[test]
fn a_follower_says_nothing_of_an_entry_before_it_is_on_disk() {
    let mut one = One::new(1);
    one.hear(2, &append(2, place(1, 1), 2, b"a")).expect("a leader's entry");
    one.turn(false);
    assert_eq!((one.said(), &one.applied[..]), (vec![], &[][..]));
    // The same again: that it is there already is not to be said either.
    one.hear(2, &append(2, place(1, 1), 2, b"a")).expect("a leader's entry");
    one.turn(false);
    assert_eq!((one.said(), &one.applied[..]), (vec![], &[][..]));
    one.hear(2, &append(2, place(2, 2), 2, b"b")).expect("a leader's entry");
    one.turn(true);
    let taken =
        |index| Wire::Appended { term: Term(2), index: Index(index), commit: Index(2), refused: None };
    assert_eq!(one.said(), [2, 2, 3].map(|index| (NodeId(2), taken(index))));
    let entry = Commit::Entry { index: Index(2), term: Term(2), data: Bytes::from_static(b"a") };
    assert_eq!(one.applied, [entry]);
}

#[test]
fn a_vote_is_on_disk_before_it_is_given() {
    let mut one = One::new(1);
    let campaign = Wire::Campaign {
        pre: false,
        term: Term(3),
        last: place(1, 1),
        committed: place(1, 1),
        transfer: false,
    };
    one.hear(2, &campaign).expect("a candidate");
    one.turn(false);
    assert_eq!(one.said(), []);
    one.hear(3, &campaign).expect("another candidate");
    one.turn(true);
    let votes: Vec<(NodeId, bool)> = one
        .said()
        .into_iter()
        .filter_map(|(to, wire)| match wire {
            Wire::Vote { granted, .. } => Some((to, granted)),
            _ => None,
        })
        .collect();
    assert_eq!(votes, [(NodeId(2), true), (NodeId(3), false)]);
}

#[test]
fn what_was_on_a_lost_link_is_sent_again() {
    let mut one = One::new(1);
    let term = lead(&mut one);
    let taken = Wire::Appended { term, index: Index(2), commit: Index(1), refused: None };
    one.hear(2, &taken).expect("the first entry of the term");
    one.turn(true);
    assert!(one.group.is_caught_up(NodeId(2)) && !one.group.is_caught_up(NodeId(3)));
    one.said();
    for data in [b"a", b"b"] {
        one.group.propose(Bytes::from_static(data)).expect("it leads");
        one.turn(true);
    }
    assert_eq!(sent_entries(&one.said(), NodeId(2)), [(Index(2), 1), (Index(3), 1)]);
    one.group.unreachable(NodeId(2));
    one.hear(2, &Wire::Heard { term, commit: Index(2) }).expect("the link is back");
    one.turn(true);
    assert_eq!(
        sent_entries(&one.said(), NodeId(2)),
        [(Index(2), 2)],
        "both, after the last one acknowledged"
    );
    one.hear(2, &Wire::Appended { term, index: Index(4), commit: Index(2), refused: None }).expect("both");
    one.group.transfer_leader(NodeId(2));
    one.turn(true);
    assert!(one.said().contains(&(NodeId(2), Wire::TakeOver { term })));
    assert_eq!(one.group.propose(Bytes::from_static(b"c")), Err(ProposeError::Busy));
}

#[test]
fn a_hand_over_ends_when_it_is_declined_or_its_link_is_lost() {
    let mut one = One::new(1);
    let term = lead(&mut one);
    for from in [2, 3] {
        let taken = Wire::Appended { term, index: Index(2), commit: Index(1), refused: None };
        one.hear(from, &taken).expect("the first entry of the term");
    }
    one.turn(true);
    assert!(one.group.can_hand_over_to(NodeId(2)) && one.group.can_hand_over_to(NodeId(3)));
    assert!(!one.group.can_hand_over_to(NodeId(1)) && !one.group.can_hand_over_to(NodeId(4)));
    one.group.transfer_leader(NodeId(2));
    for (from, term) in [(3, term), (2, Term(1))] {
        one.hear(from, &Wire::Declined { term }).expect("a word that concerns nobody");
        assert_eq!(one.group.handing_over_to(), Some(NodeId(2)));
    }
    one.hear(2, &Wire::Declined { term }).expect("it was asked");
    assert_eq!((one.group.handing_over_to(), one.group.propose(Bytes::from_static(b"a"))), (None, Ok(())));
    one.group.transfer_leader(NodeId(3));
    one.group.unreachable(NodeId(2));
    assert_eq!(one.group.handing_over_to(), Some(NodeId(3)));
    one.group.unreachable(NodeId(3));
    assert_eq!(one.group.handing_over_to(), None);
}

#[test]
fn who_is_asked_to_lead_campaigns_or_says_that_it_does_not() {
    for declines in [false, true] {
        let mut one = One::new(1);
        one.hear(2, &append(2, place(1, 1), 2, b"a")).expect("a leader's entry");
        if declines {
            one.group.decline_to_lead();
        }
        one.turn(true);
        one.said();
        one.hear(2, &Wire::TakeOver { term: Term(2) }).expect("its leader");
        one.turn(true);
        let said: Vec<Wire> = one.said().into_iter().map(|(_, wire)| wire).collect();
        let campaigns =
            |wire: &Wire| matches!(wire, Wire::Campaign { pre: false, term: Term(3), transfer: true, .. });
        assert_eq!(said.iter().filter(|wire| campaigns(wire)).count(), if declines { 0 } else { 2 });
        assert_eq!(said.contains(&Wire::Declined { term: Term(2) }), declines);
    }
}

/// Lets it campaign and win.
fn lead(one: &mut One) -> Term {
    while !matches!(one.group.role(), Role::Candidate { .. }) {
        one.group.tick();
        one.turn(true);
    }
    for pre in [true, false] {
        let vote = Wire::Vote { pre, term: Term(2), granted: true, committed: place(1, 1) };
        one.hear(3, &vote).expect("a vote");
        one.turn(true);
    }
    assert_eq!(one.group.role(), Role::Leader { term: Term(2) });
    Term(2)
}

/// For each append to `to`: what it follows, and how many entries it has.
fn sent_entries(said: &[(NodeId, Wire)], to: NodeId) -> Vec<(Index, usize)> {
    let append = |(other, wire): &(NodeId, Wire)| match wire {
        Wire::Append { previous, entries, .. } if *other == to => Some((previous.index, entries.len())),
        _ => None,
    };
    said.iter().filter_map(append).collect()
}

#[test]
fn a_machine_takes_the_place_of_what_was_not_applied_when_it_is_on_disk() {
    let mut one = One::new(1);
    one.hear(2, &append(2, place(1, 1), 2, b"a")).expect("a leader's entry");
    let write = |one: &mut One| {
        one.group.advance(&mut one.log, &mut Vec::new());
        one.log.take_write(Instant::ZERO).expect("something was recorded").id
    };
    let entry = write(&mut one);
    one.log.persisted(entry);
    // The entry is committed and not asked for yet.
    one.group.advance(&mut one.log, &mut Vec::new());
    let base = Base { index: Index(9), term: Term(2), members: Configuration::of(&members()) };
    let piece = Bytes::from_static(b"machine");
    let whole = Wire::Piece { term: Term(2), base: base.clone(), number: 0, count: 1, piece: piece.clone() };
    one.hear(2, &whole).expect("a leader's machine");
    let machine = write(&mut one);
    assert_eq!(one.group.next_committed(), None, "it is not on disk");
    let replica = one.group.replica(|| panic!("the machine to come takes its place"));
    assert_eq!((replica.base, replica.machine), (base, vec![piece.clone()]));
    one.log.persisted(machine);
    one.group.advance(&mut one.log, &mut Vec::new());
    assert_eq!(one.group.next_committed(), Some(Commit::Machine { index: Index(9), chunks: vec![piece] }));
    assert_eq!((one.group.next_committed(), one.group.applied()), (None, Index(9)));
}

#[test]
fn what_cannot_be_true_is_refused() {
    let mut one = One::new(1);
    let heartbeat = |commit| Wire::Heartbeat { term: Term(2), commit: Index(commit) };
    let lost = StepError::LostEntries { last: Index(1), had: Index(7) };
    assert_eq!(one.hear(2, &heartbeat(7)), Err(lost));
    assert_eq!(one.hear(1, &heartbeat(1)), Err(StepError::Own));
    assert_eq!(one.group.step(NodeId(2), &[]), Err(StepError::Malformed));
    assert_eq!(one.group.step(NodeId(2), &[200, 1]), Err(StepError::Version(200)));
    let no_term = Wire::Heartbeat { term: Term(0), commit: Index(1) };
    assert!(matches!(one.hear(2, &no_term), Err(StepError::Impossible(_))));
    assert_eq!(one.hear(2, &heartbeat(1)), Ok(()));
}

/// Whatever members say, in whatever order, a replica goes on: it may come to nothing, but it does not end the node.
#[test]
fn no_message_ends_a_node() {
    let (mut installs, mut refused) = (0, 0);
    for seed in 0..300 {
        let mut rng = Rng::from_seed(seed);
        let mut one = One::new(1);
        for _ in 0..400 {
            match rng.below(13) {
                12 => one.group.reconfigure(&any_change(&mut rng)),
                0 => one.group.tick(),
                1 => (0..25).for_each(|_| one.group.tick()),
                2 => drop(one.group.propose(Bytes::from_static(b"mine"))),
                3 => one.group.transfer_leader(NodeId(2)),
                4 => one.group.unreachable(NodeId(2)),
                5 => one.turn(rng.chance(1, 2)),
                6 => drop(one.group.replica(Vec::new)),
                _ => {
                    let from = u32::try_from(rng.between(2, 3)).expect("a small number");
                    let wire = anything(&mut rng, &one.group);
                    refused += usize::from(one.hear(from, &wire).is_err());
                }
            }
        }
        one.turn(true);
        installs += one.applied.iter().filter(|commit| matches!(commit, Commit::Machine { .. })).count();
    }
    assert!(installs > 100, "{installs} machines came whole");
    assert!(refused > 1_000, "{refused} messages were refused");
}

/// A message of any kind, whose numbers are near those of the group.
fn anything(rng: &mut Rng, group: &RaftGroup) -> Wire {
    let applied = group.applied().0;
    let near = |rng: &mut Rng| (applied + rng.below(6)).saturating_sub(2);
    let now = match group.role() {
        Role::Leader { term } | Role::Candidate { term } | Role::Follower { term, .. } => term.0,
    };
    let term = Term((now + rng.below(4)).saturating_sub(1));
    let earlier = |rng: &mut Rng| term.0.saturating_sub(rng.below(3));
    let (index, commit) = (Index(near(rng)), Index(near(rng)));
    let somewhere = place(near(rng), earlier(rng));
    let committed = place(near(rng), earlier(rng));
    match rng.below(13) {
        0 | 1 => {
            let entries = (0..rng.below(4)).map(|_| {
                let term = Term(if rng.chance(3, 4) { term.0 } else { earlier(rng) });
                match rng.below(4) {
                    0 => LogEntry { term, kind: EntryKind::Members, data: any_change(rng).encode() },
                    _ => LogEntry { term, kind: EntryKind::Machine, data: Bytes::from_static(b"theirs") },
                }
            });
            Wire::Append { term, entries: entries.collect(), previous: somewhere, commit }
        }
        2 => Wire::Appended { term, index, commit, refused: rng.chance(1, 2).then_some(somewhere) },
        3 => Wire::Heartbeat { term, commit },
        4 => Wire::Heard { term, commit },
        5 => {
            let (pre, transfer) = (rng.chance(1, 2), rng.chance(1, 4));
            Wire::Campaign { pre, term, last: somewhere, committed, transfer }
        }
        6 | 7 => Wire::Vote { pre: rng.chance(1, 2), term, granted: rng.chance(3, 4), committed },
        8 => Wire::TakeOver { term },
        9 => Wire::Declined { term },
        10 | 11 => {
            let base = Base { index, term: Term(earlier(rng)), members: Configuration::of(&members()) };
            let count = u32::try_from(rng.between(1, 2)).expect("a small number");
            let number = u32::try_from(rng.below(3)).expect("a small number");
            Wire::Piece { term, base, number, count, piece: Bytes::from_static(b"piece") }
        }
        _ => Wire::Taken { term, index, taken: u32::try_from(rng.below(4)).expect("a small number") },
    }
}

fn any_change(rng: &mut Rng) -> Reconfigure {
    let steps = (0..rng.below(3)).map(|_| {
        let node = NodeId(u32::try_from(rng.between(1, 4)).expect("a small number"));
        match rng.below(3) {
            0 => Step::Learner(node),
            1 => Step::Voter(node),
            _ => Step::Remove(node),
        }
    });
    Reconfigure { epoch: 1, steps: steps.collect() }
}
