//! One machine: the same entries give the same bytes, a snapshot changes nothing, and all parts of the state agree with each other
//! after every entry.

use broker_core::codec::packet::{PublishProperties, QoS, RetainHandling, SubscriptionOptions};
use broker_core::face::Durability;
use broker_core::ids::{Epoch, Lsn, PacketId, Position, ShardId};
use broker_core::message::Message;
use broker_core::replication::local::{LocalGroup, decode};
use broker_core::shard::entry::{Expected, OldConnection, Will};
use broker_core::shard::{
    Attach, Attachment, Detach, Effect, Entry, Machine, Op, Publish, QueueLimits, Step, Verdict,
};
use broker_core::time::{Duration, Instant, WallTime};
use broker_core::topic::{TopicFilter, TopicName};
use bytes::Bytes;
use bytestring::ByteString;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::rc::Rc;

const CLIENTS: [&str; 4] = ["a", "b", "c", "d"];
const TOPICS: [&str; 4] = ["t", "t/1", "u", "$s"];
const FILTERS: [&str; 7] = ["t", "t/#", "#", "+/1", "$share/g/t/#", "$share/h/#", "$share/g/u"];

/// What happens next; numbers are made to fit what exists when it happens.
#[derive(Clone, Debug)]
enum Act {
    Attach {
        client: usize,
        clean_start: bool,
        expiry_s: u32,
        window: u16,
        will: Option<(u32, bool)>,
        old: u8,
    },
    Detach {
        client: usize,
        expiry_s: Option<u32>,
        discard_will: bool,
        sent: u64,
        grace_ms: u32,
    },
    Publish {
        client: usize,
        topic: usize,
        qos: QoS,
        retain: bool,
        bytes: usize,
        expiry_s: Option<u32>,
        id: u16,
    },
    Release {
        client: usize,
        id: u16,
    },
    Subscribe {
        client: usize,
        filters: Vec<(usize, SubscriptionOptions)>,
        id: Option<u32>,
    },
    Unsubscribe {
        client: usize,
        filter: usize,
    },
    Progress {
        client: usize,
        steps: Vec<(u64, bool)>,
    },
    Boot {
        queue_messages_max: u32,
    },
    Tick,
}

fn qos() -> impl Strategy<Value = QoS> {
    prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)]
}

fn options() -> impl Strategy<Value = SubscriptionOptions> {
    let handling =
        prop_oneof![Just(RetainHandling::Always), Just(RetainHandling::IfNew), Just(RetainHandling::Never)];
    (qos(), any::<bool>(), any::<bool>(), handling).prop_map(
        |(qos, no_local, retain_as_published, retain_handling)| SubscriptionOptions {
            qos,
            no_local,
            retain_as_published,
            retain_handling,
        },
    )
}

fn expiry() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), 1..30_u32, Just(u32::MAX)]
}

fn act() -> impl Strategy<Value = Act> {
    let client = 0..CLIENTS.len();
    let will = proptest::option::of((0..20_u32, any::<bool>()));
    let attach = (client.clone(), any::<bool>(), expiry(), 1..6_u16, will, 0..3_u8).prop_map(
        |(client, clean_start, expiry_s, window, will, old)| Act::Attach {
            client,
            clean_start: clean_start && window == 1,
            expiry_s,
            window,
            will,
            old,
        },
    );
    let grace_ms = prop_oneof![Just(0_u32), 1..9_000_u32];
    let detach = (client.clone(), proptest::option::of(expiry()), any::<bool>(), 0..9_u64, grace_ms)
        .prop_map(|(client, expiry_s, discard_will, sent, grace_ms)| Act::Detach {
            client,
            expiry_s,
            discard_will,
            sent,
            grace_ms,
        });
    let size = prop_oneof![Just(0_usize), 1..40_usize];
    let publish = (
        client.clone(),
        0..TOPICS.len(),
        qos(),
        any::<bool>(),
        size,
        proptest::option::of(1..20_u32),
        0..5_u16,
    )
        .prop_map(|(client, topic, qos, retain, bytes, expiry_s, id)| Act::Publish {
            client,
            topic,
            qos,
            retain,
            bytes,
            expiry_s,
            id,
        });
    let release = (client.clone(), 1..5_u16).prop_map(|(client, id)| Act::Release { client, id });
    let filters = proptest::collection::vec((0..FILTERS.len(), options()), 1..4);
    let subscribe = (client.clone(), filters, proptest::option::of(1..9_u32))
        .prop_map(|(client, filters, id)| Act::Subscribe { client, filters, id });
    let unsubscribe =
        (client.clone(), 0..FILTERS.len()).prop_map(|(client, filter)| Act::Unsubscribe { client, filter });
    let steps = proptest::collection::vec((0..9_u64, any::<bool>()), 1..5);
    let progress = (client, steps).prop_map(|(client, steps)| Act::Progress { client, steps });
    prop_oneof![
        4 => attach,
        2 => detach,
        8 => publish,
        2 => release,
        4 => subscribe,
        1 => unsubscribe,
        5 => progress,
        1 => (1..6_u32).prop_map(|queue_messages_max| Act::Boot { queue_messages_max }),
        1 => Just(Act::Tick),
    ]
}

