"""The documents say what the code does: links lead somewhere; every error, setting, call and parameter is there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from models.cards import ALL as CARDS
from service import problems
from tests.documents import DOCUMENTS, ROOT, anchors_of, links_of, rows_of, section_of, text_of
from workers import errors
from workers.settings import Settings

HTTP = "docs/http.md"
API = json.loads(text_of("docs/openapi.json"))
CALLS = [(path, method, call) for path, methods in API["paths"].items() for method, call in methods.items()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    text = document.read_text()
    for link in links_of(text):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), f"{link} is not there"
        assert not anchor or anchor in anchors_of(target.read_text()), f"{link}: no such heading"


def test_the_readme_is_short_and_leads_to_every_document() -> None:
    readme = text_of("README.md")
    assert len(readme.split()) <= 2600
    linked = {link.partition("#")[0] for link in links_of(readme)}
    assert {str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")} <= linked


# ---- The table of errors ---------------------------------------------------------------------------------------------


def raised() -> dict[str, type[errors.LutraError]]:
    """The errors that service or workers make somewhere, by the name in their type."""
    sources = [path for room in ("service", "workers") for path in (ROOT / room).rglob("*.py")]
    code = "\n".join(path.read_text() for path in sources if path != ROOT / "workers/errors.py")
    made = set(re.findall(r"(?<!class )\b([A-Z]\w+)\(", code))
    kinds = {name: kind for name, kind in vars(errors).items() if name in made and kind is not errors.LutraError}
    return {problems.type_of(kind.code).rpartition(":")[2]: kind for kind in kinds.values()}


def test_the_table_of_errors_has_each_error_once_with_its_status() -> None:
    table = [row for row in rows_of(section_of(text_of(HTTP), "Errors")) if row[0] != "name"]
    told = [(row[0].strip("`"), int(row[1])) for row in table]
    assert sorted(told) == sorted((name, problems.status_and_title(kind)[0]) for name, kind in raised().items())
    assert [status for _, status in told] == sorted(status for _, status in told)
    assert all(len(row) == 4 and row[2] and row[3] for row in table)


# ---- The reference of the API ----------------------------------------------------------------------------------------


def test_the_reference_has_every_call() -> None:
    told = text_of(HTTP)
    assert [f"{method.upper()} {path}" for path, method, _ in CALLS if f"`{method.upper()} {path}" not in told] == []


def test_the_reference_has_every_parameter_and_every_header() -> None:
    names = set(API["components"]["headers"])
    names |= {one["name"] for _, _, call in CALLS for one in call.get("parameters", ()) if one["in"] != "path"}
    told = text_of(HTTP)
    # `?verbose`, for it has no value
    assert {name for name in names if f"`{name}`" not in told and f"`?{name}`" not in told} == set()


def test_the_reference_has_every_model_that_is_served() -> None:
    told = text_of(HTTP)
    served = [card.name for card in CARDS if card.parameters == 0 or weights_of(card.name).exists()]
    assert "lmliif" in served and "bicubic" in served
    assert [name for name in served if f"`{name}`" not in told] == []


def weights_of(name: str) -> Path:
    return ROOT / "models/weights" / f"{name}.safetensors"


# ---- Settings --------------------------------------------------------------------------------------------------------


def test_the_table_of_settings_has_each_once_with_its_default() -> None:
    rows = [row for row in rows_of(text_of("docs/settings.md")) if row[0].startswith("`LUTRA_")]
    told = {row[0].strip("`"): row[1] for row in rows}
    assert len(told) == len(rows)
    fields = {f"LUTRA_{name.upper()}": field.default for name, field in Settings.model_fields.items()}
    assert told.keys() == fields.keys()
    plain = {name: value for name, value in fields.items() if isinstance(value, (bool, int, float, str))}
    assert {name: told[name] for name in plain} == {name: str(value).lower() for name, value in plain.items()}


def test_every_setting_of_the_containers_is_a_setting() -> None:
    named = set(re.findall(r"LUTRA_[A-Z_]+", text_of(".env.example")))
    assert named <= {f"LUTRA_{name.upper()}" for name in Settings.model_fields}


# ---- The version -----------------------------------------------------------------------------------------------------


def test_the_version_is_the_same_everywhere() -> None:
    (version,) = re.findall(r'^version = "(.*)"$', text_of("pyproject.toml"), re.MULTILINE)
    assert API["info"]["version"] == version
    assert f'__version__ = "{version}"' in text_of("client/lutra_client/__init__.py")
    for image in ("gateway", "worker"):
        assert f'org.opencontainers.image.version="{version}"' in text_of(f"docker/{image}.Dockerfile")
    assert re.findall(r"^## (\S+) - ", text_of("CHANGELOG.md"), re.MULTILINE)[0] == version


def test_the_changelog_has_the_usual_sections() -> None:
    known = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", text_of("CHANGELOG.md"), re.MULTILINE)) <= known
