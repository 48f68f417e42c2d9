"""What Kubernetes takes."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import jsonschema

from tests.support.places import ROOT

SCHEMA = ROOT / "tests" / "setup" / "kubernetes_schema.json"  # of 1.33, strict, what we need of it


@cache
def _validator() -> Any:
    """Of the whole schema, which is itself looked at once."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    return kind(schema)


def refusal(content: Any, kind: str) -> str:
    """Why it is not of a kind like `core.v1.PodTemplateSpec`; empty if it is."""
    validator = _validator()
    told = validator.evolve(schema=validator.schema | {"$ref": f"#/$defs/io.k8s.api.{kind}"})
    error = jsonschema.exceptions.best_match(told.iter_errors(content))
    return str(error.message) if error else ""
