"""What is built for the CUDA device at hand, and why not where it is not; importing never fails.

It holds no kernel of its own yet: `kernels.reference` serves, on the device if torch has one.
"""

from __future__ import annotations


def why_missing() -> str:
    """One sentence for `lutra doctor` and the readiness page; empty when the kernels are there."""
    return "this version carries no CUDA kernels; the PyTorch reference serves"
