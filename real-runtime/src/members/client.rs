//! Asks members, one after the other, until one answers.

use super::progress;
use crate::config::ClusterOptions;
use crate::failure::Failure;
use crate::net::Net;
use crate::peers::Secret;
use crate::peers::frames::read_frame;
use crate::peers::handshake::{HandshakeError, Identity, OPERATOR, dial, in_time, nonce};
use crate::peers::operator::{Answer, Question, decode, encode};
use broker_core::cluster::{Change, Directory};
use broker_core::ids::NodeId;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep, timeout};

/// An answer takes no longer: a member gives up a change before.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long a change that is not decided is asked for again, and how long nobody may answer while replicas move.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is asked how far everything is.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// An operator's connection with a cluster.
pub(crate) struct Client<N: Net> {
    net: N,
    identity: Identity,
    /// Whom to ask, and who of them is asked now.
    members: Vec<(NodeId, SocketAddr)>,
    at: usize,
    connection: Option<N::Stream>,
}

/// Why a member gave no answer that is of use.
#[derive(Debug)]
enum Trouble {
    Handshake(HandshakeError),
    Lost(io::Error),
    NotUnderstood,
    NotMember,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Handshake(HandshakeError::Lost(error)) | Trouble::Lost(error) => error.fmt(f),
            Trouble::Handshake(
                HandshakeError::Refused { why, .. } | HandshakeError::RefusedByThem(Some(why)),
            ) => why.fmt(f),
            Trouble::Handshake(error) => error.fmt(f),
            Trouble::NotUnderstood => f.write_str(
                "this version cannot talk with the one that it runs; use the `quorate` of that version",
            ),
            Trouble::NotMember => f.write_str(
                "it is no member of the cluster; give the configuration of one that is, with --config",
            ),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Trouble::Lost(error)
    }
}

impl<N: Net> Client<N> {
    /// Nobody is asked yet. The members to ask are those of the configuration `cluster`, that whose configuration it is among them.
    pub(crate) fn new(net: N, cluster: &ClusterOptions, secret: Secret) -> Self {
        let identity = Identity { cluster: cluster.name.clone(), node: OPERATOR, life: 0, secret };
        let mut members = cluster.addresses();
        members.entry(NodeId(cluster.node)).or_insert(cluster.listen);
        Client { net, identity, members: members.into_iter().collect(), at: 0, connection: None }
    }

    /// Does not ask this member any more, if there is another one to ask.
    pub(crate) fn avoid(&mut self, node: NodeId) {
        if self.members.iter().any(|(other, _)| *other != node) {
            self.members.retain(|(other, _)| *other != node);
            (self.at, self.connection) = (0, None);
        }
    }

    /// The directory, as a member knows it.
    ///
    /// # Errors
    /// If no member answers.
    pub(crate) async fn directory(&mut self) -> Result<Directory, Failure> {
        match self.ask(&Question::Members).await? {
            (_, Answer::Members(directory)) => Ok(*directory),
            (node, _) => Err(nonsense(node)),
        }
    }

    /// The directory, of this version or a later one.
    ///
    /// # Errors
    /// If for a minute no member answers, or none knows that version.
    pub(crate) async fn directory_since(&mut self, version: u64) -> Result<Directory, Failure> {
        let end = Instant::now() + PATIENCE;
        loop {
            let failure = match self.directory().await {
                Ok(directory) if directory.version() >= version => return Ok(directory),
                Ok(_) => Failure::run(
                    "no member that answers knows what was decided; see to it that more than half of the members are up",
                ),
                Err(failure) => failure,
            };
            if Instant::now() >= end {
                return Err(failure);
            }
            sleep(ASK_EVERY).await;
        }
    }

    /// Asks for a change until it is decided, for a minute at most; the version of the directory by which it is so. Each time that it is asked for
    /// again is told.
    ///
    /// # Errors
    /// If it is refused, not decided in time, or no member answers.
    pub(crate) async fn decide(
        &mut self,
        change: &Change,
        mut tell: impl FnMut(&str) -> Result<(), Failure>,
    ) -> Result<u64, Failure> {
        let end = Instant::now() + PATIENCE;
        loop {
            let (node, answer) = self.ask(&Question::Change(change.clone())).await?;
            match answer {
                Answer::Changed(Ok(version)) => return Ok(version),
                Answer::Changed(Err(refusal)) => return Err(Failure::run(refusal.to_string())),
                Answer::Undecided if Instant::now() < end => {
                    tell(&format!("node {node} cannot tell whether it is decided; it is asked for again"))?;
                    self.turn_to_next();
                }
                Answer::Undecided => {
                    return Err(Failure::run(format!(
                        "the cluster has not decided within {} s, and may do so later; see to it that more than half of the members are up, \
                         and ask again",
                        PATIENCE.as_secs()
                    )));
                }
                Answer::Members(_) | Answer::NotUnderstood => return Err(nonsense(node)),
            }
        }
    }

