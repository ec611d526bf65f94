//! A disk that forgets what was not synced, tears, rots, fills up and fails: deterministically.
//!
//! Every write lands in a cache, as in an operating system's. [`SimDisk::process_crash`] leaves the cache as it is;
//! [`SimDisk::power_loss`] decides for each un-synced sector of 512 bytes, and for each un-synced name, whether it
//! survived. What a real drive does beyond that (acknowledging a sync that it did not carry out, destroying the synced
//! bytes of a sector while it writes new ones behind them) is not simulated: no log can survive it alone.

mod file;
mod names;

use broker_core::rng::Rng;
use broker_core::storage::disk::{Disk, DiskError, DiskErrorKind};
use file::SimFile;
use names::{FileId, Names};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A simulated disk. Clones are handles to the same disk: the world keeps one to inject faults while a log owns another.
#[derive(Clone, Debug)]
pub struct SimDisk {
    state: Rc<RefCell<State>>,
}

/// How often each call was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskCounters {
    /// Calls that change something; what [`SimDisk::crash_after_ops`] counts.
    pub changes: u64,
    /// Calls of `write_at`.
    pub writes: u64,
    /// Bytes given to `write_at`.
    pub written_bytes: u64,
    /// Calls of `sync`.
    pub syncs: u64,
    /// Calls of `sync_dir`.
    pub dir_syncs: u64,
    /// Bytes returned by `read_at`.
    pub read_bytes: u64,
}

/// What a power loss did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PowerLoss {
    /// Un-synced sectors that had reached the medium.
    pub sectors_survived: u64,
    /// Un-synced sectors that had not.
    pub sectors_lost: u64,
    /// Un-synced sectors of which the first bytes had.
    pub sectors_torn: u64,
    /// Un-synced creations, renames and removals that were undone.
    pub names_undone: u64,
}

#[derive(Clone, Debug)]
struct State {
    names: Names,
    files: BTreeMap<FileId, SimFile>,
    file_next: FileId,
    rng: Rng,
    capacity_bytes: Option<u64>,
    writes_fail: bool,
    syncs_fail: bool,
    crash_after: Option<u64>,
    crashed: bool,
    /// Set by the call that the crash cuts, for a write to leave a part of its bytes.
    just_cut: bool,
    counters: DiskCounters,
}

impl SimDisk {
    /// An empty disk. `rng` decides where a write is cut by a crash, and what a failing sync leaves.
    pub fn new(rng: Rng) -> SimDisk {
        let state = State {
            names: Names::default(),
            files: BTreeMap::new(),
            file_next: 1,
            rng,
            capacity_bytes: None,
            writes_fail: false,
            syncs_fail: false,
            crash_after: None,
            crashed: false,
            just_cut: false,
            counters: DiskCounters::default(),
        };
        SimDisk { state: Rc::new(RefCell::new(state)) }
    }

    /// Another disk with the same content, faults and randomness.
    #[must_use]
    pub fn copy(&self) -> SimDisk {
        SimDisk { state: Rc::new(RefCell::new(self.state.borrow().clone())) }
    }

    /// The power goes and comes back: each un-synced sector survives, is lost or is torn, each un-synced name survives
    /// or is undone. The disk answers again.
    pub fn power_loss(&self, rng: &mut Rng) -> PowerLoss {
        let state = &mut *self.state.borrow_mut();
        let mut loss = PowerLoss { names_undone: state.names.power_loss(rng), ..PowerLoss::default() };
        state.drop_unreachable();
        for file in state.files.values_mut() {
            let fate = file.power_loss(rng);
            loss.sectors_survived += fate.survived;
            loss.sectors_lost += fate.lost;
            loss.sectors_torn += fate.torn;
        }
        state.restart();
        loss
    }

    /// The process is killed, the system lives on: all writes stay readable, and un-synced. The disk answers again.
    pub fn process_crash(&self) {
        self.state.borrow_mut().restart();
    }

    /// After `ops` more calls that change something the next one fails with [`DiskErrorKind::Crashed`] (a write after
    /// a part of its bytes), and so does every call after it, until [`SimDisk::power_loss`] or
    /// [`SimDisk::process_crash`].
    pub fn crash_after_ops(&self, ops: u64) {
        self.state.borrow_mut().crash_after = Some(ops);
    }

