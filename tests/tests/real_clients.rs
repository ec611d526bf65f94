//! mosquitto_pub and mosquitto_sub work with the broker as they do with their own.

use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::Duration;
use tempfile::tempdir;
use tests::broker::Broker;
use tests::clients::{Subscriber, VERSIONS, have_mosquitto, leave_session, publish};

/// Runs `story` for both versions of the protocol against one broker, if mosquitto's clients are here.
fn with_both_versions(story: impl Fn(&Broker, &str)) {
    if !have_mosquitto() {
        return;
    }
    let data = tempdir().expect("there is room for a folder");
    let broker = Broker::start(data.path());
    for version in VERSIONS {
        story(&broker, version);
    }
}

#[test]
fn a_message_arrives_with_the_lower_of_both_qos() {
    with_both_versions(|broker, version| {
        for subscribed in ["0", "1", "2"] {
            let topic = format!("{version}/qos/{subscribed}");
            let mut subscriber = Subscriber::start(broker, version, &["-t", &topic, "-q", subscribed]);
            for published in ["0", "1", "2"] {
                publish(broker, version, &["-t", &topic, "-q", published, "-m", "hello"]);
                let expected = format!("{topic} {} 0 hello", subscribed.min(published));
                assert_eq!(subscriber.next_message(), expected, "{version}: published with QoS {published}");
            }
        }
    });
}

#[test]
fn a_message_crosses_from_one_version_to_the_other() {
    with_both_versions(|broker, version| {
        let other = VERSIONS.into_iter().find(|other| *other != version).expect("there are two");
        let mut subscriber = Subscriber::start(broker, version, &["-t", "cross", "-q", "2"]);
        publish(broker, other, &["-t", "cross", "-q", "2", "-m", "over"]);
        assert_eq!(subscriber.next_message(), "cross 2 0 over");
    });
}

#[test]
fn a_retained_message_waits_for_subscribers_until_it_is_cleared() {
    with_both_versions(|broker, version| {
        let (topic, other) = (format!("{version}/retained/a"), format!("{version}/retained/b"));
        let all = format!("{version}/retained/#");
        publish(broker, version, &["-t", &topic, "-q", "1", "-r", "-m", "old"]);
        publish(broker, version, &["-t", &topic, "-q", "1", "-r", "-m", "kept"]);
        publish(broker, version, &["-t", &other, "-q", "1", "-r", "-m", "too"]);

        let mut subscriber = Subscriber::start(broker, version, &["-t", &all, "-q", "1"]);
        let found = BTreeSet::from([subscriber.next_message(), subscriber.next_message()]);
        assert_eq!(found, BTreeSet::from([format!("{topic} 1 1 kept"), format!("{other} 1 1 too")]));
        // To a subscription that exists it comes as any other message. [MQTT-3.3.1-9]
        publish(broker, version, &["-t", &topic, "-q", "1", "-r", "-m", "live"]);
        assert_eq!(subscriber.next_message(), format!("{topic} 1 0 live"));

        publish(broker, version, &["-t", &topic, "-q", "1", "-r", "-n"]);
        let mut late = Subscriber::start(broker, version, &["-t", &all, "-q", "1"]);
        assert_eq!(late.next_message(), format!("{other} 1 1 too"), "the cleared topic has nothing");
        publish(broker, version, &["-t", &topic, "-m", "end"]);
        assert_eq!(late.next_message(), format!("{topic} 0 0 end"), "and nothing came in between");
    });
}

