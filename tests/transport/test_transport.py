"""The transport alone: fetching, acknowledging, restoring."""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from kombu import Connection, Consumer, Producer, Queue

from poolwise.transport import redis_transport
from tests.helpers.pace import becomes, eventually
from tests.transport.conftest import Broker

TRANSPORT = "poolwise.transport.redis_transport:Transport"


class Client:
    """A connection with our transport, its received messages, and helpers."""

    def __init__(self, broker: Broker, **options: Any) -> None:
        host = {"hostname": "127.0.0.1", "port": broker.port, "virtual_host": "0"}
        self.connection = Connection(transport=TRANSPORT, transport_options=options, **host)
        self.messages: list[Any] = []

    def send(self, queue: str, *bodies: object, **options: Any) -> None:
        producer = Producer(self.connection.default_channel)
        for body in bodies:
            producer.publish(body, routing_key=queue, declare=[Queue(queue)], serializer="json", **options)

    def consume(self, *queues: str, prefetch: int = 0, **options: Any) -> Consumer:
        channel = self.connection.default_channel
        channel.basic_qos(prefetch_count=prefetch)
        consumer = Consumer(channel, [Queue(queue) for queue in queues], accept=["json"], **options)
        consumer.register_callback(lambda body, message: self.messages.append(message))
        consumer.consume()
        return consumer

    def drain(self, seconds: float = 0.3) -> list[Any]:
        """Handle events for that time; return the bodies received so far."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            with suppress(socket.timeout):
                self.connection.drain_events(timeout=left)
        return [message.payload for message in self.messages]


@pytest.fixture
def client(broker: Broker) -> Iterator[Client]:
    client = Client(broker)
    yield client
    client.connection.close()


@pytest.fixture
def other(broker: Broker) -> Iterator[Client]:
    """A second consumer, which takes messages whose lease was not renewed for a second."""
    client = Client(broker, visibility_timeout=1)
    yield client
    client.connection.close()


def test_a_fetch_whose_reply_is_never_read_loses_nothing(client: Client, broker: Broker) -> None:
    client.consume("q", prefetch=2)
    client.send("q", 1, 2, 3)
    client.connection.transport.cycle.on_poll_start()  # as if killed here: sent, never read
    becomes(lambda: broker.client.llen("q"), 1)
    assert broker.client.hlen("unacked") == broker.client.zcard("unacked_index") == 2


def test_messages_arrive_in_order_and_up_to_the_prefetch_count(client: Client, broker: Broker) -> None:
    client.send("q", *range(10))
    client.consume("q", prefetch=4)
    assert client.drain() == [0, 1, 2, 3]
    for message in client.messages:
        message.ack()
    assert client.drain() == list(range(8))
    assert broker.client.hlen("unacked") == 4


def test_a_fetch_waits_until_it_may_bring_enough_messages(client: Client) -> None:
    client.send("q", *range(10))
    client.consume("q", prefetch=4)
    client.connection.default_channel.qos.least_room = 3
    assert client.drain() == [0, 1, 2, 3]
    for message in client.messages[:2]:
        message.ack()
    assert client.drain() == [0, 1, 2, 3]
    client.messages[2].ack()
    assert client.drain() == list(range(7))


def test_acknowledgements_are_sent_when_nothing_else_happens(client: Client, broker: Broker) -> None:
    client.send("q", *range(3))
    client.consume("q", prefetch=9)
    client.drain()
    for message in client.messages:
        message.ack()
    client.drain(0.1)
    assert broker.is_settled


def test_acknowledgements_are_sent_at_close(client: Client, broker: Broker) -> None:
    client.send("q", 1)
    client.consume("q", prefetch=1)
    client.drain()
    client.messages[0].ack()
    client.connection.close()
    assert broker.is_settled
    assert not broker.client.llen("q")


def test_closing_puts_back_reserved_messages_in_order(client: Client, other: Client, broker: Broker) -> None:
    client.send("q", *range(5))
    client.consume("q", prefetch=3)
    client.drain()
    client.connection.close()
    other.consume("q", prefetch=9)
    assert other.drain() == list(range(5))
    assert [bool(message.headers.get("redelivered")) for message in other.messages] == [True] * 3 + [
        False
    ] * 2


def test_busy_queues_take_turns(client: Client) -> None:
    client.send("a", *["a"] * 40)
    client.send("b", *["b"] * 10)
    client.consume("a", "b", prefetch=20)
    assert sorted(client.drain()) == ["a"] * 10 + ["b"] * 10


def test_every_queue_wakes_an_idle_consumer(client: Client, other: Client) -> None:
    client.consume("a", "b", "c", prefetch=9)
    client.drain(0.1)
    for queue in "abc":
        other.send(queue, queue)
    assert sorted(client.drain(1.0)) == ["a", "b", "c"]


def test_higher_priority_steps_come_first_if_configured(broker: Broker) -> None:
    client = Client(broker, priority_steps=[0, 5])
    client.send("q", "late", priority=9)
    client.send("q", "soon", priority=0)
    client.consume("q", prefetch=9)
    assert client.drain() == ["soon", "late"]
    client.connection.close()


def test_a_consumer_without_acknowledgement_leaves_no_trace(client: Client, broker: Broker) -> None:
    client.send("q", 1, 2)
    client.consume("q", no_ack=True)
    assert client.drain() == [1, 2]
    assert broker.is_settled


def test_a_key_prefix_applies_to_every_key(broker: Broker) -> None:
    client = Client(broker, global_keyprefix="here:")
    client.send("q", 1, 2)
    client.consume("q", prefetch=9)
    assert client.drain() == [1, 2]
    client.messages[0].ack()
    client.drain(0.1)
    assert broker.client.hlen("here:unacked") == 1
    client.connection.close()
    assert all(key.startswith(b"here:") for key in broker.client.scan_iter())
    assert broker.client.llen("here:q") == 1


def test_an_entry_that_is_not_a_message_is_dropped(client: Client, broker: Broker) -> None:
    client.send("q", 1)
    broker.client.rpush("q", "{not json", '{"properties": {}}', "[" * 2000)
    client.consume("q", prefetch=9)
    assert client.drain() == [1]
    assert broker.client.hlen("unacked") == 1


def test_overdue_messages_come_back_once(client: Client, other: Client, broker: Broker) -> None:
    client.send("q", 1)
    client.consume("q", prefetch=1)
    client.drain()
    other.consume("q", prefetch=9)
    assert other.drain(0.4) == []
    assert other.drain(0.9) == [1]
    assert other.messages[0].headers["redelivered"] is True
    client.connection.default_channel.do_restore = False  # the first consumer is considered dead


def test_a_renewed_message_stays_reserved(client: Client, other: Client) -> None:
    client.send("q", 1)
    client.consume("q", prefetch=1)
    client.drain()
    other.consume("q", prefetch=9)
    unacked = other.connection.default_channel.unacked
    for _ in range(6):
        unacked.renew([client.messages[0].delivery_tag, "unknown"])
        assert other.drain(0.3) == []
    assert unacked.client.zcard("unacked_index") == 1


def test_the_fetch_goes_on_after_redis_forgot_the_script(client: Client, broker: Broker) -> None:
    client.consume("q", prefetch=9)
    client.drain(0.1)
    broker.client.script_flush()
    client.send("q", 1)
    assert client.drain(2.0) == [1]


def test_a_full_redis_delivers_messages_and_is_not_polled_in_a_busy_loop(
    client: Client, broker: Broker
) -> None:
    client.send("q", 1)
    client.consume("q", prefetch=9)
    broker.client.config_set("maxmemory", "1")
    assert client.drain(0.5) == [1]
    client.connection.default_channel.unacked.renew([client.messages[0].delivery_tag])
    before = broker.client.info("commandstats")["cmdstat_evalsha"]["calls"]
    client.drain(0.5)
    assert broker.client.info("commandstats")["cmdstat_evalsha"]["calls"] - before < 5
    broker.client.config_set("maxmemory", "0")


def test_a_consumer_that_starts_while_redis_is_full_gets_its_messages(
    client: Client, other: Client, broker: Broker
) -> None:
    client.send("q", 1, 2)
    broker.client.config_set("maxmemory", "1")
    other.consume("q", prefetch=9)
    assert other.drain(0.5) == [1, 2]
    broker.client.config_set("maxmemory", "0")


def test_a_redis_that_refuses_every_write_does_not_end_its_consumer(client: Client, broker: Broker) -> None:
    client.consume("q", prefetch=9)
    client.send("q", 1)
    broker.client.config_set("min-replicas-to-write", "1")  # as when the disk of its append-only file is full
    client.connection.default_channel.qos._next_sweep_at = 0.0  # the search for orphans is due
    assert client.drain(0.5) == []
    broker.client.config_set("min-replicas-to-write", "0")
    eventually(lambda: client.drain(0.3) == [1])


def test_rejecting_puts_a_message_at_the_end_of_its_queue_or_drops_it(client: Client, broker: Broker) -> None:
    client.send("q", 1, 2, 3)
    client.consume("q", prefetch=1)
    client.drain()
    client.messages[0].reject(requeue=True)
    client.drain()
    client.messages[1].reject()
    client.drain()
    client.messages[2].ack()
    assert client.drain() == [1, 2, 3, 1]


def test_only_redis_addresses_use_this_transport() -> None:
    redis_transport.install()
    assert Connection("redis://host/0").transport_cls is not None
    assert Connection("redis://host/0").get_transport_cls() is redis_transport.Transport
    assert (
        Connection("rediss://host/0?ssl_cert_reqs=CERT_NONE").get_transport_cls() is redis_transport.Transport
    )
    assert Connection("redis+socket:///run/redis.sock").get_transport_cls() is redis_transport.Transport
    assert Connection("sentinel://host:26379/0").get_transport_cls() is redis_transport.SentinelTransport
    assert not issubclass(Connection("amqp://host//").get_transport_cls(), redis_transport.Transport)


def test_a_unix_socket_works(broker: Broker) -> None:
    path = broker.client.config_get("dir")["dir"] + "/redis.sock"
    broker.stop()
    broker.command += ["--unixsocket", path]
    broker.start()
    redis_transport.install()
    with Connection("redis+socket://" + path) as connection:
        queue = connection.SimpleQueue("q")
        queue.put("over the socket")
        message = queue.get(timeout=2)
        message.ack()
        queue.close()
    assert message.payload == "over the socket"
