"""What only version 5.0 can say."""

import time

from paho.mqtt.reasoncodes import ReasonCode

from link import FOREVER, PacketTypes, SubscribeOptions, properties


def connack_tells_what_the_broker_can_do(broker):
    connack = broker.link().connack
    assert connack.get("ReceiveMaximum") is None or connack.get("ReceiveMaximum") > 0
    assert connack.get("MaximumPacketSize") >= 1024
    assert connack.get("TopicAliasMaximum") > 0
    for name in ("RetainAvailable", "WildcardSubscriptionAvailable", "SubscriptionIdentifierAvailable"):
        assert connack.get(name) in (None, 1), name
    assert connack.get("SharedSubscriptionAvailable") in (None, 1)


def an_empty_client_id_is_assigned(broker):
    first, second = broker.link(persistent=True), broker.link()
    names = [link.connack.get("AssignedClientIdentifier") for link in (first, second)]
    assert all(names) and names[0] != names[1], names
    first.die()
    assert broker.link(names[0], persistent=True).session_present, "the session is found by the name"
    assert broker.link(broker.name("own")).connack.get("AssignedClientIdentifier") is None


def reason_codes_say_what_happened(broker):
    link = broker.link()
    assert link.publish(broker.name("nobody"), "m", 1) in (0x00, 0x10)
    assert link.unsubscribe(broker.name("never")) == [0x11]
    assert link.subscribe(("$share//t", 0), (broker.name("t"), 1)) == [0x8F, 1]
    assert link.publish(broker.name("t"), "m", 2) == 0x00
    assert link.unsubscribe(broker.name("t")) == [0x00]


def receive_maximum_bounds_what_is_in_flight(broker):
    link = broker.link(manual_ack=True, connect={"ReceiveMaximum": 2})
    topic = broker.name("t")
    link.subscribe((topic, 2))
    publisher = broker.link()
    for number in range(5):
        publisher.publish(topic, str(number), 1)
    first, second = link.next(), link.next()
    publisher.publish(topic, "quick", 0)
    # The answer follows whatever the broker had sent before.
    link.subscribe((broker.name("fence"), 0))
    link.publish(broker.name("fence"), "fence", 0)
    early = link.until(b"fence")
    assert all(message.qos == 0 for message in early), "only QoS 0 may pass a full window"
    link.client.ack(first.mid, 1)
    third = link.next()
    link.client.ack(second.mid, 1)
    link.client.ack(third.mid, 1)
    rest = [third] + [message for message in (link.next(), link.next()) if message.qos]
    assert [message.payload for message in rest] == [b"2", b"3", b"4"], rest


def subscription_identifiers_name_each_subscription_that_matched(broker):
    link = broker.link()
    topic = broker.name("a/b")
    link.subscribe((broker.name("a/+"), 1), subscription_id=1)
    link.subscribe((broker.name("#"), 1), subscription_id=268435455)
    link.subscribe((broker.name("other"), 1), subscription_id=3)
    link.publish(topic, "m", 1)
    link.publish(broker.name("x"), "fence", 1)
    found = [n for message in link.until(b"fence") for n in message.properties.SubscriptionIdentifier]
    assert sorted(found) == [1, 268435455], found


def retain_handling_chooses_when_retained_messages_come(broker):
    link = broker.link()
    topic = broker.name("kept")
    link.publish(topic, "kept", 1, retain=True)

    def comes(handling):
        link.subscribe((topic, SubscribeOptions(qos=1, retainHandling=handling)))
        link.publish(topic, "fence", 1)
        return [message.payload for message in link.until(b"fence")] == [b"kept"]

    assert not comes(SubscribeOptions.RETAIN_DO_NOT_SEND)
    assert not comes(SubscribeOptions.RETAIN_SEND_IF_NEW_SUB), "the subscription exists"
    assert comes(SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE)
    link.unsubscribe(topic)
    assert comes(SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)


def retain_as_published_keeps_the_flag(broker):
    plain, kept = broker.link(), broker.link()
    topic = broker.name("t")
    plain.subscribe((topic, 1))
    kept.subscribe((topic, SubscribeOptions(qos=1, retainAsPublished=True)))
    for retain in (True, False):
        plain.publish(topic, "m", 1, retain=retain)
        assert (plain.next().retain, kept.next().retain) == (False, retain)


def no_local_keeps_own_messages_away(broker):
    own, other = broker.link(), broker.link()
    topic = broker.name("t")
    own.subscribe((topic, SubscribeOptions(qos=1, noLocal=True)))
    own.publish(topic, "mine", 1)
    other.publish(topic, "fence", 1)
    assert own.until(b"fence") == []


def no_local_on_a_shared_subscription_is_a_protocol_error(broker):
    link = broker.link()
    link.client.subscribe([("$share/g/" + broker.name("t"), SubscribeOptions(qos=1, noLocal=True))])
    assert link.end() == 0x82


def a_session_lasts_as_long_as_it_was_granted(broker):
    client_id = broker.name("id")

    def present(**connect):
        link = broker.link(client_id, persistent=True, connect=connect)
        return link, link.session_present

    first, found = present(SessionExpiryInterval=0)
    assert not found
    first.leave()
    second, found = present(SessionExpiryInterval=1)
    assert not found, "an expiry of 0 ends the session with its connection"
    second.leave()
    # The condition is the passing of time itself: the session's expiry, and what clocks are rounded by.
    time.sleep(2.5)
    third, found = present(SessionExpiryInterval=FOREVER)
    assert not found, "it expired"
    third.leave(SessionExpiryInterval=60)
    fourth, found = present(SessionExpiryInterval=60)
    assert found
    fourth.leave(SessionExpiryInterval=0)
    fifth, found = present(SessionExpiryInterval=0)
    assert not found, "DISCONNECT set its expiry to 0"
    fifth.client.disconnect(properties=properties(PacketTypes.DISCONNECT, SessionExpiryInterval=60))


