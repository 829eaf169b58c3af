"""Refuses at the door what could not be done within the job timeout, by the measured speed of the model."""

from __future__ import annotations

from models.cards import Card
from service.house import House
from workers.errors import StoreUnavailable, TooManyPixels
from workers.imageio import Header


async def refuse_too_long(house: House, card: Card, header: Header, output_pixels: int) -> None:
    """Raises TooManyPixels, with the size or the model that fits, where the estimate exceeds the job timeout."""
    try:
        measured = await house.store_threads.run(house.store.seconds_per_megapixel, card.name)
    except StoreUnavailable:
        measured = None
    s_per_mp = measured or card.cpu_s_per_mp
    limit_s = house.settings.job_timeout_seconds
    estimate_s = output_pixels * s_per_mp / 1e6
    if estimate_s <= limit_s:
        return
    fitting = int(limit_s / s_per_mp * 1e6)
    faster = [
        other.name
        for other in house.models.values()
        if other.task == card.task and output_pixels * other.cpu_s_per_mp / 1e6 <= limit_s and other.name != card.name
    ]
    members: dict[str, object] = {"estimate_s": round(estimate_s, 1), "limit_s": limit_s, "largest_pixels": fitting}
    advice = f"at most {fitting} pixels of output fit"
    if card.task == "upscale":
        members["largest_scale"] = round((fitting / (header.width * header.height)) ** 0.5, 2)
    if faster:
        members["faster_models"] = faster
        advice += f", or a faster model: {', '.join(faster)}"
    raise TooManyPixels(
        f"{card.name} would take about {estimate_s:.0f} s, longer than the {limit_s:g} s allowed; {advice}", **members
    )