    /// Limits the sum of all files' lengths; what would pass it fails with [`DiskErrorKind::Full`]. `None` lifts it.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.borrow_mut().capacity_bytes = bytes;
    }

    /// Makes every write fail, or work again.
    pub fn set_writes_fail(&self, fail: bool) {
        self.state.borrow_mut().writes_fail = fail;
    }

    /// Makes every sync of a file or of the folder fail, or work again. Of the sectors that a failing sync was to
    /// write, some are written, some stay dirty, and some are forgotten: readable until the power goes, and not
    /// written by later syncs.
    pub fn set_syncs_fail(&self, fail: bool) {
        self.state.borrow_mut().syncs_fail = fail;
    }

    /// Flips the bits of `mask` in one byte on the medium. False if there is no such byte.
    pub fn rot(&self, name: &str, offset: u64, mask: u8) -> bool {
        let state = &mut *self.state.borrow_mut();
        let Some(file) = state.names.get(name).and_then(|id| state.files.get_mut(&id)) else { return false };
        match usize::try_from(offset) {
            Ok(offset) if offset < file.len() => {
                file.rot(offset, mask);
                true
            }
            _ => false,
        }
    }

    /// All files are gone, as on another disk.
    pub fn wipe(&self) {
        let state = &mut *self.state.borrow_mut();
        state.names = Names::default();
        state.files.clear();
    }

    /// Flips one bit of a written, synced byte of a file whose name begins with `prefix` (any file: ""). Tells which
    /// byte, or `None` if there is none.
    pub fn rot_random(&self, prefix: &str, rng: &mut Rng) -> Option<(String, u64)> {
        let state = &mut *self.state.borrow_mut();
        let candidates: Vec<(String, FileId)> = state
            .names
            .list()
            .filter(|(name, _)| name.starts_with(prefix))
            .map(|(name, id)| (name.clone(), id))
            .collect();
        if candidates.is_empty() {
            return None;
        }
        let (name, id) = rng.pick(&candidates).clone();
        let file = state.files.get_mut(&id)?;
        let offset = file.random_written(rng)?;
        file.rot(offset, 1 << rng.below(8));
        Some((name, offset as u64))
    }

    /// How often each call was made.
    pub fn counters(&self) -> DiskCounters {
        self.state.borrow().counters
    }

    /// The sum of all files' lengths.
    pub fn used_bytes(&self) -> u64 {
        self.state.borrow().used_bytes()
    }

    /// Whether a crash cut a call and nothing restarted the disk since.
    pub fn is_crashed(&self) -> bool {
        self.state.borrow().crashed
    }
}

impl Disk for SimDisk {
    fn list(&mut self) -> Result<Vec<String>, DiskError> {
        let state = self.state.borrow();
        state.alive("list", ".")?;
        Ok(state.names.list().map(|(name, _)| name.clone()).collect())
    }

    fn create(&mut self, name: &str, len: u64) -> Result<(), DiskError> {
        let state = &mut *self.state.borrow_mut();
        state.change("create", name)?;
        if state.names.get(name).is_some() {
            return Err(error("create", name, DiskErrorKind::Exists, "the file exists"));
        }
        state.reserve("create", name, len)?;
        let id = state.file_next;
        state.file_next += 1;
        state.files.insert(id, SimFile::zeros(to_usize(len)));
        state.names.create(name, id);
        Ok(())
    }

    fn len(&mut self, name: &str) -> Result<u64, DiskError> {
        let state = &mut *self.state.borrow_mut();
        state.alive("len", name)?;
        Ok(state.file("len", name)?.len() as u64)
    }

