"""The one table of operations. What one is stands in `operation`; each is a file of its own."""

from __future__ import annotations

from typing import Any

from workers.operations.enhance import Enhance
from workers.operations.operation import Operation
from workers.operations.restore import Restore
from workers.operations.upscale import Upscale

ALL: tuple[Operation[Any, Any], ...] = (Enhance(), Restore(), Upscale())
OPERATIONS: dict[str, Operation[Any, Any]] = {operation.name: operation for operation in ALL}
