"""The client for asyncio, against the real service."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from lutra_client import AsyncLutra, ParameterError, Progress, Unreachable, exchange

from tests.client.test_client import is_cancelled
from tests.living import Lutra as Service
from tests.living import as_file, free_port, opened, photo, wait_until


def test_requests_are_awaited_and_run_side_by_side(lutra: Service, tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncLutra(f"http://127.0.0.1:{lutra.port}") as client:
            assert "nearest" in {model["name"] for model in await client.models()}
            one, two = await asyncio.gather(
                client.upscale(as_file(photo(seed=10)), scale=2, model="nearest"),
                client.upscale(as_file(photo(seed=11)), scale=3, model="nearest").save(tmp_path / "b.png"),
            )
            assert opened(one.data).size == (128, 96)
            assert (opened(two.read_bytes()).size, opened(two.read_bytes()).format) == ((192, 144), "PNG")
            with pytest.raises(ParameterError):
                await client.upscale(as_file(photo()), scale=99)

    asyncio.run(story())


def test_who_is_cancelled_cancels_its_job(lutra: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "SHORT_WAIT_S", 0)
    begun = asyncio.Event()

    def tell(progress: Progress) -> None:
        begun.set()

    async def story() -> None:
        async with AsyncLutra(f"http://127.0.0.1:{lutra.port}") as client:
            request = client.upscale(as_file(photo(96, 96, seed=12)), scale=4, model="liif", on_progress=tell)
            task = asyncio.create_task(request.result())
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(story())
    wait_until(lambda: is_cancelled(lutra), 120, "the job is cancelled")


def test_a_service_that_is_not_there_is_said_so() -> None:
    async def story() -> None:
        async with AsyncLutra(f"http://127.0.0.1:{free_port()}", patience_s=0) as client:
            with pytest.raises(Unreachable):
                await client.models()
            with pytest.raises(Unreachable):
                await client.enhance(b"photo")

    asyncio.run(story())
