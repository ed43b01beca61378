"""Resources can be validated against the definitions of operators, in a folder."""

from pathlib import Path

import pytest
import yaml

from tools.lab.kubernetes.definitions import Schemas, definitions, problems

SPEC = {
    "type": "object",
    "required": ["size"],
    # Conditions name fields without describing them.
    "oneOf": [
        {"properties": {"port": {}}, "required": ["port"]},
        {"properties": {"socket": {}}, "required": ["socket"]},
    ],
    "properties": {
        "size": {"type": "integer"},
        "port": {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True},
        "socket": {"type": "string", "nullable": True},
        "free": {"type": "object", "properties": {"a": {}}, "x-kubernetes-preserve-unknown-fields": True},
    },
}
TOP = {"apiVersion": {}, "kind": {}, "metadata": {"type": "object"}}
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "spec": {
        "group": "example.com",
        "names": {"kind": "Thing"},
        "versions": [
            {
                "name": "v1",
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": SPEC} | TOP}},
            }
        ],
    },
}


@pytest.fixture(params=["file", "list"])
def schemas(request: pytest.FixtureRequest, tmp_path: Path) -> Schemas:
    """The definitions of a release's file, and those that `kubectl get crds` prints."""
    documents = [CRD, {"kind": "Deployment"}] if request.param == "file" else [{"kind": "List", "items": [CRD]}]
    (tmp_path / "crds.yaml").write_text(yaml.safe_dump_all(documents))
    return definitions(tmp_path)


@pytest.mark.parametrize(
    ("spec", "wrong"),
    [
        ({"size": 1, "port": 80}, None),
        ({"size": 1, "port": "http", "free": {"b": 1}}, None),
        ({"size": 1, "socket": None}, None),
        ({"size": "1", "port": 80}, "$.spec.size"),
        ({"size": 1, "prt": 80, "port": 80}, "prt"),
        ({"size": 1, "port": 80, "socket": "x"}, "$.spec"),
        ({"port": 80}, "size"),
    ],
)
def test_a_field_that_is_not_defined_is_a_problem(schemas: Schemas, spec: dict[str, object], wrong: str | None) -> None:
    """Unknown fields, wrong types and missing fields are problems. Fields that the definition leaves open are not."""
    resource = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "one"}, "spec": spec}
    found = problems(resource, schemas)
    assert (found == []) if wrong is None else any(wrong in one for one in found)


def test_a_kind_without_a_definition_is_left_alone(schemas: Schemas) -> None:
    """Only kinds with a definition in the folder are compared."""
    assert problems({"apiVersion": "v1", "kind": "Other", "spec": {"any": 1}}, schemas) == []
