"""The configuration: defaults, overrides, coercion to the schema's types, clear errors.

Snakemake imports this while it parses, so it imports nothing heavy.
"""

from __future__ import annotations

import copy
import math
import operator
import os
import re
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from waferbench.base.errors import InputError, nearest, readable, require_plain
from waferbench.config.consistency import check_consistency

LONGEST_TEXT = 4096  # characters, as long as a path may be
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 200
_short.maxlist = _short.maxdict = _short.maxtuple = _short.maxset = 8
_short.maxlevel = 3
shown = _short.repr  # a value in a message: YAML's aliases make a short text a huge value
NUMBERS = {"integer": int, "number": float}


def load_schema(path: str | Path) -> dict:
    """The schema, a subset of JSON Schema written as YAML."""
    return yaml.safe_load(Path(path).read_text())


def resolve(config: Mapping, schema: Mapping) -> dict:
    """The study's settings: overrides of ``set`` applied, every value coerced and checked.

    Raises:
        InputError: an unknown key (with its nearest match), a wrong type or an impossible value.
    """
    settings = copy.deepcopy({key: value for key, value in config.items() if key != "set"})
    for key, text in _overrides(config.get("set") or ""):
        _assign(settings, key, text)
    settings = coerce(settings, schema, "")
    for section, key in (
        (settings["dataset"], "path"),
        (settings["weights"], "folder"),
        (settings, "cache"),
        (settings, "wafers"),
    ):
        section[key] = os.path.expanduser(section[key])
    check_consistency(settings)
    return settings


def require_runnable(folder: str | Path) -> None:
    """`InputError` for a workflow's folder with a brace in its path, which Snakemake takes for a wildcard."""
    if set(str(folder)) & set("{}"):
        raise InputError(f"the workflow's folder: found {str(folder)!r}, expected no brace in it; rename the folder")


def _overrides(text: str | Mapping) -> list[tuple[str, str]]:
    if isinstance(text, Mapping):
        return [(str(key), value) for key, value in text.items()]
    pairs = []
    for part in _split(str(text)):
        key, sign, value = part.partition("=")
        if not sign or not key:
            raise InputError(f"set: {part!r} is not key=value; write for instance set='folds.run=[0] svm.C=1'")
        pairs.append((key, value))
    return pairs


def _split(text: str) -> list[str]:
    """Split at blanks outside brackets and quotes: ``a=[1, 2] b='c d'`` is two parts, the quotes taken off."""
    parts, depth, part, quote = [], 0, "", ""
    for sign in text:
        if quote or (sign in "\"'" and depth == 0):
            closing = sign == quote
            part += "" if closing or not quote else sign
            quote = "" if closing else (quote or sign)
            continue
        depth += (sign in "[{") - (sign in "]}")
        if sign.isspace() and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += sign
    return [p for p in [*parts, part] if p]


def _assign(settings: dict, key: str, text: Any) -> None:
    node, steps = settings, key.split(".")
    while len(steps) > 1:
        # a name may itself hold dots (timm's do): take the longest that exists
        for take in range(len(steps) - 1, 0, -1):
            name = ".".join(steps[:take])
            if isinstance(node.get(name), dict):
                node, steps = node[name], steps[take:]
                break
        else:
            if ".".join(steps) in node:
                break
            raise InputError(f"set: unknown key {key!r}: no section {steps[0]!r}{nearest(steps[0], node)}")
    node[".".join(steps)] = _yaml(text, f"set: {key}") if isinstance(text, str) else text


def _yaml(text: str, name: str) -> Any:
    with readable(name, "YAML value", "write it as in config/config.yaml, brackets and quotes closed"):
        return yaml.safe_load(text)


