"""A table as a .cube file, which photo and film programs read.

It writes three-dimensional tables only; reading comes with the models that take a user's table.
Source: Adobe, "Cube LUT Specification", version 1.0, 2013: red varies fastest, one line of three numbers per node.
"""

from __future__ import annotations

from torch import Tensor

MAX_SIZE = 256  # the specification's largest


def write_cube(lut: Tensor, title: str) -> str:
    """lut (3, D, D, D) [channel, b, g, r] -> text of a .cube file; nine significant digits keep float32 exactly.

    Raises ValueError for a shape or a title that the format cannot hold.
    """
    if lut.dim() != 4 or lut.shape[0] != 3 or len(set(lut.shape[1:])) != 1 or not 2 <= lut.shape[1] <= MAX_SIZE:
        raise ValueError(f"lut has shape {tuple(lut.shape)}, wanted (3, D, D, D) with D from 2 to {MAX_SIZE}")
    if '"' in title or not title.isprintable():
        raise ValueError(f"title {title!r} holds quotes or control characters")
    nodes = lut.detach().double().permute(1, 2, 3, 0).reshape(-1, 3).tolist()
    head = [f'TITLE "{title}"', f"LUT_3D_SIZE {lut.shape[1]}", "DOMAIN_MIN 0 0 0", "DOMAIN_MAX 1 1 1"]
    body = [f"{red:.9g} {green:.9g} {blue:.9g}" for red, green, blue in nodes]
    return "\n".join([*head, *body]) + "\n"
