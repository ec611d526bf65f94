//! `[cluster]`: the members and what they share.

use super::Config;
use super::DurabilityOption;
use super::check::{complaint, is_loopback, within};
use super::file::Complaint;
use crate::failure::Failure;
use crate::peers::Secret;
use crate::peers::handshake::NAME_BYTES_MAX;
use broker_core::cluster::Member;
use broker_core::face::{ClusterSetup, SHARDS_MAX};
use broker_core::ids::NodeId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Fewer members than this survive the crash of none.
const MEMBERS_TO_SURVIVE: usize = 3;

/// `[cluster]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterOptions {
    /// The cluster's name.
    pub name: String,
    /// This node.
    pub node: u32,
    /// Where this node listens for the other members.
    pub listen: SocketAddr,
    /// Whether this node joins a cluster that is there, when that is told to take it.
    #[serde(default)]
    pub joins: bool,
    /// All members with which the cluster begins, this node among them; of a node that joins some that it can ask.
    pub members: Vec<MemberOption>,
    /// What only members know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// How many shards there are.
    #[serde(default = "default_shards")]
    pub shards: u16,
    /// How many replicas a shard has.
    #[serde(default = "default_replicas")]
    pub replicas: u8,
    /// Bytes that wait to be sent to one member.
    #[serde(default = "default_queue_bytes_max")]
    pub queue_bytes_max: u64,
}

/// An element of `cluster.members`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberOption {
    /// Its number.
    pub node: u32,
    /// Where it listens for the others.
    pub address: SocketAddr,
}

fn default_shards() -> u16 {
    16
}

fn default_replicas() -> u8 {
    3
}

fn default_queue_bytes_max() -> u64 {
    64 << 20
}

impl ClusterOptions {
    /// What the core is told of it.
    pub fn setup(&self) -> ClusterSetup {
        let founder =
            |(node, address): (NodeId, SocketAddr)| (node, Member::plain(node, address.to_string()));
        let founders =
            if self.joins { BTreeMap::new() } else { self.addresses().into_iter().map(founder).collect() };
        ClusterSetup { founders, shards: self.shards, replicas: self.replicas }
    }

    /// Where members listen for each other, as far as the configuration says.
    pub fn addresses(&self) -> BTreeMap<NodeId, SocketAddr> {
        self.members.iter().map(|member| (NodeId(member.node), member.address)).collect()
    }

    /// What all members know and nobody else; nothing if there is no file for it.
    ///
    /// # Errors
    /// If the file is none of a secret.
    pub fn secret(&self) -> Result<Secret, Failure> {
        self.secret_file.as_deref().map_or(Ok(Secret::none()), Secret::read)
    }

    /// What somebody should know who runs such a cluster, if it is no mistake.
    pub fn warning(&self) -> Option<String> {
        // How many members there are where it joins is not in its configuration.
        let members = if self.joins { usize::MAX } else { self.members.len() };
        let replicas = members.min(usize::from(self.replicas));
        (replicas < MEMBERS_TO_SURVIVE).then(|| {
            format!(
                "fewer than {MEMBERS_TO_SURVIVE} replicas of each message ({replicas}): the cluster serves only while all of them are up; \
                 {MEMBERS_TO_SURVIVE} members and `cluster.replicas = {MEMBERS_TO_SURVIVE}` go on when one crashes"
            )
        })
    }
}

/// Refuses what makes no sense, or is not safe.
pub(super) fn check(config: &Config) -> Result<(), Complaint> {
    let Some(cluster) = &config.cluster else { return Ok(()) };
    check_name(&cluster.name)?;
    check_members(cluster)?;
    within("cluster.shards", u64::from(cluster.shards), 1..=u64::from(SHARDS_MAX))?;
    within("cluster.replicas", u64::from(cluster.replicas), 1..=u64::from(u8::MAX))?;
    within("cluster.queue_bytes_max", cluster.queue_bytes_max, 1..=u64::MAX)?;
    if config.durability == DurabilityOption::Async {
        return Err(complaint(
            "durability",
            "a member of a cluster cannot have `durability = \"async\"`: a power loss would take back what it was counted for in a \
             quorum; set it to \"sync\""
                .to_owned(),
        ));
    }
    check_secret(cluster)
}

fn check_name(name: &str) -> Result<(), Complaint> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_plain) {
        return Ok(());
    }
    Err(complaint(
        "cluster.name",
        format!(
            "`cluster.name` cannot be {name:?}; take 1 to {NAME_BYTES_MAX} letters, digits, '-', '_' and '.', the same on all \
             members"
        ),
    ))
}

