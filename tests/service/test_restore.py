"""POST /restore through the real service with the user's own weights, and `lutra restore` on files."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from PIL import Image, ImageCms

from service.cli import main
from tests.living import Lutra, as_file, opened, photo, running_lutra, wait_until
from tests.models.brought import SMALL_AIRNET, bring_airnet, bring_airnet_u
from tests.service.gateway import running_gateway

PHOTO = photo()
PNG = as_file(PHOTO, "PNG")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    bring_airnet(folder, dataclasses.replace(SMALL_AIRNET, width=32, blocks=2, unshuffle=1))
    return folder


@pytest.fixture(scope="module")
def restoring(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lutra]:
    """A service with weights for AirNet, which is patient for half a minute of work."""
    settings = {"LUTRA_WEIGHTS_DIR": str(weights), "LUTRA_MODELS": "lut3d,airnet", "LUTRA_TILE": "96"}
    with running_lutra(tmp_path_factory.mktemp("restoring"), **settings, LUTRA_JOB_TIMEOUT_SECONDS="30") as running:
        yield running


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(opened(data), int)


def test_what_would_take_too_long_is_refused_with_the_size_that_fits(restoring: Lutra) -> None:
    """By the card's speed: nothing here has been large enough yet to be learnt from."""
    answer = restoring.post("/restore", as_file(np.full((6000, 8000), 9, np.uint8), "PNG"))
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["estimate_s"] > problem["limit_s"] == 30
    assert 0 < problem["largest_pixels"] < 48_000_000
    assert f"at most {problem['largest_pixels']} pixels" in problem["detail"]


def test_strength_nought_says_nothing_of_the_network_s_speed(restoring: Lutra) -> None:
    answer = restoring.post("/restore?strength=0", as_file(photo(400, 300), "PNG"))
    assert answer.status_code == 200
    answer = restoring.post("/restore", as_file(np.full((6000, 8000), 9, np.uint8), "PNG"))
    assert answer.status_code == 422


def test_restore_gives_a_picture_of_the_same_size_that_differs(restoring: Lutra) -> None:
    answer = restoring.post("/restore?format=png", as_file(PHOTO, quality=95))
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-lutra-model"] == "airnet"
    assert "x-lutra-found" not in answer.headers
    assert pixels(answer.content).shape == (48, 64, 3)
    assert np.abs(pixels(answer.content) - PHOTO).mean() > 1
    assert opened(restoring.post("/restore", as_file(PHOTO)).content).format == "JPEG"


def test_strength_goes_from_the_picture_itself_to_the_model(restoring: Lutra) -> None:
    none, half, full = (pixels(restoring.post(f"/restore?strength={s}", PNG).content) for s in (0, 0.5, 1))
    assert np.array_equal(none, PHOTO)
    assert np.abs(half - (none + full) / 2).max() <= 1


def test_alpha_grey_sixteen_bits_and_profile_stay(restoring: Lutra) -> None:
    alpha = np.zeros((48, 64), np.uint8)
    alpha[:, 20:] = np.arange(44) * 5
    answer = restoring.post("/restore", as_file(np.dstack([PHOTO, alpha]), "PNG"))
    assert np.array_equal(pixels(answer.content)[..., 3], alpha)
    assert opened(restoring.post("/restore", as_file(PHOTO[..., 0], "PNG")).content).mode == "L"
    ramp = np.linspace(9000, 60000, 64 * 64).reshape(64, 64, 1).repeat(3, 2).astype(np.uint16)
    answer = restoring.post("/restore?strength=0.1", cv2.imencode(".png", ramp)[1].tobytes())
    deep = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert deep is not None and deep.dtype == np.uint16 and len(np.unique(deep)) > 1000
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    answer = restoring.post("/restore", as_file(PHOTO, "PNG", icc_profile=profile))
    assert opened(answer.content).info["icc_profile"] == profile


