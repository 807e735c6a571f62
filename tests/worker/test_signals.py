"""What a worker does in the processes that its jobs fork."""

import socket
from types import SimpleNamespace

from poolwise.worker import signals


def test_a_forked_process_closes_the_connection_to_rabbitmq_and_sends_nothing() -> None:
    ours, brokers = socket.socketpair()
    transport = SimpleNamespace(sock=ours)
    consumer = SimpleNamespace(connection=SimpleNamespace(connection=transport))
    with ours, brokers:
        brokers.settimeout(5)
        signals._close_broker_connection(consumer)
        assert brokers.recv(1) == b""
        assert ours.fileno() >= 0  # closed later by who has it, without closing another's descriptor


def test_a_worker_without_a_connection_forks_all_the_same() -> None:
    assert signals._close_broker_connection(SimpleNamespace(connection=None)) is None
