from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.train import degradations
from models.train.benchmarks import enlarged, find_sets, read_pairs, shrink
from models.train.data import (
    Photos,
    Pixels,
    find_pairs,
    find_photos,
    list_pictures,
    read_rgb,
    resize,
    shrink_bicubic,
    turn,
)
from models.train.degradations import Degradation, add_noise, blur, degrade, through_jpeg
from tests.models.drawn import draw_photo, real_set


def test_photographs_are_found_in_the_layouts_of_the_public_sets(tmp_path: Path) -> None:
    for folder in ("DIV2K/DIV2K_train_HR", "BSD400", "WED"):
        draw_photo(tmp_path / folder / "0001.png", (20, 20), 1)
    assert [path.parent.name for path in find_photos(tmp_path)] == ["DIV2K_train_HR", "BSD400", "WED"]
    with pytest.raises(FileNotFoundError, match=r"no photographs below .*DIV2K_train_HR"):
        find_photos(tmp_path / "BSD400")


def test_pairs_are_found_as_ours_and_as_fivek_was_released(data: Path, tmp_path: Path) -> None:
    assert [(a.name, b.parent.name) for a, b in find_pairs(data)] == [(f"r{k}.png", "target") for k in range(3)]
    root = tmp_path / "public"
    for name in ("a0001", "a0002", "a0003"):
        draw_photo(root / "fiveK" / "input" / "JPG" / "480p" / f"{name}.jpg", (20, 20), 1)
        draw_photo(root / "fiveK" / "expertC" / "JPG" / "480p" / f"{name}.jpg", (20, 20), 2)
    (root / "fiveK" / "train_input.txt").write_text("a0001\n")
    (root / "fiveK" / "train_label.txt").write_text("a0003\n")
    found = find_pairs(root)
    assert [(a.stem, b.parts[-4]) for a, b in found] == [("a0001", "expertC"), ("a0003", "expertC")]
    assert all(path.is_file() for pair in found for path in pair)
    with pytest.raises(FileNotFoundError, match="no retouched pairs"):
        find_pairs(tmp_path / "nowhere")


