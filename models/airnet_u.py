"""AirNet's plan with a wide view: a U of NAF blocks takes off what a code of the whole picture says spoilt it.

An encoder, taught by momentum contrast, makes a code of a look at the picture (`models.look`): crops as they are, and
the whole reduced. It is made once a picture and scales and shifts every block of the restorer (`models.naf`). That
predicts a correction, and for each pixel how sure it is that something is wrong, which multiplies it: where it is not
sure at all, the picture stays as it is, to the bit. The mean code of a kind of damage in place of the picture's own
takes off that kind only; where haze is doubtful, that of the likeliest other kind leaves it. It does not clamp or tile.
Sources: Li, Liu, Hu, Wu, Lv, Peng, "All-In-One Image Restoration for Unknown Corruption", CVPR 2022 (a code learnt by
contrast conditions the restorer); Chen, Chu, Zhang, Sun, "Simple Baselines for Image Restoration", ECCV 2022 (the U).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.airnet import padded
from models.cards import AIRNET_U
from models.layout import channels_last
from models.look import Look
from models.moco import SLOPE, Moco, ResidualBlock
from models.naf import MULTIPLE, NafU

KINDS = AIRNET_U.kinds
HAZE = "haze"  # the kind whose correction moves all of a picture, and that a pale wall or sky looks like
HAZE_DOUBTED, HAZE_SURE = 0.2, 0.8  # below the one likelihood there is none, from the other on it is taken off unasked
HAZE_SIDE = 257  # pixels of the shorter side from which a picture says enough of its light to tell
UNSURE = 1 / 8  # a certainty up to this counts as none: a sigmoid alone never says nothing
FOLDS = 2  # of the sides of what the encoder sees
MAPS = 14  # of features at the full size that are held at once, measured by the peak of memory
KERNEL_BYTES = 18  # of a channel at the full size where our kernels make the blocks: measured are 8, in bfloat16 17
PICTURE_BYTES = 96  # of a pixel in three channels, float32, a few copies


@dataclass(frozen=True)
class AirnetUConfig:
    """`down`, `middle`, `up`: NAF blocks at each size (`models.naf.NafU`), of which the full one has `width` channels.

    `encoder`: widths of the encoder's three blocks; `code` that of what it says; `hidden` that of the layer between
    the code and the blocks. `contrast`: with what training alone needs; weight files are without.
    """

    width: int = 16
    down: tuple[int, ...] = (1, 1, 2, 4)
    middle: int = 4
    up: tuple[int, ...] = (1, 1, 1, 2)
    encoder: tuple[int, int, int] = (24, 48, 96)
    code: int = 64
    hidden: int = 64
    contrast: bool = True


class LookEncoder(nn.Module):
    """A look -> codes (N, dim) of length 1, twice: for the contrast, and for the restorer."""

    def __init__(self, widths: Sequence[int], dim: int, batch_norm: bool = True) -> None:
        super().__init__()
        self.near, self.far = (
            nn.Sequential(
                ResidualBlock(3 * FOLDS**2, widths[0], 1, batch_norm),
                *(ResidualBlock(a, b, 2, batch_norm) for a, b in pairwise(widths)),
            )
            for _ in range(2)
        )
        self.first, self.second = nn.Linear(2 * widths[-1], dim), nn.Linear(dim, dim)

    def forward(self, look: Look) -> tuple[Tensor, Tensor]:
        dtype = self.first.weight.dtype
        count = look.crops.shape[1]
        near = self.near(folded(look.crops.flatten(0, 1).to(dtype))).mean((2, 3)).unflatten(0, (-1, count)).mean(1)
        far = self.far(folded(look.whole.to(dtype))).mean((2, 3))
        said = self.second(F.leaky_relu(self.first(torch.cat([near, far], 1)), SLOPE))
        code = F.normalize(said.float(), dim=1)
        return code, code

    def fill(self, trained: LookEncoder) -> None:
        """Becomes the function of a trained encoder, whose norms fold into its convolutions."""
        for here, there in ((self.near, trained.near), (self.far, trained.far)):
            for block, learnt in zip(here, there, strict=True):
                block.load_state_dict(learnt.folded().state_dict())  # type: ignore[operator]
        self.first.load_state_dict(trained.first.state_dict())
        self.second.load_state_dict(trained.second.state_dict())

    def unfold(self, served: LookEncoder) -> None:
        """The other way, as long as the batch norms rest."""
        for here, there in ((self.near, served.near), (self.far, served.far)):
            for block, folded_block in zip(here, there, strict=True):
                block.unfold(folded_block)  # type: ignore[operator]
        self.first.load_state_dict(served.first.state_dict())
        self.second.load_state_dict(served.second.state_dict())


class AirnetU(nn.Module):
    """Encoder E, restorer R, and what tells kinds: a layer on the code, and each kind's mean code.

    `batch` is that of training: the queue of the contrast holds 256 times as many codes.
    """

    kind_codes: Tensor

    def __init__(self, config: AirnetUConfig | None = None, batch: int = 8) -> None:
        super().__init__()
        self.config = config or AirnetUConfig()
        c = self.config
        if len(c.down) != 4 or len(c.up) != 4:
            raise TypeError(f"down {c.down} and up {c.up} are to count blocks at four sizes each")
        encoder = LookEncoder(c.encoder, c.code, batch_norm=c.contrast)
        self.E = Moco(encoder, c.code, batch) if c.contrast else encoder
        self.guide = nn.Sequential(nn.Linear(c.code, c.hidden), nn.LeakyReLU(SLOPE))
        self.R = NafU((3, 4), c.width, c.down, c.middle, c.up, c.hidden)
        self.tell = nn.Linear(c.code, len(KINDS))
        self.register_buffer("kind_codes", F.normalize(torch.randn(len(KINDS), c.code), dim=1))

    @property
    def bytes_per_pixel(self) -> int:
        """See `models.contract.ConditionedRestorer`."""
        each = KERNEL_BYTES if self.R.has_kernels else MAPS * self.R.head.weight.element_size()
        return each * self.config.width + PICTURE_BYTES

    @property
    def reach(self) -> int:
        """See `models.contract.ConditionedRestorer`."""
        return self.R.reach

    @torch.inference_mode()
    def examine(self, look: Look, only: str | None = None) -> tuple[Tensor, dict[str, float]]:
        """See `models.contract.ConditionedRestorer`."""
        code = self.encoder(look)[0]
        told = self.tell_kinds(code)[0].sigmoid()
        found = dict(zip(KINDS, told.tolist(), strict=True))
        if only is None and is_doubtful(found, look.short_side):
            only = max((kind for kind in KINDS if kind != HAZE), key=lambda kind: found[kind])
        return (code if only is None else self.code_of(only)), found

    def forward(self, windows: Tensor, condition: Tensor) -> Tensor:
        """See `models.contract.ConditionedRestorer`."""
        return self.restore(windows, condition)[0]

    def restore(self, picture: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
        """picture (N, 3, h, w) in [0, 1] and codes (N or 1, code) -> restored (N, 3, h, w) and, before the sigmoid,
        how sure it is that something is wrong (N, 1, h, w); float32, not clamped."""
        correction, sure = self.propose(picture, code)
        return picture.float() + weigh(sure) * correction, sure

    def propose(self, picture: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
        """As `restore`, but the correction (N, 3, h, w) that the certainty has not weighed yet."""
        height, width = picture.shape[-2:]
        dtype = self.R.head.weight.dtype
        x = padded(picture, MULTIPLE).to(dtype).contiguous(memory_format=torch.channels_last)
        said = self.R(x, self.guide(code.to(dtype)))[..., :height, :width].float()
        return said[:, :3], said[:, 3:]

    def contrast(self, query: Look, key: Look) -> tuple[Tensor, Tensor]:
        """Training: looks at N pictures, spoilt alike pair by pair -> logits (N, 1 + K), the right answer first, and
        the query's codes (N, code). In training mode the twin encoder follows and the queue moves on."""
        logits, code = self.E(query, key)
        return logits, code

    def tell_kinds(self, code: Tensor) -> Tensor:
        """Codes (N, code) -> for each of KINDS, before the sigmoid, whether it is there: (N, kinds), float32."""
        told: Tensor = self.tell(code.to(self.tell.weight.dtype)).float()
        return told

    def code_of(self, kind: str) -> Tensor:
        """The mean code of a kind, (1, code), of length 1."""
        at = KINDS.index(kind)
        return F.normalize(self.kind_codes[at : at + 1].float(), dim=1)

    @property
    def encoder(self) -> LookEncoder:
        encoder = self.E.encoder_q if isinstance(self.E, Moco) else self.E
        assert isinstance(encoder, LookEncoder)
        return encoder

    def served(self) -> AirnetU:
        """See `models.contract.Servable`: without what training alone needs, batch norms folded."""
        return self.exported()

    def exported(self) -> AirnetU:
        """See `models.train.capabilities.Exported`; as it serves."""
        if not self.config.contrast:
            return self
        network = AirnetU(dataclasses.replace(self.config, contrast=False))
        for name in ("guide", "R", "tell"):
            getattr(network, name).load_state_dict(getattr(self, name).state_dict())
        network.kind_codes.copy_(self.kind_codes)
        network.encoder.fill(self.encoder)
        first = next(self.parameters())
        network = channels_last(network.to(first.device, first.dtype))
        return network.eval().requires_grad_(first.requires_grad)

    @torch.no_grad()
    def take_up(self, served: AirnetU) -> None:
        """The other way, for a network with the contrast: it goes on from what serves, as long as its norms rest."""
        assert isinstance(self.E, Moco)
        for name in ("guide", "R", "tell"):
            getattr(self, name).load_state_dict(getattr(served, name).state_dict())
        self.kind_codes.copy_(served.kind_codes)
        for encoder in (self.E.encoder_q, self.E.encoder_k):
            encoder.unfold(served.encoder)


def is_doubtful(found: dict[str, float], short_side: int) -> bool:
    """Whether a picture may be hazy or not, so that its own code could take haze off that is none."""
    return found[HAZE] >= HAZE_DOUBTED and (found[HAZE] < HAZE_SURE or short_side < HAZE_SIDE)


def folded(pictures: Tensor) -> Tensor:
    """(N, 3, h, w) -> (N, 3 FOLDS^2, h / FOLDS, w / FOLDS)."""
    x = F.pixel_unshuffle(padded(pictures, FOLDS), FOLDS)
    return x.contiguous(memory_format=torch.channels_last)


def weigh(sure: Tensor) -> Tensor:
    """A certainty before its sigmoid -> the share of the correction, 0 up to UNSURE; the gradient is the sigmoid's, so
    that what has become 0 can still learn."""
    share = sure.sigmoid()
    cut = ((share - UNSURE) / (1 - UNSURE)).clamp(min=0)
    return share + (cut - share).detach() if share.requires_grad else cut
