"""Celery's consumer on a connection that may be lost at any moment: no message keeps its prefetch slot for ever.

Each lane has a channel of its own, which takes no more messages than the lane has places in this worker, whatever the
other one has in hand. What is left of a message that could not be put back is the store's business: the reaper sends
it again.
"""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from celery.exceptions import CPendingDeprecationWarning
from celery.worker import state
from celery.worker.consumer import Consumer as CeleryConsumer
from kombu.entity import Queue
from kombu.messaging import Consumer as KombuConsumer
from kombu.transport import redis, virtual

from workers.jobs.lanes import Intake
from workers.log import Log

REFUSED_PAUSE_S = 1.0
RETRY_S = 2

log = Log(__name__)


def in_hand(intake: Intake) -> int:
    """Messages out of these queues whose jobs wait for a child or run, also those of a connection that was lost."""
    return sum(request.delivery_info.get("routing_key") in intake.queues for request in state.reserved_requests)


class QoS(virtual.QoS):
    """Counts the messages taken by queue, takes as many as there are places for, and gives back a message's slot
    whether or not the broker can be reached.
    """

    taken: ClassVar[Counter[str]] = Counter()
    intake: Intake | None = None

    def can_consume(self) -> bool:
        has_place = self.intake is None or in_hand(self.intake) < self.intake.places
        return has_place and bool(super().can_consume())  # type: ignore[no-untyped-call]

    def append(self, message: Any, delivery_tag: str) -> None:
        QoS.taken[message.delivery_info["routing_key"]] += 1
        super().append(message, delivery_tag)  # type: ignore[no-untyped-call]

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        try:
            super().reject(delivery_tag, requeue=requeue)  # type: ignore[no-untyped-call]
        finally:
            self._quick_ack(delivery_tag)

    def restore_unacked(self) -> list[Any]:
        """Put back what is in hand; kombu would write what it cannot put back into a file in /tmp."""
        if lost := super().restore_unacked():  # type: ignore[no-untyped-call]
            log.warning("messages could not be put back into the queue", messages=len(lost))
        return []


class Channel(redis.Channel):
    """kombu's, with our QoS, which it would replace by a plain one where nothing is noted in Redis."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self.QoS = QoS  # type: ignore[assignment]


def with_our_channels(connection: Any) -> Any:
    """A connection of kombu's, not yet established, that will make channels of ours."""
    connection.transport.Channel = Channel
    return connection


class LaneConsumer(KombuConsumer):
    """kombu's for the first of these intakes, and one more on a channel of its own for each other."""

    def __init__(self, intakes: Sequence[Intake], channel: Any, queues: Sequence[Queue], **options: Any) -> None:
        def of(intake: Intake) -> list[Queue]:
            return [queue for queue in queues if queue.name in intake.queues]

        first, *others = intakes
        self._others: list[Any] = []
        super().__init__(channel, of(first), **options)  # type: ignore[no-untyped-call]
        for intake in others:
            self._others.append(KombuConsumer(channel.channel(), of(intake), **options))  # type: ignore[no-untyped-call]
        for consumer, intake in zip((self, *self._others), intakes, strict=True):
            consumer.channel.qos.intake = intake

    def consume(self, no_ack: bool | None = None) -> None:
        super().consume(no_ack)  # type: ignore[no-untyped-call]
        for other in self._others:
            other.on_message = self.on_message  # Celery has set it meanwhile
            other.consume(no_ack)

    def cancel(self) -> None:
        super().cancel()  # type: ignore[no-untyped-call]
        for other in self._others:
            other.cancel()

    close = cancel


class Consumer(CeleryConsumer):  # type: ignore[misc]
    """Celery's, with our QoS on each new connection, which it tries to get every RETRY_S at least."""

    def ensure_connected(self, conn: Any) -> Any:
        conn.ensure_connection = partial(conn.ensure_connection, interval_start=1, interval_max=RETRY_S)
        return super().ensure_connected(with_our_channels(conn))

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        with warnings.catch_warnings():  # Celery advises at each loss on a setting that we chose, in seven lines
            warnings.simplefilter("ignore", CPendingDeprecationWarning)
            super().on_connection_error_after_connected(exc)
        if isinstance(exc, self.channel_errors):
            time.sleep(REFUSED_PAUSE_S)  # Redis answers, and refuses: it is full. Again, until it is not
