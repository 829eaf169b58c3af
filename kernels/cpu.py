"""The compiled kernels of this processor, and why they are missing where they are; importing never fails.

It computes nothing itself: `kernels._cpu` does, built from `kernels/csrc` where a compiler was found, and
`kernels.reference` serves where it is not there.
"""

from __future__ import annotations


def _reason(error: ImportError) -> str:
    """Why `kernels._cpu` is not there: never built, or built and not loadable."""
    if isinstance(error, ModuleNotFoundError):
        return (
            "no working C++20 compiler was found when Lutra was installed; install one (for instance g++ 11 or newer) "
            "and then Lutra again, with pip's --verbose to see the compiler's errors; the PyTorch reference serves"
        )
    return f"the compiled kernels cannot be loaded ({error}); install Lutra again; the PyTorch reference serves"


try:
    import kernels._cpu as _cpu

    _missing = ""
except ImportError as error:
    _missing = _reason(error)


def why_missing() -> str:
    """One sentence for `lutra doctor` and the readiness page; empty when the kernels are there."""
    return _missing


def paths() -> list[str]:
    """The instruction sets that are built and that this processor runs, slowest first; empty when nothing is built."""
    return [] if _missing else _cpu.paths()
