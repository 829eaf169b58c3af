"""The plot of what models cost and how well they do."""

from __future__ import annotations

import dataclasses
from xml.etree import ElementTree

from models.train import plot, report
from models.train.evaluate import Upscaled


def row(**changed: object) -> Upscaled:
    plain = Upscaled("liif", "Set5", 2.0, None, 5, 37.0, 0.96, 35.0, 0.95, 4000.0)
    return dataclasses.replace(plain, **changed)  # type: ignore[arg-type]


def test_the_plot_places_what_is_better_higher_and_what_costs_more_to_the_right() -> None:
    rows = [row(set="Set14", scale=4.0, psnr_y=28.0, ms_per_mp=4000.0)]
    cheap = [row(model="bilinear", set="Set14", scale=4.0, psnr_y=25.4, ms_per_mp=90.0)]
    learnt = report.Report("liif", "a", "cpu", "fp32", "day", tuple(rows))
    text = plot.quality_over_cost([learnt, report.Report("bilinear", None, "cpu", "fp32", "day", tuple(cheap))])
    dots = [one for one in ElementTree.fromstring(text).iter() if one.tag.endswith("circle")]
    (x, y), (cheap_x, cheap_y) = ((float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in dots)
    assert x > cheap_x
    assert y < cheap_y
    assert [dot.attrib["class"] for dot in dots] == ["learnt", "classical"]


def test_networks_with_the_weights_of_their_authors_are_marked_and_one_that_was_only_timed_stands_among_them() -> None:
    rows = [row(set="Set14", scale=4.0, psnr_y=28.0), row(set="Set14", scale=4.0, psnr_y=27.0, jpeg=75)]
    ours = report.Report("liif", "a", "cpu", "fp32", "day", tuple(rows))
    theirs = dataclasses.replace(ours, model="span", rows=(row(model="span", set="Set14", scale=4.0, psnr_y=28.6),))
    text = plot.quality_over_cost([ours, theirs], costs={"IMDN": {"x4": 700.0, "x2": 1.0}})
    dots = [one.attrib["class"] for one in ElementTree.fromstring(text).iter() if one.tag.endswith("circle")]
    assert dots == ["learnt", "published", "published", "learnt"]
    assert text.count("span (published)") == text.count("IMDN (published)") == 1
    assert "IMDN" not in plot.quality_over_cost([ours, theirs], costs={"IMDN": {"x2": 700.0}})
    assert "IMDN" not in plot.quality_over_cost([ours, theirs])


def test_names_in_a_plot_cover_neither_each_other_nor_a_point() -> None:
    dots = [(100.0, 50.0), (104.0, 52.0), (330.0, 50.0), (90.0, 60.0), (106.0, 44.0)]
    names = ["srresnet", "liif-real", "a name as long as this", "x", "lanczos"]
    boxes = [plot.box_of(name, *at) for name, at in zip(names, plot.place_names(names, dots, (0, 380)), strict=True)]
    around = [(x - plot.DOT, y - plot.DOT, x + plot.DOT, y + plot.DOT) for x, y in dots]
    assert all(plot.covered(box, boxes[:k] + around, (0, 380)) == 0 for k, box in enumerate(boxes))
