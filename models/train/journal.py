"""What a run reports: JSON lines beside its weights, a bar on a terminal (plain lines elsewhere), TensorBoard.

TensorBoard is written where its package is installed. It computes nothing.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Journal:
    """Opened for a run and closed after it; `log.jsonl` grows over all the slices of a run."""

    def __init__(self, out: Path, name: str) -> None:
        self._name = name
        self._log = (out / "log.jsonl").open("a")
        self._board = open_board(out / "tensorboard")
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm(total=100, desc=name, bar_format="{desc} {percentage:3.0f}%|{bar}|")

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._log.close()
        if self._board is not None:
            self._board.close()
        if self._bar is not None:
            self._bar.close()

    def event(self, event: str, **facts: Any) -> None:
        """One line for what happens once."""
        self._write({"event": event, **facts})
        print(json.dumps({"event": event, **facts}), file=sys.stderr, flush=True)

    def step(
        self, step: int, seconds: float, share: float, left_s: float, lr: float, numbers: dict[str, float]
    ) -> None:
        """One line for a step; `share` of the budget lies behind."""
        self._write({"step": step, "seconds": round(seconds, 1), "lr": lr, **numbers})
        if self._board is not None:
            for name, value in {"lr": lr, **numbers}.items():
                self._board.add_scalar(name, value, step)
        text = f"step {step} loss {numbers['loss']:.5f} left {clock(left_s)}"
        if self._bar is None:
            print(f"{self._name} {text}", flush=True)
        else:
            self._bar.set_description_str(f"{self._name} {text}", refresh=False)
            self._bar.update(100 * share - self._bar.n)

    def _write(self, facts: dict[str, Any]) -> None:
        self._log.write(json.dumps(facts) + "\n")
        self._log.flush()


def open_board(folder: Path) -> SummaryWriter | None:
    """None where the package tensorboard, an extra, is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))


def clock(seconds: float) -> str:
    """90 -> 1:30, 3661 -> 1:01:01."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
