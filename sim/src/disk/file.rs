//! One file: what a read sees, and what is really on the medium, sector by sector.

use broker_core::rng::Rng;
use std::collections::BTreeMap;

/// The unit in which writes reach the medium.
pub(super) const SECTOR: usize = 512;

/// What became of un-synced sectors at a power loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) survived: u64,
    pub(super) lost: u64,
    pub(super) torn: u64,
}

/// A file whose un-synced sectors remember what the medium holds.
#[derive(Clone, Debug, Default)]
pub(super) struct SimFile {
    /// What a read sees.
    cache: Vec<u8>,
    /// The length on the medium.
    synced_len: usize,
    /// Sectors that differ from the medium. All others are the same on both.
    unsynced: BTreeMap<usize, Unsynced>,
    /// The old contents of un-synced sectors, 512 bytes each; empty when nothing is un-synced.
    old: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Unsynced {
    medium: Medium,
    /// False if a failed sync made the system forget that the sector is to be written.
    dirty: bool,
}

#[derive(Clone, Copy, Debug)]
enum Medium {
    Zeros,
    /// At this position in `old`.
    Saved(usize),
}

impl SimFile {
    pub(super) fn zeros(len: usize) -> SimFile {
        SimFile { cache: vec![0; len], ..SimFile::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.cache.len()
    }

    pub(super) fn read(&self, offset: usize, len: usize) -> Vec<u8> {
        let begin = offset.min(self.cache.len());
        let end = offset.saturating_add(len).min(self.cache.len());
        self.cache[begin..end].to_vec()
    }

    pub(super) fn write(&mut self, offset: usize, data: &[u8]) {
        let end = offset + data.len();
        let mut at = offset;
        while at < end {
            let sector = at / SECTOR;
            let stop = ((sector + 1) * SECTOR).min(end);
            self.write_in_sector(sector, at, &data[at - offset..stop - offset]);
            at = stop;
        }
    }

    /// All dirty sectors reach the medium.
    pub(super) fn sync(&mut self) {
        self.unsynced.retain(|_, sector| !sector.dirty);
        if self.unsynced.is_empty() {
            self.old.clear();
        }
        self.synced_len = self.cache.len();
    }

    /// A sync that fails: each dirty sector reaches the medium, stays dirty, or is forgotten: readable, counted as
    /// clean, and never written again ("fsyncgate").
    pub(super) fn sync_failing(&mut self, rng: &mut Rng) {
        self.unsynced.retain(|_, sector| match rng.below(3) {
            0 => !sector.dirty,
            1 => true,
            _ => {
                sector.dirty = false;
                true
            }
        });
    }

    /// Each un-synced sector survives, is lost or is torn, independently of the others. How likely each is, is drawn
    /// once, so that all and nothing are tried too.
    pub(super) fn power_loss(&mut self, rng: &mut Rng) -> Fate {
        let mut fate = Fate::default();
        let survival_percent = *rng.pick(&[0, 10, 50, 90, 100]);
        let unsynced = std::mem::take(&mut self.unsynced);
        for (sector, Unsynced { medium, dirty }) in unsynced {
            if dirty && rng.below(100) < survival_percent {
                fate.survived += 1;
                continue;
            }
            // The bytes before the tear are new, those behind it old.
            let tear = if dirty && rng.chance(1, 4) {
                fate.torn += 1;
                usize::try_from(rng.between(1, SECTOR as u64 - 1)).expect("within a sector")
            } else {
                fate.lost += 1;
                0
            };
            let begin = (sector * SECTOR + tear).min(self.cache.len());
            let end = ((sector + 1) * SECTOR).min(self.cache.len());
            match medium {
                Medium::Zeros => self.cache[begin..end].fill(0),
                Medium::Saved(at) => {
                    let from = at + (begin - sector * SECTOR);
                    self.cache[begin..end].copy_from_slice(&self.old[from..from + (end - begin)]);
                }
            }
        }
        self.old.clear();
        if self.cache.len() > self.synced_len {
            let len = rng.between(self.synced_len as u64, self.cache.len() as u64);
            let kept = *rng.pick(&[self.synced_len as u64, len, self.cache.len() as u64]);
            self.cache.truncate(usize::try_from(kept).expect("at most the old length"));
        }
        self.synced_len = self.cache.len();
        fate
    }

    /// Flips the bits of `mask` in the byte at `offset`, on the medium and in the cache.
    ///
    /// # Panics
    /// If the file ends before `offset`.
    pub(super) fn rot(&mut self, offset: usize, mask: u8) {
        self.cache[offset] ^= mask;
        if let Some(Unsynced { medium: Medium::Saved(at), .. }) = self.unsynced.get(&(offset / SECTOR)) {
            self.old[at + offset % SECTOR] ^= mask;
        }
    }

    /// A byte on the medium that is not zero, drawn from a random place on (and around the end).
    pub(super) fn random_written(&self, rng: &mut Rng) -> Option<usize> {
        let len = self.cache.len().min(self.synced_len);
        let from = usize::try_from(rng.below(len.max(1) as u64)).expect("below a length");
        let synced = |at: &usize| self.cache[*at] != 0 && !self.unsynced.contains_key(&(*at / SECTOR));
        (from..len).chain(0..from).find(synced)
    }

    fn write_in_sector(&mut self, sector: usize, at: usize, data: &[u8]) {
        let known = self.unsynced.get_mut(&sector);
        let end = at + data.len();
        if let Some(known) = known {
            known.dirty = true;
        } else {
            if end <= self.cache.len() && self.cache[at..end] == *data {
                return;
            }
            let medium = self.save(sector);
            self.unsynced.insert(sector, Unsynced { medium, dirty: true });
        }
        if end > self.cache.len() {
            self.cache.resize(end, 0);
        }
        self.cache[at..end].copy_from_slice(data);
    }

    fn save(&mut self, sector: usize) -> Medium {
        let begin = sector * SECTOR;
        let end = (begin + SECTOR).min(self.cache.len());
        if begin >= end || self.cache[begin..end].iter().all(|byte| *byte == 0) {
            return Medium::Zeros;
        }
        let at = self.old.len();
        self.old.extend_from_slice(&self.cache[begin..end]);
        self.old.resize(at + SECTOR, 0);
        Medium::Saved(at)
    }
}
