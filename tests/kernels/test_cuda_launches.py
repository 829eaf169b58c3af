"""What launches are planned with; all of it works on tensors of any device."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from kernels.cuda.launches import ALIGNMENT, aligned, blocks, check_order_may_vary


def test_blocks_hold_all_items_and_one_fewer_does_not() -> None:
    assert blocks(0, 128) == 0
    for each in (1, 2, 128, 1000):
        for items in (1, each - 1 or 1, each, each + 1, 7 * each):
            count = blocks(items, each)
            assert (count - 1) * each < items <= count * each


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_begin_where_wide_loads_may_and_keep_their_values(dtype: torch.dtype) -> None:
    whole = torch.arange(256).to(dtype)
    odd, strided = whole[1:33], whole.view(16, 16).t()
    assert odd.data_ptr() % ALIGNMENT and not strided.is_contiguous()
    for tensor in (whole, odd, strided, strided[3:]):
        result = aligned(tensor)
        assert result.data_ptr() % ALIGNMENT == 0 and result.is_contiguous()
        assert torch.equal(result, tensor)
    assert aligned(whole).data_ptr() == whole.data_ptr()  # nothing is copied that lies well


@pytest.fixture
def restored() -> Iterator[None]:
    """Whether torch must be deterministic, as it was."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    yield
    torch.use_deterministic_algorithms(before[0], warn_only=before[1])


@pytest.mark.usefixtures("restored")
def test_an_order_that_varies_is_refused_where_torch_must_be_deterministic_and_nowhere_else() -> None:
    torch.use_deterministic_algorithms(True)
    with pytest.raises(RuntimeError, match=r"^sums come in an order that varies from run to run$"):
        check_order_may_vary("sums come")
    torch.use_deterministic_algorithms(True, warn_only=True)
    check_order_may_vary("sums come")
    torch.use_deterministic_algorithms(False)
    check_order_may_vary("sums come")