    /// Waits until everything is where it should be by a directory of at least this version, however long that takes. What is left is told whenever it
    /// is another number.
    ///
    /// # Errors
    /// If for a minute no member answers.
    pub(crate) async fn settled(
        &mut self,
        version: u64,
        mut tell: impl FnMut(&str) -> Result<(), Failure>,
    ) -> Result<Directory, Failure> {
        let mut told = None;
        loop {
            let directory = self.directory_since(version).await?;
            if directory.is_at_rest() {
                return Ok(directory);
            }
            let left = directory.to_move();
            if told.replace(left) != Some(left) {
                tell(&progress(&directory))?;
            }
            sleep(ASK_EVERY).await;
        }
    }

    /// The answer of the first that gives one, and who that is.
    async fn ask(&mut self, question: &Question) -> Result<(NodeId, Answer), Failure> {
        let mut troubles = Vec::new();
        for _ in 0..self.members.len() {
            let (node, address) = self.members[self.at];
            match self.ask_here(node, address, question).await {
                Ok(answer) => return Ok((node, answer)),
                Err(trouble) => troubles.push((node, address, trouble)),
            }
            self.turn_to_next();
        }
        Err(nobody(&troubles))
    }

    fn turn_to_next(&mut self) {
        self.connection = None;
        self.at = (self.at + 1) % self.members.len();
    }

    async fn ask_here(
        &mut self,
        node: NodeId,
        address: SocketAddr,
        question: &Question,
    ) -> Result<Answer, Trouble> {
        if let Some(mut stream) = self.connection.take()
            && let Ok(answer) = converse(&mut stream, node, question).await
        {
            self.connection = Some(stream);
            return Ok(answer);
        }
        // The first question, or the member was started anew since the last one.
        let handshake = async {
            let mut stream = self.net.connect(address).await?;
            dial(&mut stream, &self.identity, node, nonce()?, 0).await?;
            Ok(stream)
        };
        let mut stream = in_time(handshake).await.map_err(Trouble::Handshake)?;
        let answer = converse(&mut stream, node, question).await?;
        self.connection = Some(stream);
        Ok(answer)
    }
}

async fn converse<S>(stream: &mut S, node: NodeId, question: &Question) -> Result<Answer, Trouble>
where
    S: crate::net::Stream,
{
    let asking = async {
        stream.write_all(&encode(question)).await?;
        stream.flush().await?;
        read_frame(stream).await?.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    };
    let frame = timeout(ANSWER_MAX, asking).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    match decode(&frame) {
        None | Some(Answer::NotUnderstood) => Err(Trouble::NotUnderstood),
        // One that has not joined, or has left, knows nothing of the cluster, or nothing new.
        Some(Answer::Members(directory)) if !directory.members().contains_key(&node) => {
            Err(Trouble::NotMember)
        }
        Some(answer) => Ok(answer),
    }
}

/// What can be corrected is told before what may be a member that does not run.
fn nobody(troubles: &[(NodeId, SocketAddr, Trouble)]) -> Failure {
    let is_lost =
        |trouble: &Trouble| matches!(trouble, Trouble::Lost(_) | Trouble::Handshake(HandshakeError::Lost(_)));
    if let Some((node, address, trouble)) = troubles.iter().find(|(.., trouble)| !is_lost(trouble)) {
        return Failure::run(format!("node {node} at {address}: {trouble}"));
    }
    let each: Vec<String> = troubles
        .iter()
        .map(|(node, address, trouble)| format!("node {node} at {address}: {trouble}"))
        .collect();
    Failure::run(format!(
        "no member answers ({}); start one of them, or give the configuration of a member that runs with --config",
        each.join("; ")
    ))
}

fn nonsense(node: NodeId) -> Failure {
    Failure::run(format!("node {node}: {}", Trouble::NotUnderstood))
}
