"""Validates operators' resources against the operators' own definitions, for those who have them.

`make manifests CRDS=FOLDER` reads every CustomResourceDefinition in the folder: the files of an operator's release, or
the output of `kubectl get crds -o yaml`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from tools.lab.kubernetes.build import LOADER, Manifest

Schema = dict[str, Any]
Schemas = dict[tuple[str, str], Schema]
"""By API version and kind."""

CONDITIONS = ("anyOf", "oneOf", "allOf", "not")


def definitions(folder: Path) -> Schemas:
    """Return the closed schema of every version of every definition in the folder. Other documents are skipped."""
    found: Schemas = {}
    for path in sorted(folder.glob("*.y*ml")):
        for document in yaml.load_all(path.read_text(), LOADER):
            for one in _crds(document):
                kind, group = one["spec"]["names"]["kind"], one["spec"]["group"]
                for version in one["spec"]["versions"]:
                    schema = version["schema"]["openAPIV3Schema"]
                    found[f"{group}/{version['name']}", kind] = closed(schema)
    return found


def problems(manifest: Manifest, schemas: Schemas) -> list[str]:
    """Return what the definition of the manifest's kind refuses, each with its position; nothing if there is none."""
    schema = schemas.get((manifest["apiVersion"], manifest["kind"]), {})
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(manifest)]


def closed(schema: Any) -> Any:
    """Return a definition's schema as JSON Schema in which a field that is not described is an error."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    # What is below `anyOf` and the like adds conditions to fields that are described elsewhere.
    kept = {
        key: value if key in CONDITIONS else closed(value)
        for key, value in schema.items()
        if not key.startswith("x-kubernetes-")
    }
    if schema.get("x-kubernetes-int-or-string"):
        kept.pop("anyOf", None)
        kept["type"] = ["integer", "string"]
    if schema.get("nullable") is True and isinstance(kept.get("type"), str):
        kept["type"] = [kept["type"], "null"]
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-embedded-resource")
    if isinstance(schema.get("properties"), dict) and not is_open:
        kept["additionalProperties"] = False
    return kept


def _crds(document: Any) -> Iterator[Manifest]:
    if not isinstance(document, dict):
        return
    for one in document.get("items", [document]):
        if one.get("kind") == "CustomResourceDefinition":
            yield one
