"""How long a job will take, by the measured speed of its model; what could not be done in time is refused."""

from __future__ import annotations

from models.cards import Card
from service.house import House
from workers.errors import TooManyPixels
from workers.imageio import Header

OVERHEAD_S = 0.05


async def estimate_s(house: House, card: Card, header: Header, output_pixels: int) -> float:
    """Seconds. Raises TooManyPixels, with the size or the model that fits, where that exceeds the job timeout."""
    s_per_mp = await house.seconds_per_megapixel(card)
    limit_s = house.settings.job_timeout_seconds
    input_pixels = header.width * header.height
    seconds = OVERHEAD_S + card.work_pixels(input_pixels, output_pixels) * s_per_mp / 1e6
    if seconds <= limit_s:
        return seconds
    fitting = int(limit_s / s_per_mp * 1e6)
    faster = [
        other.name
        for other in house.models.values()
        if other.task == card.task
        and other.work_pixels(input_pixels, output_pixels) * other.cpu_s_per_mp / 1e6 <= limit_s
        and other.name != card.name
    ]
    members: dict[str, object] = {"estimate_s": round(seconds, 1), "limit_s": limit_s, "largest_pixels": fitting}
    advice = f"at most {fitting} pixels of output fit"
    if card.task == "upscale":
        members["largest_scale"] = round((fitting / input_pixels) ** 0.5, 2)
    if faster:
        members["faster_models"] = faster
        advice += f", or a faster model: {', '.join(faster)}"
    raise TooManyPixels(
        f"{card.name} would take about {seconds:.0f} s, longer than the {limit_s:g} s allowed; {advice}", **members
    )
