"""The page: what is chosen, dropped or pasted is sent as the form says; what it comes to is told before."""

from __future__ import annotations

import asyncio
import base64
import io
import re
import zipfile
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from service.keys import add_key
from tests.browser.between import between
from tests.browser.conftest import MODELS
from tests.browser.driving import Sight
from tests.living import Lutra, as_file, opened, photo, running_lutra
from tests.service.asgi import running_app
from workers.jobs.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

PHOTO = as_file(photo(96, 128), quality=95)
FILE = ("photo.jpg", PHOTO)
# A file from outside, as the browser hands it over; `where`: the element it falls on, `carried`: what else is dragged.
DROP = """([where, kind, data, carried]) => {
  const held = new DataTransfer();
  const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
  if (data) held.items.add(new File([bytes], "dropped.jpg", {type: "image/jpeg"}));
  else held.setData("text/uri-list", carried);
  const made = kind === "paste"
    ? new ClipboardEvent("paste", {clipboardData: held, bubbles: true, cancelable: true})
    : new DragEvent(kind, {dataTransfer: held, bubbles: true, cancelable: true});
  return !document.querySelector(where).dispatchEvent(made);
}"""


def in_thread(story: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """What it answers; this thread has Playwright's event loop."""

    async def whole() -> dict[str, Any]:
        return await story()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, whole()).result()


def hand_over(sight: Sight, where: str, kind: str, data: bytes = b"", carried: str = "") -> bool:
    """Whether the page kept the browser from doing what it does with such a thing by itself."""
    return bool(sight.page.evaluate(DROP, [where, kind, base64.b64encode(data).decode(), carried]))


def test_the_first_picture_takes_three_clicks(sight: Sight) -> None:
    sight.choose(FILE)
    sight.go()
    sight.shows("succeeded")
    name, data = sight.saved()
    assert (name, opened(data).size) == ("photo-x2.jpg", (256, 192))


@pytest.mark.parametrize(
    ("operation", "name"), [("upscale", "otter.png"), ("restore", "otter-noisy.png"), ("enhance", "otter-faded.png")]
)
def test_an_example_shows_by_one_click_what_an_operation_does(sight: Sight, operation: str, name: str) -> None:
    sight.at(f"[data-example={operation}]").click()
    sight.shows("succeeded")
    assert sight.at("#list b").all_inner_texts() == [name]
    assert sight.posts == [f"/{operation}?" + ("scale=2" if operation == "upscale" else "")]
    assert sight.page.locator("#facts div", has_text="Found").all_inner_texts() == (
        ["Found\nnoise"] if operation == "restore" else []
    )


def test_only_one_kind_of_damage_is_taken_off_where_that_is_chosen(sight: Sight) -> None:
    sight.choose(FILE)
    sight.operation("restore")
    sight.at("#only").select_option("noise")
    sight.go()
    sight.shows("succeeded")
    assert sight.posts == ["/restore?only=noise"]
    assert sight.page.locator("#facts div", has_text="Taken off").inner_text() == "Taken off\nnoise alone"


def kinds_offered(sight: Sight) -> list[str]:
    """Values of what can be taken off alone, as the form offers it now; [] where it offers no choice."""
    if sight.at("#only").is_disabled():
        assert sight.at("#only").input_value() == "" and sight.at("#only-hint").is_visible()
        return []
    assert not sight.at("#only-hint").is_visible()
    told = "all => all.filter(one => one.value && !one.disabled && !one.hidden).map(one => one.value)"
    return list(sight.page.eval_on_selector_all("#only option", told))


def test_one_kind_of_damage_is_offered_where_the_model_tells_it_apart(sight: Sight, service: Lutra) -> None:
    cards = service.client.get("/models").json()["models"]
    kinds = {card["name"]: card["kinds"] for card in cards if card["task"] == "restore"}
    assert kinds == {"airnet": [], "airnet-u": ["noise", "rain", "haze", "jpeg"]}
    sight.choose(FILE)
    sight.operation("restore")
    assert kinds_offered(sight) == kinds["airnet-u"]
    sight.at("#only").select_option("noise")
    for name in ("airnet", "airnet-u"):
        sight.model(name)
        assert kinds_offered(sight) == kinds[name]
    sight.operation("upscale")
    sight.operation("restore")
    sight.model("airnet")
    sight.go()
    sight.shows("succeeded")
    assert sight.posts == ["/restore?model=airnet"]


