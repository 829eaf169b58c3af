"""Below the path of LUTRA_PUBLIC_URL: found with it and without it, and every address that is told has it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urljoin

import pytest

from service.prefix import OWN, check_prefix
from tests.living import free_port
from tests.service.asgi import ASYNC, NEAREST, PHOTO, Here, fail, running_app, succeed
from workers.errors import CorruptPicture, ParameterError
from workers.jobs.store import Store

PUBLIC = "https://photos.example/lutra"


def run(redis_url: str, story: Callable[[Here], Awaitable[None]], public_url: str = PUBLIC) -> None:
    async def whole() -> None:
        async with running_app(redis_url, public_url=public_url) as here:
            await story(here)

    asyncio.run(whole())


def test_what_a_proxy_leaves_on_is_taken_off_once_and_nowhere_else() -> None:
    async def story(here: Here) -> None:
        async def status(path: str) -> int:
            return (await here.client.get(path)).status_code

        for path in ("/", "/livez", "/docs", "/web/app.js", "/openapi.json"):
            assert [await status(path), await status(f"/lutra{path}")] == [200, 200]
        for path in ("/lutra/lutra/livez", "/lutralivez", "/lutrax", "/Lutra/livez", "/lutra//livez"):
            assert await status(path) == 404
        home = await here.client.get("/lutra?a=b")
        assert (home.status_code, home.headers["location"]) == (308, "/lutra/")

    run(f"redis://127.0.0.1:{free_port()}/0", story)


def test_metrics_are_for_who_asks_the_gateway_itself(store: Store, redis_url: str) -> None:
    async def story(here: Here) -> None:
        assert (await here.client.get("/metrics")).status_code == 200
        for path in ("/lutra/metrics", "/lutra/%6detrics", "/lutra/lutra/metrics"):
            answer = await here.client.get(path)
            assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")

    run(redis_url, story)


def test_every_address_that_is_told_has_it_and_leads_somewhere(store: Store, redis_url: str) -> None:
    async def story(here: Here) -> None:
        taken = await here.client.post(f"/lutra{NEAREST}", content=PHOTO, headers=ASYNC)
        await here.client.post(NEAREST, content=PHOTO, headers=ASYNC)
        job = taken.headers["location"]
        assert job.startswith("/lutra/jobs/") and taken.json()["links"]["self"] == job
        for link in taken.json()["links"].values():
            assert link.startswith(job)
        result = taken.json()["links"]["result"]
        assert (await here.client.get(result)).json()["instance"] == result  # 409: there is none yet
        listed = await here.client.get("/lutra/jobs?limit=1")
        assert listed.json()["jobs"][0]["links"]["self"].startswith("/lutra/jobs/")
        assert listed.headers["link"].startswith("</lutra/jobs?limit=1&cursor=")
        following = listed.headers["link"].partition("<")[2].partition(">")[0]
        assert (await here.client.get(following)).json()["jobs"][0]["links"]["self"] == job
        assert (await here.client.delete(job)).json()["links"]["self"] == job

    run(redis_url, story)


def test_a_result_and_a_failure_have_it_too(store: Store, redis_url: str) -> None:
    async def story(here: Here) -> None:
        job_id, computation_id = await here.submit(store)
        succeed(store, computation_id, etag="e")
        result = await here.client.get(f"/lutra/jobs/{job_id}/result")
        assert result.headers["content-location"] == f"/lutra/jobs/{job_id}/result"
        beyond = await here.client.get(f"/lutra/jobs/{job_id}/result", headers={"Range": "bytes=999-"})
        assert beyond.json()["instance"] == f"/lutra/jobs/{job_id}/result"

        job_id, computation_id = await here.submit(store)
        fail(store, computation_id, CorruptPicture("broken"))
        error = (await here.client.get(f"/lutra/jobs/{job_id}")).json()["error"]
        assert error["instance"] == f"/lutra/jobs/{job_id}"

    run(redis_url, story)


@pytest.mark.parametrize("public_url", ["", PUBLIC, "https://photos.example"])
def test_the_document_says_where_the_service_lies_wherever_it_was_read(public_url: str) -> None:
    async def story(here: Here) -> None:
        servers = [one["url"] for one in (await here.client.get("/openapi.json")).json()["servers"]]
        assert servers == [*([public_url] if public_url else []), "."]
        for read_at in ("http://127.0.0.1:8000/openapi.json", "https://a.example/any/path/openapi.json"):
            assert urljoin(read_at, servers[-1]) == read_at.removesuffix("openapi.json")

    run(f"redis://127.0.0.1:{free_port()}/0", story, public_url)


def test_a_prefix_that_is_a_path_of_our_own_is_refused() -> None:
    async def story(here: Here) -> None:
        routes = [route for router in here.app.state.routers for route in router.routes] + list(here.app.routes)
        firsts = {str(getattr(route, "path", "")).split("/")[1] for route in routes if getattr(route, "path", "")}
        assert firsts - {""} == OWN

    run(f"redis://127.0.0.1:{free_port()}/0", story, "")
    for prefix in ("/jobs", "/docs/lutra", "/upscale"):
        with pytest.raises(ParameterError, match="cannot begin with"):
            check_prefix(prefix)
    check_prefix("/lutra/jobs")
    check_prefix("")
