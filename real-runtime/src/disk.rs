//! The data folder: the core's [`Disk`] over real files, for one process at a time.

use crate::lock::{self, FolderError, FolderLock};
use broker_core::storage::disk::{Disk, DiskError, DiskErrorKind};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Bytes written by one call when a file is created.
const ZEROS_BYTES: usize = 1 << 20;

/// A folder of files, locked against other processes for as long as this value lives.
#[derive(Debug)]
pub struct FileDisk {
    folder: PathBuf,
    /// Kept open to sync the names.
    folder_file: File,
    /// The files in use; opened once.
    open: BTreeMap<String, File>,
    _lock: FolderLock,
}

impl FileDisk {
    /// Opens `folder`, which is created if it is not there (readable by its owner only), and locks it.
    ///
    /// # Errors
    /// If another process holds the lock, or the system refuses the folder.
    pub fn open(folder: &Path) -> Result<FileDisk, FolderError> {
        let unusable = |what| move |error| FolderError::Unusable { folder: folder.to_owned(), what, error };
        create_folder(folder).map_err(unusable("cannot be created"))?;
        let folder_file = File::open(folder).map_err(unusable("cannot be opened"))?;
        let lock = FolderLock::take(folder)?;
        Ok(FileDisk { folder: folder.to_owned(), folder_file, open: BTreeMap::new(), _lock: lock })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn file(&mut self, call: &'static str, name: &str) -> Result<&File, DiskError> {
        if !self.open.contains_key(name) {
            let options = OpenOptions::new().read(true).write(true).open(self.folder.join(name));
            self.open.insert(name.to_owned(), options.map_err(|error| failed(call, name, &error))?);
        }
        Ok(&self.open[name])
    }
}

impl Disk for FileDisk {
    fn list(&mut self) -> Result<Vec<String>, DiskError> {
        let read = || -> io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in self.folder.read_dir()? {
                let entry = entry?;
                // A name that is not UTF-8, and whatever is not a file, is not ours.
                match entry.file_name().into_string() {
                    Ok(name) if name != lock::NAME && entry.file_type()?.is_file() => names.push(name),
                    _ => {}
                }
            }
            names.sort();
            Ok(names)
        };
        read().map_err(|error| failed("list", ".", &error))
    }

    fn create(&mut self, name: &str, len: u64) -> Result<(), DiskError> {
        let path = self.folder.join(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|error| failed("create", name, &error))?;
        if let Err(error) = write_zeros(&file, len) {
            // Half a file takes the space that is wanted; if it cannot go either, the first error says more.
            let _ = std::fs::remove_file(&path);
            return Err(failed("create", name, &error));
        }
        self.open.insert(name.to_owned(), file);
        Ok(())
    }

    fn len(&mut self, name: &str) -> Result<u64, DiskError> {
        let metadata = self.file("len", name)?.metadata();
        Ok(metadata.map_err(|error| failed("len", name, &error))?.len())
    }

    fn read_at(&mut self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>, DiskError> {
        let file_len = self.len(name).map_err(|error| DiskError { call: "read_at", ..error })?;
        let len = file_len.saturating_sub(offset).min(len as u64);
        let mut bytes = vec![0; usize::try_from(len).expect("at most the length asked for")];
        let file = self.file("read_at", name)?;
        file.read_exact_at(&mut bytes, offset).map_err(|error| failed("read_at", name, &error))?;
        Ok(bytes)
    }

    fn write_at(&mut self, name: &str, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        let file = self.file("write_at", name)?;
        file.write_all_at(data, offset).map_err(|error| failed("write_at", name, &error))
    }

    fn sync(&mut self, name: &str) -> Result<(), DiskError> {
        self.file("sync", name)?.sync_data().map_err(|error| failed("sync", name, &error))
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        let renamed = std::fs::rename(self.folder.join(from), self.folder.join(to));
        renamed.map_err(|error| failed("rename", from, &error))?;
        self.open.remove(to);
        if let Some(file) = self.open.remove(from) {
            self.open.insert(to.to_owned(), file);
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), DiskError> {
        std::fs::remove_file(self.folder.join(name)).map_err(|error| failed("remove", name, &error))?;
        self.open.remove(name);
        Ok(())
    }

    fn sync_dir(&mut self) -> Result<(), DiskError> {
        self.folder_file.sync_all().map_err(|error| failed("sync_dir", ".", &error))
    }
}

/// Creates `folder` and what is missing above it, durably.
fn create_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_folder(parent)?;
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => File::open(parent)?.sync_all(),
    }
}

