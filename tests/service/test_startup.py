"""What is looked at before the gateway starts."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from service.keys import add_key
from service.startup import check_files, is_any_address, is_loopback, warn_if_open
from workers.errors import ParameterError
from workers.settings import read_settings


def warnings(caplog: pytest.LogCaptureFixture, **settings: object) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        warn_if_open(read_settings(**settings))
    return [record.getMessage() for record in caplog.records]


def test_only_this_machine_reaches_a_loopback_address() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.8.8.8", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.0.2.1", "photos.example")))


def test_every_address_is_bound_by_its_own_sign() -> None:
    assert all(map(is_any_address, ("0.0.0.0", "::", "")))
    assert not any(map(is_any_address, ("127.0.0.1", "localhost")))


def test_a_file_of_keys_that_is_not_as_it_should_be_stops_the_start(tmp_path: Path) -> None:
    check_files(read_settings())
    with pytest.raises(ParameterError, match=r"LUTRA_API_KEYS_FILE=.*No such file"):
        check_files(read_settings(api_keys_file=tmp_path / "none"))
    with pytest.raises(ParameterError, match="cannot begin with /jobs"):
        check_files(read_settings(public_url="https://a.example/jobs"))


def test_a_door_that_stands_open_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys = tmp_path / "keys"
    add_key(keys, "a")
    assert warnings(caplog) == warnings(caplog, bind="::1") == []
    (told,) = warnings(caplog, bind="192.0.2.1")
    assert "without a key" in told
    both = warnings(caplog, bind="0.0.0.0")
    assert len(both) == 2 and "any host name is answered to" in both[1]
    assert len(warnings(caplog, bind="0.0.0.0", hosts=("photos.example",))) == 1
    (told,) = warnings(caplog, bind="192.0.2.1", api_keys_file=keys)
    assert "/metrics is open" in told
    assert warnings(caplog, bind="192.0.2.1", api_keys_file=keys, metrics_key="m") == []
