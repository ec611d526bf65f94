//! Values that make no sense together, or are not safe.

use super::Config;
use super::file::Complaint;
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// The largest packet MQTT can frame: four length bytes, and at most five of fixed header. \[MQTT-2.1.4\]
const PACKET_BYTES_MQTT_MAX: u32 = 268_435_455 + 5;
/// A CONNECT with the longest client identifier that every broker must take fits easily. \[MQTT-3.1.3-5\]
const PACKET_BYTES_LEAST: u32 = 128;
const SEGMENT_BYTES_LEAST: u64 = 64 << 10;
const SEGMENT_BYTES_MOST: u64 = 4 << 30;

/// Refuses what makes no sense together, or is not safe.
pub(super) fn check(config: &Config) -> Result<(), Complaint> {
    check_listen(config)?;
    check_limits(config)?;
    for (index, rule) in config.acl.iter().enumerate() {
        rule.check().map_err(|why| {
            let filter = &rule.filter;
            complaint(
                "acl",
                format!(
                    "the filter `{filter}` of [[acl]] number {} is no topic filter: {why}; correct it",
                    index + 1
                ),
            )
        })?;
    }
    Ok(())
}

fn check_listen(config: &Config) -> Result<(), Complaint> {
    if config.listen.is_empty() {
        let sentence = "`listen` is empty; give at least one address, like \"127.0.0.1:1883\"";
        return Err(complaint("listen", sentence.to_owned()));
    }
    let mut seen = BTreeSet::new();
    // Port 0 is another port each time.
    if let Some(twice) = config.listen.iter().find(|address| address.port() != 0 && !seen.insert(**address)) {
        return Err(complaint("listen", format!("{twice} is listed twice; leave one out")));
    }
    if config.password_file.is_some() || config.allow_anonymous {
        return Ok(());
    }
    match config.listen.iter().find(|address| !is_loopback(address)) {
        None => Ok(()),
        Some(address) => Err(complaint(
            "listen",
            format!(
                "will not listen on {address}, because without a password file everybody who reaches that address \
                 could read and write every message; set `password_file` (see `quorate passwd`), or \
                 `allow_anonymous = true` if that is what you want"
            ),
        )),
    }
}

fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

fn check_limits(config: &Config) -> Result<(), Complaint> {
    let limits = &config.limits;
    let at_least_one = [
        ("limits.receive_max", u64::from(limits.receive_max)),
        ("limits.inflight_max", u64::from(limits.inflight_max)),
        ("limits.topic_levels_max", u64::from(limits.topic_levels_max)),
        ("limits.topic_bytes_max", u64::from(limits.topic_bytes_max)),
        ("limits.connections_max", u64::from(limits.connections_max)),
        ("limits.sessions_max", u64::from(limits.sessions_max)),
        ("limits.connect_timeout_ms", u64::from(limits.connect_timeout_ms)),
        ("auth.checks_at_once_max", u64::from(config.auth.checks_at_once_max)),
        ("auth.checks_waiting_max", u64::from(config.auth.checks_waiting_max)),
        ("storage.snapshot_log_bytes", config.storage.snapshot_log_bytes),
        ("storage.queue_bytes_max", config.storage.queue_bytes_max),
        ("storage.sync_delay_max_ms", u64::from(config.storage.sync_delay_max_ms)),
    ];
    for (key, value) in at_least_one {
        within(key, value, 1, u64::MAX)?;
    }
    within(
        "limits.packet_bytes_max",
        u64::from(limits.packet_bytes_max),
        u64::from(PACKET_BYTES_LEAST),
        u64::from(PACKET_BYTES_MQTT_MAX),
    )?;
    // MQTT 3.1.1 lets every client choose an identifier of 23 bytes. [MQTT-3.1.3-5]
    within("limits.client_id_bytes_max", u64::from(limits.client_id_bytes_max), 23, u64::from(u16::MAX))?;
    // A message that no outbox can take would block its session for ever.
    within(
        "limits.outbox_bytes_max",
        u64::from(limits.outbox_bytes_max),
        u64::from(limits.packet_bytes_max),
        u64::from(u32::MAX),
    )?;
    within("storage.segment_bytes", config.storage.segment_bytes, SEGMENT_BYTES_LEAST, SEGMENT_BYTES_MOST)
}

fn within(key: &str, value: u64, least: u64, most: u64) -> Result<(), Complaint> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let remedy = match most {
        u64::MAX => format!("set it to {least} or more"),
        most => format!("set it to something from {least} to {most}"),
    };
    Err(complaint(key, format!("`{key}` cannot be {value}; {remedy}")))
}

fn complaint(key: &str, sentence: String) -> Complaint {
    Complaint { key: key.to_owned(), sentence }
}

#[cfg(test)]
mod tests {
    use super::{Config, check};
    use std::path::PathBuf;

    fn open_to_all() -> Config {
        Config { listen: vec!["0.0.0.0:1883".parse().expect("an address")], ..Config::default() }
    }

    #[test]
    fn the_default_is_accepted() {
        assert_eq!(check(&Config::default()), Ok(()));
    }

    #[test]
    fn without_authentication_only_loopback_is_served() {
        let failure = check(&open_to_all()).expect_err("open to everybody");
        assert!(failure.sentence.contains("0.0.0.0:1883"), "{}", failure.sentence);
        assert!(failure.sentence.contains("allow_anonymous = true"), "{}", failure.sentence);
        assert_eq!(check(&Config { allow_anonymous: true, ..open_to_all() }), Ok(()));
        assert_eq!(check(&Config { password_file: Some(PathBuf::from("p")), ..open_to_all() }), Ok(()));
        let mapped =
            Config { listen: vec!["[::ffff:127.0.0.1]:0".parse().expect("valid")], ..Config::default() };
        assert_eq!(check(&mapped), Ok(()));
    }

    #[test]
    fn an_address_is_listed_once() {
        let listen = |text: &str| {
            let listen = text.split(' ').map(|address| address.parse().expect("an address")).collect();
            check(&Config { listen, ..Config::default() })
        };
        assert_eq!(listen("127.0.0.1:0 127.0.0.1:0 127.0.0.1:1 [::1]:1"), Ok(()));
        let failure = listen("127.0.0.1:1 127.0.0.1:2 127.0.0.1:1").expect_err("listed twice");
        assert_eq!(failure.sentence, "127.0.0.1:1 is listed twice; leave one out");
    }

    #[test]
    fn a_limit_that_cannot_work_is_refused_by_name() {
        let mut config = Config::default();
        config.limits.receive_max = 0;
        let failure = check(&config).expect_err("Receive Maximum 0 is a protocol error");
        assert!(failure.sentence.contains("`limits.receive_max` cannot be 0"), "{}", failure.sentence);
    }

    #[test]
    fn a_filter_that_is_none_is_refused_with_the_rule_it_breaks() {
        let text = "[[acl]]\naccess = \"allow\"\naction = \"all\"\nfilter = \"a/#/b\"\n";
        let config: Config = toml::from_str(text).expect("well-formed");
        let failure = check(&config).expect_err("'#' in the middle");
        assert!(failure.sentence.contains("[[acl]] number 1"), "{}", failure.sentence);
    }
}