fn check_members(cluster: &ClusterOptions) -> Result<(), Complaint> {
    let refuse = |sentence: String| Err(complaint("cluster.members", sentence));
    let mut nodes = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    for MemberOption { node, address } in &cluster.members {
        if *node == 0 {
            return refuse("no member can have the number 0; count from 1".to_owned());
        }
        if !nodes.insert(*node) {
            return refuse(format!("node {node} is listed twice; give each member its own number"));
        }
        if address.port() == 0 || address.ip().is_unspecified() {
            return refuse(format!(
                "node {node} cannot be reached at {address}; give the address and port it listens on"
            ));
        }
        if !addresses.insert(*address) {
            return refuse(format!("{address} is listed twice; give each member its own address"));
        }
    }
    let node = cluster.node;
    if cluster.joins && nodes.is_empty() {
        return refuse(
            "`cluster.members` is empty; list one member or more that a node which joins can ask".to_owned(),
        );
    }
    if cluster.joins && node == 0 {
        let sentence = "no member can have the number 0; take one that no member ever had".to_owned();
        return Err(complaint("cluster.node", sentence));
    }
    if cluster.joins && nodes.contains(&node) {
        return Err(complaint(
            "cluster.joins",
            format!(
                "node {node} is among `cluster.members`, which are the members to ask for a node that joins; leave it out there, or \
                 leave out `cluster.joins` if the cluster begins with this node"
            ),
        ));
    }
    if !cluster.joins && !nodes.contains(&node) {
        return Err(complaint(
            "cluster.node",
            format!(
                "node {node} is not among `cluster.members`; list all members there with which the cluster begins, the same on all of \
                 them, or set `cluster.joins = true` if this node joins a cluster that is there"
            ),
        ));
    }
    if cluster.listen.port() == 0 {
        let sentence =
            "`cluster.listen` cannot have port 0; take the port that `cluster.members` names".to_owned();
        return Err(complaint("cluster.listen", sentence));
    }
    Ok(())
}

