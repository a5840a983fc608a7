"""Runs of older versions, read as this version would have written them."""

from typing import Any


def upgraded(manifest: dict[str, Any]) -> dict[str, Any]:
    """The contents of `run.json` in the layout of this version; of no older one: as it is.

    Version 1 called the version `schema`, and kept the model's fingerprint in `config`, under
    `model` or, in a discovery, under `fingerprint`.
    """
    if "schema_version" in manifest or "schema" not in manifest:
        return manifest
    new = {name: value for name, value in manifest.items() if name != "schema"}
    new["schema_version"] = manifest["schema"]
    config = manifest.get("config")
    if manifest["schema"] != 1 or not isinstance(config, dict):
        return new
    model = manifest.get("model")
    model = dict(model) if isinstance(model, dict) else {}
    config = dict(config)
    fingerprint = config.pop("fingerprint", None) or config.get("model")
    if isinstance(fingerprint, str):
        model.setdefault("fingerprint", fingerprint)
    config["model"] = model.get("name")
    annotator = config.get("annotator")
    if isinstance(annotator, dict):
        new["annotator"] = annotator
        config["annotator"] = annotator.get("name")
    return new | {"config": config, "model": model}
