"""Validates manifests against the schemas of the Kubernetes API, and of operators as described in
`deploy/k8s/schemas`."""

import json
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from tools.lab.kubernetes.build import K8S, Manifest

VERSION = "1.37.0"
"""The version of Kubernetes. The oldest with everything that is used is 1.30, because of the `sleep` action of
`preStop`."""

BUNDLED = resources.files("kubernetes_validate") / f"kubernetes-json-schema/v{VERSION}-local-strict"
Schema = dict[str, Any]


def problems(manifest: Manifest) -> list[str]:
    """Return what the API would refuse, each with its position. A kind without a schema is refused, too."""
    validator = _validator(manifest["apiVersion"], manifest["kind"])
    if validator is None:
        return [f"no schema for {manifest['apiVersion']} {manifest['kind']}"]
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(manifest)]


def is_operators(manifest: Manifest) -> bool:
    """Return whether an operator defines the kind, so that its schema is in this repository."""
    return (manifest["apiVersion"], manifest["kind"]) in _of_operators()


@cache
def _validator(api_version: str, kind: str) -> Draft202012Validator | None:
    schema = _of_operators().get((api_version, kind)) or _of_kubernetes(api_version, kind)
    return Draft202012Validator(schema, registry=_definitions()) if schema else None


def _of_kubernetes(api_version: str, kind: str) -> Schema | None:
    group, _, version = api_version.rpartition("/")
    name = "-".join(filter(None, (kind.lower(), group.partition(".")[0], version)))
    file = BUNDLED / f"{name}.json"
    schema: Schema | None = json.loads(file.read_text()) if file.is_file() else None
    return schema


@cache
def _definitions() -> Registry[Any]:
    definitions = json.loads((BUNDLED / "_definitions.json").read_text())
    return Resource.from_contents(definitions) @ Registry()


@cache
def _of_operators() -> dict[tuple[str, str], Schema]:
    return {(one["apiVersion"], one["kind"]): _whole(one) for one in _told()}


def _told() -> Iterator[Schema]:
    for file in sorted((K8S / "schemas").glob("*.yaml")):
        yield from yaml.safe_load_all(file.read_text())


def _whole(told: Schema) -> Schema:
    """Return the schema with the fields of every resource, closed."""
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://kubernetes.io/api/{told['kind'].lower()}/{told['apiVersion']}",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"const": told["apiVersion"]},
            "kind": {"const": told["kind"]},
            "metadata": {"$ref": "/api/_definitions.json#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"},
            "spec": told["spec"],
        },
    }
    closed: Schema = _closed(whole)
    return closed


def _closed(schema: Any) -> Any:
    """Return the schema without additional properties, where its properties are listed."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    return closed | ({"additionalProperties": False} if isinstance(schema.get("properties"), dict) else {})
