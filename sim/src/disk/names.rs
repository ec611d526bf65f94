//! The names of a folder: what a program sees, and what survives a power loss.

use broker_core::rng::Rng;
use std::collections::{BTreeMap, BTreeSet};

/// A file's number, whatever its name.
pub(super) type FileId = u64;

/// The names now, and the changes since the folder was synced.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    now: BTreeMap<String, FileId>,
    synced: BTreeMap<String, FileId>,
    pending: Vec<Change>,
    /// Files that have lost a name since then.
    displaced: Vec<FileId>,
}

#[derive(Clone, Debug)]
enum Change {
    Create(String, FileId),
    Rename(String, String),
    Remove(String),
}

impl Names {
    pub(super) fn list(&self) -> impl Iterator<Item = (&String, FileId)> {
        self.now.iter().map(|(name, id)| (name, *id))
    }

    pub(super) fn get(&self, name: &str) -> Option<FileId> {
        self.now.get(name).copied()
    }

    pub(super) fn create(&mut self, name: &str, id: FileId) {
        self.change(Change::Create(name.into(), id));
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) {
        self.change(Change::Rename(from.into(), to.into()));
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.change(Change::Remove(name.into()));
    }

    /// What the program sees survives from now on. Gives the files that no name leads to any more.
    pub(super) fn sync(&mut self) -> Vec<FileId> {
        for change in self.pending.drain(..) {
            change.apply(&mut self.synced);
        }
        let mut nameless = std::mem::take(&mut self.displaced);
        nameless.retain(|id| !self.mentions(*id));
        nameless
    }

    /// Each change since the last sync survives or is undone. Changes of different names are independent of each
    /// other; one that builds on a change that was undone is undone with it. Returns how many were undone.
    pub(super) fn power_loss(&mut self, rng: &mut Rng) -> u64 {
        let mut undone: BTreeSet<String> = BTreeSet::new();
        let mut count = 0;
        let survival_percent = *rng.pick(&[0, 50, 100]);
        for change in std::mem::take(&mut self.pending) {
            let builds_on_undone = change.names().any(|name| undone.contains(name));
            if builds_on_undone || rng.below(100) >= survival_percent {
                undone.extend(change.names().cloned());
                count += 1;
            } else {
                change.apply(&mut self.synced);
            }
        }
        self.now.clone_from(&self.synced);
        self.displaced.clear();
        count
    }

    /// Whether a name leads, or after a power loss may lead, to file `id`.
    pub(super) fn mentions(&self, id: FileId) -> bool {
        self.now.values().chain(self.synced.values()).any(|known| *known == id)
    }

    /// Whether nothing waits for a sync.
    pub(super) fn is_synced(&self) -> bool {
        self.pending.is_empty()
    }

    fn change(&mut self, change: Change) {
        self.displaced.extend(change.apply(&mut self.now));
        self.pending.push(change);
    }
}

impl Change {
    fn names(&self) -> impl Iterator<Item = &String> {
        let (one, other) = match self {
            Change::Create(name, _) | Change::Remove(name) => (name, None),
            Change::Rename(from, to) => (from, Some(to)),
        };
        std::iter::once(one).chain(other)
    }

    /// Gives the file that had a name and has lost it, if one has.
    fn apply(&self, names: &mut BTreeMap<String, FileId>) -> Option<FileId> {
        match self {
            Change::Create(name, id) => names.insert(name.clone(), *id),
            Change::Rename(from, to) => {
                let id = names.remove(from)?;
                names.insert(to.clone(), id)
            }
            Change::Remove(name) => names.remove(name),
        }
    }
}