def test_a_large_picture_tells_its_tiles_and_can_be_cancelled_between_them(restoring: Lutra) -> None:
    large = as_file(photo(500, 600), "PNG")
    posted = restoring.post("/restore", large, headers={"Prefer": "respond-async"})
    assert posted.status_code == 202, posted.text
    totals: list[str] = []

    def listen() -> None:
        with restoring.client.stream("GET", f"{posted.headers['location']}/events") as events:
            totals.extend(line for line in events.iter_lines() if '"total"' in line)

    listener = threading.Thread(target=listen)
    listener.start()
    listener.join(60)
    job = restoring.client.get(posted.headers["location"]).json()
    assert job["state"] == "succeeded" and job["operation"] == "restore" and job["progress"] == 1
    assert (job["output"]["width"], job["output"]["height"]) == (600, 500)
    assert any('"total": 42' in line or '"total":42' in line for line in totals), totals
    again = restoring.post("/restore", large, headers={"Prefer": "respond-async", "Cache-Control": "no-cache"})
    url = again.headers["location"]
    assert restoring.client.delete(url).status_code in (200, 202)
    wait_until(lambda: restoring.client.get(url).json()["state"] == "cancelled", 60, "the job is cancelled")


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("model=lut3d", "lut3d"),
        ("model=promptir", "airnet"),
        ("only=noise", "airnet cannot take off only=noise; leave only out"),
        ("only=scratches", "only"),
        ("strength=2", "strength"),
        ("strength=nan", "strength"),
        ("scale=2", "scale"),
        ("format=cube", "format"),
        ("quality=0", "quality"),
    ],
)
def test_a_bad_parameter_is_a_problem_that_says_what_was_seen(restoring: Lutra, query: str, word: str) -> None:
    answer = restoring.post(f"/restore?{query}", PNG)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert word in answer.json()["detail"]


def test_the_card_the_counts_and_the_document_know_it(restoring: Lutra) -> None:
    restoring.post("/restore", PNG)
    (card,) = (model for model in restoring.client.get("/models").json()["models"] if model["name"] == "airnet")
    assert (card["task"], card["loaded"], card["scores"]) == ("restore", True, {})  # weights that are not ours
    finished = restoring.samples("lutra_jobs_finished_total")
    assert finished['{model="airnet",operation="restore",outcome="succeeded"}'] >= 1
    assert finished['{model="airnet",operation="restore",outcome="failed"}'] == 0
    assert restoring.samples("lutra_tiles_total")['{model="airnet"}'] >= 1
    assert restoring.samples("lutra_jobs_submitted_total")['{operation="restore"}'] >= 1
    document = restoring.client.get("/openapi.json").json()["paths"]["/restore"]["post"]
    assert {one["name"] for one in document["parameters"] if one["in"] == "query"} == {
        "model",
        "strength",
        "only",
        "format",
        "quality",
        "metadata",
        "lossless",
        "preset",
    }


def test_without_a_model_it_says_so(tmp_path: Path) -> None:
    with running_gateway(tmp_path, LUTRA_MODELS="lut3d") as gateway:
        for query in ("", "?model=airnet", "?model=auto"):
            answer = httpx.post(f"{gateway.url}/restore{query}", content=PNG, timeout=60)
            assert answer.status_code == 422
            assert "/restore is not served here" in answer.json()["detail"]


def nearly_clean() -> np.ndarray:
    """A photo with noise of one level, which is 3.7 before four by four of its pixels become one."""
    return np.asarray(Image.fromarray(photo(640, 800)).reduce(4))


@pytest.mark.parametrize("sigma", [4, 25])
def test_our_own_weights_take_noise_off(sigma: int, lutra: Lutra) -> None:
    clean = nearly_clean()
    noisy = (clean + np.random.default_rng(0).normal(0, sigma, clean.shape)).clip(0, 255).round().astype(np.uint8)
    restored = pixels(lutra.post("/restore", as_file(noisy, "PNG")).content)
    assert np.square(restored - clean).mean() < 0.35 * np.square(noisy - clean.astype(int)).mean()


def test_our_own_weights_leave_a_clean_picture_nearly_be(lutra: Lutra) -> None:
    clean = nearly_clean()
    kept = pixels(lutra.post("/restore", as_file(clean, "PNG")).content)
    assert np.square(kept - clean).mean() < 255**2 / 10**4.6, "46 dB and more"


def test_our_own_weights_never_harm_a_flat_field_a_slope_or_a_drawing(lutra: Lutra) -> None:
    """Greys that an earlier network turned into blotches, side by side; a slope; lines on paper."""
    flats = np.repeat(np.arange(0, 256, 15, dtype=np.uint8), 32)[None].repeat(96, 0)
    slope = np.linspace(40, 220, 320).round().astype(np.uint8)[None].repeat(96, 0)
    lines = np.full((96, 320), 250, np.uint8)
    lines[::16], lines[:, ::24] = 10, 10
    for grey in (np.full((96, 320), 128, np.uint8), flats, slope, lines):
        sound = grey[..., None].repeat(3, 2)
        restored = pixels(lutra.post("/restore", as_file(sound, "PNG")).content)
        assert np.abs(restored.astype(int) - sound).max() <= 1


