"""What the cards of the networks that enlarge say of their reach, against the networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest
import torch

from models.cards import BY_NAME
from models.contract import Axis, Upscaler, View
from models.liif import Liif, LiifConfig
from models.lmliif import Lmliif, LmliifConfig
from models.span import Span, SpanConfig
from models.srresnet import Srresnet, SrresnetConfig

# As deep as those that serve, and no wider than they must be.
NETWORKS: dict[str, Callable[[], Upscaler]] = {
    "liif": lambda: Liif(LiifConfig(width=2, hidden=4, layers=1, bilinear_base=True)),
    "liif-real": lambda: Liif(LiifConfig(width=2, hidden=4, layers=1, bilinear_base=True)),
    "liif-rdn": lambda: Liif(LiifConfig(width=2, hidden=4, layers=1, encoder="rdn")),
    "lmliif": lambda: Lmliif(LmliifConfig(channels=2, latent=4, units=4, layers=2, code=2)),
    "lmliif-real": lambda: Lmliif(LmliifConfig(channels=2, latent=4, units=4, layers=2, code=2, projected_over=9)),
    "span": lambda: Span(SpanConfig(channels=2)),
    "srresnet": lambda: Srresnet(SrresnetConfig(width=2, batch_norm=False)),
    "srgan": lambda: Srresnet(SrresnetConfig(width=2, batch_norm=False)),
}


@torch.no_grad()
@pytest.mark.parametrize("name", NETWORKS)
def test_the_halo_is_as_far_as_the_network_sees(name: str) -> None:
    """A sample sees the pixels that spoil it where they are no numbers: none beyond the halo, but of the outermost two
    to either side one, at some scale."""
    network, halo, side = NETWORKS[name](), BY_NAME[name].halo, 2 * BY_NAME[name].halo + 12
    sees_the_edge = {"left": False, "right": False}
    for columns in samples_in_the_middle(side):
        before, after = (int(columns.positions()[0]) + by for by in (0, 1))
        beyond = torch.zeros(1, 3, 1, side)
        beyond[..., : before - halo] = beyond[..., after + halo + 1 :] = math.nan
        view = View(Axis(0, 1, 1, 1, 0), columns)
        assert torch.isfinite(network(beyond, [view])[0]).all()
        for edge, outermost in (("left", before - halo), ("right", after + halo - 1)):
            within = torch.zeros(1, 3, 1, side)
            within[..., outermost : outermost + 2] = math.nan
            sees_the_edge[edge] |= bool(network(within, [view])[0].isnan().any())
    assert all(sees_the_edge.values())


def samples_in_the_middle(side: int) -> Iterator[Axis]:
    """One sample each, at several scales, wherever it may lie between its two pixels."""
    for scale in (1, 1.1, 1.3, 2, 3.1, 4):
        out = round(side * scale)
        yield from (Axis(out // 2 + phase, 1, out, side, 0) for phase in range(math.ceil(scale)))
