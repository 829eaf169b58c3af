"""Settings come from the environment; what cannot be is a sentence that names the variable."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workers.errors import ParameterError
from workers.settings import read_settings, user_data_dir


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LUTRA_")]:
        monkeypatch.delenv(name)


def test_the_environment_goes_before_defaults_and_options_before_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert read_settings().port == 8000
    monkeypatch.setenv("LUTRA_PORT", "9000")
    assert read_settings().port == 9000
    assert read_settings(port=None).port == 9000
    assert read_settings(port=9001).port == 9001


@pytest.mark.parametrize("name", ["LUTRA_REDIS_URL", "LUTRA_WEIGHTS_DIR", "LUTRA_PORT", "LUTRA_MODELS"])
def test_a_variable_that_is_empty_is_none(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    plain = read_settings()
    monkeypatch.setenv(name, "")
    assert read_settings() == plain


def test_lists_are_told_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTRA_MODELS", " liif, nearest ,")
    monkeypatch.setenv("LUTRA_CORS_ORIGINS", "https://a.example")
    settings = read_settings()
    assert (settings.models, settings.cors_origins) == (("liif", "nearest"), ("https://a.example",))


def test_hosts_are_names_addresses_and_stars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTRA_HOSTS", "Photos.Example, *.b.example,[::1],fd00::7,10.0.0.1,*,a_b")
    assert read_settings().hosts == ("photos.example", "*.b.example", "[::1]", "fd00::7", "10.0.0.1", "*", "a_b")


@pytest.mark.parametrize(
    ("told", "origin", "path"),
    [
        ("https://Example.org", "https://example.org", ""),
        ("HTTPS://example.org:443/", "https://example.org", ""),
        ("https://example.org/lutra/", "https://example.org", "/lutra"),
        ("http://10.0.0.1:8443/A/b.c//", "http://10.0.0.1:8443", "/A/b.c"),
        ("http://[FD00::7]:80/lutra", "http://[fd00::7]", "/lutra"),
        ("http://a:8080/a", "http://a:8080", "/a"),
    ],
)
def test_the_public_address_has_one_spelling(
    monkeypatch: pytest.MonkeyPatch, told: str, origin: str, path: str
) -> None:
    monkeypatch.setenv("LUTRA_PUBLIC_URL", told)
    settings = read_settings()
    assert (settings.public_url, settings.public_origin, settings.public_path) == (origin + path, origin, path)
    assert (read_settings(public_url=" ").public_origin, read_settings(public_url=" ").public_path) == ("", "")


def test_the_key_of_the_metrics_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTRA_METRICS_KEY", "scrape-it")
    settings = read_settings()
    assert settings.metrics_key is not None and settings.metrics_key.get_secret_value() == "scrape-it"
    assert "scrape-it" not in repr(settings) + str(settings)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("LUTRA_PORT", "70000", "LUTRA_PORT='70000'"),
        ("LUTRA_DEVICE", "tpu", "LUTRA_DEVICE='tpu'"),
        ("LUTRA_DEVICE", "cuda:x", "LUTRA_DEVICE"),
        ("LUTRA_TILE", "0", "LUTRA_TILE"),
        ("LUTRA_MAX_SCALE", "1", "LUTRA_MAX_SCALE"),
        ("LUTRA_QUEUE_SIZE", "0", "LUTRA_QUEUE_SIZE"),
        ("LUTRA_EXPRESS_SECONDS", "-1", "LUTRA_EXPRESS_SECONDS='-1'"),
        ("LUTRA_EXPRESS_SECONDS", "nan", "LUTRA_EXPRESS_SECONDS='nan': Input should be a finite number"),
        ("LUTRA_JOB_TIMEOUT_SECONDS", "inf", "LUTRA_JOB_TIMEOUT_SECONDS='inf': Input should be a finite number"),
        ("LUTRA_MODELS", "liif,nope", "no model nope; known are"),
        ("LUTRA_WEIGHTS_DIR", "/nowhere/at/all", "is no folder"),
        ("LUTRA_LOG_LEVEL", "loud", "LUTRA_LOG_LEVEL"),
        ("LUTRA_REDIS_URL", "http://host/0", "is no URL such as redis://"),
        ("LUTRA_HOSTS", "a.example,https://b.example", "'https://b.example' is no host"),
        ("LUTRA_HOSTS", "a.example:80", "'a.example:80' is no host"),
        ("LUTRA_HOSTS", "a.*", "'a.*' is no host"),
        ("LUTRA_TRUSTED_PROXIES", "10.0.0.0/8,proxy", "'proxy' is no address or network"),
        ("LUTRA_TRUSTED_PROXIES", "10.0.0.1/8", "'10.0.0.1/8' is no address or network"),
        ("LUTRA_CORS_ORIGINS", "a.example", "'a.example' is no origin"),
        ("LUTRA_CORS_ORIGINS", "https://a.example/", "'https://a.example/' is no origin"),
        ("LUTRA_PUBLIC_URL", "example.org/lutra", "'example.org/lutra': is no address such as https://example.org"),
        *(
            ("LUTRA_PUBLIC_URL", f"https://{rest}", "is no address such as")
            for rest in ("", "a b", "a/b?c", "a/b#c", "u:p@a")
        ),
        *(
            ("LUTRA_PUBLIC_URL", f"https://a/{path}", "is no address such as")
            for path in ("../b", "b/.", "b//c", "%62", "ü")
        ),
        ("LUTRA_PUBLIC_URL", "https://a:99999", "Port out of range"),
        ("LUTRA_RATE_LIMIT", "0", "LUTRA_RATE_LIMIT='0'"),
        ("LUTRA_RATE_LIMIT", "10000000000", "LUTRA_RATE_LIMIT='10000000000'"),
        ("LUTRA_RESULT_TTL_SECONDS", "10000000000", "LUTRA_RESULT_TTL_SECONDS='10000000000'"),
    ],
)
def test_what_cannot_be_is_a_sentence_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ParameterError) as refused:
        read_settings()
    assert words in refused.value.message and name in refused.value.message
    assert "\n" not in refused.value.message


def test_a_password_in_a_url_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTRA_REDIS_URL", "http://:secret@host/0")
    with pytest.raises(ParameterError) as refused:
        read_settings()
    assert "secret" not in refused.value.message


@pytest.mark.parametrize("url", ["redis://host:6379/0", "rediss://:word@host/1", "unix:///run/redis.sock"])
def test_urls_of_redis_are_taken(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("LUTRA_REDIS_URL", url)
    assert read_settings().redis_url == url


def test_levels_of_logs_may_be_in_capitals_and_a_file_gets_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTRA_LOG_LEVEL", "WARNING")
    assert read_settings().log_level == "warning"
    assert not read_settings(log_format="json").log_as_text
    assert read_settings(log_format="text").log_as_text


def test_data_lies_where_the_desktop_keeps_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert read_settings().data_dir == tmp_path / "lutra" == user_data_dir()
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_data_dir() == tmp_path / ".local" / "share" / "lutra"
