//! All integration tests, in one binary.

mod cluster;
mod cluster_kill9;
mod codec_fuzz;
mod codec_hostile;
mod codec_oracles;
mod codec_roundtrip;
mod dev;
mod disks_agree;
mod kill9;
mod members;
mod real_clients;
mod real_clients_paho;
mod tidy;
