use super::record::VERSION;
use super::{
    Base, HardState, Index, Introduction, LogEntry, Lsn, NodeLog, NodeLogError, Opened, Record, Recovered,
    Replica, ShardId, Stranger,
};
use crate::base::ids::{NodeId, Term};
use crate::base::time::Instant;
use crate::cluster::Directory;
use crate::replication::local;
use crate::replication::replica::EntryKind;
use bytes::Bytes;
use std::collections::BTreeMap;

const GROUP: ShardId = ShardId(3);

fn base() -> Base {
    Base::of_new_group(&[NodeId(2), NodeId(1), NodeId(3)])
}

fn entry(term: u64, data: &'static str) -> LogEntry {
    LogEntry { term: Term(term), kind: EntryKind::Machine, data: Bytes::from_static(data.as_bytes()) }
}

fn hard(term: u64, commit: u64) -> HardState {
    HardState { term: Term(term), vote: Some(NodeId(1)), commit: Index(commit) }
}

/// The log and all records of it.
struct Written {
    log: NodeLog,
    disk: Recovered,
}

impl Written {
    fn new() -> Self {
        let Opened { log, replicas, .. } =
            NodeLog::open(&Recovered::default(), Instant::ZERO).expect("nothing to read");
        assert!(replicas.is_empty());
        Written { log, disk: Recovered::default() }
    }

    fn store(&mut self) {
        let write = self.log.take_write(Instant::ZERO).expect("something was recorded");
        self.disk.records.extend(write.records);
        self.log.persisted(write.id);
    }

    fn read(&self) -> Result<(NodeLog, BTreeMap<ShardId, Replica>), NodeLogError> {
        NodeLog::open(&self.disk, Instant::ZERO).map(|found| (found.log, found.replicas))
    }
}

#[test]
fn what_groups_recorded_is_found_again() {
    let mut written = Written::new();
    written.log.begin_life();
    written.log.base(GROUP, &base(), &[]);
    written.log.base(ShardId(4), &base(), &[Bytes::from_static(b"machine")]);
    written.log.turn(GROUP, Some(hard(2, 1)), Index(2), &[entry(2, "a"), entry(2, "b"), entry(2, "c")]);
    written.store();
    // A new leader's entries take the place of what was not committed.
    written.log.turn(GROUP, Some(hard(5, 2)), Index(3), &[entry(5, "B")]);
    written.store();
    let (log, replicas) = written.read().expect("it can be read");
    assert_eq!((log.life(), log.durable(), log.is_idle()), (1, Lsn(6), true));
    let expected = Replica {
        hard: hard(5, 2),
        base: base(),
        machine: vec![],
        entries: vec![entry(2, "a"), entry(5, "B")],
    };
    assert_eq!(replicas[&GROUP], expected);
    assert_eq!(replicas[&ShardId(4)], Replica::at(base(), vec![Bytes::from_static(b"machine")]));
}

#[test]
fn only_what_was_synced_counts_as_on_disk() {
    let mut written = Written::new();
    let (first, _) = (written.log.base(GROUP, &base(), &[]), written.log.base(ShardId(1), &base(), &[]));
    let write = written.log.take_write(Instant::from_millis(5)).expect("two records");
    let later = written.log.turn(GROUP, Some(hard(2, 1)), Index(2), &[]);
    assert!(written.log.durable() < first && !written.log.is_idle());
    assert_eq!(written.log.stalled_since(), Some(Instant::ZERO));
    assert_eq!(Vec::from_iter(written.log.persisted(write.id)), [ShardId(1), GROUP]);
    assert!((first..later).contains(&written.log.durable()), "the later record is not handed out");
    let write = written.log.take_write(Instant::from_millis(6)).expect("one record");
    assert_eq!(write.records.len(), 1);
    assert_eq!(Vec::from_iter(written.log.persisted(write.id)), [GROUP]);
    assert!(written.log.is_idle() && written.log.stalled_since().is_none());
}

