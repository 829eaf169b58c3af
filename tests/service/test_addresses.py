"""Who shares a share of the gateway: an address, or a network of IPv6."""

from __future__ import annotations

from service.addresses import neighbourhood


def test_the_share_is_an_addresss_or_that_of_a_network_of_ipv6() -> None:
    assert neighbourhood("192.0.2.1") != neighbourhood("192.0.2.2")
    assert neighbourhood("2001:db8:1:2::1") == neighbourhood("2001:db8:1:2:ffff::9") != neighbourhood("2001:db8:1:3::1")
    assert neighbourhood("::ffff:192.0.2.1") == neighbourhood("192.0.2.1")
    assert neighbourhood("fe80::1%eth0") == neighbourhood("fe80::2%eth0")
    assert [neighbourhood(name) for name in ("", "testclient", "1.2.3.4.5")] == ["", "testclient", "1.2.3.4.5"]
