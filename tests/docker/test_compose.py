"""The deployment's files agree with their schemas, with each other and with the program.

No container is built or started here: docs/operations.md lists what a Docker engine has yet to show.
"""

from __future__ import annotations

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from models.cards import CARDS
from service import serve
from service.crowd import SPARE_DESCRIPTORS
from service.hosts import Hosts
from service.scrape import QueueCollector
from workers import errors, metrics, worker
from workers.jobs.job import Lane
from workers.jobs.records import LaneFacts, QueueFacts
from workers.settings import Settings, read_settings

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
# The gateway's alone: who may ask, and by which names.
DOOR = {
    *("LUTRA_API_KEYS_FILE", "LUTRA_METRICS_KEY", "LUTRA_RATE_LIMIT", "LUTRA_PRESETS_FILE"),
    *("LUTRA_HOSTS", "LUTRA_TRUSTED_PROXIES", "LUTRA_PUBLIC_URL", "LUTRA_CORS_ORIGINS"),
}
OURS = ("gateway", "worker", "worker-gpu")
UNITS = {"": 1, "m": 1024**2, "g": 1024**3, "mb": 1024**2, "gb": 1024**3}


def read_yaml(path: Path) -> Any:
    """YAML with merge keys followed and a key named twice refused; ruamel.yaml comes with check-jsonschema."""
    return YAML(typ="safe", pure=True).load(path)


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = read_yaml(COMPOSE)["services"]
    return found


