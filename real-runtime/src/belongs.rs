//! What a data folder belongs to: a member of a cluster, or a node that holds everything itself. The log cannot tell all of it, and
//! what is written under one placement of shards must not be read under another.

use crate::config::ClusterOptions;
use crate::disk::FileDisk;
use crate::failure::Failure;
use broker_core::storage::disk::Disk as _;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The file that tells it; not there in the folder of a node that stands alone.
const NAME: &str = "member.toml";
const TEMPORARY: &str = "member.toml.new";

/// What must not change as long as the data lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Belongs {
    cluster: String,
    node: u32,
    /// Those with which the cluster began; none if the node has joined it.
    members: Vec<u32>,
    shards: u16,
    replicas: u8,
}

impl Belongs {
    fn of(options: &ClusterOptions) -> Self {
        // Whom a node that joins asks is not part of its data.
        let founders = options.members.iter().filter(|_| !options.joins);
        let mut members: Vec<u32> = founders.map(|member| member.node).collect();
        members.sort_unstable();
        Belongs {
            cluster: options.name.clone(),
            node: options.node,
            members,
            shards: options.shards,
            replicas: options.replicas,
        }
    }

    /// The first thing that differs, as configured and as on disk.
    fn difference(&self, on_disk: &Belongs) -> Option<(&'static str, String, String)> {
        let texts = |one: &Belongs| {
            [
                ("cluster.name", format!("{:?}", one.cluster)),
                ("cluster.node", one.node.to_string()),
                ("cluster.joins", one.members.is_empty().to_string()),
                ("the nodes of cluster.members", format!("{:?}", one.members)),
                ("cluster.shards", one.shards.to_string()),
                ("cluster.replicas", one.replicas.to_string()),
            ]
        };
        let mut pairs = texts(self).into_iter().zip(texts(on_disk));
        let ((key, configured), (_, found)) = pairs.find(|(ours, theirs)| ours != theirs)?;
        Some((key, configured, found))
    }
}

/// Refuses `disk` if its data does not belong to a node of this configuration. In a folder that is new, writes down what it belongs to from
/// now on.
///
/// # Errors
/// Says what the data belongs to, and what to do; nothing was changed then.
pub fn check(disk: &mut FileDisk, cluster: Option<&ClusterOptions>) -> Result<(), Failure> {
    let folder = disk.folder().to_owned();
    let shown = folder.display();
    let is_used =
        disk.list().map_err(|error| Failure::run(format!("cannot use the data in {shown}: {error}")))?;
    let is_used = is_used.iter().any(|name| name != NAME && name != TEMPORARY);
    let on_disk = read(&folder).map_err(|error| {
        Failure::run(format!("cannot use the data in {shown}: {NAME}: {error}; restore that file"))
    })?;
    match (cluster.map(Belongs::of), on_disk) {
        (None, None) => Ok(()),
        (None, Some(found)) => Err(Failure::run(format!(
            "the data in {shown} is that of node {} of the cluster {:?}; start it with the [cluster] section of its configuration, \
             or choose another folder with --data or `data`",
            found.node, found.cluster
        ))),
        (Some(configured), Some(found)) => match configured.difference(&found) {
            None => Ok(()),
            Some((key, ours, theirs)) => Err(Failure::run(format!(
                "the data in {shown} was written with {key} = {theirs}, and this configuration says {ours}; that cannot change while \
                 the data lives: correct the configuration, or choose another folder with --data or `data`"
            ))),
        },
        (Some(_), None) if is_used => Err(Failure::run(format!(
            "the data in {shown} is that of a node that holds everything itself, and cannot become a member's; leave out the section \
             [cluster], or choose another folder with --data or `data`"
        ))),
        (Some(configured), None) => write(&folder, &configured).map_err(|error| {
            Failure::run(format!("cannot write {NAME} to the data folder {shown}: {error}"))
        }),
    }
}

fn read(folder: &Path) -> io::Result<Option<Belongs>> {
    match std::fs::read_to_string(folder.join(NAME)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(text) => toml::from_str(&text).map(Some).map_err(|error| {
            // The parser's own message may take several lines; ours is one.
            io::Error::other(error.message().split_whitespace().collect::<Vec<_>>().join(" "))
        }),
    }
}

