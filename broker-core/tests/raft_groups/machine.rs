//! A machine whose state is the list of what was applied to it, and the agreement that all replicas of it must keep.

use broker_core::ids::{Index, ShardId, Term};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a chunk of the machine: few, so that it has many.
const CHUNK_BYTES: usize = 64;

/// Numbers of the commands that were applied, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) commands: Vec<u64>,
}

impl Machine {
    pub(crate) fn chunks(&self) -> Vec<Bytes> {
        let bytes: Vec<u8> = self.commands.iter().flat_map(|command| command.to_le_bytes()).collect();
        bytes.chunks(CHUNK_BYTES).map(Bytes::copy_from_slice).collect()
    }

    pub(crate) fn of_chunks(chunks: &[Bytes]) -> Self {
        let bytes = chunks.concat();
        assert_eq!(bytes.len() % 8, 0, "a machine arrives whole");
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        Machine { commands: bytes.chunks(8).map(number).collect() }
    }
}

/// What the replicas of all groups have shown so far.
#[derive(Debug, Default)]
pub(crate) struct Agreement {
    entries: BTreeMap<(ShardId, Index), (Term, u64)>,
    acknowledged: BTreeSet<(ShardId, u64)>,
    leaders: BTreeMap<(ShardId, Term), u32>,
}

impl Agreement {
    /// A replica applied an entry: whoever applied one at this index applied the same.
    pub(crate) fn on_applied(&mut self, group: ShardId, index: Index, term: Term, command: u64) {
        let agreed = *self.entries.entry((group, index)).or_insert((term, command));
        assert_eq!(agreed, (term, command), "shard {group}: two entries are committed at {index}");
    }

    /// A replica goes on with a machine: it holds what was committed up to there.
    pub(crate) fn on_machine(&self, group: ShardId, index: Index, machine: &Machine) {
        let range = (group, Index(0))..=(group, index);
        let expected: Vec<u64> = self.entries.range(range).map(|(_, (_, command))| *command).collect();
        assert_eq!(machine.commands, expected, "shard {group}: a machine at {index} is another one");
    }

    /// A leader applied an entry that it had proposed.
    pub(crate) fn on_acknowledged(&mut self, group: ShardId, command: u64) {
        self.acknowledged.insert((group, command));
    }

    /// A replica leads: nobody else does in its term.
    pub(crate) fn on_leader(&mut self, group: ShardId, term: Term, node: u32) {
        let leader = *self.leaders.entry((group, term)).or_insert(node);
        assert_eq!(leader, node, "shard {group}: two leaders in term {term}");
    }

    /// What must be in the machine of every replica in the end, each once.
    pub(crate) fn check_complete(&self, group: ShardId, machine: &Machine) {
        let applied: BTreeSet<u64> = machine.commands.iter().copied().collect();
        assert_eq!(applied.len(), machine.commands.len(), "shard {group}: a command was applied twice");
        let lost: Vec<u64> = self
            .acknowledged
            .iter()
            .filter(|(owner, command)| *owner == group && !applied.contains(command))
            .map(|(_, command)| *command)
            .collect();
        assert!(lost.is_empty(), "shard {group}: acknowledged and lost: {lost:?}");
    }

    /// Whether a command from `first` on was acknowledged.
    pub(crate) fn has_acknowledged_from(&self, group: ShardId, first: u64) -> bool {
        self.acknowledged.range((group, first)..=(group, u64::MAX)).next().is_some()
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    pub(crate) fn elections(&self) -> usize {
        self.leaders.len()
    }
}