#[test]
fn a_snapshot_of_the_node_takes_the_place_of_its_records() {
    let mut written = Written::new();
    written.log.begin_life();
    written.log.base(GROUP, &base(), &[]);
    written.log.turn(GROUP, Some(hard(2, 3)), Index(2), &[entry(2, "a"), entry(2, "b"), entry(2, "c")]);
    written.store();
    let at = Base { index: Index(3), term: Term(2), ..base() };
    let machine = vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")];
    let now = Replica { hard: hard(2, 3), base: at, machine, entries: vec![entry(2, "c")] };
    let other = Replica::at(base(), vec![]);
    let replicas = BTreeMap::from([(GROUP, now.clone()), (ShardId(9), other.clone())]);
    written.disk.snapshot = Some(written.log.snapshot(replicas));
    written.disk.records.clear();
    assert_eq!(written.log.log_bytes(), 0);
    written.log.turn(GROUP, None, Index(5), &[entry(2, "d")]);
    written.store();
    let (log, replicas) = written.read().expect("it can be read");
    assert_eq!((log.life(), log.durable()), (1, Lsn(4)));
    assert_eq!(replicas[&GROUP].entries, [entry(2, "c"), entry(2, "d")]);
    assert_eq!(Replica { entries: now.entries.clone(), ..replicas[&GROUP].clone() }, now);
    assert_eq!(replicas[&ShardId(9)], other);
    assert!(log.log_bytes() > 0);
}

#[test]
fn a_large_turn_is_several_records_and_may_be_torn() {
    let mut written = Written::new();
    written.log.base(GROUP, &base(), &[]);
    let large = LogEntry { term: Term(2), kind: EntryKind::Machine, data: Bytes::from(vec![7; 400_000]) };
    written.log.turn(GROUP, Some(hard(2, 6)), Index(2), &vec![large; 5]);
    written.store();
    let (_, replicas) = written.read().expect("it can be read");
    assert_eq!((replicas[&GROUP].hard, replicas[&GROUP].entries.len()), (hard(2, 6), 5));
    assert_eq!(written.disk.records.len(), 4, "two entries a record");
    written.disk.records.truncate(2);
    let (_, replicas) = written.read().expect("what is left can be read");
    assert_eq!(replicas[&GROUP].hard, hard(2, 3), "no more is committed than is there");
}

#[test]
fn a_machine_that_did_not_come_whole_is_no_machine() {
    let mut written = Written::new();
    written.log.base(GROUP, &base(), &[]);
    let later = Base { index: Index(9), term: Term(4), ..base() };
    let pieces = [Bytes::from_static(b"left"), Bytes::from_static(b"right")];
    written.log.base(GROUP, &later, &pieces);
    written.store();
    written.disk.records.truncate(2);
    let (mut log, replicas) = written.read().expect("what is left can be read");
    assert_eq!(replicas[&GROUP], Replica::at(base(), vec![]));
    log.base(GROUP, &later, &pieces);
    written.log = log;
    written.store();
    let (_, replicas) = written.read().expect("it can be read");
    assert_eq!((&replicas[&GROUP].base, &replicas[&GROUP].machine[..]), (&later, &pieces[..]));
}

#[test]
fn what_cannot_be_read_is_refused_with_the_reason() {
    let mut written = Written::new();
    written.log.base(GROUP, &base(), &[]);
    written.log.turn(GROUP, None, Index(2), &[entry(2, "a")]);
    written.log.turn(GROUP, None, Index(3), &[entry(2, "b")]);
    written.store();
    let whole = written.disk.records.clone();
    let mut refused = |records: Vec<Record>| {
        written.disk.records = records;
        written.read().err()
    };
    let gap = NodeLogError::Gap { lsn: Lsn(3), group: GROUP, expected: Index(2), found: Index(3) };
    assert_eq!(refused(vec![whole[0].clone(), whole[2].clone()]), Some(gap));
    assert_eq!(refused(vec![whole[1].clone()]), Some(NodeLogError::UnknownGroup(Lsn(2), GROUP)));
    let with = |body: &[u8]| vec![Record { lsn: Lsn(1), body: Bytes::copy_from_slice(body) }];
    assert_eq!(refused(with(&[1, 0])), Some(NodeLogError::Version(Lsn(1), 1)));
    assert_eq!(refused(with(&[VERSION, 77])), Some(NodeLogError::Malformed(Lsn(1))));
    assert_eq!(refused(with(&[])), Some(NodeLogError::Malformed(Lsn(1))));
    let mut longer = whole[0].body.to_vec();
    longer.push(0);
    assert_eq!(refused(with(&longer)), Some(NodeLogError::Malformed(Lsn(1))));
    assert!(NodeLogError::Version(Lsn(1), local::VERSION).to_string().contains("without one"));
    assert!(gap.to_string().contains("new number"));
}

