"""What would take too long is refused, and what the refusal names is taken: checked by asking for it.

The real gateway and a real Redis, and in place of a worker its heartbeat alone: jobs are taken in and stay queued, so
that no speed changes between two questions.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from models.cards import BY_NAME, CARDS
from tests.living import as_file, free_port, private_redis, wait_until
from workers.jobs.store import Store
from workers.operations.speeds import Speed, key_of

LIMIT_S = 1.0
UPSCALERS = [name for name, card in CARDS.items() if card.task == "upscale"]
SIZES = ("scale", "width", "height", "fit", "max_pixels")
FILTERS = {"nearest", "bilinear", "bicubic", "lanczos", "fourier"}

Ask = Callable[..., httpx.Response]


@functools.cache
def flat(height: int, width: int) -> bytes:
    return as_file(np.full((height, width), 9, np.uint8), "PNG")


@contextmanager
def gateway(folder: Path, **rates: float) -> Iterator[Ask]:
    """Asks a gateway where a job may take LIMIT_S; `rates`: seconds per megapixel as measured, by model (`_`: `-`)."""
    port = free_port()
    with private_redis(folder) as (url, _):
        store = Store.at(url)
        for name, rate in rates.items():
            card = BY_NAME[name.replace("_", "-")]
            store.keep_rate(key_of(card), Speed(rate, time.time(), ((time.time(), rate),)).to_json())
        settings = {"LUTRA_PORT": str(port), "LUTRA_REDIS_URL": url, "LUTRA_JOB_TIMEOUT_SECONDS": str(LIMIT_S)}
        settings |= {"LUTRA_QUEUE_SIZE": "100000", "LUTRA_STORE_BYTES": str(2**40)}
        process = subprocess.Popen([sys.executable, "-m", "service.cli", "gateway"], env={**os.environ, **settings})
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                wait_until(lambda: answers(client), 60, "the gateway answers")

                def ask(path: str, data: bytes, **parameters: object) -> httpx.Response:
                    store.beat({"test:1": {"device": "cpu", "models": {}}})
                    headers = {"Prefer": "respond-async"}
                    given = {name: str(value) for name, value in parameters.items()}
                    return client.post(path, content=data, params=given, headers=headers)

                yield ask
        finally:
            process.terminate()
            process.wait(60)
            store.close()


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/livez").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Nothing was measured yet: the cards count."""
    with gateway(tmp_path_factory.mktemp("fresh")) as ask:
        yield ask


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Networks take three times as long as on their cards; `liif` was measured a little slower than its equal."""
    with gateway(tmp_path_factory.mktemp("slow"), liif=12.4, liif_real=12.0) as ask:
        yield ask


def taken(answer: httpx.Response) -> bool:
    assert answer.status_code in (202, 422), answer.text
    return answer.status_code == 202


def refused(answer: httpx.Response) -> dict[str, object]:
    assert answer.status_code == 422, answer.text
    told: dict[str, object] = answer.json()
    assert told["type"] == "urn:lutra:problem:too-many-pixels" and told["estimate_s"] > told["limit_s"] == LIMIT_S  # type: ignore[operator]
    return told


def same_cost(one: str, other: str) -> bool:
    """Networks of one size and kind; `eclut` costs as much a pixel as a filter by chance, and computes other pixels."""
    return BY_NAME[one].cpu_s_per_mp == BY_NAME[other].cpu_s_per_mp and "eclut" not in (one, other)


@pytest.mark.parametrize(
    ("size", "asked"),
    [
        ((300, 400), {"model": "liif", "scale": 3.7}),
        ((300, 400), {"model": "liif", "scale": 6}),
        ((301, 407), {"model": "liif-real", "width": 1500}),
        ((301, 407), {"model": "liif", "width": 1500, "height": 3000}),
        ((301, 407), {"model": "liif", "width": 409, "height": 2400, "fit": "fill"}),
        ((300, 400), {"model": "liif", "max_pixels": 1_000_000}),
        ((300, 400), {"model": "srresnet", "scale": 2}),
        ((300, 400), {"model": "srgan", "scale": 4, "strength": 0.5}),
        ((300, 400), {"model": "srgan", "scale": 4}),
        ((1500, 2000), {"model": "eclut", "scale": 3.2}),
        ((1500, 2000), {"model": "eclut", "width": 2001, "height": 6000, "fit": "fill"}),
        ((2500, 3000), {"scale": 3}),
        ((2500, 3000), {"scale": 3, "effort": "fast"}),
    ],
)
@pytest.mark.parametrize("pace", ["fresh", "slow"])
def test_what_a_refusal_names_is_taken_and_what_is_larger_is_not(
    size: tuple[int, int], asked: dict[str, object], pace: str, request: pytest.FixtureRequest
) -> None:
    ask = functools.partial(request.getfixturevalue(pace), "/upscale", flat(*size))
    if taken(ask(**asked)):
        pytest.fail("this is meant to take too long")
    told = refused(ask(**asked))
    wish = {name: value for name, value in asked.items() if name not in SIZES}
    if "largest_scale" in told:
        largest = float(str(told["largest_scale"]))
        assert taken(ask(**wish, scale=largest)), told
        assert not taken(ask(**wish, scale=round(largest + 0.01, 2))), told
        assert taken(ask(**wish, max_pixels=told["largest_pixels"])), told
        assert f"{told['largest_pixels']} pixels" in str(told["detail"])
    else:
        assert not taken(ask(**wish, scale=1.01)), told
        assert "no scale of this picture fits" in str(told["detail"])
    named = told.get("faster_models", [])
    model = str(asked.get("model", "eclut"))
    for other in UPSCALERS:
        able = taken(ask(**(asked | {"model": other})))
        if not same_cost(other, model) or other == model:
            assert (other in named) is able, (other, told)  # type: ignore[operator]
        else:
            assert other not in named, told  # type: ignore[operator]


def test_a_table_of_fixed_scale_names_the_next_scale_below_that_it_has(fresh: Ask) -> None:
    told = refused(fresh("/upscale", flat(1250, 1600), model="eclut", scale=3.2))
    assert told["largest_scale"] == 3


def test_only_filters_reach_a_scale_beyond_the_networks(fresh: Ask) -> None:
    told = refused(fresh("/upscale", flat(300, 400), model="liif", scale=6))
    assert set(told["faster_models"]) == {"eclut", *FILTERS}  # type: ignore[call-overload]


def test_equal_networks_are_no_way_out_of_each_other_even_where_chance_measured_one_faster(slow: Ask) -> None:
    """0.0820 megapixels: 1.017 s by `liif` as measured, 0.984 s by `liif-real`."""
    picture = flat(100, 205)
    assert taken(slow("/upscale", picture, model="liif-real", scale=2))
    told = refused(slow("/upscale", picture, model="liif", scale=2))
    assert "liif-real" not in told["faster_models"]  # type: ignore[operator]


def test_a_model_that_was_not_measured_is_compared_at_the_pace_of_those_that_were(fresh: Ask, slow: Ask) -> None:
    """x4 of 0.0625 megapixels: 0.72 s on the card of `srresnet`, three times that where networks are slow."""
    picture = flat(250, 250)
    assert "srresnet" in refused(fresh("/upscale", picture, model="liif", scale=4))["faster_models"]  # type: ignore[operator]
    assert "srresnet" not in refused(slow("/upscale", picture, model="liif", scale=4))["faster_models"]  # type: ignore[operator]


def flat_of(pixels: int) -> bytes:
    """A picture of so many pixels; a PNG is at most a million wide."""
    rows = next(rows for rows in range(2, pixels) if pixels % rows == 0)
    return flat(rows, pixels // rows)


def test_the_largest_picture_that_a_restorer_takes_is_named_to_the_pixel(fresh: Ask) -> None:
    told = refused(fresh("/restore", flat(2000, 2000)))
    pixels = int(str(told["largest_pixels"]))
    assert taken(fresh("/restore", flat_of(pixels)))
    assert not taken(fresh("/restore", flat_of(pixels + 1)))
    assert "faster_models" not in told


def test_strength_nought_costs_nothing(fresh: Ask, slow: Ask) -> None:
    """48 megapixels, which at any other strength would take longer than a job may."""
    large = flat(6000, 8000)
    for ask in (fresh, slow):
        for path in ("/enhance", "/restore"):
            refused(ask(path, large, strength=0.01))
            assert taken(ask(path, large, strength=0))
    # one of a few: decoding and encoding; srgan computes as much at any strength
    assert not taken(fresh("/upscale", flat(300, 400), model="srgan", scale=4, strength=0))


def test_a_table_is_made_of_any_picture_in_time_and_a_picture_of_its_own_size_costs_nothing(slow: Ask) -> None:
    large = flat(6000, 8000)
    assert not taken(slow("/enhance", large))
    assert taken(slow("/enhance", large, format="cube"))
    assert taken(slow("/upscale", large, model="liif", width=8000))


def test_the_estimate_of_strength_nought_is_that_of_decoding_and_encoding(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Of a job that nothing is before, each in a queue of its own."""
    eta_s = {}
    for format_out in ("jpeg", "webp"):
        with gateway(tmp_path_factory.mktemp(format_out)) as ask:
            eta_s[format_out] = ask("/restore", flat(3000, 4000), strength=0, format=format_out).json()["eta_s"]
    assert eta_s["webp"] - eta_s["jpeg"] > 1
