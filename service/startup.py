"""What is looked at before the gateway starts: files that the settings name, and whether the door stands open."""

from __future__ import annotations

from ipaddress import ip_address

from service.keys import read_keys
from service.prefix import check_prefix
from service.presets import installation_of, read_presets
from workers.log import Log
from workers.settings import Settings

log = Log(__name__)


def check_files(settings: Settings) -> None:
    """Raises ParameterError for what would keep a gateway from starting: `lutra up` would start it on and on."""
    check_prefix(settings.public_path)
    if settings.api_keys_file:
        read_keys(settings.api_keys_file)
    read_presets(settings.presets_file, at=installation_of(settings))


def is_loopback(bind: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ip_address(bind).is_loopback
    except ValueError:
        return bind.lower() == "localhost"


def is_any_address(bind: str) -> bool:
    """Whether what listens there is reached at every address of this machine."""
    try:
        return ip_address(bind).is_unspecified
    except ValueError:
        return bind == ""


def warn_if_open(settings: Settings) -> None:
    """Log what a stranger who reaches the gateway may do, where that is more than one might think."""
    if is_loopback(settings.bind):
        return
    if settings.api_keys_file is None:
        log.warning(
            "open: whoever reaches this address can use it without a key (LUTRA_API_KEYS_FILE)", bind=settings.bind
        )
        if is_any_address(settings.bind) and not settings.hosts:
            pages = "and so can pages whose name is made to resolve to this machine"
            log.warning(f"open: any host name is answered to, {pages} (LUTRA_HOSTS)", bind=settings.bind)
    elif settings.metrics_key is None:
        log.warning("/metrics is open to all who reach this address (LUTRA_METRICS_KEY)", bind=settings.bind)
