"""/enhance by BentoML: `bentoml serve benchmarks.load.bentoml_peer:Enhance`, with a worker for each core.

The body is the picture itself, which BentoML hands over as a file.
"""

from pathlib import Path
from typing import Annotated

import bentoml
from bentoml.validators import ContentType

from benchmarks.load.enhancing import make_enhance
from workers import devices


@bentoml.service(workers=devices.usable_cores(), threads=1, traffic={"timeout": 60})
class Enhance:
    def __init__(self) -> None:
        self._enhance = make_enhance()

    @bentoml.api  # type: ignore[untyped-decorator]
    def enhance(
        self, picture: Annotated[Path, ContentType("image/jpeg")], /
    ) -> Annotated[bytes, ContentType("image/jpeg")]:
        return self._enhance(picture.read_bytes())
