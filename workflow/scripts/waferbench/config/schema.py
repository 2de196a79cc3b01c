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
    if node.get("type") == "number":
        node["type"] = ["number", "string"]  # YAML reads 1e-4 as a text
    return node
