//! The configuration: a TOML file in which every option is documented and an unknown one is refused.
//!
//! [`Config`] is the shape, [`options`] its documentation (the only source of `quorate config` and of
//! `docs/configuration.md`), [`file`] reads it with errors that name file, line, key and remedy, [`check`] refuses
//! values that make no sense together.

mod acl;
mod check;
mod cluster;
mod file;
mod options;

pub(crate) use acl::permissions;
pub use acl::{AclAccess, AclAction, AclRule};
pub use cluster::{ClusterOptions, MemberOption};
pub use file::{Complaint, Source};
pub use options::{markdown, template};

use broker_core::face::Durability;
use broker_core::limits::Limits;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The addresses to serve MQTT on.
    pub listen: Vec<SocketAddr>,
    /// The folder of the write-ahead log and its snapshots.
    pub data: PathBuf,
    /// What an acknowledgement waits for.
    pub durability: DurabilityOption,
    /// How often the node tells of itself under `$SYS`, in seconds; 0 is never.
    pub sys_interval_s: u32,
    /// Whether clients without a user name are let in, from everywhere.
    pub allow_anonymous: bool,
    /// Who may connect, by password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Who may publish and subscribe where; the first rule that matches decides.
    pub acl: Vec<AclRule>,
    /// What is logged, and how.
    pub log: LogOptions,
    /// The checking of passwords.
    pub auth: AuthOptions,
    /// The sockets.
    pub net: NetOptions,
    /// The write-ahead log.
    pub storage: StorageOptions,
    /// The bounds of the broker.
    pub limits: Limits,
    /// The cluster this node is a member of; without it, it holds everything itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterOptions>,
}

/// `durability`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DurabilityOption {
    /// On disk before the acknowledgement.
    #[default]
    Sync,
    /// Written in the background.
    Async,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogOptions {
    /// The least important lines still written.
    pub level: LogLevel,
    /// The shape of a line.
    pub format: LogFormat,
}

/// `log.level`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What ends the broker.
    Error,
    /// What somebody should look at.
    Warn,
    /// Starts, stops, refusals.
    #[default]
    Info,
    /// Every connection and every message that was not delivered.
    Debug,
    /// Every write.
    Trace,
}

/// `log.format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `[auth]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthOptions {
    /// Passwords checked at the same time.
    pub checks_at_once_max: u16,
    /// Passwords waiting to be checked.
    pub checks_waiting_max: u32,
}

/// `[net]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetOptions {
    /// How long a connection that is being closed may take to accept its last bytes.
    pub close_timeout_ms: u32,
    /// How long a shutdown may take.
    pub shutdown_timeout_ms: u32,
}

/// `[storage]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorageOptions {
    /// The size of one file of the log.
    pub segment_bytes: u64,
    /// Bytes of records after which a snapshot is taken.
    pub snapshot_log_bytes: u64,
    /// How long a write nobody waits for may stay unsynced.
    pub sync_delay_max_ms: u32,
    /// Bytes that wait for the disk before clients are no longer read.
    pub queue_bytes_max: u64,
}

impl Config {
    /// Refuses what makes no sense together, or is not safe.
    ///
    /// # Errors
    /// Names the key and says what to do.
    pub fn check(&self) -> Result<(), Complaint> {
        check::check(self)
    }
}

impl From<DurabilityOption> for Durability {
    fn from(option: DurabilityOption) -> Self {
        match option {
            DurabilityOption::Sync => Durability::Sync,
            DurabilityOption::Async => Durability::Async,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: vec![
                SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1883),
                SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 1883),
            ],
            data: PathBuf::from("./quorate-data"),
            durability: DurabilityOption::Sync,
            sys_interval_s: 10,
            allow_anonymous: false,
            password_file: None,
            acl: Vec::new(),
            log: LogOptions::default(),
            auth: AuthOptions::default(),
            net: NetOptions::default(),
            storage: StorageOptions::default(),
            limits: Limits::default(),
            cluster: None,
        }
    }
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions { level: LogLevel::Info, format: LogFormat::Text }
    }
}

impl Default for AuthOptions {
    fn default() -> Self {
        AuthOptions { checks_at_once_max: 2, checks_waiting_max: 1_000 }
    }
}

impl Default for NetOptions {
    fn default() -> Self {
        NetOptions { close_timeout_ms: 5_000, shutdown_timeout_ms: 10_000 }
    }
}

impl Default for StorageOptions {
    fn default() -> Self {
        StorageOptions {
            segment_bytes: 16 << 20,
            snapshot_log_bytes: 256 << 20,
            sync_delay_max_ms: 200,
            queue_bytes_max: 64 << 20,
        }
    }
}