def test_pictures_are_decoded_once_and_mapped_ever_after(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = find_photos(data)
    plain = Photos.read(paths)
    first = Photos.read(paths, tmp_path / "cache")
    monkeypatch.setattr("models.train.data.read_rgb", lambda path: pytest.fail(f"{path} was decoded again"))
    second = Photos.read(paths, tmp_path / "cache")
    for photos in (first, second):
        assert photos.sha256 == plain.sha256
        assert all(np.array_equal(a, b) for a, b in zip(photos.pixels, plain.pixels, strict=True))


def test_the_hash_of_the_data_changes_with_a_pixel_and_with_a_name(data: Path) -> None:
    paths = find_photos(data)
    before = Photos.read(paths).sha256
    draw_photo(paths[0], (64, 80), 99)
    changed = Photos.read(paths).sha256
    renamed = paths[0].rename(paths[0].with_name("p9.png"))
    assert len({before, changed, Photos.read([renamed, *paths[1:]]).sha256}) == 3


def test_small_pictures_made_here_are_those_that_papers_use() -> None:
    folder = real_set("Set5")
    for scale in (2, 3, 4):
        for path in list_pictures(folder / "HR"):
            given = read_rgb(folder / f"LRx{scale}" / path.name)
            hr = read_rgb(path)[: given.shape[0] * scale, : given.shape[1] * scale]
            assert np.array_equal(shrink_bicubic(hr, given.shape[:2]), given)


@pytest.mark.parametrize("size", [(12, 17), (12, 40), (30, 17), (16, 20), (48, 61)])
def test_pillow_shrinks_as_we_do_to_two_levels_away_from_the_frame(data: Path, size: tuple[int, int]) -> None:
    hr = read_rgb(data / "bench" / "Set5" / "HR" / "b0.png")
    apart = np.abs(shrink_bicubic(hr, size).astype(int) - resize(hr, size))[3:-3, 3:-3]
    assert apart.max() <= 2
    assert np.mean(apart > 1) < 0.01


def test_a_small_picture_is_a_weighted_mean_of_the_large_one() -> None:
    """Written out from the definition: weights of a = -1/2 over a distance stretched by the scale, summing to 1."""
    row = np.random.default_rng(0).integers(0, 256, 64)
    for wanted in (7, 16, 21, 64):
        found = shrink_bicubic(np.broadcast_to(row.astype(np.uint8)[None, :, None], (3, 64, 3)).copy(), (3, wanted))
        for at in range(wanted):
            centre = (at + 0.5) * 64 / wanted - 0.5
            total = weight_sum = 0.0
            for k in range(-40, 104):
                t = abs(k - centre) * wanted / 64
                weight = 1.5 * t**3 - 2.5 * t**2 + 1 if t < 1 else -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t < 2 else 0
                total += weight * row[min(max(k, 0), 63)]
                weight_sum += weight
            assert abs(found[1, at, 0] - min(max(total / weight_sum, 0), 255)) <= 0.5 + 1e-9


def test_eight_turns_are_eight_pictures() -> None:
    picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    assert len({(turn(picture, k).shape, turn(picture, k).tobytes()) for k in range(8)}) == 8


def test_a_folder_without_pictures_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no pictures"):
        list_pictures(tmp_path)


PHOTO = np.asarray(Image.effect_noise((48, 40), 60).resize((96, 80)).convert("RGB"))


def test_a_degraded_picture_has_the_size_asked_for_and_follows_from_the_seed() -> None:
    seen = set()
    for seed in range(40):
        one, same = (degrade(PHOTO, (20, 24), Degradation(), np.random.default_rng(seed)) for _ in range(2))
        assert one.shape == (20, 24, 3)
        assert one.dtype == np.uint8
        assert np.array_equal(one, same)
        seen.add(one.tobytes())
    assert len(seen) == 40


def test_the_steps_come_in_every_order(monkeypatch: pytest.MonkeyPatch) -> None:
    orders = set()
    for name in ("shrink_bicubic", "blur", "add_noise", "through_jpeg"):
        plain = getattr(degradations, name)

        def told(pixels: object, *args: object, name: str = name, plain: object = plain, **more: object) -> object:
            order.append(name)
            return plain(pixels, *args, **more)  # type: ignore[operator]

        monkeypatch.setattr(degradations, name, told)
    always = Degradation(blur=1, noise=1, jpeg=1, bicubic=1)
    for seed in range(300):
        order: list[str] = []
        degrade(PHOTO[:32, :32], (8, 8), always, np.random.default_rng(seed))
        orders.add(tuple(order))
    assert len(orders) == 24


def test_strengths_stay_within_their_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    qualities: list[int] = []
    sigmas: list[float] = []
    widths: list[float] = []
    shifts: list[tuple[int, int]] = []

    def through_jpeg(pixels: Pixels, quality: int, chroma: object, shift: tuple[int, int]) -> Pixels:
        qualities.append(quality)
        shifts.append(shift)
        return pixels

    def add_noise(pixels: Pixels, sigma: float, channels: object, rng: object) -> Pixels:
        sigmas.append(sigma)
        return pixels

    def blur(pixels: Pixels, sigma: float) -> Pixels:
        widths.append(sigma / (pixels.shape[0] / 8))
        return pixels

    for replaced in (through_jpeg, add_noise, blur):
        monkeypatch.setattr(degradations, replaced.__name__, replaced)
    how = Degradation(blur=1, noise=1, jpeg=1)
    for seed in range(400):
        degrade(PHOTO[:32, :32], (8, 8), how, np.random.default_rng(seed))
    assert (min(qualities), max(qualities)) == (30, 95)
    assert {down for down, _ in shifts} == {right for _, right in shifts} == set(range(16))
    for values, (low, high) in ((sigmas, how.noise_sigma), (widths, how.blur_sigma)):
        assert low <= min(values) < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < max(values) <= high


def test_a_blur_is_a_gaussian_and_keeps_flat_areas() -> None:
    flat = np.full((9, 9, 3), 77, np.uint8)
    assert np.array_equal(blur(flat, 1.3), flat)
    dot = np.zeros((21, 21, 3), np.uint8)
    dot[10, 10] = 255
    spread = blur(dot, 1.0)[..., 0].astype(float)
    assert spread[10, 10] == pytest.approx(255 / (2 * np.pi), abs=1)
    assert spread[10, 12] / spread[10, 10] == pytest.approx(np.exp(-2), abs=0.02)


def test_noise_has_the_strength_asked_for_and_the_colours_asked_for() -> None:
    grey = np.full((100, 100, 3), 128, np.uint8)
    for channels in (1, 3):
        noisy = add_noise(grey, 5.0, channels, np.random.default_rng(0)).astype(float)
        assert noisy.std() == pytest.approx(5, rel=0.05)
        assert noisy.mean() == pytest.approx(128, abs=0.2)
        assert (np.ptp(noisy, axis=2).max() == 0) == (channels == 1)


def test_a_jpeg_of_lower_quality_is_further_away_and_its_grid_moves() -> None:
    apart = [np.abs(through_jpeg(PHOTO, q).astype(float) - PHOTO).mean() for q in (95, 75, 30)]
    assert apart == sorted(apart)
    assert apart[0] > 0
    assert not np.array_equal(through_jpeg(PHOTO, 50), through_jpeg(PHOTO, 50, shift=(3, 5)))
    assert through_jpeg(PHOTO, 50, shift=(3, 5)).shape == PHOTO.shape


@pytest.mark.parametrize("scale", [1.5, 2, 2.7, 3, 4, 8])
def test_small_and_large_pictures_of_a_set_belong_together_at_any_scale(data: Path, scale: float) -> None:
    for pair in read_pairs(data / "bench" / "Set5", scale):
        assert pair.hr.shape[:2] == tuple(enlarged(side, scale) for side in pair.lr.shape[:2])
        assert (48 - pair.hr.shape[0], 61 - pair.hr.shape[1]) < (scale, scale)
        assert np.array_equal(pair.lr, shrink(pair.hr, scale))


def test_sets_are_found_below_any_folder(data: Path) -> None:
    assert list(find_sets(data)) == ["Set5"]
    assert list(find_sets(data / "bench" / "Set5")) == ["Set5"]
    assert list(find_sets(data, "input")) == ["fivek9"]


def test_the_given_small_pictures_are_used_where_there_are_some(data: Path) -> None:
    folder = data / "bench" / "Set5"
    (folder / "LRx2").mkdir()
    for path in list_pictures(folder / "HR"):
        Image.new("RGB", (30, 24)).save(folder / "LRx2" / path.name)
    assert all(not pair.lr.any() and pair.hr.shape == (48, 60, 3) for pair in read_pairs(folder, 2))
    hr = read_rgb(folder / "HR" / "b0.png")
    pair = next(read_pairs(folder, 3))
    assert np.array_equal(pair.lr, resize(hr[:48, :60], (16, 20)))


def test_without_data_the_real_sets_are_skipped_and_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LUTRA_DATA", raising=False)
    with pytest.raises(pytest.skip.Exception):
        real_set("Set5")
    assert "LUTRA_DATA" not in os.environ


def test_a_grey_picture_of_16_bits_keeps_its_greys(tmp_path: Path) -> None:
    grey = (np.arange(64 * 64).reshape(64, 64) * 16).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "a.png")
    assert np.abs(read_rgb(tmp_path / "a.png").astype(int) - (grey / 257)[:, :, None]).max() <= 0.51


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"none")
    draw_photo(tmp_path / "b.jpg", (40, 40), 0)
    (tmp_path / "b.jpg").write_bytes((tmp_path / "b.jpg").read_bytes()[:300])
    for name in ("a.png", "b.jpg"):
        with pytest.raises(OSError, match=name):
            read_rgb(tmp_path / name)


def test_a_small_picture_larger_than_its_original_is_refused(tmp_path: Path) -> None:
    for folder in ("HR", "LRx2"):
        (tmp_path / folder).mkdir()
        draw_photo(tmp_path / folder / "a.png", (40, 30), 0)
    with pytest.raises(OSError, match="larger than"):
        list(read_pairs(tmp_path, 2))


def test_enlarging_by_the_filter_of_training_stays_between_its_neighbours() -> None:
    ramp = np.repeat(np.linspace(0, 240, 20).astype(np.uint8)[None, :, None], 3, axis=2).repeat(8, axis=0)
    steps = np.diff(shrink_bicubic(ramp, (8, 48))[4, :, 0].astype(int))
    assert np.abs(steps).max() <= 8
