"""Who a request comes from, and so whom its job belongs to, and how much of lanes, queue and store is theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from starlette.requests import Request

from service.addresses import neighbourhood
from workers.jobs.job import Lane

ADDRESS_QUEUE_SHARE = 0.8  # whoever comes second finds a place, and who is alone hardly notices


@dataclass(frozen=True)
class Client:
    """`id`: `key:` and the key's name; without keys `at:` and the address, or the network, that the request comes from.

    `share`: weight beside others, and largest part of queue and store; `lanes`: those that may be asked for; both rates
    by minute, None: none; `webhook_secret`: signs what is sent to this client.
    """

    id: str
    share: float = 1.0
    lanes: tuple[str, ...] = tuple(Lane)
    rate_per_min: int | None = None
    megapixels_per_min: float | None = None
    webhook_secret: str | None = field(default=None, repr=False)

    @property
    def queue_share(self) -> float:
        """The largest part of the queue's places: an address that has no key leaves some to others."""
        return ADDRESS_QUEUE_SHARE if self.id.startswith("at:") else self.share


def client_of(request: Request) -> Client:
    """As `service.authentication` found; where no keys are kept, by address."""
    return known_client(request) or _at(neighbourhood((request.scope.get("client") or ("",))[0]))


def known_client(request: Request) -> Client | None:
    """Whose key came with the request; None where no keys are kept.

    Read in the scope, as everything that most requests lack: `request.state` would raise and catch an error for it.
    """
    client: Client | None = request.scope.get("state", {}).get("client")
    return client


@lru_cache(4096)
def _at(address: str) -> Client:
    return Client(f"at:{address}")


def is_alone(client: Client) -> bool:
    """Whether nobody but itself is this client: one with a key, or on this machine."""
    kind, _, name = client.id.partition(":")
    return kind == "key" or name in ("", "::/64") or name.startswith("127.")


def may_wait(request: Request) -> Callable[[], bool]:
    """Tells at any later time whether who asked may still: where keys are kept, whether the key still counts."""
    asked: Callable[[], bool] = getattr(request.state, "may_wait", lambda: True)
    return asked


def owner_of(request: Request) -> str:
    """Whose jobs this request may see, by the client's id; empty where no keys are kept: everybody's.

    Addresses change and are shared, so that by them nobody is shut out.
    """
    known = known_client(request)
    return known.id if known else ""
