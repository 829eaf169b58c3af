"""Who a request comes from, and what it may hold."""

from starlette.requests import Request

from service.clients import Client, client_of, is_alone


def from_host(host: str) -> Request:
    return Request({"type": "http", "headers": [], "client": (host, 1)})


def test_an_address_may_take_any_lane_and_leaves_a_fifth_of_the_places_to_others() -> None:
    client = client_of(from_host("192.0.2.7"))
    assert (client.share, client.queue_share, client.lanes) == (1.0, 0.8, ("express", "bulk"))


def test_a_client_with_a_share_has_it_of_everything() -> None:
    assert Client("key:studio", share=0.25).queue_share == 0.25


def test_a_client_is_the_address_it_comes_from_or_the_network_that_one_subscriber_is_given() -> None:
    assert client_of(from_host("192.0.2.7")).id == "at:192.0.2.7"
    assert client_of(from_host("2001:db8::1")) == client_of(from_host("2001:db8::2"))
    assert client_of(from_host("192.0.2.7")) != client_of(from_host("192.0.2.8"))


def test_a_key_and_this_machine_are_one_client_and_an_address_may_be_many() -> None:
    alone = [
        Client("key:studio"),
        *(client_of(from_host(host)) for host in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "")),
    ]
    assert all(map(is_alone, alone))
    assert not any(is_alone(client_of(from_host(host))) for host in ("192.0.2.7", "2001:db8::1", "10.0.0.1"))