/// Acts, how many milliseconds after the one before, and whether they come by an older connection.
fn run() -> impl Strategy<Value = (Vec<(Act, u64, bool)>, usize)> {
    let acts = proptest::collection::vec((act(), 0..4_000_u64, proptest::bool::weighted(0.05)), 1..80);
    (acts, 0..80_usize)
}

fn topic(text: &'static str) -> TopicName {
    TopicName::parse(ByteString::from_static(text)).expect("valid")
}

fn filter(text: &'static str) -> TopicFilter {
    TopicFilter::parse(&ByteString::from_static(text)).expect("valid")
}

fn attachment(machine: &Machine, client: usize, stale: bool) -> Option<Attachment> {
    let mut attachment = machine.session_of(CLIENTS[client])?.attachment();
    if stale {
        attachment.epoch = Epoch(attachment.epoch.0.checked_sub(1)?);
    }
    Some(attachment)
}

fn position(machine: &Machine, client: usize, ahead: u64) -> Option<Position> {
    let session = machine.session_of(CLIENTS[client])?.incarnation;
    let base = machine.participant(session).map(|held| held.queue.base()).unwrap_or_default();
    Some(Position(base.0 + ahead))
}

/// The entry that does `act` in this state; `None` where nobody could propose it.
fn op(machine: &Machine, act: &Act, stale: bool) -> Option<Op> {
    Some(match *act {
        Act::Attach { client, clean_start, expiry_s, window, will, old } => {
            let held = attachment(machine, client, false);
            let will = will.map(|(delay_s, retain)| Will {
                delay_s,
                expiry_s: None,
                message: message(client, 0, QoS::AtLeastOnce, retain, 5, None),
            });
            let old = match (old, held) {
                (0, Some(held)) => {
                    OldConnection::Sent(held, vec![(ShardId(0), position(machine, client, 2)?)])
                }
                (1, _) => OldConnection::Silent,
                _ => OldConnection::Unknown,
            };
            let client_id = ByteString::from_static(CLIENTS[client]);
            Op::Attach(Box::new(Attach {
                client_id,
                clean_start,
                expiry_s,
                window,
                will,
                old,
                expected: Expected::Anything,
            }))
        }
        Act::Detach { client, expiry_s, discard_will, sent, grace_ms } => {
            let session = attachment(machine, client, stale)?;
            // Session code refuses to give an expiry to a session without one. [MQTT-3.14.2-2]
            let expiry_s =
                expiry_s.filter(|_| machine.session_of(CLIENTS[client]).is_some_and(|s| s.expiry_s > 0));
            Op::Detach(Detach {
                session,
                expiry_s,
                discard_will,
                sent: vec![(ShardId(0), position(machine, client, sent)?)],
                grace_ms,
            })
        }
        Act::Publish { client, topic, qos, retain, bytes, expiry_s, id } => {
            let session = attachment(machine, client, stale)?;
            let durable = machine.session_of(CLIENTS[client])?.durable;
            let at = machine.time();
            let expires_at = expiry_s.map(|seconds| at + Duration::from_secs(u64::from(seconds)));
            Op::Publish(Publish {
                session,
                inbound: PacketId::new(id).filter(|_| durable && qos == QoS::ExactlyOnce),
                message: Rc::new(message(client, topic, qos, retain, bytes, expires_at)),
            })
        }
        Act::Release { client, id } => {
            Op::Release { session: attachment(machine, client, stale)?, id: PacketId::new(id)? }
        }
        Act::Subscribe { client, ref filters, id } => {
            let session = attachment(machine, client, stale)?;
            let durable = machine.session_of(CLIENTS[client])?.durable;
            let asked = filters.iter().map(|(at, options)| (filter(FILTERS[*at]), *options));
            let filters = asked.filter(|(filter, _)| durable || filter.share().is_some()).collect();
            Op::Subscribe { session, subscription_id: id, filters }
        }
        Act::Unsubscribe { client, filter: at } => {
            let session = attachment(machine, client, stale)?;
            Op::Unsubscribe { session, filters: vec![filter(FILTERS[at])] }
        }
        Act::Progress { client, ref steps } => {
            let base = position(machine, client, 0)?;
            let step = |(ahead, received): &(u64, bool)| {
                (Position(base.0 + ahead), if *received { Step::Received } else { Step::Done })
            };
            let session = attachment(machine, client, stale)?;
            Op::Progress { session, steps: steps.iter().map(step).collect() }
        }
        Act::Boot { queue_messages_max } => Op::Boot(limits(queue_messages_max)),
        Act::Tick => Op::Tick,
    })
}

