"""What is built for the processor at hand, and why not where it is not; importing never fails.

It holds no kernel of its own yet: `kernels.reference` serves.
"""

from __future__ import annotations


def why_missing() -> str:
    """One sentence for `lutra doctor` and the readiness page; empty when the kernels are there."""
    return "this version carries no compiled CPU kernels; the PyTorch reference serves"