/// Durably, before anything else is in the folder.
fn write(folder: &Path, belongs: &Belongs) -> io::Result<()> {
    let text = toml::to_string(belongs).map_err(io::Error::other)?;
    let temporary = folder.join(TEMPORARY);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, folder.join(NAME))?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::{ClusterOptions, FileDisk, NAME, check};
    use broker_core::storage::disk::Disk as _;
    use std::path::Path;

    fn member(node: u32) -> ClusterOptions {
        let text = format!(
            "name = \"lab\"\nnode = {node}\nlisten = \"127.0.0.1:7001\"\nmembers = [{{ node = 1, address = \
             \"127.0.0.1:7001\" }}, {{ node = 2, address = \"127.0.0.1:7002\" }}]\n"
        );
        toml::from_str(&text).expect("a cluster")
    }

    fn open(folder: &Path, cluster: Option<&ClusterOptions>) -> Result<(), String> {
        let mut disk = FileDisk::open(folder).expect("a folder of ours");
        check(&mut disk, cluster).map_err(|failure| failure.to_string())?;
        if !disk.list().expect("readable").iter().any(|name| name == "wal-1") {
            disk.create("wal-1", 1).expect("writable");
        }
        Ok(())
    }

    #[test]
    fn a_folder_stays_with_the_member_that_began_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(open(folder.path(), Some(&member(1))), Ok(()));
        let mut moved = member(1);
        moved.members.reverse();
        moved.members[0].address = "127.0.0.1:9".parse().expect("an address");
        assert_eq!(open(folder.path(), Some(&moved)), Ok(()), "addresses may change");
        let changed = [
            ("cluster.name = \"lab\"", ClusterOptions { name: "other".to_owned(), ..member(1) }),
            ("cluster.node = 1", member(2)),
            ("cluster.shards = 16", ClusterOptions { shards: 32, ..member(1) }),
            ("cluster.replicas = 3", ClusterOptions { replicas: 1, ..member(1) }),
        ];
        for (expected, options) in changed {
            let refused = open(folder.path(), Some(&options)).expect_err("another node's");
            assert!(refused.contains(expected), "{refused}");
        }
        let mut fewer = member(1);
        fewer.members.pop();
        let refused = open(folder.path(), Some(&fewer)).expect_err("another cluster's");
        assert!(
            refused.contains("the nodes of cluster.members = [1, 2], and this configuration says [1]"),
            "{refused}"
        );
    }

    #[test]
    fn whom_a_node_that_joins_asks_may_change_and_that_it_joins_may_not() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut joiner = ClusterOptions { joins: true, ..member(4) };
        assert_eq!(open(folder.path(), Some(&joiner)), Ok(()));
        joiner.members.pop();
        assert_eq!(open(folder.path(), Some(&joiner)), Ok(()));
        let refused = open(folder.path(), Some(&member(4))).expect_err("it has joined");
        assert!(
            refused.contains("written with cluster.joins = true, and this configuration says false"),
            "{refused}"
        );
    }

    #[test]
    fn a_file_of_before_nodes_could_join_is_that_of_a_founder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let text = "cluster = \"lab\"\nnode = 1\nmembers = [1, 2]\nshards = 16\nreplicas = 3\n";
        std::fs::write(folder.path().join(NAME), text).expect("writable");
        assert_eq!(open(folder.path(), Some(&member(1))), Ok(()));
        let joins = ClusterOptions { joins: true, ..member(1) };
        let refused = open(folder.path(), Some(&joins)).expect_err("it began the cluster");
        assert!(refused.contains("written with cluster.joins = false"), "{refused}");
    }

    #[test]
    fn a_node_alone_and_a_member_do_not_use_each_other_s_data() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(open(folder.path(), None), Ok(()));
        let refused = open(folder.path(), Some(&member(1))).expect_err("it stood alone");
        assert!(refused.contains("leave out the section [cluster]"), "{refused}");
        assert!(!folder.path().join(NAME).exists(), "nothing was changed");

        let folder = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(open(folder.path(), Some(&member(2))), Ok(()));
        let refused = open(folder.path(), None).expect_err("it is a member's");
        assert!(refused.contains("that of node 2 of the cluster \"lab\""), "{refused}");
    }

    #[test]
    fn a_start_that_ended_before_the_log_was_begun_is_tried_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for _ in 0..2 {
            let mut disk = FileDisk::open(folder.path()).expect("a folder of ours");
            assert_eq!(check(&mut disk, Some(&member(1))), Ok(()));
        }
        std::fs::write(folder.path().join(NAME), "half").expect("writable");
        let refused = open(folder.path(), Some(&member(1))).expect_err("nonsense");
        assert!(refused.contains("member.toml: ") && !refused.contains('\n'), "{refused}");
    }
}