def test_a_presets_kind_that_the_model_cannot_tell_has_a_button_that_mends_it(sight: Sight) -> None:
    sight.choose(FILE)
    sight.operation("restore")
    sight.at("#preset").select_option("scan")
    assert sight.at("#preset-hint").inner_text() == "only jpeg. What is set here counts before it."
    sight.model("airnet")
    sight.at("#estimate.refused").get_by_text("Airnet cannot take off only=jpeg").wait_for()
    sight.press("Use the automatic choice")
    sight.at("#estimate:not(.refused)").get_by_text("128 × 96 pixels").wait_for()
    sight.at("#preset").select_option("old")
    sight.at("#estimate").get_by_text("with airnet").wait_for()
    assert kinds_offered(sight) == []


def test_what_was_found_is_told_in_words_by_how_sure_it_is(sight: Sight) -> None:
    told = "async shares => (await import('./web/facts.js')).foundIn(shares)"
    shares = {"noise": 0.55, "rain": 0.25, "haze": 0.1, "jpeg": 0.9}
    assert sight.page.evaluate(told, shares) == "JPEG blocks, probably noise, perhaps rain streaks"
    assert sight.page.evaluate(told, dict.fromkeys(shares, 0.1)) == "nothing that spoils it"


def test_a_preset_says_what_it_sets_and_what_is_set_beside_it_counts(sight: Sight) -> None:
    sight.choose(("photo.jpg", as_file(photo(144, 192))))
    sight.at("#preset").select_option("print")
    assert sight.at("#preset-hint").inner_text() == "width 1500, model bicubic. What is set here counts before it."
    sight.at("#estimate").get_by_text("1,500 × 1,125 pixels").wait_for()
    sight.at("[name=by][value=scale]").check(force=True)
    sight.at("#estimate").get_by_text("384 × 288 pixels").wait_for()
    sight.operation("restore")
    assert sight.at("#preset option").all_inner_texts() == ["None", "web", "scan", "old"]
    assert sight.at("#preset").input_value() == ""
    sight.operation("upscale")
    sight.at("#preset").select_option("print")
    sight.go()
    sight.shows("succeeded")
    name, data = sight.saved()
    assert (name, opened(data).size) == ("photo-1500x1125.jpg", (1500, 1125))
    assert sight.posts == ["/upscale?preset=print"]


@pytest.mark.parametrize("where", ["#empty", "#form", "footer"])
def test_a_photo_dropped_anywhere_is_taken_and_the_page_stays(sight: Sight, where: str) -> None:
    before = sight.page.url
    assert hand_over(sight, where, "dragover", PHOTO) and hand_over(sight, where, "drop", PHOTO)
    sight.shows("chosen")
    assert sight.at("#list b").all_inner_texts() == ["dropped.jpg"]
    assert sight.page.url == before


def test_what_is_no_file_is_dropped_without_the_page_being_left(sight: Sight) -> None:
    assert hand_over(sight, "#empty", "dragover", carried="https://example.org/")
    assert hand_over(sight, "#empty", "drop", carried="https://example.org/")
    sight.shows("empty")


def test_a_photo_is_pasted(sight: Sight) -> None:
    assert hand_over(sight, "body", "paste", PHOTO)
    sight.shows("chosen")


def test_the_scale_is_chosen_by_slider_by_number_or_by_size_and_told_before(sight: Sight) -> None:
    told = sight.at("#estimate")
    sight.choose(FILE)
    sight.model("bicubic")
    sight.at("#scale-slider").fill("2.5")
    told.get_by_text("320 × 240 pixels").wait_for()
    assert sight.at("#scale").input_value() == "2.5"
    sight.at("#scale").fill("3,7")
    told.get_by_text("474 × 355 pixels").wait_for()
    assert re.search(r"^(About \d+\.\d|Under 0\.1) s with bicubic$", told.inner_text(), re.MULTILINE)
    sight.at("[name=by][value=size]").check(force=True)
    sight.at("#width").fill("1000")
    told.get_by_text("1,000 × 750 pixels").wait_for()
    sight.go()
    sight.shows("succeeded")
    assert sight.saved()[0] == "photo-1000x750.jpg"
    assert sight.posts == ["/upscale?width=1000&model=bicubic"]


