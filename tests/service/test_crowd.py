"""Who is let in, who makes room and who is refused, by the order in which connections come, work and rest."""

from __future__ import annotations

import asyncio
import resource
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest

from service import crowd as crowd_module
from service.crowd import DEAD_PEER_S, SPARE_DESCRIPTORS, Crowd, notice_dead_peers, raise_descriptor_limit
from tests.service.asgi import eventually


class Guest:
    """A connection as a crowd knows it: it notes what is asked of it."""

    def __init__(self, crowd: Crowd, address: str = "192.0.2.1", *, is_proxy: bool = False) -> None:
        self._crowd = crowd
        self._address, self._is_proxy = address, is_proxy
        self.dropped = False
        self.looks: list[float] = []

    @property
    def address(self) -> str:
        return self._address

    @property
    def is_proxy(self) -> bool:
        return self._is_proxy

    def look(self, now: float) -> None:
        self.looks.append(now)

    def drop(self) -> None:
        self.dropped = True
        self._crowd.leave(self)


def within(story: Callable[[], None]) -> None:
    """Run on a loop, as a crowd does."""

    async def run() -> None:
        story()

    asyncio.run(run())


def test_the_one_that_has_been_idle_longest_makes_room() -> None:
    def story() -> None:
        crowd = Crowd(3, 3)
        first, second, third, *others = (Guest(crowd) for _ in range(6))
        assert all(crowd.enter(one) for one in (first, second, third))
        crowd.is_at_work(first)
        crowd.is_idle(first)  # after the others
        seen = []
        for one in others:
            assert crowd.enter(one)
            seen.append([guest.dropped for guest in (first, second, third)])
        assert seen == [[False, True, False], [False, True, True], [True, True, True]]

    within(story)


def test_where_all_are_at_work_the_new_one_is_refused_and_none_is_dropped() -> None:
    def story() -> None:
        crowd = Crowd(2, 2)
        working = [Guest(crowd) for _ in range(2)]
        for one in working:
            assert crowd.enter(one)
            crowd.is_at_work(one)
        refused = Guest(crowd)
        assert not crowd.enter(refused)
        crowd.leave(refused)
        assert not any(one.dropped for one in working)
        crowd.leave(working[0])
        assert crowd.enter(Guest(crowd))

    within(story)


def test_an_address_with_too_many_makes_room_among_its_own() -> None:
    def story() -> None:
        crowd = Crowd(10, 2)
        other = Guest(crowd, "192.0.2.9")
        mine = [Guest(crowd) for _ in range(3)]
        assert crowd.enter(other)
        assert all(crowd.enter(one) for one in mine)
        assert [one.dropped for one in (other, *mine)] == [False, True, False, False]
        for one in mine[1:]:
            crowd.is_at_work(one)
        assert not crowd.enter(Guest(crowd))
        assert not other.dropped

    within(story)


def test_a_trusted_proxy_has_as_many_as_there_may_be_and_its_neighbours_have_theirs() -> None:
    def story() -> None:
        crowd = Crowd(6, 2)
        proxied = [Guest(crowd, "2001:db8::/64", is_proxy=True) for _ in range(4)]
        beside = [Guest(crowd, "2001:db8::/64") for _ in range(2)]
        assert all(crowd.enter(one) for one in (*proxied, *beside))
        for one in beside:
            crowd.is_at_work(one)
        third = Guest(crowd, "2001:db8::/64")
        assert not crowd.enter(third)
        crowd.leave(third)
        assert not any(one.dropped for one in (*proxied, *beside))
        assert crowd.enter(Guest(crowd, "2001:db8::/64", is_proxy=True))  # all of them together are too many
        assert [one.dropped for one in proxied] == [True, False, False, False]
        for one in (*proxied, *beside):
            crowd.leave(one)
        again = [Guest(crowd, "2001:db8::/64") for _ in range(2)]
        assert all(crowd.enter(one) for one in again) and not any(one.dropped for one in again)

    within(story)


def test_one_that_left_counts_no_more_however_often_it_leaves() -> None:
    def story() -> None:
        crowd = Crowd(1, 1)
        for _ in range(3):
            guest = Guest(crowd)
            assert crowd.enter(guest)
            crowd.is_at_work(guest)
            crowd.leave(guest)
            crowd.leave(guest)
            crowd.is_idle(guest)  # too late: it is nobody's
        working = Guest(crowd)
        assert crowd.enter(working)
        crowd.is_at_work(working)
        assert not crowd.enter(Guest(crowd))

    within(story)


def test_every_connection_is_looked_at_again_and_again_while_it_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd_module, "LOOK_EVERY_S", 0.01)

    async def story() -> None:
        crowd = Crowd(10, 10)
        staying, leaving = Guest(crowd), Guest(crowd)
        crowd.enter(staying)
        crowd.enter(leaving)
        await eventually(lambda: len(leaving.looks) >= 2, "both are looked at")
        crowd.leave(leaving)
        seen = len(leaving.looks)
        await eventually(lambda: len(staying.looks) >= seen + 3, "one is looked at again")
        assert len(leaving.looks) == seen
        assert staying.looks == sorted(staying.looks)

    asyncio.run(story())


def test_descriptors_are_raised_as_far_as_may_be_and_connections_cut_to_them_in_proportion() -> None:
    program = "import resource, sys; from service.crowd import Crowd, raise_descriptor_limit; "
    program += "resource.setrlimit(resource.RLIMIT_NOFILE, (256, 512)); print(raise_descriptor_limit(400), "
    program += "resource.getrlimit(resource.RLIMIT_NOFILE)[0], raise_descriptor_limit(10_000)); "
    program += "made = Crowd.within_descriptors(4096, 1024); print(made._most, made._most_per_address)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    room = 512 - SPARE_DESCRIPTORS
    assert told.split() == ["400", "400", "512", str(room), str(room // 4)]


def test_without_a_wish_descriptors_are_raised_to_what_the_system_allows_and_children_have_as_many() -> None:
    program = (
        "import resource, subprocess, sys; from service.crowd import connections_allowed, raise_descriptor_limit; "
    )
    program += "resource.setrlimit(resource.RLIMIT_NOFILE, (256, 700)); print(raise_descriptor_limit(), "
    program += (
        "connections_allowed(100), connections_allowed(600), flush=True); subprocess.run(['sh', '-c', 'ulimit -Sn'])"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["700", "100", str(700 - SPARE_DESCRIPTORS), "700"]


def test_a_limit_that_is_high_enough_stays() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert raise_descriptor_limit(10) == 10
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == soft


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system has no such option")
def test_accepted_connections_are_probed_and_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        notice_dead_peers(server)
        with socket.create_connection(server.getsockname()), server.accept()[0] as accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            idle, every, count = (
                accepted.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
                for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
            )
            assert idle + every * count <= DEAD_PEER_S
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == DEAD_PEER_S * 1000
