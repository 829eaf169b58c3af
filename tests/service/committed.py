"""docs/openapi.json as the service would write it: `python -m tests.service.committed` (`make openapi`) rewrites it."""

from __future__ import annotations

import json
from pathlib import Path

from service.app import create_app
from workers.settings import Settings

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"


def text_now() -> str:
    """Of a service whose settings are the defaults, whatever the environment says."""
    settings = Settings.model_construct()
    return json.dumps(create_app(settings, "redis://127.0.0.1:1/0").openapi(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    COMMITTED.write_text(text_now())
    print(COMMITTED)
