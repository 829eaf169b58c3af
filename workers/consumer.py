"""Celery's consumer on a connection that may be lost at any moment: no message keeps its prefetch slot for ever.

What is left of a message that could not be put back is the store's business: the reaper sends it again.
"""

from __future__ import annotations

import time
import warnings
from functools import partial
from typing import Any, ClassVar

from celery.exceptions import CPendingDeprecationWarning
from celery.worker.consumer import Consumer as CeleryConsumer
from kombu.transport import redis, virtual

from workers.log import Log

REFUSED_PAUSE_S = 1.0
RETRY_S = 2

log = Log(__name__)


class QoS(virtual.QoS):
    """Counts the messages taken, and gives back a message's slot whether or not the broker can be reached."""

    taken: ClassVar[int] = 0

    def append(self, message: Any, delivery_tag: str) -> None:
        QoS.taken += 1
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