# A model that tells what it found


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lutra]:
    """A service with both restorers, of which the second was brought with the better score."""
    folder = tmp_path_factory.mktemp("weights")
    bring_airnet_u(folder, facts={"scores": {"CBSD68 sigma 25 RGB": 31.0}})
    settings = {"LUTRA_WEIGHTS_DIR": str(folder), "LUTRA_MODELS": "airnet,airnet-u"}
    with running_lutra(tmp_path_factory.mktemp("telling"), **settings) as running:
        yield running


def test_auto_takes_the_better_and_the_answer_and_the_job_say_what_it_found(telling: Lutra) -> None:
    answer = telling.post("/restore", PNG)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-lutra-model"] == "airnet-u"
    job = telling.client.get(f"/jobs/{answer.headers['x-job-id']}").json()
    assert set(job["found"]) == {"noise", "rain", "haze", "jpeg"}
    assert all(0 <= sure <= 1 for sure in job["found"].values())
    told = dict(one.split(" ") for one in answer.headers["x-lutra-found"].split(", "))
    assert {kind: float(sure) for kind, sure in told.items()} == {k: round(s, 1) for k, s in job["found"].items()}
    result = telling.client.get(f"/jobs/{answer.headers['x-job-id']}/result")
    assert result.headers["x-lutra-found"] == answer.headers["x-lutra-found"]
    plain = telling.post("/restore?model=airnet", PNG)
    assert (plain.headers["x-lutra-model"], "x-lutra-found" in plain.headers) == ("airnet", False)
    assert telling.client.get(f"/jobs/{plain.headers['x-job-id']}").json()["found"] is None


def test_only_one_kind_is_asked_of_the_model_that_can(telling: Lutra) -> None:
    every, noise, haze = (telling.post(f"/restore{query}", PNG) for query in ("", "?only=noise", "?only=haze"))
    assert {one.headers["x-lutra-model"] for one in (every, noise, haze)} == {"airnet-u"}
    assert not np.array_equal(pixels(noise.content), pixels(haze.content))
    job = telling.client.get(f"/jobs/{noise.headers['x-job-id']}").json()
    assert job["parameters"]["only"] == "noise"
    assert "only" not in telling.client.get(f"/jobs/{every.headers['x-job-id']}").json()["parameters"]
    refused = telling.post("/restore?only=noise&model=airnet", PNG)
    assert refused.status_code == 422
    assert refused.json()["detail"] == "airnet cannot take off only=noise; ask for model=airnet-u"


# Files


def test_files_know_only_and_say_what_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bring_airnet_u(tmp_path / "weights")
    monkeypatch.setenv("LUTRA_WEIGHTS_DIR", str(tmp_path / "weights"))
    (tmp_path / "a.png").write_bytes(PNG)
    for kind in ("noise", "jpeg"):
        assert main(["restore", str(tmp_path / "a.png"), "-o", str(tmp_path / f"{kind}.png"), "--only", kind]) == 0
    made = [np.asarray(Image.open(tmp_path / f"{kind}.png"), int) for kind in ("noise", "jpeg")]
    assert not np.array_equal(made[0], made[1])
    monkeypatch.setenv("LUTRA_MODELS", "airnet")
    assert main(["restore", str(tmp_path / "a.png"), "-o", str(tmp_path / "b.png"), "--only", "noise"]) == 2
    assert "airnet cannot take off only=noise" in capsys.readouterr().err


def test_files_are_restored_with_the_user_s_weights(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LUTRA_WEIGHTS_DIR", str(weights))
    monkeypatch.setenv("LUTRA_MODELS", "airnet")
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for name in ("a.png", "b.png"):
        (source / name).write_bytes(PNG)
    assert main(["restore", str(source), "-o", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "b.png"]
    assert np.abs(np.asarray(Image.open(out / "a.png"), int) - PHOTO).mean() > 1
    assert main(["restore", str(source / "a.png"), "-o", str(tmp_path / "same.png"), "--strength", "0"]) == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "same.png")), PHOTO)
    capsys.readouterr()
    assert main(["models"]) == 0
    assert f"{'airnet':12} restore" in capsys.readouterr().out


def test_files_without_a_model_are_wrong_usage_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LUTRA_MODELS", "lut3d")
    (tmp_path / "a.png").write_bytes(PNG)
    assert main(["restore", str(tmp_path / "a.png"), "-o", str(tmp_path / "b.png")]) == 2
    assert "/restore is not served here" in capsys.readouterr().err


def test_the_doctor_loads_it(
    weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LUTRA_WEIGHTS_DIR", str(weights))
    monkeypatch.setenv("LUTRA_MODELS", "airnet")
    assert main(["doctor"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "airnet" in line)
    assert line.startswith("ok ") and "restore" in line and "(your own)" in line
