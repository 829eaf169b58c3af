"""What the help of each command ends with: how it is used, and where there is more."""

from __future__ import annotations

EXAMPLES = {
    "": (
        ("lutra upscale photo.jpg --scale 3.7", "photo-x3.7.jpg, beside it"),
        ("lutra restore scans/ -o clean/ --skip-existing", "a folder; goes on where it stood"),
        ("lutra up", "the service, and its page at http://127.0.0.1:8000/"),
        ("lutra help upscale", "all of a command's options"),
    ),
    "up": (("LUTRA_PORT=8001 lutra up", "settings are environment variables: docs/settings.md"),),
    "gateway": (("LUTRA_REDIS_URL=redis://127.0.0.1:6379/0 lutra gateway", ""),),
    "worker": (("LUTRA_REDIS_URL=redis://127.0.0.1:6379/0 lutra worker", ""),),
    "enhance": (
        ("lutra enhance photos/ -o better/", "a folder"),
        ("lutra enhance photo.jpg --strength 0.5", "photo-enhanced.jpg"),
        ("lutra enhance photo.jpg -o film.cube", "this picture's table"),
        ("lutra enhance photos/ -o graded/ --lut film.cube", "a table of your own"),
    ),
    "restore": (
        ("lutra restore noisy.png", "noisy-restored.png"),
        ("lutra restore scans/ -o clean/ --recursive --skip-existing", "goes on where it stood"),
    ),
    "upscale": (
        ("lutra upscale photo.jpg --scale 3.7", "photo-x3.7.jpg"),
        ("lutra upscale photo.jpg -o big.png --width 3000", "the format is told by the name"),
        ("lutra upscale photos/ -o big/ --scale 2 --json", "a line of JSON for each"),
        ("cat a.jpg | lutra upscale - -o - --scale 2 | display", "in a pipe"),
        ("lutra upscale photo.jpg --scale 4 --url http://gpu:8000", "by a running service"),
    ),
    "compare": (
        ("lutra compare photo.jpg --scale 4", "photo-compared.html"),
        ("lutra compare photo.jpg --scale 2 --models lmliif,liif,bicubic -o page.html", ""),
        ("lutra compare photo.jpg --operation enhance --strengths 0.3,0.6,1", ""),
    ),
    "rate": (("lutra rate FOLDER", "FOLDER/lmliif/a.png, FOLDER/bicubic/a.png, ..."),),
    "models": (("lutra models --json | jq -r .name", ""),),
    "doctor": (("lutra doctor --json", ""),),
    "convert": (("lutra convert LUTs.pth classifier.pth -o lut3d.safetensors", ""),),
    "key": (("lutra key new phone --file keys.jsonl", ""),),
    "completion": (("lutra completion bash > ~/.local/share/bash-completion/completions/lutra", ""),),
}
LINKS = "more: docs/cli.md, docs/models.md and docs/client.md; of a running service: http://127.0.0.1:8000/docs"


def examples_of(command: str) -> str | None:
    """As the end of a help; None where there is nothing to show. `""`: of the whole."""
    lines = EXAMPLES.get(command)
    if lines is None:
        return None
    width = max(len(line) for line, _ in lines)
    told = (f"  {line:{width}}  {what}".rstrip() for line, what in lines)
    return "\n".join(("examples:", *told))