def coerce(value: Any, schema: Mapping, where: str) -> Any:
    """``value`` in the type that the schema names, or an `InputError` that says where it is wrong."""
    name = where or "config"
    if "oneOf" in schema:
        key = schema["discriminator"]
        kind = value.get(key) if isinstance(value, Mapping) else None
        if not isinstance(kind, str) or kind not in schema["oneOf"]:
            raise InputError(f"{name}.{key}: found {shown(kind)}, expected one of {', '.join(schema['oneOf'])}")
        return coerce(value, schema["oneOf"][kind], where)
    kind = schema.get("type", "string")
    if kind == "object":
        value = _coerce_object(value, schema, where)
    elif kind == "array":
        value = _coerce_array(value, schema, where)
    elif kind == "boolean":
        value = _coerce_boolean(value, name)
    elif kind in NUMBERS:
        value = _coerce_number(value, schema, name)
    else:
        if not isinstance(value, (str, int, float)) and value is not None:
            raise InputError(f"{name}: found {shown(value)}, expected a text")
        value = "" if value is None else _text(value, name)
        require_plain(value, name, schema.get("maxLength", LONGEST_TEXT))
        if len(value) < schema.get("minLength", 0):
            raise InputError(f"{name}: found an empty text, expected at least a letter")
        if schema.get("pattern") == "path":
            _check_path(value, name)
        if schema.get("pattern") == "name":
            _check_folder_name(value, name)
    if "enum" in schema and value not in schema["enum"]:
        raise InputError(
            f"{name}: found {shown(value)}, expected one of {', '.join(map(str, schema['enum']))}"
            f"{nearest(value, schema['enum'])}"
        )
    return value


def _coerce_object(value: Any, schema: Mapping, where: str) -> dict:
    if not isinstance(value, Mapping):
        raise InputError(f"{where or 'config'}: found {shown(value)}, expected a mapping of keys to values")
    known, free = schema.get("properties", {}), schema.get("additionalProperties")
    result = {}
    for key, item in value.items():
        inner = f"{where}.{key}" if where else str(key)
        if key not in known and free is None:
            raise InputError(f"unknown key {inner!r}{nearest(key, known)}; the keys here are {', '.join(known)}")
        if schema.get("keys") == "name":
            _check_folder_name(str(key), inner)
        result[str(key)] = coerce(item, known.get(key, free), inner)
    missing = [key for key in known if key not in result and key not in schema.get("optional", [])]
    if missing:
        raise InputError(f"{where or 'config'}: the key {missing[0]!r} is missing")
    return result


def _check_folder_name(value: str, name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value):
        raise InputError(
            f"{name}: found {value!r}, expected letters, digits, '.', '_' and '-': it names a folder; it starts with "
            "a letter or digit and has at most 64 characters"
        )


def _check_path(value: str, name: str) -> None:
    if set(value) & set("{}<>\n"):
        raise InputError(
            f"{name}: found {value!r}, expected a path without line ends, braces and angle brackets, which Snakemake "
            "takes for its own; rename the file, or make a link to it"
        )


def _text(value: str | int | float, name: str) -> str:
    try:
        return str(value)
    except ValueError:  # Python writes no number of thousands of digits
        raise InputError(f"{name}: found a number of thousands of digits, expected a text") from None


def _coerce_array(value: Any, schema: Mapping, where: str) -> list:
    if isinstance(value, str):
        value = _yaml(value, where) if value.strip().startswith("[") else [part.strip() for part in value.split(",")]
    if not isinstance(value, list):
        value = [value]
    result = [coerce(item, schema.get("items", {}), f"{where}[{i}]") for i, item in enumerate(value)]
    if len(result) < schema.get("minItems", 0):
        raise InputError(f"{where}: found {len(result)} entries, expected at least {schema['minItems']}")
    if len(result) > schema.get("maxItems", len(result)):
        raise InputError(f"{where}: found {len(result)} entries, expected at most {schema['maxItems']}")
    if schema.get("uniqueItems") and len(set(result)) < len(result):
        raise InputError(f"{where}: found {result}, expected no entry twice")
    return result


def _coerce_boolean(value: Any, name: str) -> bool:
    texts = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if str(value).lower() not in texts:
        raise InputError(f"{name}: found {shown(value)}, expected true or false")
    return texts[str(value).lower()]


def _coerce_number(value: Any, schema: Mapping, name: str) -> int | float | str:
    """A finite number within the schema's bounds, or one of the words that it allows in place of a number."""
    words, whole = schema.get("words", []), schema["type"] == "integer"
    if value in words:
        return value
    expected = ", ".join([*words, "a whole number" if whole else "a finite number"])
    try:
        number = float(value)  # YAML reads 1e-4 as a text
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name}: found {shown(value)}, expected {expected}") from None
    if isinstance(value, bool) or not math.isfinite(number) or (whole and number != int(number)):
        raise InputError(f"{name}: found {shown(value)}, expected {expected}")
    for key, text, holds in (
        ("above", "more than", operator.gt),
        ("minimum", "at least", operator.ge),
        ("maximum", "at most", operator.le),
    ):
        if key in schema and not holds(number, schema[key]):
            raise InputError(f"{name}: found {value}, expected {text} {schema[key]}")
    return NUMBERS[schema["type"]](number)
