"""Settings from the environment (prefix LUTRA_), read once at the entrances and handed down as values."""

from __future__ import annotations

import os
import re
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, PositiveInt, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from models.cards import ALL
from workers.errors import ParameterError

_HOST = re.compile(r"\*|(\*\.)?[\w-]+(\.[\w-]+)*\.?")
_ORIGIN = re.compile(r"\*|[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s@]+")
# A path is of characters that have one spelling alone, and has no step up.
_PUBLIC_URL = re.compile(
    r"https?://(\[[0-9a-f:.]+\]|[\w-]+(\.[\w-]+)*)(:\d{1,5})?(/(?!\.{1,2}(/|$))[\w.~-]+)*/*", re.IGNORECASE | re.ASCII
)
_DEFAULT_PORT = {"http": ":80", "https": ":443"}
MOST_PER_MIN = 10**9  # of a rate: what is further on is no limit, and its bucket no number that Redis can count in
LONGEST_TTL_S = 10**9  # 31 years
SECRETS = ("redis_url", "metrics_key")  # never shown: a URL may hold a password


def _empty_is_none(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


def _comma_list(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _is_address(text: str) -> bool:
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_list)]


def user_data_dir() -> Path:
    """The user's data folder by the XDG base directory convention."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "lutra"


class Settings(BaseSettings):
    """One field per variable of docs/settings.md; sizes in bytes or pixels, times in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="LUTRA_", env_ignore_empty=True, extra="ignore", frozen=True, allow_inf_nan=False
    )

    bind: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    redis_url: Annotated[str | None, BeforeValidator(_empty_is_none)] = None
    data_dir: Path = Field(default_factory=user_data_dir)

    api_keys_file: Annotated[Path | None, BeforeValidator(_empty_is_none)] = None
    metrics_key: Annotated[SecretStr | None, BeforeValidator(_empty_is_none)] = None
    rate_limit: Annotated[int, Field(ge=1, le=MOST_PER_MIN)] | None = None
    hosts: Names = ()
    trusted_proxies: Names = ()
    public_url: Annotated[str | None, BeforeValidator(_empty_is_none)] = None
    cors_origins: Names = ()
    presets_file: Annotated[Path | None, BeforeValidator(_empty_is_none)] = None

    max_upload_bytes: PositiveInt = 50 * 1024**2
    min_upload_bytes_per_second: PositiveInt = 4096
    max_connections: PositiveInt = 16384
    max_connections_per_address: PositiveInt = 4096
    max_input_pixels: PositiveInt = 50_000_000
    max_output_pixels: PositiveInt = 200_000_000
    max_scale: float = Field(8, gt=1, le=64)
    queue_size: PositiveInt = 100
    store_bytes: PositiveInt = 1024**3
    job_timeout_seconds: float = Field(900, gt=0)
    express_seconds: float = Field(2, ge=0)
    sync_wait_seconds: float = Field(30, ge=0)
    result_ttl_seconds: int = Field(3600, ge=1, le=LONGEST_TTL_S)
    evict_delivered: bool = True

    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    tile: str = Field("auto", pattern=r"^(auto|[1-9]\d{1,4})$")
    models: Names = ()
    weights_dir: Annotated[Path | None, BeforeValidator(_empty_is_none)] = None
    worker_concurrency: PositiveInt | None = None
    express_concurrency: PositiveInt | None = None
    sandbox: Literal["on", "off"] = "on"
    metrics_port: int = Field(9101, ge=0, le=65535)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "text"] = "auto"
    revision: str = "unknown"

    @field_validator("redis_url")
    @classmethod
    def _reachable_url(cls, value: str | None) -> str | None:
        from redis.connection import parse_url

        if value is not None:
            try:
                parse_url(value)  # type: ignore[no-untyped-call]
            except ValueError:
                raise ValueError("is no URL such as redis://:password@host:6379/0 or unix:///path") from None
        return value

    @field_validator("hosts")
    @classmethod
    def _names_of_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not _HOST.fullmatch(name) and not _is_address(name.strip("[]")):
                raise ValueError(f"{name!r} is no host; wanted are names without a port, *.example.org, addresses or *")
        return tuple(name.lower() for name in value)

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            try:
                ip_network(text)
            except ValueError as error:
                raise ValueError(f"{text!r} is no address or network such as 10.0.0.0/8: {error}") from None
        return value

    @field_validator("public_url")
    @classmethod
    def _one_spelling(cls, value: str | None) -> str | None:
        """Scheme and host in lower case, no port that is the scheme's own, no slash at the end."""
        if value is None:
            return None
        if not _PUBLIC_URL.fullmatch(value):
            wanted = "https://example.org or https://example.org/lutra, without user, query and escaped characters"
            raise ValueError(f"is no address such as {wanted}")
        parts = urlsplit(value)
        _ = parts.port  # raises ValueError for one that is too large
        scheme, place = parts.scheme, parts.netloc.lower()
        return f"{scheme}://{place.removesuffix(_DEFAULT_PORT[scheme])}{parts.path.rstrip('/')}"

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            if not _ORIGIN.fullmatch(text):
                raise ValueError(f"{text!r} is no origin such as https://photos.example, without a path")
        return tuple(text.lower() for text in value)

    @field_validator("weights_dir")
    @classmethod
    def _existing_folder(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_dir():
            raise ValueError("is no folder")
        return value

    @field_validator("models")
    @classmethod
    def _known_models(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        known = [card.name for card in ALL]
        unknown = [name for name in value if name not in known]
        if unknown:
            raise ValueError(f"no model {', '.join(unknown)}; known are {', '.join(known)}")
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @property
    def public_origin(self) -> str:
        """`https://example.org` of LUTRA_PUBLIC_URL; empty where it is not set."""
        return (self.public_url or "").removesuffix(self.public_path)

    @property
    def public_path(self) -> str:
        """`/lutra` of https://example.org/lutra, below which everything lies for the public; empty for none."""
        return urlsplit(self.public_url or "").path

    @property
    def log_as_text(self) -> bool:
        return self.log_format == "text" or (self.log_format == "auto" and sys.stderr.isatty())


def read_settings(**overrides: object) -> Settings:
    """Settings of this process; a value that cannot be is one sentence naming its variable."""
    from pydantic import ValidationError

    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        seen = "" if name in SECRETS else f"={first.get('input')!r}"
        raise ParameterError(f"LUTRA_{name.upper()}{seen}: {first['msg'].removeprefix('Value error, ')}") from None
