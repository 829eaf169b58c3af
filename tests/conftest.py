"""For every test: threads that sleep at barriers, and, where Redis can be spoken to, the fixtures of `tests.living`."""

from __future__ import annotations

from importlib.util import find_spec

from workers import devices

devices.share_cores_politely()

pytest_plugins = ["tests.living"] if all(find_spec(name) for name in ("redis", "httpx", "pydantic_settings")) else []