#[test]
fn who_was_met_is_known_again_and_a_stranger_too() {
    let mut written = Written::new();
    let folder = written.log.folder(77);
    assert_eq!((folder, written.log.folder(78)), (77, 77));
    let (met, peer) = (|folder, life, start| Introduction { folder, life, start }, NodeId(2));
    assert_eq!(written.log.meet(peer, met(5, 3, 10)), Ok(()));
    written.store();
    let snapshot = written.log.snapshot(BTreeMap::new());
    let disks = [
        Recovered { records: written.disk.records.clone(), snapshot: None },
        Recovered { records: Vec::new(), snapshot: Some(snapshot) },
    ];
    for disk in disks {
        let mut log = NodeLog::open(&disk, Instant::ZERO).expect("it can be read").log;
        assert_eq!(log.folder(79), 77);
        assert_eq!(log.meet(peer, met(6, 9, 11)), Err(Stranger::OtherFolder));
        assert_eq!(log.meet(peer, met(5, 2, 11)), Err(Stranger::OlderFolder));
        assert_eq!(log.meet(peer, met(5, 3, 11)), Err(Stranger::OlderFolder), "a copy, started again");
        assert!(log.is_idle(), "nothing is recorded of strangers");
        assert_eq!(log.meet(peer, met(5, 3, 10)), Ok(()));
        assert!(log.is_idle(), "nor of who is known");
        assert_eq!(log.meet(peer, met(5, 4, 12)), Ok(()));
        assert_eq!(log.meet(peer, met(5, 3, 10)), Err(Stranger::OlderFolder));
    }
}

#[test]
fn a_replica_that_was_given_up_leaves_what_it_had_promised() {
    let mut written = Written::new();
    let directory = Directory::unknown(4, 3);
    written.log.directory(&directory);
    written.log.base(GROUP, &base(), &[]);
    written.log.turn(GROUP, Some(hard(5, 1)), Index(2), &[]);
    written.log.give_up(GROUP, hard(5, 1));
    written.store();
    let reopen = |disk: &Recovered| NodeLog::open(disk, Instant::ZERO).expect("it can be read");
    let Opened { log, replicas, directory: found } = reopen(&written.disk);
    assert_eq!((replicas.len(), found), (0, Some(directory.clone())));
    assert_eq!((log.has_given_up(GROUP), log.voted(GROUP)), (true, hard(5, 1)));
    // The same out of a snapshot.
    let snapshot = written.log.snapshot(BTreeMap::new());
    let disk = Recovered { snapshot: Some(snapshot), ..Recovered::default() };
    let Opened { mut log, directory: found, .. } = reopen(&disk);
    assert_eq!((log.voted(GROUP), found), (hard(5, 1), Some(directory)));
    // It comes back without entries, and with its vote.
    log.base(GROUP, &Base::of_joining(), &[]);
    assert!(!log.has_given_up(GROUP));
    let records = log.take_write(Instant::ZERO).expect("something was recorded").records;
    let Opened { replicas, .. } = reopen(&Recovered { records, ..disk });
    let joining = &replicas[&GROUP];
    assert_eq!((joining.hard, &joining.base), (hard(5, 0), &Base::of_joining()));
}
