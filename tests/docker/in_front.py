"""Real proxies with the committed examples, docker/Caddyfile and docker/nginx.conf: ports, names and paths replaced."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.living import free_port, wait_until

ROOT = Path(__file__).parents[2]
PREFIX = "/lutra"
# What stands in the example, and what docs/deploy.md says to put in its place below a path: left on, or taken off.
CADDY_PLACES = {
    "whole": "\thandle {\n",
    "kept": "\thandle /lutra* {\n",
    "taken": "\tredir /lutra /lutra/ 308\n\thandle_path /lutra/* {\n",
}
NGINX_PLACES = {
    "whole": "    location / {\n        proxy_pass http://lutra;\n",
    "kept": "    location /lutra/ {\n        proxy_pass http://lutra;\n",
    "taken": "    location /lutra/ {\n        proxy_pass http://lutra/;\n",
}
NGINX_MAIN = """\
daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/lutra.conf;
}}
"""


@dataclass(frozen=True)
class Front:
    """A proxy that runs: its address with the path, the port that leads there from plain HTTP, its authority's file."""

    url: str
    plain_port: int
    authority: Path

    @property
    def origin(self) -> str:
        return self.url.removesuffix(PREFIX)

    def client(self, source: str = "127.0.0.1", **options: object) -> httpx.Client:
        """From one of the loopback network's addresses."""
        trust = ssl.create_default_context(cafile=str(self.authority)) if self.authority.is_file() else False
        transport = httpx.HTTPTransport(verify=trust, local_address=source)
        return httpx.Client(base_url=self.url, transport=transport, timeout=120, **options)  # type: ignore[arg-type]


def program(name: str) -> str:
    """CI's machine has Python and make alone, so it is missing there, too."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if not found:
        pytest.skip(f"{name} is not installed (Debian: apt install {name})")
    return found


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """Each of the first, which has to be there, by the second."""
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


@contextmanager
def running(command: list[str], folder: Path, port: int, environment: dict[str, str]) -> Iterator[None]:
    with (folder / "proxy.log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **environment})
    try:
        wait_until(lambda: process.poll() is not None or _listens(port), 30, "the proxy listens")
        assert process.poll() is None, (folder / "proxy.log").read_text()
        yield
    finally:
        process.terminate()
        process.wait(30)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextmanager
def caddy(folder: Path, upstream: int, place: str = "whole", *, tls: bool = True) -> Iterator[Front]:
    """With certificates of an authority that Caddy makes for `localhost`."""
    path = program("caddy")
    port, plain_port = free_port(), free_port()
    site = f"{'https' if tls else 'http'}://localhost:{port}"
    options = f"{{\n\tadmin off\n\tskip_install_trust\n\thttp_port {plain_port}\n}}\n\n"
    example = (ROOT / "docker" / "Caddyfile").read_text()
    configuration = replaced(example, (CADDY_PLACES["whole"], CADDY_PLACES[place]))
    (folder / "Caddyfile").write_text(options + configuration)
    home = {name: str(folder) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    environment = {**home, "SITE": site, "UPSTREAM": f"127.0.0.1:{upstream}"}
    command = [path, "run", "--config", str(folder / "Caddyfile")]
    authority = folder / "caddy/pki/authorities/local/root.crt"
    with running(command, folder, port, environment):
        if tls:
            wait_until(partial(_shakes_hands, port, authority), 30, "Caddy has its certificate")
        yield Front(site + (PREFIX if place != "whole" else ""), plain_port, authority)


def _shakes_hands(port: int, authority: Path) -> bool:
    with suppress(OSError):
        context = ssl.create_default_context(cafile=str(authority))
        with socket.create_connection(("127.0.0.1", port), 5) as line:
            context.wrap_socket(line, server_hostname="localhost").close()
        return True
    return False


@contextmanager
def nginx(folder: Path, upstream: int, place: str = "whole", *, tls: bool = True) -> Iterator[Front]:
    path = program("nginx")
    port, plain_port = free_port(), free_port()
    certificate, key = folder / "fullchain.pem", folder / "privkey.pem"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost"]
    files = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", "-x509", *kind, *files], check=True, capture_output=True)
    example = (ROOT / "docker" / "nginx.conf").read_text()
    there = "/etc/letsencrypt/live/example.org"
    configuration = replaced(
        example,
        (NGINX_PLACES["whole"], NGINX_PLACES[place]),
        ("server 127.0.0.1:8000;", f"server 127.0.0.1:{upstream};"),
        (f"{there}/fullchain.pem", str(certificate)),
        (f"{there}/privkey.pem", str(key)),
        ("listen 80;", f"listen 127.0.0.1:{plain_port};"),
        ("listen 443 ssl http2;", f"listen 127.0.0.1:{port}{' ssl http2' if tls else ''};"),
        ("    listen [::]:80;\n", ""),
        ("    listen [::]:443 ssl http2;\n", ""),
        ("server_name example.org", "server_name localhost"),
    )
    (folder / "lutra.conf").write_text(configuration)
    (folder / "nginx.conf").write_text(NGINX_MAIN.format(folder=folder))
    command = [path, "-c", str(folder / "nginx.conf"), "-e", str(folder / "nginx.log")]
    with running(command, folder, port, {}):
        scheme = "https" if tls else "http"
        yield Front(f"{scheme}://localhost:{port}{PREFIX if place != 'whole' else ''}", plain_port, certificate)


PROXIES: dict[str, Callable[..., AbstractContextManager[Front]]] = {"caddy": caddy, "nginx": nginx}
