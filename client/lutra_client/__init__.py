"""Pictures through a Lutra service.

    Lutra("http://127.0.0.1:8000", key="...").upscale("a.jpg", scale=3.7).save("b.png")

Nothing is sent before the picture is needed: `save` asks for the format that the file's name says. `AsyncLutra` is the
same with `await`.
"""

from lutra_client.asynchronous import AsyncLutra, AsyncRequest
from lutra_client.client import Lutra, Request
from lutra_client.errors import (
    JobFailed,
    JobGone,
    KeyNeeded,
    LutraError,
    NotAllowed,
    ParameterError,
    PictureError,
    Problem,
    RateLimited,
    Unavailable,
    Unreachable,
)
from lutra_client.exchange import Progress
from lutra_client.pictures import Result

__version__ = "0.2.0"

__all__ = [
    "AsyncLutra",
    "AsyncRequest",
    "JobFailed",
    "JobGone",
    "KeyNeeded",
    "Lutra",
    "LutraError",
    "NotAllowed",
    "ParameterError",
    "PictureError",
    "Problem",
    "Progress",
    "RateLimited",
    "Request",
    "Result",
    "Unavailable",
    "Unreachable",
]
