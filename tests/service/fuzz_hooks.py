"""What Schemathesis sends as pictures (SCHEMATHESIS_HOOKS): small real ones, parts of them, and any bytes."""

from __future__ import annotations

import schemathesis
from hypothesis import strategies as st

from tests.living import as_file, photo

PICTURES = [as_file(photo(6, 9), name) for name in ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP")]

cut = st.builds(lambda data, end: data[:end], st.sampled_from(PICTURES), st.integers(1, 400))
bodies = st.sampled_from(PICTURES) | cut | st.binary(max_size=200)
schemathesis.openapi.media_type("application/octet-stream", bodies, aliases=["image/*"])
schemathesis.openapi.format("binary", bodies)
