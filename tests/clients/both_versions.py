"""What holds for both versions of the protocol."""

import time


def a_message_keeps_its_bytes(broker):
    link = broker.link()
    topic = broker.name("ü/€/\U0001f980")
    assert link.subscribe((topic, 2)) == [2]
    for payload in (b"", b"\x00\xff\x00", "€".encode(), bytes(range(256)) * 200):
        for qos in (0, 1, 2):
            link.publish(topic, payload, qos)
            message = link.next()
            assert (message.topic, message.payload, message.qos) == (topic, payload, qos), message


def suback_answers_each_filter_in_order(broker):
    link = broker.link()
    granted = link.subscribe((broker.name("a"), 2), (broker.name("b"), 0), (broker.name("c"), 1))
    assert granted == [2, 0, 1], granted


def messages_of_one_qos_arrive_in_order(broker):
    publisher, subscriber = broker.link(), broker.link()
    topic, count = broker.name("t"), 200
    subscriber.subscribe((topic, 2))
    sent = [publisher.client.publish(topic, f"{n % 3} {n}", qos=n % 3) for n in range(count)]
    for info in sent:
        info.wait_for_publish(timeout=20)
    numbers = {0: [], 1: [], 2: []}
    for _ in range(count):
        qos, number = subscriber.next().payload.split()
        numbers[int(qos)].append(int(number))
    for qos, found in numbers.items():
        assert found == list(range(qos, count, 3)), f"QoS {qos}: {found}"


def a_session_that_persists_is_present_and_a_clean_start_ends_it(broker):
    client_id, topic = broker.name("id"), broker.name("t")
    first = broker.link(client_id, persistent=True)
    assert not first.session_present
    first.subscribe((topic, 1))
    first.leave()
    second = broker.link(client_id, persistent=True)
    assert second.session_present
    second.publish(topic, "still subscribed", 1)
    assert second.next().payload == b"still subscribed"
    second.leave()
    clean = broker.link(client_id)
    assert not clean.session_present
    clean.leave()
    last = broker.link(client_id, persistent=True)
    assert not last.session_present, "the clean start ended the session, and its own ended with its connection"
    last.publish(topic, "nobody hears", 1)
    last.subscribe((topic, 1))
    last.publish(topic, "fence", 1)
    assert last.until(b"fence") == []


def an_unacknowledged_message_comes_again_with_dup(broker):
    client_id, topic = broker.name("id"), broker.name("t")
    first = broker.link(client_id, persistent=True, manual_ack=True)
    first.subscribe((topic, 1))
    publisher = broker.link()
    for payload in ("one", "two"):
        publisher.publish(topic, payload, 1)
    before = [first.next(), first.next()]
    assert [message.dup for message in before] == [False, False]
    first.client.ack(before[0].mid, 1)
    # The answer to this follows the acknowledgement through the same socket.
    first.subscribe((broker.name("fence"), 0))
    first.die()
    second = broker.link(client_id, persistent=True)
    assert second.session_present
    again = second.next()
    assert (again.payload, again.dup, again.mid) == (b"two", True, before[1].mid), "only what was not acknowledged"
    publisher.publish(topic, "fence", 1)
    assert second.until(b"fence") == []


def a_message_that_was_released_does_not_come_again(broker):
    client_id, topic = broker.name("id"), broker.name("t")
    # manual_ack of QoS 2 withholds PUBCOMP: the message was released, and the broker does not know that it arrived.
    first = broker.link(client_id, persistent=True, manual_ack=True)
    first.subscribe((topic, 2))
    publisher = broker.link()
    publisher.publish(topic, "once", 2)
    assert first.next().payload == b"once"
    first.die()
    second = broker.link(client_id, persistent=True)
    assert second.session_present
    publisher.publish(topic, "fence", 2)
    assert second.until(b"fence") == []


def a_second_connection_takes_the_session_over(broker):
    client_id, topic = broker.name("id"), broker.name("t")
    first = broker.link(client_id, persistent=True)
    first.subscribe((topic, 1))
    second = broker.link(client_id, persistent=True)
    reason = first.end()
    assert reason == (0x8E if broker.v5 else None), reason
    assert second.session_present
    second.publish(topic, "mine", 1)
    assert second.next().payload == b"mine"


def unsubscribing_ends_delivery(broker):
    link = broker.link()
    gone, kept = broker.name("gone"), broker.name("kept")
    link.subscribe((gone, 1), (kept, 1))
    link.unsubscribe(gone)
    link.publish(gone, "unheard", 1)
    link.publish(kept, "fence", 1)
    assert link.until(b"fence") == []


def a_subscription_made_again_replaces_and_brings_retained_again(broker):
    link = broker.link()
    topic = broker.name("t")
    link.publish(topic, "kept", 1, retain=True)
    for qos in (0, 1):
        assert link.subscribe((topic, qos)) == [qos]
        message = link.next()
        assert (message.payload, message.qos, message.retain) == (b"kept", qos, True), message
    link.publish(topic, "live", 1)
    link.publish(topic, "fence", 1)
    assert [message.payload for message in link.until(b"fence")] == [b"live"], "there is one subscription"


def overlapping_subscriptions_deliver_with_the_greatest_qos(broker):
    link = broker.link()
    topic = broker.name("a/b")
    link.subscribe((broker.name("a/+"), 0), (broker.name("#"), 2), (topic, 1))
    link.publish(topic, "m", 2)
    link.publish(broker.name("x"), "fence", 2)
    assert 2 in [message.qos for message in link.until(b"fence")]


def a_silent_client_is_closed_and_its_will_sent(broker):
    topic = broker.name("will")
    witness = broker.link()
    witness.subscribe((topic, 1))
    silent = broker.silent_link(keep_alive=1, will={"topic": topic, "payload": "silent", "qos": 1, "retain": True})
    began = time.monotonic()
    message = witness.next()
    assert (message.payload, message.retain) == (b"silent", False), message
    took = time.monotonic() - began
    assert took > 1.2, f"closed after {took:.1f} s, but one and a half of its keep alive is 1.5 s"
    late = broker.link()
    late.subscribe((topic, 1))
    assert late.next().retain, "the will was to be retained"
    silent.client.socket().close()


def a_client_that_pings_stays(broker):
    link = broker.link(keep_alive=1)
    # The condition is the passing of time itself: more than one and a half of the keep alive.
    time.sleep(2.5)
    assert link.ends.empty()
    topic = broker.name("t")
    link.subscribe((topic, 0))
    link.publish(topic, "here")
    assert link.next().payload == b"here"


CASES = [case for case in list(globals().values()) if callable(case)]