/// Without a secret whoever reaches the port can be a member.
fn check_secret(cluster: &ClusterOptions) -> Result<(), Complaint> {
    if cluster.secret_file.is_some() {
        return Ok(());
    }
    let remedy = "set `cluster.secret_file`, on all members to the same";
    if !is_loopback(&cluster.listen) {
        return Err(complaint(
            "cluster.listen",
            format!(
                "will not listen for members on {}, because without a secret everybody who reaches that address could read and \
                 write every message; {remedy}",
                cluster.listen
            ),
        ));
    }
    match cluster.members.iter().find(|member| !is_loopback(&member.address)) {
        None => Ok(()),
        Some(MemberOption { node, address }) => Err(complaint(
            "cluster.members",
            format!(
                "will not take whatever answers at {address} for node {node}, because without a secret it could be anybody; {remedy}"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, check};

    const CLUSTER: &str = "[cluster]\nname = \"lab\"\nnode = 1\nlisten = \"127.0.0.1:7001\"\n";
    const MEMBERS: &str = "members = [{ node = 1, address = \"127.0.0.1:7001\" }, { node = 2, address = \"127.0.0.1:7002\" }]\n";

    fn config(text: &str) -> Config {
        toml::from_str(text).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The default cluster with something replaced.
    fn refusal(what: &str, by: &str) -> (String, String) {
        let text = [CLUSTER, MEMBERS].concat();
        assert!(text.contains(what), "{what}");
        let complaint = check(&config(&text.replacen(what, by, 1))).expect_err("to be refused");
        (complaint.key, complaint.sentence)
    }

    #[test]
    fn a_plain_cluster_is_accepted() {
        let config = config(&[CLUSTER, MEMBERS].concat());
        assert_eq!(check(&config), Ok(()));
        let cluster = config.cluster.expect("it is configured");
        let setup = cluster.setup();
        assert_eq!((setup.founders.len(), setup.shards, setup.replicas), (2, 16, 3));
        assert!(
            cluster
                .warning()
                .is_some_and(|warning| warning.contains("(2): the cluster serves only while all"))
        );
    }

    const JOINS: &str = "joins = true\nmembers = [{ node = 2, address = \"127.0.0.1:7002\" }]\n";

    #[test]
    fn a_node_that_joins_founds_nothing_and_names_members_to_ask() {
        let config = config(&[CLUSTER, JOINS].concat());
        assert_eq!(check(&config), Ok(()));
        let cluster = config.cluster.expect("it is configured");
        assert_eq!((cluster.setup().founders.len(), cluster.addresses().len()), (0, 1));
        assert_eq!(cluster.warning(), None, "it cannot tell how many members there are");
    }

    #[test]
    fn a_node_that_joins_is_not_one_of_those_to_ask() {
        let text = [CLUSTER, JOINS].concat();
        let refusal = |text: String| {
            let complaint = check(&config(&text)).expect_err("to be refused");
            (complaint.key, complaint.sentence)
        };
        let (key, sentence) = refusal(text.replace("node = 2", "node = 1"));
        assert!(key == "cluster.joins" && sentence.contains("leave it out there"), "{key}: {sentence}");
        let (key, sentence) = refusal(text.replace("lab\"\nnode = 1", "lab\"\nnode = 0"));
        assert!(key == "cluster.node" && sentence.contains("no member ever had"), "{key}: {sentence}");
        let (key, sentence) = refusal([CLUSTER, "joins = true\nmembers = []\n"].concat());
        assert!(
            key == "cluster.members" && sentence.contains("list one member or more"),
            "{key}: {sentence}"
        );
    }

    #[test]
    fn three_members_and_three_replicas_are_nothing_to_warn_of() {
        let third = "7002\" }, { node = 3, address = \"127.0.0.1:7003\" }";
        let text = [CLUSTER, MEMBERS].concat().replace("7002\" }", third);
        assert_eq!(config(&text).cluster.expect("it is configured").warning(), None);
        let text = [&text, "replicas = 2\n"].concat();
        assert!(config(&text).cluster.expect("it is configured").warning().is_some());
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_to_do() {
        let cases = [
            ("\"lab\"", "\"\"", "cluster.name", "`cluster.name` cannot be \"\"; take 1 to 64 letters"),
            ("\"lab\"", "\"a b\"", "cluster.name", "cannot be \"a b\""),
            (
                "node = 1",
                "node = 3",
                "cluster.node",
                "node 3 is not among `cluster.members`; list all members there with which",
            ),
            ("node = 2", "node = 1", "cluster.members", "node 1 is listed twice"),
            ("node = 2", "node = 0", "cluster.members", "count from 1"),
            ("7002", "7001", "cluster.members", "127.0.0.1:7001 is listed twice"),
            ("7002", "0", "cluster.members", "node 2 cannot be reached at 127.0.0.1:0"),
            ("127.0.0.1:7002", "0.0.0.0:7002", "cluster.members", "cannot be reached at 0.0.0.0"),
            ("listen = \"127.0.0.1:7001", "listen = \"127.0.0.1:0", "cluster.listen", "cannot have port 0"),
            ("members", "shards = 0\nmembers", "cluster.shards", "from 1 to 64"),
            ("members", "shards = 65\nmembers", "cluster.shards", "from 1 to 64"),
            ("members", "replicas = 0\nmembers", "cluster.replicas", "from 1 to 255"),
            ("members", "queue_bytes_max = 0\nmembers", "cluster.queue_bytes_max", "1 or more"),
            ("[cluster]", "durability = \"async\"\n[cluster]", "durability", "set it to \"sync\""),
        ];
        for (what, by, key, sentence) in cases {
            let refused = refusal(what, by);
            assert_eq!(refused.0, key, "{refused:?}");
            assert!(refused.1.contains(sentence), "{refused:?}");
        }
    }

    #[test]
    fn without_a_secret_members_meet_on_loopback_only() {
        let (key, sentence) = refusal("listen = \"127.0.0.1", "listen = \"0.0.0.0");
        assert!(key == "cluster.listen" && sentence.contains("set `cluster.secret_file`"), "{sentence}");
        let (key, sentence) = refusal("127.0.0.1:7002", "192.0.2.1:7002");
        assert!(key == "cluster.members" && sentence.contains("it could be anybody"), "{sentence}");
        let text = [CLUSTER, MEMBERS, "secret_file = \"s\"\n"].concat();
        let open = text
            .replace("listen = \"127.0.0.1", "listen = \"0.0.0.0")
            .replace("127.0.0.1:7002", "192.0.2.1:7002");
        assert_eq!(check(&config(&open)), Ok(()));
    }

    #[test]
    fn a_member_without_a_number_is_refused() {
        let text = [CLUSTER, "members = [{ address = \"127.0.0.1:7001\" }]\n"].concat();
        let refused = toml::from_str::<Config>(&text).expect_err("a number is missing").to_string();
        assert!(refused.contains("node"), "{refused}");
    }
}
