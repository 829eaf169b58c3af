"""Defines one torch.library op: checks, then the fastest kernel at hand.

By a Library, since `torch.library.custom_op` imports torch._dynamo at the first call: a second that every worker and
every run of the command line would wait.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from kernels import cpu, cuda

Library: Any = torch.library.Library  # which has no types
LIBRARY = Library("lutra", "DEF")

Check = Callable[..., None]
Kernel = Callable[..., Any]


def define(
    schema: str,
    specification: Kernel,
    check: Check,
    empty: Kernel,
    *,
    on_cuda: Kernel | None = None,
    check_values: Check | None = None,
    backward: Kernel | None = None,
    grouped: Callable[..., tuple[Any, ...]] | None = None,
) -> None:
    """`specification` is the default body; that of the processor is the function of the same name in `kernels.cpu`,
    that of a CUDA device `on_cuda`, each where there is one. `empty` gives results of the right shapes, for tracing.
    `grouped` makes the arguments of all these functions of the flat ones of the schema."""
    name, _, _ = schema.partition("(")

    def checked(choose: Callable[[], Kernel]) -> Kernel:
        def run(*flat: Any) -> Any:
            arguments = flat if grouped is None else grouped(*flat)
            check(*arguments)
            if check_values is not None:
                check_values(*arguments)
            return choose()(*arguments)

        return run

    def traced(*flat: Any) -> Any:
        arguments = flat if grouped is None else grouped(*flat)
        check(*arguments)
        return empty(*arguments)

    LIBRARY.define(schema)
    LIBRARY.impl(name, checked(lambda: specification), "CompositeExplicitAutograd")
    LIBRARY.impl(name, checked(partial(_cpu_kernel, name, specification)), "CPU")
    LIBRARY.impl(name, checked(partial(_cuda_kernel, on_cuda, specification)), "CUDA")
    torch.library.register_fake(f"lutra::{name}", traced, lib=LIBRARY)
    refuse = partial(_refuse_to_differentiate, name)
    torch.library.register_autograd(f"lutra::{name}", backward or refuse, setup_context=_save_tensors, lib=LIBRARY)


def _cpu_kernel(name: str, specification: Kernel) -> Kernel:
    kernel: Kernel = specification if cpu.why_missing() else getattr(cpu, name, specification)
    return kernel


def _cuda_kernel(on_cuda: Kernel | None, specification: Kernel) -> Kernel:
    return specification if on_cuda is None or cuda.why_missing() else on_cuda


def _save_tensors(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*(value for value in inputs if isinstance(value, Tensor)))


def _refuse_to_differentiate(name: str, *_: Any) -> None:
    raise RuntimeError(f"lutra::{name} has no gradient of its own")
