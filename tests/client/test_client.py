"""The client that waits, against the real service."""

from __future__ import annotations

from pathlib import Path

import pytest
from lutra_client import Lutra, ParameterError, PictureError, Progress, Unreachable, exchange

from tests.living import Lutra as Service
from tests.living import as_file, free_port, opened, photo, wait_until


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.jpg"
    path.write_bytes(as_file(photo(seed=7)))
    return path


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every job is followed by its events, however short it is."""
    monkeypatch.setattr(exchange, "SHORT_WAIT_S", 0)


def is_cancelled(service: Service) -> bool:
    """The newest job; one that had ended before is removed."""
    newest = service.client.get("/jobs?limit=1").json()["jobs"]
    job = service.client.get(newest[0]["links"]["self"]) if newest else None
    return job is None or job.status_code == 410 or job.json()["state"] == "cancelled"


def url_of(service: Service) -> str:
    return f"http://127.0.0.1:{service.port}"


def test_one_line_makes_a_picture_in_the_format_of_its_name(lutra: Service, picture: Path) -> None:
    with Lutra(url_of(lutra)) as client:
        saved = client.upscale(picture, scale=1.5, model="nearest").save(picture.with_name("b.png"))
        assert (opened(saved.read_bytes()).format, opened(saved.read_bytes()).size) == ("PNG", (96, 72))
        request = client.enhance(picture.read_bytes(), format="webp")
        assert request.result() is request.result()
        assert opened(request.result().data).format == "WEBP" and request.result().model == "lut3d"
        with picture.open("rb") as file:
            assert client.restore(file, strength=0).result().format == "jpeg"


def test_a_table_goes_out_and_comes_in(lutra: Service, picture: Path) -> None:
    with Lutra(url_of(lutra)) as client:
        table = client.enhance(picture, format="cube").save(picture.with_name("a.cube"))
        assert b"LUT_3D_SIZE 33" in table.read_bytes()
        assert client.enhance(picture, lut=table).result().model == "lut"


@pytest.mark.usefixtures("followed")
def test_progress_is_told_and_the_same_is_not_computed_twice(lutra: Service) -> None:
    large, told = as_file(photo(96, 96, seed=8)), list[Progress]()
    with Lutra(url_of(lutra)) as client:
        first = client.upscale(large, scale=4, model="liif", on_progress=told.append).result()
        assert opened(first.data).size == (384, 384) and first.seconds["infer"] > 0
        assert told[-1].state == "succeeded" and told[-1].fraction == 1
        assert "running" in {one.state for one in told}
        again = client.upscale(large, scale=4, model="liif").result()
        assert (first.cache, again.cache, again.data) == ("miss", "hit", first.data)


@pytest.mark.usefixtures("followed")
def test_a_callback_that_fails_cancels_the_job(lutra: Service) -> None:
    def fail(progress: Progress) -> None:
        raise RuntimeError("enough")

    with Lutra(url_of(lutra)) as client, pytest.raises(RuntimeError, match="enough"):
        client.upscale(as_file(photo(96, 96, seed=9)), scale=4, model="liif", on_progress=fail).result()
    wait_until(lambda: is_cancelled(lutra), 120, "the job is cancelled")


def test_refusals_are_of_the_kind_that_says_what_to_do(lutra: Service, picture: Path) -> None:
    with Lutra(url_of(lutra)) as client:
        with pytest.raises(ParameterError) as unknown:
            client.upscale(picture, scale=2, model="nothing").result()
        assert unknown.value.code == "unknown-model" and "nearest" in str(unknown.value)
        with pytest.raises(PictureError, match="Not a picture"):
            client.enhance(b"no picture").result()
        with pytest.raises(ValueError, match="no format is named"):
            client.enhance(picture).save("b.gif")
        with pytest.raises(FileNotFoundError):
            client.enhance(picture.with_name("none.jpg"))


def test_models_are_listed_and_a_service_that_is_not_there_is_said_so(lutra: Service) -> None:
    with Lutra(url_of(lutra)) as client:
        assert "nearest" in {model["name"] for model in client.models()}
    nobody = Lutra(f"http://127.0.0.1:{free_port()}", patience_s=0)
    with nobody, pytest.raises(Unreachable):
        nobody.models()
    with nobody, pytest.raises(Unreachable):
        Lutra(f"http://127.0.0.1:{free_port()}", patience_s=0).enhance(b"photo").result()
