"""Which host a request names, and whether this gateway answers to it: the defence against DNS rebinding.

A page of another site can have its own name resolve to this machine, and its reader's browser then takes what lies
here for the page's own. The name stays in `Host`, which no page can change. Always answered to are the names of this
machine and the address to which the connection came, none of which anybody else's page can have.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address

from starlette.types import Scope

from service.startup import is_any_address, is_loopback
from workers.errors import BadRequest, WrongHost

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::\d{0,5})?", re.ASCII)


@lru_cache(1024)
def plain(name: str) -> str:
    """One spelling for each host: lower case, no brackets, no dot at the end; addresses as Python writes them."""
    name = name.lower().removesuffix(".").removeprefix("[").removesuffix("]")
    try:
        address = ip_address(name)
    except ValueError:
        return name
    return str(getattr(address, "ipv4_mapped", None) or address)


class Hosts:
    """The hosts of LUTRA_HOSTS; of none, that of LUTRA_BIND; and that of LUTRA_PUBLIC_URL. `*` stands for any,
    `*.example.org` for all below it.
    """

    def __init__(self, hosts: tuple[str, ...], bind: str, public: str | None = None) -> None:
        names = [plain(host) for host in hosts or ("*" if is_any_address(bind) else bind,)]
        names += [plain(public)] if public else []
        self.are_any = "*" in names
        self._names = frozenset(name for name in names if not name.startswith("*"))
        self._endings = tuple(name[1:] for name in names if name.startswith("*."))

    def check(self, scope: Scope) -> str | None:
        """The `Host` of a request, port included; None where an HTTP/1.0 client named none, as no browser does.

        Raises BadRequest for none, two or nonsense, WrongHost for one that is not answered to.
        """
        named: list[str] = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if not named and scope["http_version"] == "1.0":
            return None
        found = _HOST.fullmatch(named[0]) if len(named) == 1 else None
        if found is None:
            raise BadRequest("the request has to name one host (RFC 9112, 3.2)")
        if not self._answer_to(plain(found.group(1)), scope):
            seen = f"this gateway does not answer to {found.group(1)[:100]!r}"
            raise WrongHost(f"{seen}; whoever runs it can name the host in LUTRA_HOSTS")
        return named[0]

    def _answer_to(self, name: str, scope: Scope) -> bool:
        if self.are_any or name in self._names or name.endswith(self._endings):
            return True
        here = (scope.get("server") or ("",))[0]
        return is_loopback(name) or name.endswith(".localhost") or name == plain(here)