#[test]
fn wildcards_match_as_the_norm_says() {
    with_both_versions(|broker, version| {
        let hears =
            |filter: &str| Subscriber::start(broker, version, &["-t", filter, "-t", "end", "-q", "1"]);
        let root = format!("{version}/w");
        let mut one_level = hears(&format!("{root}/+/x"));
        let mut below = hears(&format!("{root}/#"));
        let mut everything = hears("#");
        let all = [root.clone(), format!("{root}/a/x"), format!("{root}/a/y"), format!("{root}//x")];
        for topic in &all {
            publish(broker, version, &["-t", &format!("$hidden/{topic}"), "-q", "1", "-m", "m"]);
            publish(broker, version, &["-t", topic, "-q", "1", "-m", "m"]);
        }
        publish(broker, version, &["-t", "end", "-q", "1", "-m", "m"]);

        let topics = |subscriber: &mut Subscriber| -> Vec<String> {
            let messages = std::iter::repeat_with(|| subscriber.next_message());
            messages
                .map_while(|message| message.strip_suffix(" 1 0 m").map(str::to_owned))
                .take_while(|topic| topic != "end")
                .collect()
        };
        assert_eq!(topics(&mut one_level), [format!("{root}/a/x"), format!("{root}//x")]);
        assert_eq!(topics(&mut below), all);
        assert_eq!(topics(&mut everything), all, "'#' does not match '$hidden/...'");
    });
}

#[test]
fn a_persistent_session_gets_what_came_while_it_was_away() {
    with_both_versions(|broker, version| {
        let (id, topic) = (format!("{version}-away"), format!("{version}/away"));
        let session = ["-i", &id, "-t", &topic, "-q", "2"];
        leave_session(broker, version, &session);
        for (qos, number) in [("1", "1"), ("2", "2"), ("1", "3"), ("2", "4")] {
            publish(broker, version, &["-t", &topic, "-q", qos, "-m", number]);
        }
        let resumed = [&session[..], &["-c"]].concat();
        let mut subscriber = Subscriber::start(broker, version, &resumed);
        let found: Vec<String> = (0..4).map(|_| subscriber.next_message()).collect();
        // The client shows a message of QoS 2 at its PUBREL, so the two kinds overtake each other.
        for (qos, numbers) in [("1", ["1", "3"]), ("2", ["2", "4"])] {
            let expected = numbers.map(|number| format!("{topic} {qos} 0 {number}"));
            let of_qos = found.iter().filter(|message| message.starts_with(&format!("{topic} {qos} ")));
            assert!(of_qos.eq(&expected), "{version}: {found:?}");
        }
        subscriber.kill_9();

        // What was acknowledged does not come again.
        publish(broker, version, &["-t", &topic, "-q", "1", "-m", "5"]);
        assert_eq!(Subscriber::start(broker, version, &resumed).next_message(), format!("{topic} 1 0 5"));
    });
}

#[test]
fn a_will_is_sent_for_a_client_that_dies_and_not_for_one_that_leaves() {
    with_both_versions(|broker, version| {
        let topic = format!("{version}/will");
        let mut witness = Subscriber::start(broker, version, &["-t", &topic, "-q", "2"]);
        let will = ["-t", "unused", "--will-topic", &topic, "--will-qos", "2", "--will-payload"];
        leave_session(broker, version, &[&will[..], &["left", "-i", "leaver"]].concat());
        Subscriber::start(broker, version, &[&will[..], &["died"]].concat()).kill_9();
        assert_eq!(witness.next_message(), format!("{topic} 2 0 died"));
    });
}

#[test]
fn a_shared_subscription_gives_each_message_to_one_member() {
    with_both_versions(|broker, version| {
        let member = |name: &str| {
            let end = format!("{version}/end");
            Subscriber::start(
                broker,
                version,
                &[
                    "-i",
                    &format!("{version}-{name}"),
                    "-q",
                    "1",
                    "-t",
                    &format!("$share/g/{version}/jobs/+"),
                    "-t",
                    &end,
                ],
            )
        };
        let mut members = [member("a"), member("b")];
        let count = 20;
        for number in 0..count {
            publish(broker, version, &["-t", &format!("{version}/jobs/{number}"), "-q", "1", "-m", "job"]);
        }
        publish(broker, version, &["-t", &format!("{version}/end"), "-q", "1", "-m", "end"]);

        let mut jobs = Vec::new();
        for member in &mut members {
            let before = jobs.len();
            let own = std::iter::repeat_with(|| member.next_message())
                .take_while(|message| !message.ends_with("end"));
            jobs.extend(own);
            assert!(jobs.len() > before, "{version}: every member has work");
        }
        assert_eq!(jobs.len(), count, "{version}: no job twice");
        assert_eq!(jobs.into_iter().collect::<BTreeSet<_>>().len(), count, "{version}: no job lost");
    });
}

