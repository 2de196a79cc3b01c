"""The JSON schema of a configuration file, from which editors complete and check keys.

An overlay holds what differs alone, so that nothing is required of one; what is wrong beyond a key's type is said when
the study is planned.
"""

from __future__ import annotations

import json
from typing import Any

from waferbench.config.section import Section


def schema_text(model: type[Section]) -> str:
    """The schema of files for ``--configfile``, as text."""
    schema = _loosened(model.model_json_schema())
    schema["properties"] = {
        **schema["properties"],
        "set": {"type": ["string", "object"], "description": '"dotted.key=value dotted.key=value", applied last.'},
    }
    schema |= {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A waferbench configuration"}
    return json.dumps(schema, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _loosened(node: Any) -> Any:
    """Nothing required, a choice of kinds open until its kind is written, a list may be written as one text."""
    if isinstance(node, list):
        return [_loosened(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _loosened(value) for key, value in node.items() if key not in ("required", "discriminator")}
    if "oneOf" in node:
        node["anyOf"] = node.pop("oneOf")
    return _as_written(node)


def _as_written(node: dict) -> dict:
    """What people write otherwise: YAML reads 1e-4 as a text, `a,b` is a list of two, `yes` is true."""
    kind = node.get("type")
    beside = {
        "number": {"type": "string", "pattern": r"^[-+]?[0-9._]+([eE][-+]?[0-9]+)?$"},
        "integer": {"type": ["number", "string"], "pattern": r"^[-+]?[0-9._]+([eE][-+]?[0-9]+)?$", "multipleOf": 1},
        "boolean": {"enum": ["yes", "no", "true", "false", 0, 1]},
        "array": {"type": "string"},
    }.get(kind if isinstance(kind, str) else "")
    if beside is None or "enum" in node:
        return node
    told = {key: node.pop(key) for key in ("description", "title", "default") if key in node}
    bounds = {key: node[key] for key in ("minimum", "maximum", "exclusiveMinimum") if key in node and kind == "integer"}
    return {**told, "anyOf": [node, {**beside, **bounds}]}
