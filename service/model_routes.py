"""What can be asked for here: models, and presets."""

from __future__ import annotations

from fastapi import Request

from service.gateway import gateway_of
from service.presets import Presets
from service.router import Router
from service.schemas import ModelsJson, PresetJson, PresetsJson, model_json
from workers.errors import Unavailable

router = Router()


@router.get("/models", operation_id="listModels", tags=["models"], response_model=ModelsJson)
async def list_models(request: Request) -> ModelsJson:
    """Every model that is served: facts, scores, and the devices that hold it now."""
    gateway = gateway_of(request)
    try:
        children = await gateway.store_threads.run(gateway.store.children)
    except Unavailable:
        children = {}
    devices: dict[str, list[str]] = {name: [] for name in gateway.models}
    weights: dict[str, str] = {}
    for facts in children.values():
        for name, loaded in facts.get("models", {}).items():
            if name in devices and facts["device"] not in devices[name]:
                devices[name].append(facts["device"])
            weights[name] = loaded["sha256"]
    return ModelsJson(
        models=[
            model_json(card, devices[name], weights.get(name), gateway.settings.max_scale)
            for name, card in gateway.models.items()
        ]
    )


@router.get("/presets", operation_id="listPresets", tags=["models"], response_model=PresetsJson)
async def list_presets(request: Request) -> PresetsJson:
    """Every preset, with its parameters for each operation that it is of."""
    presets: Presets = request.app.state.presets
    listed = [
        PresetJson(name=name, operations={operation: dict(parameters) for operation, parameters in each.items()})
        for name, each in presets.by_name.items()
    ]
    return PresetsJson(presets=listed)
