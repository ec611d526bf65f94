//! Why a member is refused: a code on the wire, a sentence in the logs of both sides.

use std::fmt;

/// Why one side refuses the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// It speaks a version that this program does not.
    UnknownVersion,
    /// It is a member of a cluster of another name.
    OtherCluster,
    /// It wanted another node than the one that it reached.
    OtherNode,
    /// It says that it is the very node that it reached.
    SameNode,
    /// It is no member.
    NotMember,
    /// A later life of the same node was here already.
    OlderLife,
    /// It does not know the secret.
    WrongSecret,
}

/// Each refusal and its code.
const CODES: [(Refusal, u8); 7] = [
    (Refusal::UnknownVersion, 1),
    (Refusal::OtherCluster, 2),
    (Refusal::OtherNode, 3),
    (Refusal::SameNode, 4),
    (Refusal::NotMember, 5),
    (Refusal::OlderLife, 6),
    (Refusal::WrongSecret, 7),
];

impl Refusal {
    /// Its code on the wire.
    pub(super) fn code(self) -> u8 {
        CODES.iter().find(|(refusal, _)| *refusal == self).expect("each has a code").1
    }

    /// The refusal with this code, if this program knows it.
    pub(super) fn of_code(code: u8) -> Option<Self> {
        CODES.iter().find(|(_, known)| *known == code).map(|(refusal, _)| *refusal)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::UnknownVersion => {
                "the versions of the link differ; run the same version of quorate on all members"
            }
            Refusal::OtherCluster => "the clusters have different names; correct `cluster.name` or `cluster.members`",
            Refusal::OtherNode => {
                "the node at this address has another number; correct the addresses in `cluster.members`"
            }
            Refusal::SameNode => "both nodes have the same number; give each its own `cluster.node`",
            Refusal::NotMember => {
                "the node that dialled is no member of the cluster as the other one knows it; take it in with `quorate members join`"
            }
            Refusal::OlderLife => {
                "a later start of the same node was here already; there must be one process with this number, on its own data"
            }
            Refusal::WrongSecret => "the secrets differ; give all members the same `cluster.secret_file`",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{CODES, Refusal};

    #[test]
    fn codes_are_told_apart() {
        for (refusal, code) in CODES {
            assert_eq!((refusal.code(), Refusal::of_code(code)), (code, Some(refusal)));
        }
        assert_eq!((Refusal::of_code(0), Refusal::of_code(8)), (None, None));
    }
}
