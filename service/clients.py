"""Who a request comes from, and so whom its job belongs to, and how much of lanes, queue and store is theirs."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from service.addresses import neighbourhood
from workers.jobs.job import Lane

ADDRESS_QUEUE_SHARE = 0.8  # whoever comes second finds a place, and who is alone hardly notices


@dataclass(frozen=True)
class Client:
    """`id`: `at:` and the address, or the network, that the connection comes from.

    `share`: its weight in a lane, and the largest part of queue and store that it may hold, 0 to 1; `lanes`: that its
    jobs may take.
    """

    id: str
    share: float = 1.0
    lanes: tuple[str, ...] = tuple(Lane)

    @property
    def queue_share(self) -> float:
        """The largest part of the queue's places: an address that has no key leaves some to others."""
        return ADDRESS_QUEUE_SHARE if self.id.startswith("at:") else self.share


def client_of(request: Request) -> Client:
    """The address stands in for a key."""
    return Client(f"at:{neighbourhood(request.client.host if request.client else '')}")
