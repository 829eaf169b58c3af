from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.train.data import (
    Photos,
    find_pairs,
    find_photos,
    list_pictures,
    read_rgb,
    resize,
    shrink_bicubic,
    turn,
)
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


def test_enlarging_by_the_filter_of_training_stays_between_its_neighbours() -> None:
    ramp = np.repeat(np.linspace(0, 240, 20).astype(np.uint8)[None, :, None], 3, axis=2).repeat(8, axis=0)
    steps = np.diff(shrink_bicubic(ramp, (8, 48))[4, :, 0].astype(int))
    assert np.abs(steps).max() <= 8
