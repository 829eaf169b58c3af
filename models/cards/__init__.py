"""The plain facts about every model that is served; importable without torch. What builds them is `models.catalog`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from models.cards import enhance, restore, upscale
from models.cards.card import Card, Size
from models.cards.enhance import LUT3D, OWN_LUT
from models.cards.restore import AIRNET, AIRNET_U
from models.cards.upscale import ECLUT, LIIF_RDN, SRGAN, SRRESNET
from models.header import WeightsError, open_header
from models.scores import Measured

__all__ = [
    "AIRNET",
    "AIRNET_U",
    "ALL",
    "BY_NAME",
    "CARDS",
    "ECLUT",
    "LIIF_RDN",
    "LUT3D",
    "OWN_LUT",
    "SRGAN",
    "SRRESNET",
    "Card",
    "Size",
    "available",
    "is_brought",
    "users_file",
]

ALL: tuple[Card, ...] = (*enhance.ALL, *restore.ALL, *upscale.ALL)
BY_NAME: dict[str, Card] = {card.name: card for card in (*ALL, OWN_LUT)}
CARDS: dict[str, Card] = {card.name: card for card in ALL if card.file is None or card.sha256 is not None}


def available(weights_dir: Path | None = None) -> dict[str, Card]:
    """Cards of all that can serve: CARDS, and those whose file lies in the folder of the user's own weights."""
    brought = [as_brought(card, weights_dir) for card in ALL if weights_dir and is_brought(card, weights_dir)]
    return CARDS | {card.name: card for card in brought}


def as_brought(card: Card, weights_dir: Path) -> Card:
    """The card with the size of the network in a user's file, the cost that follows, so much a parameter and pixel, and
    the scores that were kept in the file.

    A file that cannot be read leaves the card as it is; who loads it says why.
    """
    try:
        header = open_header(users_file(card, weights_dir))
    except (OSError, WeightsError):
        return card
    folds = header.config.get("unshuffle")
    folds = folds if isinstance(folds, int) and folds > 0 else card.unshuffle
    work = header.parameters / max(1, card.parameters) * (card.unshuffle / folds) ** 2
    card = replace(card, parameters=header.parameters, cpu_s_per_mp=card.cpu_s_per_mp * work)
    kept = header.facts.get("scores")
    if not isinstance(kept, dict):
        return card
    scores = {name: float(value) for name, value in kept.items() if isinstance(value, int | float)}
    return replace(card, scores=Measured("kept in the weight file", scores))


def is_brought(card: Card, weights_dir: Path | None) -> bool:
    """Whether the user has weights of his own for this model."""
    return card.file is not None and weights_dir is not None and users_file(card, weights_dir).is_file()


def users_file(card: Card, weights_dir: Path) -> Path:
    return weights_dir / f"{card.name}.safetensors"
