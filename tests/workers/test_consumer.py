"""The consumer's messages: each gives its slot back, is put back, or is taken, also where Redis forgot or is full."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from celery.worker import state
from kombu import Consumer, Queue  # type: ignore[attr-defined]

from tests.proxy import Proxy
from tests.workers.stored import messages
from workers.consumer import LaneConsumer, QoS, in_hand, with_our_channels
from workers.jobs import celery_app
from workers.jobs.job import Lane
from workers.jobs.lanes import FORMER_QUEUE, QUEUES, intakes
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


class Request:
    """A job of a child, as Celery's worker keeps it until it has ended."""

    def __init__(self, queue: str) -> None:
        self.delivery_info = {"routing_key": queue}


def test_each_lane_takes_what_it_has_places_for_whatever_the_other_has_in_hand(store: Store, redis_url: str) -> None:
    app = celery_app.make_app(redis_url, job_timeout_s=10)
    for lane in Lane:
        for _ in range(4):
            celery_app.send(app, lane)
    connection: Any = with_our_channels(app.connection_for_read())
    kept: list[Request] = []

    def keep(message: Any) -> None:
        kept.append(Request(message.delivery_info["routing_key"]))
        state.reserved_requests.add(kept[-1])

    queues = [Queue(name) for name in (*QUEUES.values(), FORMER_QUEUE)]  # type: ignore[no-untyped-call]
    both = intakes(2, express_s=2)
    before = QoS.taken.copy()
    consumer = LaneConsumer(both, connection, queues, accept=["json"])
    consumer.on_message = keep
    consumer.consume()
    try:
        for _ in range(5):
            connection.drain_events(timeout=10)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=2)
        assert [in_hand(intake) for intake in both] == [2, 3]
        assert (messages(store, Lane.BULK), messages(store, Lane.EXPRESS)) == (2, 1)
        ended = next(one for one in kept if one.delivery_info["routing_key"] == QUEUES[Lane.EXPRESS])
        state.reserved_requests.discard(ended)
        connection.drain_events(timeout=10)
        assert (messages(store, Lane.BULK), messages(store, Lane.EXPRESS)) == (2, 0)
        assert QoS.taken - before == {QUEUES[Lane.BULK]: 2, QUEUES[Lane.EXPRESS]: 4}
    finally:
        state.reserved_requests.clear()
        consumer.cancel()
        connection.release()
        app.close()


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
