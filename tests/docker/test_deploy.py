"""docs/deploy.md and the examples of proxies agree with the program."""

from __future__ import annotations

import re
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from service.cli import build_parser
from service.crowd import SPARE_DESCRIPTORS
from service.serve import KEEP_ALIVE_S
from service.supervisor import DRAIN_S
from tests.docker.in_front import CADDY_PLACES, NGINX_PLACES, program
from tests.docker.test_compose import ROOT, services
from workers.settings import Settings

PAGE = (ROOT / "docs" / "deploy.md").read_text()
CADDY, NGINX = ((ROOT / "docker" / name).read_text() for name in ("Caddyfile", "nginx.conf"))
LONGEST_WAIT_S = 600  # of `Prefer: wait`


def unit() -> str:
    (found,) = re.findall(r"`/etc/systemd/system/lutra.service`:\n\n```ini\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def test_a_proxy_lets_a_quiet_connection_go_before_the_gateway_does() -> None:
    (caddy,) = re.findall(r"\n\s+keepalive (\d+)s\n", CADDY)
    (nginx,) = re.findall(r"\n\s+keepalive_timeout (\d+)s;\n", NGINX)
    assert max(int(caddy), int(nginx)) <= KEEP_ALIVE_S - 10


def test_a_proxy_waits_as_long_as_a_client_may() -> None:
    (read,) = re.findall(r"proxy_read_timeout (\d+)s;", NGINX)
    assert int(read) >= LONGEST_WAIT_S + 30


def test_the_page_tells_the_places_below_a_path_that_are_tried_with_the_proxies() -> None:
    for place in ("kept", "taken"):
        lines = [*CADDY_PLACES[place].splitlines(), *NGINX_PLACES[place].splitlines()]
        assert [line.strip() for line in lines if line.strip() not in PAGE] == []


def test_certbot_leaves_its_answers_where_nginx_looks_for_them() -> None:
    (folder,) = re.findall(r"location /\.well-known/acme-challenge/ \{\n\s+root (\S+);", NGINX)
    assert f"--webroot-path {folder} " in PAGE


def test_the_settings_that_the_page_names_exist() -> None:
    known = {f"LUTRA_{field.upper()}" for field in Settings.model_fields} | {"LUTRA_KEY"}  # the last is the client's
    assert set(re.findall(r"\bLUTRA_[A-Z_]+", PAGE + CADDY + NGINX)) <= known
    read = services()["gateway"]["environment"]
    (env,) = re.findall(r"cat > .env <<'END'\n(.*?)END\n", PAGE, re.DOTALL)
    for name in re.findall(r"(?m)^(\w+)=", env):
        assert name in read or name in services()["caddy"]["environment"]


def test_the_unit_gives_the_service_the_time_to_stop_and_the_files_that_it_needs() -> None:
    lines = ConfigParser(strict=False, interpolation=None, delimiters=["="], comment_prefixes=["#"])
    lines.optionxform = str  # type: ignore[assignment,method-assign]
    lines.read_string(unit())
    service = lines["Service"]
    assert int(service["TimeoutStopSec"]) > sum(DRAIN_S.values())
    assert int(service["LimitNOFILE"]) >= Settings.model_fields["max_connections"].default + SPARE_DESCRIPTORS
    path, *words = service["ExecStart"].split()
    assert path.endswith("/lutra") and callable(build_parser().parse_args(words).run)


def test_systemd_reads_the_unit(tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not installed")
    path = tmp_path / "lutra.service"
    path.write_text(re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", unit()))
    done = subprocess.run([verify, "verify", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_caddy_finds_its_example_well_formatted() -> None:
    done = subprocess.run([program("caddy"), "fmt", "-"], input=CADDY, capture_output=True, text=True, check=True)
    assert done.stdout == CADDY
