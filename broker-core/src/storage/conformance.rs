//! What every [`Disk`] must do, as a check: the real disk and the simulated one are held to the same.
//!
//! It cannot see durability, only a power loss can; the simulated disk has tests of its own for that.

use super::disk::{Disk, DiskError, DiskErrorKind};

/// Puts an empty `disk` through every call, and leaves it empty.
///
/// # Errors
/// If a call fails that must not.
///
/// # Panics
/// If the disk does something else than the trait promises.
pub fn check<D: Disk>(disk: &mut D) -> Result<(), DiskError> {
    assert_eq!(disk.list()?, Vec::<String>::new(), "the check begins with an empty folder");
    contents(disk)?;
    names(disk)?;
    refusals(disk)?;
    assert_eq!(disk.list()?, Vec::<String>::new(), "the check cleans up");
    Ok(())
}

fn contents<D: Disk>(disk: &mut D) -> Result<(), DiskError> {
    disk.create("a", 1000)?;
    assert_eq!(disk.len("a")?, 1000);
    assert_eq!(disk.read_at("a", 0, 1000)?, vec![0; 1000], "a new file is zeros");

    disk.write_at("a", 500, b"hello")?;
    assert_eq!(disk.read_at("a", 498, 9)?, b"\0\0hello\0\0", "a write is readable at once");
    assert_eq!(disk.len("a")?, 1000, "a write within a file does not change its length");
    disk.sync("a")?;
    assert_eq!(disk.read_at("a", 500, 5)?, b"hello", "and after a sync");
    disk.write_at("a", 501, b"u")?;
    disk.write_at("a", 504, b"")?;
    assert_eq!(disk.read_at("a", 500, 5)?, b"hullo", "a write changes its own bytes only");

    assert_eq!(disk.read_at("a", 998, 10)?, [0, 0], "a read is cut at the end of the file");
    assert_eq!(disk.read_at("a", 1000, 10)?, Vec::<u8>::new(), "a read behind the end is empty");
    assert_eq!(disk.read_at("a", 5000, 10)?, Vec::<u8>::new(), "also far behind it");

    disk.write_at("a", 1500, b"end")?;
    assert_eq!(disk.len("a")?, 1503, "a write behind the end grows the file");
    assert_eq!(disk.read_at("a", 1000, 503)?, [vec![0; 500], b"end".to_vec()].concat(), "the gap is zeros");
    disk.sync("a")?;
    disk.remove("a")
}

fn names<D: Disk>(disk: &mut D) -> Result<(), DiskError> {
    for (name, content) in [("c", b"see"), ("a", b"aye"), ("b", b"bee")] {
        disk.create(name, 0)?;
        assert_eq!(disk.len(name)?, 0);
        disk.write_at(name, 0, content)?;
    }
    assert_eq!(disk.list()?, ["a", "b", "c"], "names are sorted");
    disk.sync_dir()?;

    disk.rename("a", "d")?;
    assert_eq!(disk.list()?, ["b", "c", "d"]);
    assert_eq!(disk.read_at("d", 0, 9)?, b"aye", "a rename keeps the content");
    disk.rename("b", "d")?;
    assert_eq!(disk.list()?, ["c", "d"], "a rename replaces its target");
    assert_eq!(disk.read_at("d", 0, 9)?, b"bee");
    disk.write_at("d", 1, b"y")?;
    disk.sync("d")?;
    assert_eq!(disk.read_at("d", 0, 9)?, b"bye", "a renamed file is written under its new name");
    disk.sync_dir()?;

    disk.remove("d")?;
    disk.create("d", 2)?;
    assert_eq!(disk.read_at("d", 0, 9)?, [0, 0], "a name used again is a new file");
    disk.remove("d")?;
    disk.remove("c")?;
    disk.sync_dir()
}

fn refusals<D: Disk>(disk: &mut D) -> Result<(), DiskError> {
    let missing = |result: Result<(), DiskError>, call: &str| {
        let error = result.expect_err("there is no such file");
        assert_eq!((error.kind, error.call, error.file.as_str()), (DiskErrorKind::NotFound, call, "none"));
    };
    missing(disk.len("none").map(|_| ()), "len");
    missing(disk.read_at("none", 0, 1).map(|_| ()), "read_at");
    missing(disk.write_at("none", 0, b"x"), "write_at");
    missing(disk.sync("none"), "sync");
    missing(disk.rename("none", "other"), "rename");
    missing(disk.remove("none"), "remove");

    disk.create("a", 3)?;
    disk.write_at("a", 0, b"abc")?;
    let exists = disk.create("a", 5).expect_err("the file exists");
    assert_eq!((exists.kind, exists.call, exists.file.as_str()), (DiskErrorKind::Exists, "create", "a"));
    assert_eq!(disk.read_at("a", 0, 9)?, b"abc", "a refused creation touches nothing");
    disk.remove("a")?;
    disk.sync_dir()
}