def test_what_is_refused_is_told_before_it_is_sent_with_a_button_that_mends_it(sight: Sight) -> None:
    sight.choose(FILE)
    sight.scale("9.5")
    sight.at("#estimate.refused").get_by_text("×9.5 is outside 1 to 8 for bicubic.").wait_for()
    sight.go()
    sight.shows("failed")
    assert sight.posts == []
    sight.at("#estimate-mends").get_by_text("Use ×8").click()
    sight.at("#estimate").get_by_text("1,024 × 768 pixels").wait_for()
    sight.at("#trouble-mends").get_by_text("Use ×8").click()
    sight.shows("succeeded")
    assert opened(sight.saved()[1]).size == (1024, 768)


def test_too_many_pixels_are_told_with_the_scale_that_fits(sight: Sight) -> None:
    sight.choose(("wide.png", as_file(photo(1000, 5000), "PNG")))
    sight.scale("7")
    sight.at("#estimate.refused").get_by_text("245,000,000 pixels, more than the 200,000,000 allowed").wait_for()
    sight.at("#estimate-mends").get_by_text("Use ×6.32").click()
    sight.at("#estimate").get_by_text("31,600 × 6,320 pixels").wait_for()


def test_a_file_that_is_no_picture_gets_a_sentence(sight: Sight) -> None:
    sight.choose(("notes.jpg", b"these are no pixels"))
    sight.go()
    sight.shows("failed")
    assert sight.at("#trouble-title").inner_text() == "Not a picture of a known format"
    assert sight.at("#trouble-text").inner_text().endswith(".")


def test_an_empty_file_is_told_as_such_and_not_sent(sight: Sight) -> None:
    sight.choose(("photo.jpg", b""))
    assert sight.at("#list small").inner_text() == "Empty"
    assert sight.at("#preview-none").inner_text() == "photo.jpg is empty"
    sight.go()
    sight.shows("failed")
    assert sight.at("#trouble-title").inner_text() == "The file is empty"
    assert sight.at("#trouble-text").inner_text() == "It holds no bytes: it may not have been saved or copied whole."
    assert sight.at("#trouble-mends button").count() == 0 and sight.posts == []


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("scan.tif", as_file(photo(48, 64), "TIFF"), "scan.tif: this browser cannot show it, the service may"),
        ("notes.jpg", b"these are no pixels", "notes.jpg: of no format that is known here"),
    ],
)
def test_what_cannot_be_shown_says_whether_the_service_may_read_it(
    sight: Sight, name: str, data: bytes, told: str
) -> None:
    sight.choose((name, data))
    assert sight.at("#preview-none").inner_text() == told


def test_many_photos_go_at_once_and_leave_as_one_zip(sight: Sight) -> None:
    sight.choose(*[(name, as_file(photo(48, 64, seed))) for seed, name in enumerate(("a.jpg", "b.jpg", "a.jpg"))])
    sight.scale("2", "nearest")
    assert sight.at("#go").inner_text() == "Upscale 3 pictures"
    sight.at("#estimate").get_by_text("3 pictures, ").wait_for()
    sight.go()
    sight.at("li[data-phase=succeeded]").nth(2).wait_for()
    name, data = sight.saved("#save-all")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert (name, archive.namelist()) == ("lutra.zip", ["a-x2.jpg", "b-x2.jpg", "a-x2 (2).jpg"])
        assert {opened(archive.read(one)).size for one in archive.namelist()} == {(128, 96)}
        assert len({archive.read(one) for one in archive.namelist()}) == 3