def tool(name: str) -> str:
    """The path of a tool of the development extra; its absence skips at home and fails in CI."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found:
        return found
    reason = f"{name} is not installed"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def said(*command: str | Path) -> str:
    """What a command that must succeed prints."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """(instruction, rest) of each line of a Dockerfile, continued lines joined, comments left out."""
    text = re.sub(r"(?m)^\s*#.*\n", "", dockerfile.read_text()).replace("\\\n", " ")
    pairs = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    return [(name, " ".join(rest.split())) for name, rest in pairs]


def copied(dockerfile: Path) -> set[str]:
    """What a Dockerfile copies from the build context."""
    rests = [rest for name, rest in instructions(dockerfile) if name == "COPY" and "--from=" not in rest]
    return {source for rest in rests for source in rest.split()[:-1]}


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def size_bytes(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([a-z]*)", text).groups()  # type: ignore[union-attr]
    return int(number) * UNITS[unit]


def default_of(text: str) -> str:
    """The value of `${NAME:-default}` where nothing is set."""
    return re.sub(r"\$\{\w+:?-([^}]*)\}", r"\1", text)


# -- schemas and linters ---------------------------------------------------------------------------------------------


def test_the_compose_file_fits_the_compose_specification() -> None:
    assert "version" not in read_yaml(COMPOSE)
    said(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", COMPOSE)


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_finds_nothing_in_a_dockerfile(dockerfile: Path) -> None:
    said(tool("hadolint"), "--failure-threshold", "style", dockerfile)


def test_there_is_a_dockerfile_for_the_gateway_and_one_for_the_workers() -> None:
    assert {path.name for path in DOCKERFILES} == {"gateway.Dockerfile", "worker.Dockerfile"}
    built = {name: services()[name]["build"]["dockerfile"] for name in OURS}
    assert built == {
        "gateway": "docker/gateway.Dockerfile",
        "worker": "docker/worker.Dockerfile",
        "worker-gpu": "docker/worker.Dockerfile",
    }


# -- the services ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gateway", "worker", "worker-gpu", "redis", "prometheus"])
def test_a_service_has_no_rights_that_it_does_not_need(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert not {"privileged", "network_mode", "pid", "cap_add"} & set(service)
    assert not any("docker.sock" in volume for volume in service.get("volumes", []))


def test_the_proxy_has_the_right_to_its_ports_and_no_other() -> None:
    service = services()["caddy"]
    assert (service["cap_drop"], service["cap_add"], service["read_only"]) == (["ALL"], ["NET_BIND_SERVICE"], True)
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["networks"] == ["outside"], "it reaches the gateway, and neither Redis nor the workers"
    read = set(re.findall(r"\{\$(\w+)", (ROOT / "docker" / "Caddyfile").read_text()))
    assert read == set(service["environment"])


def test_every_process_has_a_fixed_user_that_is_not_root() -> None:
    for dockerfile in DOCKERFILES:
        steps = instructions(dockerfile)
        last_stage = steps[max(i for i, (name, _) in enumerate(steps) if name == "FROM") :]
        assert ("USER", "10001:10001") in last_stage
    for name in ("redis", "prometheus"):
        uid, gid = services()[name]["user"].split(":")
        assert int(uid) > 0
        assert int(gid) > 0


def test_ports_are_published_on_the_loopback_address_unless_told_otherwise() -> None:
    published = {name: service["ports"] for name, service in services().items() if "ports" in service}
    assert {name: [default_of(port) for port in ports] for name, ports in published.items()} == {
        "gateway": ["127.0.0.1:8000:8000"],
        "prometheus": ["127.0.0.1:9090:9090"],
        "caddy": ["0.0.0.0:80:80", "0.0.0.0:443:443", "0.0.0.0:443:443/udp"],  # asked for by its profile
    }
    assert services()["caddy"]["profiles"] == ["proxy"]
    assert all(port.startswith("${") for ports in published.values() for port in ports)


def test_workers_and_redis_have_no_way_out() -> None:
    assert read_yaml(COMPOSE)["networks"]["inside"] == {"internal": True}
    for name in ("worker", "worker-gpu", "redis"):
        assert services()[name]["networks"] == ["inside"]


def test_images_and_bases_are_pinned_to_a_full_version() -> None:
    images = [service["image"] for service in services().values() if "image" in service]
    for dockerfile in DOCKERFILES:
        python = dict(rest.split("=", 1) for name, rest in instructions(dockerfile) if name == "ARG")["PYTHON"]
        bases = [rest.split()[0] for name, rest in instructions(dockerfile) if name == "FROM"]
        images += [base.replace("${PYTHON}", python) for base in bases]
    assert len(images) == 3 + 2 * len(DOCKERFILES)
    for image in images:
        assert re.fullmatch(r"[\w/-]+:v?\d+\.\d+\.\d+(-[\w-]+)?", image), image


def test_the_gpu_worker_comes_only_when_asked_for_and_reserves_its_gpus() -> None:
    gpu = services()["worker-gpu"]
    assert gpu["profiles"] == ["gpu"]
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia"
    assert device["capabilities"] == ["gpu"]
    assert device["count"] == gpu["environment"]["LUTRA_WORKER_CONCURRENCY"]
    assert not any("profiles" in services()[name] for name in ("gateway", "worker", "redis", "prometheus"))


def test_containers_stop_in_order_and_are_given_the_time_to_drain() -> None:
    assert seconds(services()["gateway"]["stop_grace_period"]) >= serve.GRACE_S + 10
    for name in ("worker", "worker-gpu"):
        assert seconds(services()[name]["stop_grace_period"]) >= worker.DRAIN_S + 10
        assert services()[name]["depends_on"] == {"redis": {"condition": "service_healthy"}}
    assert services()["gateway"]["depends_on"] == {
        "redis": {"condition": "service_healthy"},
        "worker": {"condition": "service_started"},
        "worker-gpu": {"condition": "service_started", "required": False},
    }


def test_health_checks_ask_what_the_images_have() -> None:
    gateway, gpu = services()["gateway"]["healthcheck"]["test"], services()["worker-gpu"]["healthcheck"]["test"]
    assert services()["worker"]["healthcheck"]["test"] == gpu
    compile(gateway[3], "health check of the gateway", "exec")
    assert gateway[:3] == ["CMD", "python", "-c"]
    assert "/livez" in gateway[3]
    assert gpu[:3] == ["CMD", "python", "-m"]
    assert callable(importlib.import_module(gpu[3]).main)


# -- settings --------------------------------------------------------------------------------------------------------


def test_every_setting_that_is_named_exists() -> None:
    named = set()
    for path in (COMPOSE, ROOT / ".env.example", *DOCKERFILES):
        named |= set(re.findall(r"\bLUTRA_[A-Z_]+", path.read_text()))
    known = {f"LUTRA_{field.upper()}" for field in Settings.model_fields}
    assert named <= known


def test_gateway_and_workers_are_given_the_same_limits() -> None:
    whole = services()["gateway"]["environment"]
    shared = {name: value for name, value in whole.items() if name not in DOOR}
    assert {"LUTRA_STORE_BYTES", "LUTRA_QUEUE_SIZE", "LUTRA_JOB_TIMEOUT_SECONDS", "LUTRA_MODELS"} <= set(shared)
    for name in ("worker", "worker-gpu"):
        assert shared.items() <= services()[name]["environment"].items()


def test_a_secret_of_the_gateway_is_not_given_to_what_decodes_strangers_pictures() -> None:
    assert set(services()["gateway"]["environment"]) > DOOR
    for name in ("worker", "worker-gpu"):
        assert not DOOR & set(services()[name]["environment"])


def test_the_gateway_answers_to_its_own_health_check_and_to_prometheus() -> None:
    check = services()["gateway"]["healthcheck"]["test"][3]
    (target,) = read_yaml(ROOT / "docker" / "prometheus.yml")["scrape_configs"][0]["static_configs"][0]["targets"]
    written = services()["gateway"]["environment"]["LUTRA_HOSTS"]
    assert written == "${LUTRA_HOSTS:+gateway,${LUTRA_HOSTS}}"
    hosts = Hosts(
        tuple(written.split("+")[1].removesuffix("}").replace("${LUTRA_HOSTS}", "a.example").split(",")), "0.0.0.0"
    )
    for host in (re.findall(r"http://([^/]+)/", check)[0], target, "a.example"):
        scope = {"headers": [(b"host", host.encode())], "server": ("172.18.0.2", 8000), "http_version": "1.1"}
        assert hosts.check(scope) == host
    assert not hosts.are_any


def test_the_example_of_settings_names_just_what_the_compose_file_reads() -> None:
    read = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text()))
    assert set(re.findall(r"(?m)^#(\w+)=", (ROOT / ".env.example").read_text())) == read


def test_the_example_shows_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = dict(re.findall(r"(?m)^#(LUTRA_\w+)=(.*)", (ROOT / ".env.example").read_text()))
    for name in [name for name in os.environ if name.startswith("LUTRA_")]:
        monkeypatch.delenv(name)
    plain = read_settings()
    composed = {"redis_url": "redis://redis:6379/0", "log_format": "json", "worker_concurrency": 1}
    for name, value in shown.items():
        monkeypatch.setenv(name, value)
        field = name.removeprefix("LUTRA_").lower()
        assert getattr(read_settings(), field) == composed.get(field, getattr(plain, field)), name


def test_redis_evicts_nothing_and_is_larger_than_what_it_is_asked_to_hold() -> None:
    lines = (ROOT / "docker" / "redis.conf").read_text().splitlines()
    config = dict(line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))
    assert config["maxmemory-policy"] == "noeviction"
    assert size_bytes(config["maxmemory"]) >= 2 * Settings.model_fields["store_bytes"].default
    option, maxmemory = services()["redis"]["command"]
    assert option == "--maxmemory"
    assert default_of(maxmemory) == config["maxmemory"]


@pytest.mark.parametrize("name", services())
def test_every_container_has_a_limit_of_memory_and_one_of_open_files(name: str) -> None:
    service = services()[name]
    assert size_bytes(default_of(service["mem_limit"])) >= 1024**3
    files = service["ulimits"]["nofile"]
    assert files["soft"] == files["hard"] >= Settings.model_fields["max_connections"].default + SPARE_DESCRIPTORS


def test_the_limits_of_memory_lie_above_what_the_program_bounds_itself() -> None:
    limits = {name: size_bytes(default_of(service["mem_limit"])) for name, service in services().items()}
    (_, maxmemory) = services()["redis"]["command"]
    assert limits["redis"] >= 1.5 * size_bytes(default_of(maxmemory))
    assert limits["gateway"] >= 2 * Settings.model_fields["store_bytes"].default
    largest = Settings.model_fields["max_output_pixels"].default * 4 * 2  # alpha, and 16 bits
    assert limits["worker"] == limits["worker-gpu"] >= 4 * largest


# -- images ----------------------------------------------------------------------------------------------------------


def test_the_build_is_sent_just_what_the_dockerfiles_copy() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*", "everything is left out (.git, .venv, runs, ...) but what is named after this"
    sent = {pattern[1:] for pattern in patterns if pattern.startswith("!")}
    tops = {source.split("/*")[0].rstrip("/") for dockerfile in DOCKERFILES for source in copied(dockerfile)}
    assert sent == {top if top.startswith("docker/") else top.split("/")[0] for top in tops}
    assert all((ROOT / path).exists() for path in sent)


def test_the_worker_is_given_every_package_of_the_project_and_the_gateway_what_it_imports() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["scikit-build"]["wheel"]["packages"]
    worker, gateway = copied(ROOT / "docker/worker.Dockerfile"), copied(ROOT / "docker/gateway.Dockerfile")
    assert {f"{package}/" for package in packages} | {"CMakeLists.txt"} <= worker
    assert {source for source in gateway if "/" in source} == {
        "docker/requirements.py",
        "models/*.py",
        "models/scores/",
        "workers/",
        "service/",
    }


def test_dependencies_are_installed_before_the_sources_are_copied() -> None:
    for dockerfile in DOCKERFILES:
        steps = instructions(dockerfile)
        installed = next(i for i, (_, rest) in enumerate(steps) if "--requirement requirements.txt" in rest)
        sources = next(i for i, (name, rest) in enumerate(steps) if name == "COPY" and "workers/" in rest)
        assert installed < sources
        assert all("--constraint" in rest or "--no-deps ." in rest for _, rest in steps if " install " in rest)


def test_requirements_are_those_of_the_core_and_the_extra_and_the_gateway_has_no_torch() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra in ("gateway", "worker"):
        printed = said(sys.executable, ROOT / "docker" / "requirements.py", extra).splitlines()
        assert printed == project["dependencies"] + project["optional-dependencies"][extra]
        assert any(line.startswith("torch") for line in printed) == (extra == "worker")
        assert not any(line.startswith("lutra") for line in printed), "an extra that names the project is not resolved"


def test_commands_of_the_images_are_commands_of_the_program() -> None:
    from service.cli import build_parser

    for dockerfile in DOCKERFILES:
        (command,) = [rest for name, rest in instructions(dockerfile) if name == "CMD"]
        words = [word.strip(",") for word in shlex.split(command.strip("[]"))]
        assert words[0] == "lutra"
        assert callable(build_parser().parse_args(words[1:]).run)


def test_no_index_of_packages_is_named_but_torchs_own() -> None:
    for path in (COMPOSE, ROOT / ".env.example", *DOCKERFILES):
        hosts = set(re.findall(r"https?://([^/:\s}\"']+)", path.read_text()))
        assert hosts <= {"download.pytorch.org", "127.0.0.1", "gateway"}, path.name


# -- Prometheus ------------------------------------------------------------------------------------------------------


def rules() -> list[dict[str, Any]]:
    return [rule for group in read_yaml(ROOT / "docker" / "alerts.yml")["groups"] for rule in group["rules"]]


def samples() -> set[str]:
    """The name of every sample that gateway and workers can show."""
    instruments = [value for value in vars(metrics).values() if hasattr(value, "describe") and hasattr(value, "_name")]
    families = [family for instrument in instruments for family in instrument.describe()]
    families += QueueCollector(QueueFacts({Lane.BULK: LaneFacts()}, 0, 0, 0), 1, (1, 1)).collect()
    names = set()
    for family in families:
        endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        names |= {family.name + ending for ending in endings}
    return names


def test_prometheus_scrapes_the_gateway_and_every_worker() -> None:
    jobs = {job["job_name"]: job for job in read_yaml(ROOT / "docker" / "prometheus.yml")["scrape_configs"]}
    assert set(jobs) == {"gateway", "worker"}
    assert jobs["gateway"]["static_configs"] == [{"targets": ["gateway:8000"]}]
    (found,) = jobs["worker"]["dns_sd_configs"]
    assert found["names"] == ["worker", "worker-gpu"]
    assert (found["type"], found["port"]) == ("A", Settings.model_fields["metrics_port"].default)


def test_the_rules_that_prometheus_reads_are_mounted_beside_its_configuration() -> None:
    (named,) = read_yaml(ROOT / "docker" / "prometheus.yml")["rule_files"]
    mounts = [volume.split(":")[:2] for volume in services()["prometheus"]["volumes"]]
    assert [f"./docker/{named}", f"/etc/prometheus/{named}"] in mounts
    files = [source for service in services().values() for source in service.get("volumes", []) if source[0] == "."]
    assert files
    assert all((ROOT / file.split(":")[0]).is_file() and file.endswith(":ro") for file in files)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_metrics_and_labels_that_exist(rule: dict[str, Any]) -> None:
    expression = rule["expr"]
    named = set(re.findall(r"\b(?:lutra|http)_\w+", expression))
    assert named <= samples()
    assert named or re.match(r"up\b", expression)
    assert expression.count("(") == expression.count(")")
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert set(rule["annotations"]) == {"summary", "look"}
    known = {
        "code": set(errors.error_codes()),
        "reason": {*metrics.REQUEUE_REASONS, *metrics.REJECTIONS},
        "job": {"gateway", "worker"},
    }
    for label, values in re.findall(r'\b(\w+)=~?"([^"]*)"', expression):
        assert set(values.split("|")) <= known.get(label, set(values.split("|"))), label


def test_alerts_watch_queue_workers_errors_and_slowness() -> None:
    asked = " ".join(rule["expr"] for rule in rules())
    for metric in ("lutra_queue_depth", "lutra_workers_alive", "lutra_job_errors_total", "lutra_job_duration_seconds"):
        assert metric in asked
    assert "histogram_quantile(0.95" in asked


def test_the_weights_of_every_model_are_in_the_package() -> None:
    """What the worker's image copies; a card whose file is missing would keep the worker from starting."""
    packed = {path.name for path in (ROOT / "models/weights").glob("*.safetensors")}
    assert {card.file for card in CARDS.values() if card.file} <= packed