def a_will_waits_for_its_delay_and_a_new_connection_cancels_it(broker):
    client_id, topic = broker.name("id"), broker.name("will")
    witness = broker.link()
    witness.subscribe((topic, 1))
    will = {
        "topic": topic,
        "payload": "gone",
        "qos": 1,
        "properties": properties(
            PacketTypes.WILLMESSAGE, WillDelayInterval=1, UserProperty=[("a", "1"), ("a", "2")], ContentType="text/plain"
        ),
    }
    broker.link(client_id, persistent=True, will=will).die()
    back = broker.link(client_id, persistent=True, will=will)
    assert back.session_present
    # The condition is the passing of time itself: more than the delay.
    time.sleep(1.8)
    witness.publish(topic, "fence", 1)
    assert witness.until(b"fence") == [], "it was back in time"
    began = time.monotonic()
    back.die()
    message = witness.next()
    assert time.monotonic() - began > 0.9
    assert message.payload == b"gone" and message.properties.ContentType == "text/plain"
    assert message.properties.UserProperty == [("a", "1"), ("a", "2")]


def a_disconnect_with_will_sends_it(broker):
    topic = broker.name("will")
    witness = broker.link()
    witness.subscribe((topic, 1))
    link = broker.link(will={"topic": topic, "payload": "asked for", "qos": 1})
    link.leave(ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message"))
    assert witness.next().payload == b"asked for"


def a_message_tells_the_rest_of_its_life(broker):
    client_id, topic = broker.name("id"), broker.name("t")
    away = broker.link(client_id, persistent=True)
    away.subscribe((topic, 1))
    away.leave(SessionExpiryInterval=FOREVER)
    publisher = broker.link()
    publisher.publish(topic, "short", 1, MessageExpiryInterval=1)
    publisher.publish(topic, "long", 1, MessageExpiryInterval=100)
    # The condition is the passing of time itself.
    time.sleep(2.2)
    message = broker.link(client_id, persistent=True).next()
    assert message.payload == b"long", "the other one expired"
    assert 90 <= message.properties.MessageExpiryInterval <= 98, message.properties


def a_request_is_answered_where_it_says(broker):
    asker, worker = broker.link(), broker.link()
    requests, answers = broker.name("requests"), broker.name("answers")
    worker.subscribe((requests, 1))
    asker.subscribe((answers, 1))
    user = [("z", "1"), ("a", "2"), ("z", "1")]
    asker.publish(
        requests, "6 * 7", 1, ResponseTopic=answers, CorrelationData=b"\x00\x07", UserProperty=user, PayloadFormatIndicator=1
    )
    request = worker.next().properties
    assert request.UserProperty == user, "in order, and each as often as it was sent"
    assert request.PayloadFormatIndicator == 1
    worker.publish(request.ResponseTopic, "42", 1, CorrelationData=request.CorrelationData)
    answer = asker.next()
    assert (answer.payload, answer.properties.CorrelationData) == (b"42", b"\x00\x07")


def an_alias_stands_for_its_topic(broker):
    link = broker.link()
    topics = [broker.name("a"), broker.name("b")]
    link.subscribe((broker.name("#"), 1))
    for topic in topics:
        link.publish(topic, "set", 1, TopicAlias=1)
        link.publish("", "used", 1, TopicAlias=1)
        assert [(message.topic, message.payload) for message in (link.next(), link.next())] == [
            (topic, b"set"),
            (topic, b"used"),
        ]


def an_alias_out_of_range_or_unknown_ends_the_connection(broker):
    link = broker.link()
    beyond = link.connack.get("TopicAliasMaximum") + 1
    link.client.publish(broker.name("t"), "m", properties=properties(PacketTypes.PUBLISH, TopicAlias=beyond))
    assert link.end() == 0x94
    link = broker.link()
    link.client.publish("", "m", properties=properties(PacketTypes.PUBLISH, TopicAlias=1))
    assert link.end() in (0x82, 0x94)


def a_packet_above_the_maximum_ends_the_connection(broker):
    link = broker.link()
    size = link.connack.get("MaximumPacketSize")
    link.client.publish(broker.name("t"), b"x" * size, qos=1)
    assert link.end() == 0x95


def a_message_too_large_for_its_subscriber_is_left_out(broker):
    small = broker.link(connect={"MaximumPacketSize": 200})
    topic = broker.name("t")
    small.subscribe((topic, 1))
    publisher = broker.link()
    publisher.publish(topic, b"x" * 500, 1)
    publisher.publish(topic, "fits", 1)
    assert small.next().payload == b"fits"


def lengthening_a_session_that_had_no_expiry_is_a_protocol_error(broker):
    link = broker.link()
    link.client.disconnect(properties=properties(PacketTypes.DISCONNECT, SessionExpiryInterval=60))
    link.end()
    client_id = broker.name("id")
    link = broker.link(client_id, connect={"SessionExpiryInterval": 0})
    link.leave(SessionExpiryInterval=60)
    assert not broker.link(client_id, persistent=True).session_present


CASES = [case for case in list(globals().values()) if callable(case) and getattr(case, "__module__", "") == __name__]
