"""One source of what a page may load: nothing but what is named."""

from __future__ import annotations

from service.policy import policy


def test_nothing_is_allowed_that_is_not_named() -> None:
    told = dict(rule.split(" ", 1) for rule in policy(img_src="'self' blob:", form_action="'self'").split("; "))
    assert told == {
        "default-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "img-src": "'self' blob:",
    }
