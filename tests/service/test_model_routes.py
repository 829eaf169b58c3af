"""What can be asked for, as the service lists it."""

from __future__ import annotations

from tests.living import Lutra


def test_the_models_are_listed_with_what_serves_them(lutra: Lutra) -> None:
    models = {model["name"]: model for model in lutra.client.get("/models").json()["models"]}
    assert {"lut3d", "liif", "nearest", "bilinear", "bicubic", "lanczos", "fourier"} <= set(models)
    assert models["lut3d"]["parameters"] == 593_516
    assert models["liif"]["loaded"] and models["liif"]["devices"]
    kinds = {name: model["kinds"] for name, model in models.items() if model["task"] == "restore"}
    assert kinds == {"airnet": [], "airnet-u": ["noise", "rain", "haze", "jpeg"]} and models["liif"]["kinds"] == []
