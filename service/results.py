"""A finished job's picture as an HTTP answer: ETag and conditions, one range, HEAD (RFC 9110 sections 13 and 14)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from service import problems
from service.delivery import Deliveries, Delivery
from service.offload import Threads
from service.preferences import listed
from service.schemas import job_path
from workers.jobs.job import JobStatus
from workers.jobs.store import Store
from workers.settings import Settings

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
SUFFIX = {"jpeg": "jpg"}


def result_headers(status: JobStatus, settings: Settings) -> dict[str, str]:
    """The headers of a result, whole, partial or unchanged."""
    output = status.output or {}
    name = f"{status.operation}d.{SUFFIX.get(output['format'], output['format'])}"
    timing = ", ".join(f"{stage};dur={seconds * 1000:.1f}" for stage, seconds in status.timings_s.items())
    return {
        "ETag": f'"{output["etag"]}"',
        "Content-Location": f"{job_path(status.id, settings.public_path)}/result",
        "Cache-Control": f"private, max-age={settings.result_ttl_seconds}, immutable",
        "Content-Disposition": f'inline; filename="{name}"',
        "Accept-Ranges": "bytes",
        "Server-Timing": timing,
        "X-Job-Id": status.id,
        "X-Lutra-Model": status.model,
        **({"X-Lutra-Found": found_header(status.found)} if status.found is not None else {}),
        "X-Content-Type-Options": "nosniff",
    }


def found_header(found: Mapping[str, float]) -> str:
    """What is surest first, `noise 0.8, jpeg 0.2`; `none` where nothing reaches a tenth."""
    told = sorted(((round(sure, 1), kind) for kind, sure in found.items()), key=lambda one: -one[0])
    return ", ".join(f"{kind} {sure}" for sure, kind in told if sure > 0) or "none"


def wanted_range(header: str | None, size: int) -> tuple[int, int] | None:
    """(start, stop) of a single satisfiable range; None: the whole. Raises ValueError where no byte is in it."""
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match.group(1) == match.group(2) == "":
        return None
    first, last = match.groups()
    if first == "":
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= size or stop <= start:
        raise ValueError
    return start, stop


def _matches(header: str | None, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in (header or "").split(",")]
    return header is not None and ("*" in tags or etag in tags)


async def result_response(
    request: Request,
    status: JobStatus,
    store: Store,
    threads: Threads,
    deliveries: Deliveries,
    headers: dict[str, str],
) -> Response:
    """The picture of a succeeded job under these headers; conditions and ranges count for GET and HEAD alone."""
    output = status.output or {}
    size, media_type = int(output["bytes"]), output["media_type"]
    reading = request.method in ("GET", "HEAD")
    if reading and _matches(listed(request.headers, "if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    start, stop, code = 0, size, 200
    if request.method == "GET" and request.headers.get("if-range", headers["ETag"]) == headers["ETag"]:
        wanted = request.headers.get("range")
        try:
            asked = wanted_range(wanted, size)
        except ValueError:
            detail = f"{wanted} is outside the result, which has {size} bytes"
            problem = problems.plain_problem(416, problems.OF_HTTP[416], headers["Content-Location"], detail)
            return problems.answer(problem, {"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"})
        if asked is not None:
            start, stop, code = *asked, 206
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["Content-Length"] = str(stop - start)
    if request.method == "HEAD":
        return Response(status_code=code, headers=headers, media_type=media_type)
    pieces = store.read_result(status, start, stop)
    first = next(pieces) if status.result else await threads.run(next, pieces)

    def arrived() -> None:
        if stop - start == size:
            deliveries.add(status.id)

    return Delivery(first, pieces, stop - start, threads, arrived, code, headers, media_type)