fn write_zeros(file: &File, len: u64) -> io::Result<()> {
    let zeros = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(ZEROS_BYTES)];
    let mut at = 0;
    while at < len {
        let part = (len - at).min(zeros.len() as u64);
        file.write_all_at(&zeros[..usize::try_from(part).expect("at most a megabyte")], at)?;
        at += part;
    }
    Ok(())
}

fn failed(call: &'static str, file: &str, error: &io::Error) -> DiskError {
    let kind = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => DiskErrorKind::Full,
        ErrorKind::NotFound => DiskErrorKind::NotFound,
        ErrorKind::AlreadyExists => DiskErrorKind::Exists,
        _ => DiskErrorKind::Other,
    };
    DiskError { call, file: file.to_owned(), kind, reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker_core::ids::{Lsn, NodeId};
    use broker_core::storage::{DataId, Record, Snapshot, Wal, WalOptions, conformance};
    use bytes::Bytes;

    const OPTIONS: WalOptions = WalOptions { node: NodeId(1), data_id: DataId(7), segment_bytes: 4096 };

    #[test]
    fn the_real_disk_does_what_every_disk_must() {
        let folder = tempfile::tempdir().unwrap();
        conformance::check(&mut FileDisk::open(folder.path()).unwrap()).unwrap();
    }

    #[test]
    fn a_log_on_real_files_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join("data");
        let mut expected = Vec::new();
        for life in 0..5_u64 {
            let (mut wal, recovered) = Wal::open(FileDisk::open(&path).unwrap(), OPTIONS).unwrap();
            let upto = recovered.snapshot.as_ref().map_or(0, |snapshot| snapshot.upto.0);
            assert_eq!(recovered.records, expected[usize::try_from(upto).unwrap()..]);
            assert_eq!(wal.last_lsn().0, expected.len() as u64);
            for _ in 0..40 {
                let lsn = wal.last_lsn().next();
                let body = Bytes::from(vec![u8::try_from(lsn.0 % 256).unwrap(); 100]);
                expected.push(Record { lsn, body });
                wal.append(&expected[expected.len() - 1..]).unwrap();
                wal.sync().unwrap();
            }
            let upto = Lsn(wal.last_lsn().0 - life);
            wal.store_snapshot(&Snapshot { upto, chunks: vec![Bytes::from_static(b"state")] }).unwrap();
        }
        let names = FileDisk::open(&path).unwrap().list().unwrap();
        assert!(names.iter().filter(|name| name.starts_with("wal-")).count() < 5, "not recycled: {names:?}");
        assert_eq!(names.iter().filter(|name| name.starts_with("snapshot-")).count(), 2, "{names:?}");
    }

    #[test]
    fn a_folder_in_use_is_refused_with_the_process_that_uses_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = FileDisk::open(folder.path()).unwrap();
        let refused = FileDisk::open(folder.path()).unwrap_err().to_string();
        let expected = format!("is in use by process {}; stop it first", std::process::id());
        assert!(refused.contains(&expected), "{refused}");
        drop(first);
        FileDisk::open(folder.path()).unwrap();
    }

    #[test]
    fn a_file_in_place_of_the_folder_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "").unwrap();
        let refused = FileDisk::open(&path).unwrap_err().to_string();
        assert!(refused.contains("cannot be created"), "{refused}");
    }
}
