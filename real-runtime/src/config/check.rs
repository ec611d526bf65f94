//! Values that make no sense together, or are not safe.

use super::Config;
use super::cluster;
use super::file::Complaint;
use broker_core::codec::PACKET_BYTES_MAX;
use broker_core::session::feed::INFLIGHT_MOST;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

/// A CONNECT with the longest client identifier that every broker must take fits easily. \[MQTT-3.1.3-5\]
const PACKET_BYTES_LEAST: u64 = 128;
const SEGMENT_BYTES_LEAST: u64 = 64 << 10;
const SEGMENT_BYTES_MOST: u64 = 4 << 30;
/// Each takes 19 MiB and a thread.
const CHECKS_AT_ONCE_MOST: u64 = 1_024;

/// Refuses what makes no sense together, or is not safe.
pub(super) fn check(config: &Config) -> Result<(), Complaint> {
    check_listen(config)?;
    check_limits(config)?;
    cluster::check(config)?;
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

pub(super) fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

fn check_limits(config: &Config) -> Result<(), Complaint> {
    let (limits, auth, storage) = (&config.limits, &config.auth, &config.storage);
    let at_least_one = [
        ("limits.receive_max", u64::from(limits.receive_max)),
        ("limits.queue_messages_max", u64::from(limits.queue_messages_max)),
        ("limits.subscriptions_max", u64::from(limits.subscriptions_max)),
        ("limits.topic_levels_max", u64::from(limits.topic_levels_max)),
        ("limits.topic_bytes_max", u64::from(limits.topic_bytes_max)),
        ("limits.connections_max", u64::from(limits.connections_max)),
        ("limits.sessions_max", u64::from(limits.sessions_max)),
        ("limits.connect_timeout_ms", u64::from(limits.connect_timeout_ms)),
        ("auth.checks_waiting_max", u64::from(auth.checks_waiting_max)),
        // Without any time, no refusal would reach its client.
        ("net.close_timeout_ms", u64::from(config.net.close_timeout_ms)),
        ("storage.snapshot_log_bytes", storage.snapshot_log_bytes),
        ("storage.queue_bytes_max", storage.queue_bytes_max),
        ("storage.sync_delay_max_ms", u64::from(storage.sync_delay_max_ms)),
    ];
    for (key, value) in at_least_one {
        within(key, value, 1..=u64::MAX)?;
    }
    let packet_bytes = u64::from(limits.packet_bytes_max);
    within("limits.packet_bytes_max", packet_bytes, PACKET_BYTES_LEAST..=u64::from(PACKET_BYTES_MAX))?;
    within("limits.inflight_max", u64::from(limits.inflight_max), 1..=u64::from(INFLIGHT_MOST))?;
    // MQTT 3.1.1 lets every client choose an identifier of 23 bytes. [MQTT-3.1.3-5]
    within("limits.client_id_bytes_max", u64::from(limits.client_id_bytes_max), 23..=u64::from(u16::MAX))?;
    // A message that no outbox can take would block its session for ever, and one that no queue can take would be
    // acknowledged and never delivered.
    within(
        "limits.outbox_bytes_max",
        u64::from(limits.outbox_bytes_max),
        packet_bytes..=u64::from(u32::MAX),
    )?;
    within("limits.queue_bytes_max", limits.queue_bytes_max, packet_bytes..=u64::MAX)?;
    within("auth.checks_at_once_max", u64::from(auth.checks_at_once_max), 1..=CHECKS_AT_ONCE_MOST)?;
    within("storage.segment_bytes", storage.segment_bytes, SEGMENT_BYTES_LEAST..=SEGMENT_BYTES_MOST)
}

pub(super) fn within(key: &str, value: u64, bounds: RangeInclusive<u64>) -> Result<(), Complaint> {
    if bounds.contains(&value) {
        return Ok(());
    }
    let (least, most) = bounds.into_inner();
    let remedy = match most {
        u64::MAX => format!("set it to {least} or more"),
        most => format!("set it to something from {least} to {most}"),
    };
    Err(complaint(key, format!("`{key}` cannot be {value}; {remedy}")))
}

pub(super) fn complaint(key: &str, sentence: String) -> Complaint {
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

    /// A configuration in which `key`, a number, is `value`, and what it is measured against leaves it room.
    fn with(key: &str, value: u64) -> Config {
        let (section, name) = key.split_once('.').expect("a section and a name");
        let mut text = format!("[{section}]\n{name} = {value}\n");
        if name == "packet_bytes_max" {
            text += "outbox_bytes_max = 4294967295\nqueue_bytes_max = 4294967295\n";
        }
        toml::from_str(&text).expect("a number of the option's type")
    }

    #[test]
    fn a_value_outside_the_bounds_is_refused_by_name_and_never_replaced_by_another() {
        let packet = u64::from(Config::default().limits.packet_bytes_max);
        // The key, the least and the most that is accepted; `None` where the type says it.
        let bounds = [
            ("limits.packet_bytes_max", 128, Some(268_435_460)),
            ("limits.receive_max", 1, None),
            ("limits.inflight_max", 1, Some(16_383)),
            ("limits.queue_messages_max", 1, None),
            ("limits.queue_bytes_max", packet, None),
            ("limits.outbox_bytes_max", packet, None),
            ("limits.subscriptions_max", 1, None),
            ("limits.topic_levels_max", 1, None),
            ("limits.topic_bytes_max", 1, None),
            ("limits.connections_max", 1, None),
            ("limits.sessions_max", 1, None),
            ("limits.connect_timeout_ms", 1, None),
            ("limits.client_id_bytes_max", 23, None),
            ("auth.checks_at_once_max", 1, Some(1_024)),
            ("auth.checks_waiting_max", 1, None),
            ("net.close_timeout_ms", 1, None),
            ("storage.segment_bytes", 65_536, Some(4_294_967_296)),
            ("storage.snapshot_log_bytes", 1, None),
            ("storage.sync_delay_max_ms", 1, None),
            ("storage.queue_bytes_max", 1, None),
        ];
        let refusal = |key, value: u64| check(&with(key, value)).err().map(|complaint| complaint.sentence);
        for (key, least, most) in bounds {
            assert_eq!(refusal(key, least), None);
            let sentence = refusal(key, least - 1).expect("less than the least");
            assert!(
                sentence.starts_with(&format!("`{key}` cannot be {}; set it to ", least - 1)),
                "{sentence}"
            );
            if let Some(most) = most {
                assert_eq!(refusal(key, most), None);
                let sentence = refusal(key, most + 1).expect("more than the most");
                assert!(sentence.ends_with(&format!("from {least} to {most}")), "{sentence}");
            }
        }
    }

    #[test]
    fn what_has_no_bounds_takes_nothing_and_everything() {
        let free = [
            ("limits.retained_messages_max", u64::from(u32::MAX)),
            ("limits.retained_bytes_max", i64::MAX as u64),
            ("limits.topic_alias_max", u64::from(u16::MAX)),
            ("limits.topic_alias_out_max", u64::from(u16::MAX)),
            ("limits.session_expiry_max_s", u64::from(u32::MAX)),
            ("limits.keep_alive_max_s", u64::from(u16::MAX)),
            ("net.shutdown_timeout_ms", u64::from(u32::MAX)),
        ];
        for (key, most) in free {
            assert_eq!(check(&with(key, 0)), Ok(()), "{key}");
            assert_eq!(check(&with(key, most)), Ok(()), "{key}");
        }
    }

    #[test]
    fn a_filter_that_is_none_is_refused_with_the_rule_it_breaks() {
        let text = "[[acl]]\naccess = \"allow\"\naction = \"all\"\nfilter = \"a/#/b\"\n";
        let config: Config = toml::from_str(text).expect("well-formed");
        let failure = check(&config).expect_err("'#' in the middle");
        assert!(failure.sentence.contains("[[acl]] number 1"), "{}", failure.sentence);
    }
}
