"""The headers of the pages that we send, the Content-Security-Policy among them: what is not named is not loaded."""

from __future__ import annotations

_NOTHING = {"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'"}
SAFE = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}


def policy(**allowed: str) -> str:
    """Nothing from anywhere, no form and no frame, but what is `allowed`: `img_src="'self' blob:"`."""
    named = {name.replace("_", "-"): sources for name, sources in allowed.items()}
    return "; ".join(f"{name} {sources}" for name, sources in {**_NOTHING, **named}.items())
