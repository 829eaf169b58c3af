"""Calls that Schemathesis makes up from the OpenAPI document, against the running service: no 500, and nothing is
answered that the document does not tell.

FUZZ_EXAMPLES: how many at most for each endpoint and phase; `make fuzz` asks for many. Schemathesis comes with the
extra `fuzz`; without it this is skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.living import running_lutra
from tests.service.committed import COMMITTED

ROOT = Path(__file__).parents[2]
EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "15")
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"),
    *("response_headers_conformance", "unsupported_method", "allow_header_conformance", "missing_required_header"),
)


@pytest.mark.slow
def test_made_up_calls_are_answered_as_the_document_tells(tmp_path: Path) -> None:
    tool = shutil.which("st", path=Path(sys.executable).parent)
    if tool is None:
        pytest.skip("schemathesis is not installed: make fuzz brings it")
    report = tmp_path / "report.json"
    settings = {
        "LUTRA_MODELS": "nearest,lanczos,lut3d",
        "LUTRA_SYNC_WAIT_SECONDS": "2",
        "LUTRA_MAX_OUTPUT_PIXELS": "100000",
    }
    with running_lutra(tmp_path, **settings) as lutra:
        options = ["--url", f"http://127.0.0.1:{lutra.port}", "--checks", ",".join(CHECKS), "--seed", "1"]
        options += [
            "--max-examples",
            EXAMPLES,
            "--continue-on-failure",
            "--report-json-path",
            str(report),
            "--no-color",
        ]
        told = subprocess.run(
            [tool, "run", str(COMMITTED), *options],
            capture_output=True,
            text=True,
            timeout=3600,
            env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.service.fuzz_hooks", "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,  # it keeps what it has found
        )
        assert lutra.client.get("/livez").status_code == 200
        assert "request failed by our fault" not in lutra.log.read_text()
    print(told.stdout[-3000:])
    assert told.returncode == 0, told.stdout[-20000:] + told.stderr