fn limits(queue_messages_max: u32) -> QueueLimits {
    QueueLimits {
        queue_messages_max,
        queue_bytes_max: 150,
        subscriptions_max: 4,
        sessions_max: 3,
        retained_messages_max: 2,
        retained_bytes_max: 60,
    }
}

fn message(
    client: usize,
    at: usize,
    qos: QoS,
    retain: bool,
    bytes: usize,
    expires_at: Option<WallTime>,
) -> Message {
    Message {
        topic: topic(TOPICS[at]),
        payload: Bytes::from(vec![b'x'; bytes]),
        qos,
        retain,
        properties: PublishProperties::default(),
        publisher: ByteString::from_static(CLIENTS[client]),
        expires_at,
    }
}

/// Entries as they were written to disk and read again.
fn through_the_log(group: &mut LocalGroup<()>, entry: &Entry) -> Entry {
    group.propose(entry.clone(), (), true);
    let write = group.take_write(Instant::ZERO).expect("a record");
    let read = decode(&write.records[0]).expect("what was written can be read");
    assert_eq!(read, *entry);
    read
}

/// Where each durable session's queue ends.
fn tails(machine: &Machine) -> BTreeMap<ByteString, u64> {
    let durable = machine.sessions().filter(|record| record.durable);
    let tail = |session| machine.participant(session).map_or(0, |held| held.queue.tail().0);
    durable.map(|record| (record.client_id.clone(), tail(record.incarnation))).collect()
}

/// The sessions that must get a message of this entry, by their own subscriptions and with QoS 1 or 2.
fn wanted_by(machine: &Machine, publish: &Publish) -> Vec<ByteString> {
    let message = &publish.message;
    let hears = |record: &&broker_core::shard::session::SessionRecord| {
        record.subscriptions.iter().any(|(filter, subscription)| {
            let own = subscription.options.no_local && record.client_id == message.publisher;
            filter.share().is_none()
                && filter.matches(&message.topic)
                && !own
                && subscription.options.qos.min(message.qos) > QoS::AtMostOnce
        })
    };
    machine.sessions().filter(hears).map(|record| record.client_id.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_snapshot_at_any_entry_changes_nothing_and_every_part_agrees((acts, snapshot_at) in run()) {
        let mut group = LocalGroup::new(Durability::Sync, Lsn(0), 0, Instant::ZERO);
        let (mut live, mut entries) = (Machine::sole(), Vec::new());
        let mut restored: Option<Machine> = None;
        let mut wall = WallTime::from_millis(1_000);
        let first = (Act::Boot { queue_messages_max: 3 }, 0, false);
        for (at, (act, pause_ms, stale)) in std::iter::once(&first).chain(&acts).enumerate() {
            wall = wall + Duration::from_millis(*pause_ms);
            let Some(op) = op(&live, act, *stale) else { continue };
            let entry = through_the_log(&mut group, &Entry { at: wall, stamp: None, op });
            let quiet = live.next_due().is_none_or(|due| due > wall);
            let before = tails(&live);
            let wanted = match &entry.op {
                Op::Publish(publish) if quiet => wanted_by(&live, publish),
                _ => Vec::new(),
            };
            let mut effects = Vec::new();
            let verdict = live.apply(&entry, &mut effects);
            live.check();
            if matches!(verdict, Verdict::Accepted { .. }) {
                for client in &wanted {
                    let queued = tails(&live)[client] > before[client];
                    let dropped = effects.iter().any(|effect| {
                        matches!(effect, Effect::Dropped { client_id: Some(id), .. } if id == client)
                    });
                    prop_assert!(queued || dropped, "{client} has no message and no reason");
                }
            }
            if matches!(verdict, Verdict::Fenced) && quiet {
                prop_assert!(effects.is_empty(), "what is fenced changes nothing");
                prop_assert_eq!(&before, &tails(&live));
            }
            if let Some(restored) = &mut restored {
                let mut again = Vec::new();
                prop_assert_eq!(restored.apply(&entry, &mut again), verdict);
                prop_assert_eq!(again, effects);
                restored.check();
            } else if at >= snapshot_at {
                let copy = Machine::restore_sole(&live.snapshot()).expect("a snapshot can be read");
                copy.check();
                prop_assert_eq!(copy.snapshot(), live.snapshot());
                restored = Some(copy);
            }
            entries.push(entry);
        }
        let mut replayed = Machine::sole();
        for entry in &entries {
            replayed.apply(entry, &mut Vec::new());
        }
        prop_assert_eq!(replayed.snapshot(), live.snapshot());
        if let Some(restored) = restored {
            prop_assert_eq!(restored.snapshot(), live.snapshot());
        }
    }
}
