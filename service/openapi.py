"""The OpenAPI document: the pieces that several endpoints share (bodies, pictures, problems, headers), and the whole,
put in order so that clients can be generated from it.

What FastAPI writes of its own accord and never comes is taken out: its own 422, `null` in a query. What comes from
below the endpoints (a wrong host, a head that is too large, our own fault) is told of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service import problems
from service.preferences import BYTES
from service.schemas import JobJson
from workers.jobs.records import CacheResult
from workers.pictures import imageio
from workers.settings import Settings

Json = dict[str, Any]
Responses = dict[int | str, Json]

BINARY: Json = {"type": "string", "format": "binary"}
# Bytes come first, for generators that know no types of pictures; the answer itself names its format.
PICTURE: Json = {
    media_type: {"schema": BINARY} for media_type in (BYTES, *(imageio.MEDIA_TYPE[one] for one in imageio.FORMATS_OUT))
}
# The whole stream, text to some clients and a list to others, and each event as OpenAPI 3.2 tells it.
EVENTS: Json = {
    "text/event-stream": {
        "schema": {"description": "The events, one after the other."},
        "itemSchema": {
            "type": "object",
            "required": ["event", "data"],
            "properties": {
                "id": {"type": "string", "description": "What Last-Event-ID takes; `revoked` has none."},
                "event": {"type": "string", "enum": ["state", "progress", "end", "revoked"]},
                "data": {
                    "type": "string",
                    "contentMediaType": "application/json",
                    "description": "`state` and `end`: the state; `progress`: tiles `done` of `total`; `revoked`: the "
                    "problem that its API key was taken back, and nothing after it.",
                },
            },
        },
    }
}
TABLE: Json = {"text/plain": {"schema": {"type": "string"}}}
EVERYWHERE = (400, 408, 414, 421, 431, 500, 503)
NEVER = "HTTPValidationError", "ValidationError"  # FastAPI's, of all that has parameters; ours are problems
TAGS = (
    ("enhance", "Colour and tone."),
    ("restore", "Noise, rain, haze and JPEG blocks taken off."),
    ("upscale", "Super-resolution at any scale."),
    ("jobs", "What was asked for: state, result, events, cancel; a client's list and usage."),
    ("models", "What can be asked for here."),
    ("ops", "For operators."),
)


def _text(description: str, **schema: Any) -> Json:
    return {"description": description, "schema": {"type": "string", **schema}}


def _whole(description: str, example: int) -> Json:
    return {"description": description, "schema": {"type": "integer", "minimum": 0, "examples": [example]}}


ANSWER_HEADERS: Json = {
    "Accept-Ranges": _text("A result can be read in parts.", enum=["bytes"]),
    "Cache-Control": _text("A result never changes; everything else is not to be stored."),
    "Content-Disposition": _text("A name for the file.", examples=['inline; filename="upscaled.png"']),
    "Content-Location": _text("Where this result can be read again.", examples=["/jobs/ID/result"]),
    "Content-Range": _text("Which bytes these are, of how many.", examples=["bytes 0-99/4711"]),
    "ETag": _text("Strong; a hash of the result.", examples=['"0f3a"']),
    "Link": _text('rel="next": the next page.', examples=['</jobs?cursor=C>; rel="next"']),
    "Location": _text("The job.", examples=["/jobs/ID"]),
    "Preference-Applied": _text("What of Prefer was heeded.", examples=["respond-async"]),
    "RateLimit": _text("What is left, where the client has a limit.", examples=['"requests";r=59;t=1']),
    "RateLimit-Policy": _text("What a minute allows, where the client has a limit.", examples=['"requests";q=60;w=60']),
    "Retry-After": _whole("Seconds after which to ask again, as measured.", 5),
    "Server-Timing": _text("Milliseconds of queue, decode, infer, encode.", examples=["infer;dur=12.0"]),
    "Vary": _text("A picture's format is chosen by Accept.", examples=["Accept"]),
    "WWW-Authenticate": _text("How a key is sent.", examples=["Bearer"]),
    "X-Cache": _text(
        "How the job came to its result: hit (it was stored), coalesced (it was under way), miss.",
        enum=list(CacheResult),
    ),
    "X-Job-Id": _text("The job's id."),
    "X-Lutra-Found": _text("What a restorer found, surest first, or none.", examples=["noise 0.8, jpeg 0.2"]),
    "X-Lutra-Model": _text("The model that made it.", examples=["lmliif"]),
    "X-Request-ID": _text("The request's id, as it was sent or a new one."),
}
RESULT_HEADERS = (
    *("Accept-Ranges", "Cache-Control", "Content-Disposition", "Content-Location", "ETag", "Server-Timing"),
    *("X-Job-Id", "X-Lutra-Found", "X-Lutra-Model"),
)
OF_PROBLEMS = {401: ("WWW-Authenticate",), 409: ("Retry-After",), 429: ("Retry-After",), 503: ("Retry-After",)}


def headers_of(*names: str) -> Json:
    """Headers of an answer, each told once in the document."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def parameter(name: str, description: str, **schema: Any) -> Json:
    """A header of a request."""
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string", **schema}}


REQUEST_HEADERS = [
    parameter(
        "Prefer",
        "`respond-async`: 202 and the job at once. `wait=N`: wait N seconds for the picture, at most 600.",
        examples=["respond-async", "wait=600"],
    ),
    parameter(
        "Idempotency-Key",
        "The same request sent again with this key has the same job; another one is refused (422), and so is one that "
        "comes while the first is still being taken in (409). Kept 24 hours, or as long as the job.",
        minLength=1,
        maxLength=255,
        pattern="^[!-~]([ -~]*[!-~])?$",
        examples=["8e03978e-40d5-43dd-bc93-6894a57f9324"],
    ),
    parameter(
        "Cache-Control",
        "no-cache: computed anew, although an equal request of yours waits, runs or has its result.",
        examples=["no-cache"],
    ),
]
RANGE_HEADERS = [
    parameter("If-None-Match", "ETags that are at hand: 304 where the result has one of them.", examples=['"0f3a"']),
    parameter("Range", "One range of bytes: 206.", examples=["bytes=0-99"]),
    parameter("If-Range", "The ETag that the Range is of; the whole where it is another.", examples=['"0f3a"']),
]
LAST_EVENT_ID = parameter("Last-Event-ID", "The last event that was read: what came after it.", examples=["1700-0"])


