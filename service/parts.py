"""What a command needs beyond the core: the packages of the extras, or the client; and what to do without them.

They are looked for, not imported, before a command starts: a worker's parent imports nothing of what its children need,
and `lutra up` would start children without end that cannot live.
"""

from __future__ import annotations

from importlib.util import find_spec

from workers.errors import LutraError

MODULES = {
    "gateway": ("fastapi", "uvicorn", "httptools", "python_multipart"),
    "worker": ("torch", "numpy", "safetensors", "simplejpeg", "cv2", "imagecodecs", "tifffile"),
    "completion": ("shtab",),
}
CLIENT = "client"  # a distribution of its own, in the folder of this name
OF_CLIENT = ("lutra_client", "httpx")


class NotInstalled(LutraError):
    code = "not_installed"


def missing(part: str) -> list[str]:
    """Modules of `part` that are not installed."""
    return [module for module in (OF_CLIENT if part == CLIENT else MODULES[part]) if find_spec(module) is None]


def how_to_install(*parts: str) -> str:
    """Half a sentence. By path: an index of packages may know another project by our name."""
    if parts == (CLIENT,):
        return "run `make run` in a clone of Lutra, or `pip install /path/to/lutra/client` with the clone's path"
    extras = ",".join(parts)
    return f"run `make run` in a clone of Lutra, or `pip install '/path/to/lutra[{extras}]'` with the clone's path"


def need(*parts: str) -> None:
    """Raises NotInstalled, naming what is missing, unless all of `parts` are installed."""
    lacking = [part for part in parts if missing(part)]
    if lacking:
        modules = ", ".join(module for part in lacking for module in missing(part))
        raise NotInstalled(f"installed without {' and '.join(lacking)} ({modules}): {how_to_install(*lacking)}")
