"""The consumer's messages: each gives its slot back, is put back, or is taken, also where Redis forgot or is full."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from kombu import Consumer, Queue  # type: ignore[attr-defined]

from tests.proxy import Proxy
from tests.workers.stored import messages
from workers.consumer import QoS, with_our_channels
from workers.jobs import celery_app
from workers.jobs.job import Lane
from workers.jobs.lanes import QUEUES
from workers.jobs.store import Store


def channel_with_a_message(proxy: Proxy, store: Store) -> tuple[Any, Any, list[Any]]:
    """A consumer's channel with one slot, as the worker has it, and the message that is in it."""
    app = celery_app.make_app(proxy.url, job_timeout_s=10)
    app.conf.broker_transport_options["socket_timeout"] = 1
    celery_app.send(app, Lane.BULK)
    connection: Any = with_our_channels(app.connection_for_read())
    channel: Any = connection.default_channel
    channel.basic_qos(0, 1, False)
    taken: list[Any] = []
    consumer: Any = Consumer(channel, [Queue(QUEUES[Lane.BULK])], on_message=taken.append, accept=["json"])  # type: ignore[no-untyped-call]
    consumer.consume()
    connection.drain_events(timeout=10)
    assert not channel.qos.can_consume()
    assert isinstance(channel.qos, QoS)
    app.close()
    return connection, channel, taken


def test_an_acknowledgement_on_a_forgotten_connection_gives_the_slot_back(store: Store, proxy: Proxy) -> None:
    connection, channel, (message,) = channel_with_a_message(proxy, store)
    proxy.forget(reset=True)
    message.ack()
    assert channel.qos.can_consume()
    connection.release()


def test_a_message_that_cannot_be_put_back_gives_its_slot_back(store: Store, proxy: Proxy) -> None:
    connection, channel, (message,) = channel_with_a_message(proxy, store)
    proxy.forget()
    with pytest.raises(redis.RedisError):
        message.requeue()
    assert channel.qos.can_consume()
    connection.release()


def test_a_message_in_hand_is_put_back_where_the_consumer_ends(store: Store, proxy: Proxy) -> None:
    connection, _, _ = channel_with_a_message(proxy, store)
    assert messages(store) == 0
    connection.release()
    assert messages(store) == 1


def test_messages_are_taken_while_redis_is_out_of_memory(store: Store, proxy: Proxy) -> None:
    connection, _, (message,) = channel_with_a_message(proxy, store)
    message.ack()
    celery_app.send(celery_app.make_app(proxy.url, job_timeout_s=10), Lane.BULK)
    store.client.config_set("maxmemory", 1)
    try:
        connection.drain_events(timeout=10)
    finally:
        store.client.config_set("maxmemory", 0)
    assert messages(store) == 0
    connection.release()