def body_of(**parts: Json) -> Json:
    """A picture, raw or as the part `file` of a form that may have other `parts`."""
    form = {
        "type": "object",
        "required": ["file"],
        "properties": {"file": BINARY, **parts},
        "additionalProperties": False,
    }
    content = {
        BYTES: {"schema": BINARY},
        "image/*": {"schema": BINARY},
        "multipart/form-data": {"schema": form},
    }
    description = "The picture. Its format is told by its first bytes, never by a name or header."
    return {
        "requestBody": {"required": True, "description": description, "content": content},
        "parameters": REQUEST_HEADERS,
    }


BODY = body_of()
BODY_WITH_LUT = body_of(
    lut={**BINARY, "description": "A .cube file: a table of your own, applied instead of the model."}
)


def problems_of(*statuses: int) -> Responses:
    """What is refused, and how: RFC 9457, and nothing else."""
    return {status: _problem(status) for status in statuses}


def _problem(status: int) -> Json:
    titles = dict.fromkeys(title for one, title in problems.TABLE.values() if one == status)
    return {
        "description": "; ".join(titles or {problems.OF_HTTP[status]: None}) + ".",
        "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        "headers": headers_of(*OF_PROBLEMS.get(status, ())),
    }


FOLLOW: Json = {
    name: {"operationId": name, "parameters": {"id": "$response.body#/id"}}
    for name in ("readJob", "readResult", "readEvents", "cancelJob")
}


def post_answers(*, table: bool = False) -> Responses:
    """Of an operation; `table`: it can answer with one instead of a picture."""
    applied = ("X-Cache", "Preference-Applied", "Vary")
    return {
        200: {
            "description": "The better picture.",
            "content": {**PICTURE, **(TABLE if table else {})},
            "headers": headers_of(*RESULT_HEADERS, *applied),
        },
        202: {
            "description": "Not ready yet; Location names the job.",
            "model": JobJson,
            "content": {"application/json": {}},
            "headers": headers_of("Location", "Retry-After", "Cache-Control", *applied),
            "links": FOLLOW,
        },
        **problems_of(406, 409, 410, 413, 415, 422),
    }


RESULT_ANSWERS: Responses = {
    200: {
        "description": "The picture.",
        "content": {**PICTURE, **TABLE},
        "headers": headers_of(*RESULT_HEADERS),
    },
    206: {
        "description": "The bytes that were asked for.",
        "content": {**PICTURE, **TABLE},
        "headers": headers_of(*RESULT_HEADERS, "Content-Range"),
    },
    304: {"description": "It is the one at hand.", "headers": headers_of(*RESULT_HEADERS)},
    **problems_of(404, 409, 410, 416, 422),
}


def document(app: FastAPI, settings: Settings) -> Json:
    """The whole, once an application: FastAPI's, put in order."""
    if app.openapi_schema is None:
        whole = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
            tags=[{"name": name, "description": text} for name, text in TAGS],
            license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
            servers=_servers(settings),
        )
        components = whole["components"]
        components["headers"] = ANSWER_HEADERS
        components["responses"] = {f"Problem{status}": _with_id(_problem(status)) for status in EVERYWHERE}
        for name in NEVER:
            components["schemas"].pop(name, None)
        for operation in _operations(whole):
            _put_in_order(operation, settings)
        app.openapi_schema = whole
    return app.openapi_schema


def _servers(settings: Settings) -> list[Json]:
    """The public address first, for what is made of the document elsewhere; and where the document was read."""
    public = [{"url": settings.public_url, "description": "For all."}] if settings.public_url else []
    return [*public, {"url": ".", "description": "Where this document lies."}]


def _operations(whole: Json) -> Iterator[Json]:
    for path in whole["paths"].values():
        yield from path.values()


def _put_in_order(operation: Json, settings: Settings) -> None:
    for one in operation.get("parameters", ()):
        one["schema"] = _as_sent(one["schema"], settings)
    answers: Json = operation["responses"]
    if NEVER[0] in str(answers.get("422")):
        del answers["422"]
    limited = headers_of("RateLimit", "RateLimit-Policy") if "429" in answers else {}
    for answer in answers.values():
        answer["headers"] = {**answer.get("headers", {}), **limited}
        _with_id(answer)
    for status in EVERYWHERE:
        answers.setdefault(str(status), {"$ref": f"#/components/responses/Problem{status}"})
    operation["responses"] = dict(sorted(answers.items()))


def _with_id(answer: Json) -> Json:
    answer["headers"] = {**answer.get("headers", {}), **headers_of("X-Request-ID")}
    return answer


def _as_sent(schema: Json, settings: Settings) -> Json:
    """A parameter's schema as it stands in a URL, where nothing is null, with the limits that are set here.

    `x-limit` names the setting that is the largest value.
    """
    kinds = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name not in ("anyOf", "title", "x-limit")}
    if "x-limit" in schema:
        rest["maximum"] = getattr(settings, schema["x-limit"])
    if len(kinds) == 1:
        return {**_as_sent(kinds[0], settings), **rest}
    return {**rest, "anyOf": [_as_sent(one, settings) for one in kinds]} if kinds else rest
