"""The plot of what models cost and how well they do."""

from __future__ import annotations

import dataclasses
from xml.etree import ElementTree

import pytest

from models.train import plot, report
from models.train.evaluate import Upscaled


def row(**changed: object) -> Upscaled:
    plain = Upscaled("liif", "Set5", 2.0, None, 5, 37.0, 0.96, 35.0, 0.95, 4000.0)
    return dataclasses.replace(plain, **changed)  # type: ignore[arg-type]


def test_the_plot_places_what_is_better_higher_and_what_costs_more_to_the_right() -> None:
    better, cheap = row(set="Set14", scale=4.0, psnr_y=28.0), row(model="bilinear", set="Set14", scale=4.0, psnr_y=25.4)
    learnt = report.Report("liif", "a", "cpu", "fp32", "day", (better,))
    other = report.Report("bilinear", None, "cpu", "fp32", "day", (cheap,))
    costs = plot.Costs("a machine", {"liif": {"x4": 4000.0}, "bilinear": {"x4": 90.0}})
    text = plot.quality_over_cost([learnt, other], costs)
    dots = [one for one in ElementTree.fromstring(text).iter() if one.tag.endswith("circle")]
    (x, y), (cheap_x, cheap_y) = ((float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in dots)
    assert x > cheap_x
    assert y < cheap_y
    assert [dot.attrib["class"] for dot in dots] == ["learnt", "classical"]
    assert "a machine" in text


def test_networks_with_the_weights_of_their_authors_are_marked_and_one_that_was_only_timed_stands_among_them() -> None:
    rows = [row(set="Set14", scale=4.0, psnr_y=28.0), row(set="Set14", scale=4.0, psnr_y=27.0, jpeg=75)]
    ours = report.Report("liif", "a", "cpu", "fp32", "day", tuple(rows))
    theirs = dataclasses.replace(ours, model="span", rows=(row(model="span", set="Set14", scale=4.0, psnr_y=28.6),))
    known = {"liif": {"x4": 4000.0}, "span": {"x4": 200.0}, "IMDN": {"x4": 700.0, "x2": 1.0}}
    text = plot.quality_over_cost([ours, theirs], plot.Costs("", known))
    dots = [one.attrib["class"] for one in ElementTree.fromstring(text).iter() if one.tag.endswith("circle")]
    assert dots == ["learnt", "published", "published", "learnt"]
    assert text.count("span (published)") == text.count("IMDN (published)") == 1


def test_what_has_no_cost_at_the_scale_is_not_in_the_plot() -> None:
    ours = report.Report("liif", "a", "cpu", "fp32", "day", (row(set="Set14", scale=4.0, psnr_y=28.0),))
    text = plot.quality_over_cost([ours], plot.Costs("", {"liif": {"x4": 4000.0}, "IMDN": {"x2": 700.0}}))
    assert "IMDN" not in text and text.count("<circle") == 1
    with pytest.raises(FileNotFoundError, match="Set14 x4"):
        plot.quality_over_cost([ours], plot.Costs("", {"liif": {"x2": 4000.0}}))


def test_names_in_a_plot_cover_neither_each_other_nor_a_point() -> None:
    dots = [(100.0, 50.0), (104.0, 52.0), (330.0, 50.0), (90.0, 60.0), (106.0, 44.0)]
    names = ["srresnet", "liif-real", "a name as long as this", "x", "lanczos"]
    boxes = [plot.box_of(name, *at) for name, at in zip(names, plot.place_names(names, dots, (0, 380)), strict=True)]
    around = [(x - plot.DOT, y - plot.DOT, x + plot.DOT, y + plot.DOT) for x, y in dots]
    assert all(plot.covered(box, boxes[:k] + around, (0, 380)) == 0 for k, box in enumerate(boxes))
