"""paho-mqtt as a client that waits for answers instead of for callbacks. Every wait is bounded."""

import queue
import socket
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

LIMIT_S = 20
FOREVER = 0xFFFFFFFF


def properties(packet, **values):
    """Properties of a packet, such as `properties(PacketTypes.PUBLISH, ContentType="text/plain")`."""
    made = Properties(packet)
    for name, value in values.items():
        setattr(made, name, value)
    return made


class Broker:
    """Where the broker is, and the version of the protocol to speak."""

    def __init__(self, host, port, version, case):
        self.host, self.port, self.version, self.case = host, port, version, case
        self.links = []

    @property
    def v5(self):
        return self.version == 5

    def name(self, suffix):
        """A topic or client identifier that no other case uses."""
        return f"v{self.version}/{self.case}/{suffix}"

    def link(self, client_id="", **options):
        """A connection that was accepted."""
        link = Link(self, client_id, **options)
        self.links.append(link)
        link.connect()
        assert link.connack.code == 0, f"CONNACK says {link.connack.code:#04x}"
        return link

    def silent_link(self, **options):
        """A connection that was accepted, and after which the client does nothing at all."""
        link = Link(self, **options)
        link.connect(loop=False)
        return link

    def close(self):
        """Leaves with all links."""
        for link in self.links:
            link.client.disconnect()
            link.client.loop_stop()


class Link:
    """One connection. A new one with the same client identifier remembers nothing of this one."""

    def __init__(self, broker, client_id="", persistent=False, will=None, manual_ack=False, keep_alive=60, connect=None):
        self.broker, self.persistent, self.keep_alive = broker, persistent, keep_alive
        connect = dict(connect or {})
        options = {"client_id": client_id, "manual_ack": manual_ack, "reconnect_on_failure": False}
        if broker.v5:
            options["protocol"] = mqtt.MQTTv5
            if persistent:
                connect.setdefault("SessionExpiryInterval", FOREVER)
        else:
            options["protocol"] = mqtt.MQTTv311
            options["clean_session"] = not persistent
        self.connect_properties = properties(PacketTypes.CONNECT, **connect) if broker.v5 else None
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, **options)
        if will:
            self.client.will_set(**will)
        self.messages, self.connacks, self.ends = queue.Queue(), queue.Queue(), queue.Queue()
        self.answers, self.answered = {}, threading.Condition()
        self.client.on_connect = lambda _c, _u, flags, code, props: self.connacks.put((flags, code, props))
        self.client.on_disconnect = lambda _c, _u, flags, _r, _p: self.ends.put(self._reason_of_end(flags))
        self.client.on_message = lambda _c, _u, message: self.messages.put(message)
        self.client.on_publish = lambda _c, _u, mid, code, _p: self._answer(("publish", mid), code.value)
        self.client.on_subscribe = lambda _c, _u, mid, codes, _p: self._answer(
            ("subscribe", mid), [code.value for code in codes]
        )
        self.client.on_unsubscribe = lambda _c, _u, mid, codes, _p: self._answer(
            ("unsubscribe", mid), [code.value for code in codes]
        )

    def connect(self, loop=True):
        """Sends CONNECT; waits for CONNACK unless `loop` is False, where nothing is read or kept alive afterwards."""
        options = {"clean_start": not self.persistent, "properties": self.connect_properties} if self.broker.v5 else {}
        self.client.connect(self.broker.host, self.broker.port, keepalive=self.keep_alive, **options)
        if loop:
            self.client.loop_start()
        else:
            while self.connacks.empty():
                assert self.client.loop(timeout=LIMIT_S) == mqtt.MQTT_ERR_SUCCESS
        flags, self.connack_code, self.connack_properties = self.connacks.get(timeout=LIMIT_S)
        self.session_present = flags.session_present

    @property
    def connack(self):
        """The reason code of CONNACK, as `.code`, and its properties."""
        return Connack(self.connack_code.value, self.connack_properties)

    def publish(self, topic, payload="m", qos=0, retain=False, **values):
        """Publishes, waits for the last acknowledgement, and returns its reason code."""
        props = properties(PacketTypes.PUBLISH, **values) if values else None
        sent = self.client.publish(topic, payload, qos=qos, retain=retain, properties=props)
        assert sent.rc == mqtt.MQTT_ERR_SUCCESS, mqtt.error_string(sent.rc)
        return self._wait(("publish", sent.mid))

    def subscribe(self, *filters, subscription_id=None):
        """Subscribes to pairs of filter and QoS (or SubscribeOptions), and returns the reason codes."""
        if self.broker.v5:
            filters = [(name, o if isinstance(o, SubscribeOptions) else SubscribeOptions(qos=o)) for name, o in filters]
        props = None
        if subscription_id is not None:
            props = properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=subscription_id)
        result, mid = self.client.subscribe(list(filters), properties=props)
        assert result == mqtt.MQTT_ERR_SUCCESS, mqtt.error_string(result)
        return self._wait(("subscribe", mid))

    def unsubscribe(self, *filters):
        """Unsubscribes, and returns the reason codes."""
        result, mid = self.client.unsubscribe(list(filters))
        assert result == mqtt.MQTT_ERR_SUCCESS, mqtt.error_string(result)
        return self._wait(("unsubscribe", mid))

    def next(self):
        """The next message."""
        return self.messages.get(timeout=LIMIT_S)

    def until(self, payload):
        """The messages before the one with `payload`."""
        found = []
        while (message := self.next()).payload != payload:
            found.append(message)
        return found

    def end(self):
        """Waits until the broker ends the connection; its reason code, or None where it sent none."""
        return self.ends.get(timeout=LIMIT_S)

    def die(self):
        """Closes the socket without a DISCONNECT."""
        self.client.socket().shutdown(socket.SHUT_RDWR)
        self.end()
        self.client.loop_stop()

    def leave(self, code=None, **values):
        """Leaves with a DISCONNECT."""
        props = properties(PacketTypes.DISCONNECT, **values) if values else None
        self.client.disconnect(reasoncode=code, properties=props)
        self.end()
        self.client.loop_stop()

    def _reason_of_end(self, flags):
        if not flags.is_disconnect_packet_from_server:
            return None
        # paho-mqtt 2.1 tells the reason only where properties follow it, so it is read from the packet.
        packet = self.client._in_packet["packet"]
        return packet[0] if packet else 0x00

    def _answer(self, key, value):
        with self.answered:
            self.answers[key] = value
            self.answered.notify_all()

    def _wait(self, key):
        with self.answered:
            assert self.answered.wait_for(lambda: key in self.answers, timeout=LIMIT_S), f"no answer to {key[0]}"
            return self.answers.pop(key)


class Connack:
    """What the broker answered to CONNECT."""

    def __init__(self, code, values):
        self.code, self.values = code, values

    def get(self, name):
        """The property `name`, or None."""
        return getattr(self.values, name, None)
