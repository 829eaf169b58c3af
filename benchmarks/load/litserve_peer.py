"""/enhance by LitServe: `python -m benchmarks.load.litserve_peer PORT`, with a worker for each core.

The body is handed over as it came, the result as an answer of its own, as LitServe's documents do with pictures.
"""

import sys
from typing import Annotated, Any

import litserve
from fastapi import Depends, Request, Response

from benchmarks.load.enhancing import make_enhance
from workers import devices


async def body_of(request: Request) -> bytes:
    return await request.body()


class Enhance(litserve.LitAPI):  # type: ignore[misc]
    def setup(self, device: str) -> None:
        self.enhance = make_enhance()

    def decode_request(self, request: Annotated[bytes, Depends(body_of)]) -> bytes:
        return request

    def predict(self, data: bytes) -> bytes:
        return self.enhance(data)

    def encode_response(self, output: bytes) -> Response:
        return Response(output, media_type="image/jpeg")


def main(port: int) -> None:
    api: Any = Enhance(api_path="/enhance")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=devices.usable_cores(), timeout=60)
    server.run(host="127.0.0.1", port=port, log_level="warning", generate_client_file=False)


if __name__ == "__main__":
    main(int(sys.argv[1]))