def test_the_page_asks_for_a_key_and_sends_it_with_all_it_asks(chromium: Browser, tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys.jsonl", "page")
    keyed = {"LUTRA_API_KEYS_FILE": str(tmp_path / "keys.jsonl"), "LUTRA_MODELS": "nearest,lut3d"}
    with running_lutra(tmp_path, **keyed) as lutra, Sight.opened(chromium, lutra.port) as sight:
        sight.choose(FILE)
        assert not sight.at("#preset").is_visible()  # none are kept here
        sight.at("#key").fill("wrong")
        sight.press("Use this key")
        sight.at("#key-told").get_by_text("This API key is not known here.").wait_for()
        sight.at("#key").fill(key)
        sight.press("Use this key")
        sight.at("#key-form").wait_for(state="hidden")
        sight.scale("2", "nearest")
        sight.go()
        sight.shows("succeeded")
        assert opened(sight.saved()[1]).size == (256, 192)


def test_all_that_is_served_can_be_asked_for(sight: Sight, service: Lutra) -> None:
    served = {one["name"] for one in service.client.get("/models").json()["models"] if one["task"] == "upscale"}
    assert served < set(MODELS.split(","))
    assert {option.get_attribute("value") for option in sight.at("#model option").all()} == {"", *served}
    for name in ("upscale", "restore", "enhance"):
        sight.operation(name)


MENDS = """async ([body, parameters, picture]) => {
  const {mends, toldOf} = await import("./web/sentences.js");
  const problem = {...body, body, code: body.type.split(":").pop(), message: body.detail};
  const request = {operation: "upscale", parameters, lut: null};
  return [toldOf(problem).text, mends(problem, request, picture).map(mend => mend.label)];
}"""


@pytest.mark.parametrize(
    ("asked", "text", "labels"),
    [
        ("scale=8", "The model liif would take about ", ["Use ×", "Use ", "Use nearest"]),
        ("width=900", "Width 900 is smaller than the picture's 3,000: /upscale only enlarges.", ["Use width 3,000"]),
        ("scale=1", "×1 enlarges nothing: allowed is more than 1, at most 8.", ["Use ×8"]),
    ],
)
def test_every_refusal_is_a_sentence_with_what_mends_it(
    sight: Sight, store: Store, redis_url: str, asked: str, text: str, labels: list[str]
) -> None:
    async def refusal() -> dict[str, Any]:
        async with running_app(redis_url, job_timeout_seconds=60) as here:
            answer = await here.client.get(f"/upscale/estimate?{asked}&model=liif&of_width=3000&of_height=1000")
            return dict(answer.json())

    body = in_thread(refusal)
    parameters = dict([asked.split("=")])
    told, offered = sight.page.evaluate(MENDS, [body, parameters, {"width": 3000, "height": 1000}])
    assert told.startswith(text)
    assert len(offered) == len(labels) and all(map(str.startswith, offered, labels)), offered


def test_what_was_refused_is_not_offered_to_be_sent_again_as_it_was(sight: Sight) -> None:
    sight.choose(("broken.jpg", FILE[1][:900]), FILE)
    sight.scale("2", "nearest")
    assert sight.at("#go").inner_text() == "Upscale 2 pictures"
    sight.go()
    sight.shows("succeeded")
    sight.at("#list li[data-phase=failed]").wait_for()
    sight.at("#go").get_by_text("Upscale again", exact=True).wait_for()
    sight.at("#scale").fill("3")
    sight.at("#go").get_by_text("Upscale 2 pictures", exact=True).wait_for()


def test_a_name_that_is_cut_off_is_told_whole(sight: Sight) -> None:
    name = f"{'a long name ' * 9}<b>.png"
    sight.choose((name, FILE[1]))
    told = sight.at("#list b")
    assert (told.inner_text(), told.get_attribute("title")) == (name, name)


def test_the_page_works_below_a_path_prefix(sight: Sight, service: Lutra) -> None:
    with between(service.port, prefix="/photos/better") as port:
        sight.port = port
        sight.visit("photos/better/")
        sight.choose(FILE)
        sight.scale("2", "nearest")
        sight.go()
        sight.shows("succeeded")
        assert sight.posts == ["/photos/better/upscale?scale=2&model=nearest"]
        assert opened(sight.saved()[1]).size == (256, 192)