#[test]
fn properties_of_version_5_reach_the_subscriber() {
    if !have_mosquitto() {
        return;
    }
    let data = tempdir().expect("there is room for a folder");
    let broker = Broker::start(data.path());
    let format = "%t|%p|%R|%D|%C|%F|%E|%P";
    let mut subscriber =
        Subscriber::start_with_format(&broker, "mqttv5", format, &["-t", "props", "-q", "1"]);
    let properties = [
        ["user-property", "first 1", "x"],
        ["response-topic", "answers", ""],
        ["correlation-data", "c-7", ""],
        ["content-type", "text/plain", ""],
        ["payload-format-indicator", "1", ""],
        ["message-expiry-interval", "1000", ""],
    ];
    let mut arguments = vec!["-t", "props", "-q", "1", "-m", "hello"];
    for [name, value, second] in properties {
        arguments.extend(["-D", "publish", name, value]);
        arguments.extend((!second.is_empty()).then_some(second));
    }
    publish(&broker, "mqttv5", &arguments);
    let message = subscriber.next_message();
    let fields: Vec<&str> = message.split('|').collect();
    assert_eq!(fields[..6], ["props", "hello", "answers", "c-7", "text/plain", "1"], "{message}");
    let expiry: u32 = fields[6].parse().expect("the rest of the expiry interval");
    assert!((990..=1000).contains(&expiry), "{message}");
    assert_eq!(fields[7], "first 1:x", "{message}");
}

#[test]
fn a_topic_alias_stands_for_the_topic_of_an_earlier_message() {
    if !have_mosquitto() {
        return;
    }
    let data = tempdir().expect("there is room for a folder");
    let broker = Broker::start(data.path());
    let mut subscriber = Subscriber::start(&broker, "mqttv5", &["-t", "aliased", "-q", "1"]);
    let alias = ["-D", "publish", "topic-alias", "3"];
    let arguments = [&["-t", "aliased", "-q", "1", "-m", "again", "--repeat", "3"][..], &alias].concat();
    publish(&broker, "mqttv5", &arguments);
    for _ in 0..3 {
        assert_eq!(subscriber.next_message(), "aliased 1 0 again");
    }
}

#[test]
fn a_message_that_expired_while_its_subscriber_was_away_is_not_delivered() {
    if !have_mosquitto() {
        return;
    }
    let data = tempdir().expect("there is room for a folder");
    let broker = Broker::start(data.path());
    let session = ["-i", "sleeper", "-t", "expiring", "-q", "1"];
    leave_session(&broker, "mqttv5", &session);
    let expiry = ["-D", "publish", "message-expiry-interval", "1"];
    publish(&broker, "mqttv5", &[&["-t", "expiring", "-q", "1", "-m", "short"][..], &expiry].concat());
    publish(&broker, "mqttv5", &["-t", "expiring", "-q", "1", "-m", "long"]);
    // The condition is the passing of time itself.
    thread::sleep(Duration::from_millis(2_100));
    let mut subscriber = Subscriber::start(&broker, "mqttv5", &[&session[..], &["-c"]].concat());
    assert_eq!(subscriber.next_message(), "expiring 1 0 long");
}

#[test]
fn a_payload_that_fills_the_largest_packet_arrives_whole() {
    with_both_versions(|broker, version| {
        let topic = "big";
        // The fixed header, the topic, the packet identifier, and the length of no properties in version 5.
        let around = 4 + 2 + topic.len() + 2 + usize::from(version == "mqttv5");
        let payload = vec![b'x'; (1 << 20) - around];
        let folder = tempdir().expect("there is room for a folder");
        let file = folder.path().join("payload");
        fs::write(&file, &payload).expect("the folder is writable");
        let mut subscriber =
            Subscriber::start_with_format(broker, version, "%t %l", &["-t", topic, "-q", "1"]);
        publish(broker, version, &["-t", topic, "-q", "1", "-f", &file.to_string_lossy()]);
        assert_eq!(subscriber.next_message(), format!("{topic} {}", payload.len()));
    });
}