    fn read_at(&mut self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>, DiskError> {
        let state = &mut *self.state.borrow_mut();
        state.alive("read_at", name)?;
        let read = state.file("read_at", name)?.read(to_usize(offset), len);
        state.counters.read_bytes += read.len() as u64;
        Ok(read)
    }

    fn write_at(&mut self, name: &str, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        let state = &mut *self.state.borrow_mut();
        if let Err(cut) = state.change("write_at", name) {
            if std::mem::take(&mut state.just_cut) {
                let part = to_usize(state.rng.below(data.len() as u64 + 1));
                state.write("write_at", name, offset, &data[..part])?;
            }
            return Err(cut);
        }
        if state.writes_fail {
            return Err(error("write_at", name, DiskErrorKind::Other, "input/output error"));
        }
        state.counters.writes += 1;
        state.counters.written_bytes += data.len() as u64;
        state.write("write_at", name, offset, data)
    }

    fn sync(&mut self, name: &str) -> Result<(), DiskError> {
        let state = &mut *self.state.borrow_mut();
        state.change("sync", name)?;
        state.counters.syncs += 1;
        if state.syncs_fail {
            let mut rng = state.rng.clone();
            state.file("sync", name)?.sync_failing(&mut rng);
            state.rng = rng;
            return Err(error("sync", name, DiskErrorKind::Other, "input/output error"));
        }
        state.file("sync", name)?.sync();
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        let state = &mut *self.state.borrow_mut();
        state.change("rename", from)?;
        state.file("rename", from)?;
        state.names.rename(from, to);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), DiskError> {
        let state = &mut *self.state.borrow_mut();
        state.change("remove", name)?;
        state.file("remove", name)?;
        state.names.remove(name);
        Ok(())
    }

    fn sync_dir(&mut self) -> Result<(), DiskError> {
        let state = &mut *self.state.borrow_mut();
        state.change("sync_dir", ".")?;
        state.counters.dir_syncs += 1;
        if state.syncs_fail {
            return Err(error("sync_dir", ".", DiskErrorKind::Other, "input/output error"));
        }
        if !state.names.is_synced() {
            for nameless in state.names.sync() {
                state.files.remove(&nameless);
            }
        }
        Ok(())
    }
}

impl State {
    fn alive(&self, call: &'static str, name: &str) -> Result<(), DiskError> {
        if self.crashed {
            Err(error(call, name, DiskErrorKind::Crashed, "the machine is down"))
        } else {
            Ok(())
        }
    }

    /// Counts a call that changes something; the one at which the crash is due fails.
    fn change(&mut self, call: &'static str, name: &str) -> Result<(), DiskError> {
        self.just_cut = false;
        self.alive(call, name)?;
        match self.crash_after {
            Some(0) => {
                self.crashed = true;
                self.just_cut = true;
            }
            Some(left) => self.crash_after = Some(left - 1),
            None => {}
        }
        self.alive(call, name)?;
        self.counters.changes += 1;
        Ok(())
    }

    fn write(&mut self, call: &'static str, name: &str, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        let end = to_usize(offset) + data.len();
        let growth = end.saturating_sub(self.file(call, name)?.len());
        self.reserve(call, name, growth as u64)?;
        self.file(call, name)?.write(to_usize(offset), data);
        Ok(())
    }

    fn reserve(&self, call: &'static str, name: &str, growth: u64) -> Result<(), DiskError> {
        match self.capacity_bytes {
            Some(capacity) if growth > 0 && self.used_bytes() + growth > capacity => {
                Err(error(call, name, DiskErrorKind::Full, "no space left on device"))
            }
            _ => Ok(()),
        }
    }

    fn file(&mut self, call: &'static str, name: &str) -> Result<&mut SimFile, DiskError> {
        let id = self.names.get(name);
        id.and_then(|id| self.files.get_mut(&id))
            .ok_or_else(|| error(call, name, DiskErrorKind::NotFound, "no such file"))
    }

    fn used_bytes(&self) -> u64 {
        self.files.values().map(|file| file.len() as u64).sum()
    }

    fn drop_unreachable(&mut self) {
        let names = &self.names;
        self.files.retain(|id, _| names.mentions(*id));
    }

    fn restart(&mut self) {
        self.crashed = false;
        self.just_cut = false;
        self.crash_after = None;
    }
}

fn error(call: &'static str, file: &str, kind: DiskErrorKind, reason: &str) -> DiskError {
    DiskError { call, file: file.into(), kind, reason: reason.into() }
}

fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a simulated file fits into memory")
}

#[cfg(test)]
mod tests;
