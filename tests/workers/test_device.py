"""The device that models run on."""

from __future__ import annotations

import pytest
import torch

from workers.engine.device import choose_device
from workers.errors import ParameterError


def test_a_device_that_is_not_here_is_refused() -> None:
    with pytest.raises(ParameterError, match="cuda:99"):
        choose_device("cuda:99")
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
