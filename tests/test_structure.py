"""The count of the structure on a small checkout with a fault of each kind, beside what looks like it and is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.structure import (
    Checkout,
    circles,
    imports_of,
    long_files,
    long_functions,
    reached,
    read_checkout,
    unread_names,
    untested_modules,
    upward_imports,
    wide_functions,
)

FILES = {
    "pyproject.toml": '[project.scripts]\ntool = "service.app:command"\n\n[tool.other]\nkey = "value:late_reader"\n',
    "service/__init__.py": "",
    "service/app.py": """
from typing import TYPE_CHECKING
from workers import jobs
from workers.jobs.store import Store
if TYPE_CHECKING:
    from models.net import Net
else:
    import fastapi

def command(store: Store, *, loud: bool = False) -> None:
    import models.net
    jobs.wake(store)

@router.get("/")
def route(): ...
""",
    "workers/__init__.py": "",
    "workers/metrics.py": "MEMORY = 1\n",
    "workers/jobs/__init__.py": "from .store import Store\nfrom . import ring_a\n",
    "workers/jobs/store.py": """
import redis
TABLE, _own = {}, 1
Row: type = dict
class Store(Base):
    def close(self): ...
class Base:
    def opened(self): ...
    def unread(self): ...
    @property
    def never(self): ...
class Failure(ValueError):
    def add_note(self, note): ...
    def told(self): ...
class Shape(Protocol):
    def area(self): ...
class Foreign(redis.Redis):
    def callback(self): ...
Failure(Store().opened, "Shape", Row), Foreign
""",
    "workers/jobs/ring_a.py": "def wake(store):\n    from workers.jobs import ring_b\n",
    "workers/jobs/ring_b.py": "from workers.jobs.ring_a import wake\n",
    "models/__init__.py": "",
    "models/net.py": "from torch import nn\nfrom workers.jobs.store import Row\n"
    "class Net(nn.Module):\n    def forward(self): ...\n",
    "kernels/__init__.py": "",
    "kernels/ops.py": "def narrow(a, b, c, d, e, f, g, *args): ...\nnarrow\n"
    "class Wide:\n    def wide(self, a, b, c, d, e, f, g, /, *, h, **options): ...\n"
    "    def fits(self, a, b, c, d, e, f, g, h): ...\nWide.wide, Wide.fits\n",
    "kernels/long.py": "def short():\n" + 39 * "    1\n" + "def long():\n" + 40 * "    1\n" + 270 * "short, long\n",
    "benchmarks/run.py": "import kernels.ops\nTABLE\n",
    "tests/test_ops_of_all.py": "",
    "tests/workers/test_jobs_store.py": "",
    "tests/workers/test_metrics.py": "",
    "tests/workers/test_ring.py": "",
    "tests/workers/test_app.py": "",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return read_checkout(tmp_path)


def test_a_file_and_a_function_are_long_beyond_their_limits(checkout: Checkout) -> None:
    assert long_files(checkout) == ["kernels/long.py: 351"]
    assert long_functions(checkout) == ["kernels/long.py:41 long: 41"]


def test_arguments_are_what_a_caller_may_pass(checkout: Checkout) -> None:
    assert wide_functions(checkout) == ["kernels/ops.py:4 wide: 9"]


def test_a_circle_may_run_through_a_function(checkout: Checkout) -> None:
    assert circles(checkout) == ["workers.jobs.ring_a, workers.jobs.ring_b"]


def test_an_import_of_a_room_above_is_upwards(checkout: Checkout) -> None:
    assert upward_imports(checkout) == ["models/net.py imports workers.jobs.store"]


def test_imports_are_told_by_when_they_happen(checkout: Checkout) -> None:
    app = checkout.modules["service.app"]
    at_import = {"typing.TYPE_CHECKING", "workers.jobs", "workers.jobs.store", "fastapi"}
    assert imports_of(checkout, app, late=False, typing=False) == at_import
    assert imports_of(checkout, app, late=False) == at_import | {"models.net"}
    assert imports_of(checkout, app, typing=False) == at_import | {"models.net"}


def test_what_is_loaded_is_followed_over_packages_and_their_parents(checkout: Checkout) -> None:
    loaded = reached(checkout, "workers.jobs.store")
    assert loaded["workers.jobs.ring_a"] == "workers.jobs"
    assert "workers" in loaded and "redis" in loaded and "workers.jobs.ring_b" not in loaded
    assert "torch.nn" in reached(checkout, "service.app", late=True)
    assert "torch.nn" not in reached(checkout, "service.app")


def test_names_without_a_reader_are_found_but_for_those_of_frameworks_and_those_that_are_kept(
    checkout: Checkout,
) -> None:
    assert [one.partition(" ")[2] for one in unread_names(checkout)] == [
        "Store.close",
        "Base.unread",
        "Base.never",
        "Failure.told",
        "MEMORY",
    ]


def test_a_test_has_the_name_of_its_module_and_perhaps_of_its_package(checkout: Checkout) -> None:
    assert untested_modules(checkout) == [
        "kernels/long.py",
        "models/net.py",
        "workers/jobs/ring_a.py",
        "workers/jobs/ring_b.py",
        "service/app.py",
    ]
