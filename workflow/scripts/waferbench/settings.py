"""The configuration: defaults, overrides, coercion to the schema's types, clear errors.

Snakemake imports this while it parses, so it imports nothing heavy.
"""

from __future__ import annotations

import copy
import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from waferbench.errors import InputError

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
    for section, key in (("dataset", "path"), ("weights", "folder")):
        settings[section][key] = os.path.expanduser(settings[section][key])
    _check_references(settings)
    return settings


def _overrides(text: str | Mapping) -> list[tuple[str, str]]:
    if isinstance(text, Mapping):
        return list(text.items())
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
            raise InputError(f"set: unknown key {key!r}: no section {steps[0]!r}{_nearest(steps[0], node)}")
    node[".".join(steps)] = yaml.safe_load(text) if isinstance(text, str) else text


def coerce(value: Any, schema: Mapping, where: str) -> Any:
    """``value`` in the type that the schema names, or an `InputError` that says where it is wrong."""
    name = where or "config"
    if "oneOf" in schema:
        key = schema["discriminator"]
        kind = value.get(key) if isinstance(value, Mapping) else None
        if kind not in schema["oneOf"]:
            raise InputError(f"{name}.{key}: found {kind!r}, expected one of {', '.join(schema['oneOf'])}")
        return coerce(value, schema["oneOf"][kind], where)
    kind = schema.get("type", "string")
    if kind == "object":
        value = _coerce_object(value, schema, where)
    elif kind == "array":
        value = _coerce_array(value, schema, where)
    elif kind == "boolean":
        value = _coerce_boolean(value, name)
    elif kind in NUMBERS:
        value = _coerce_number(value, kind, name)
        if schema.get("above") is not None and value <= schema["above"]:
            raise InputError(f"{name}: found {value}, expected more than {schema['above']}")
        for key, holds in (
            ("minimum", value >= schema.get("minimum", value)),
            ("maximum", value <= schema.get("maximum", value)),
        ):
            if not holds:
                raise InputError(
                    f"{name}: found {value}, expected {'at least' if key == 'minimum' else 'at most'} {schema[key]}"
                )
    else:
        if not isinstance(value, (str, int, float)) and value is not None:
            raise InputError(f"{name}: found {value!r}, expected a text")
        value = "" if value is None else str(value)
        if schema.get("pattern") == "name":
            _check_folder_name(value, name)
    if "enum" in schema and value not in schema["enum"]:
        raise InputError(
            f"{name}: found {value!r}, expected one of {', '.join(map(str, schema['enum']))}"
            f"{_nearest(value, schema['enum'])}"
        )
    return value


def _coerce_object(value: Any, schema: Mapping, where: str) -> dict:
    if not isinstance(value, Mapping):
        raise InputError(f"{where or 'config'}: found {value!r}, expected a mapping of keys to values")
    known, free = schema.get("properties", {}), schema.get("additionalProperties")
    result = {}
    for key, item in value.items():
        inner = f"{where}.{key}" if where else str(key)
        if key not in known and free is None:
            raise InputError(f"unknown key {inner!r}{_nearest(key, known)}; the keys here are {', '.join(known)}")
        if schema.get("keys") == "name":
            _check_folder_name(str(key), inner)
        result[str(key)] = coerce(item, known.get(key, free), inner)
    missing = [key for key in known if key not in result and key not in schema.get("optional", [])]
    if missing:
        raise InputError(f"{where or 'config'}: the key {missing[0]!r} is missing")
    return result


def _check_folder_name(value: str, name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
        raise InputError(f"{name}: found {value!r}, expected letters, digits, '.', '_' and '-': it names a folder")


def _coerce_array(value: Any, schema: Mapping, where: str) -> list:
    if isinstance(value, str):
        value = yaml.safe_load(value) if value.strip().startswith("[") else [part.strip() for part in value.split(",")]
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
        raise InputError(f"{name}: found {value!r}, expected true or false")
    return texts[str(value).lower()]


def _coerce_number(value: Any, kind: str, name: str) -> int | float:
    if isinstance(value, bool):
        raise InputError(f"{name}: found {value!r}, expected a number")
    try:
        number = float(value)  # YAML reads 1e-4 as a text
    except (TypeError, ValueError):
        raise InputError(
            f"{name}: found {value!r}, expected {'a whole number' if kind == 'integer' else 'a number'}"
        ) from None
    if number != number or number in (float("inf"), float("-inf")) or (kind == "integer" and number != int(number)):
        raise InputError(
            f"{name}: found {value!r}, expected {'a whole number' if kind == 'integer' else 'a finite number'}"
        )
    return NUMBERS[kind](number)


def _nearest(key: Any, known: Any) -> str:
    names = {str(name).lower(): str(name) for name in known}
    matches = difflib.get_close_matches(str(key).lower(), names, n=1, cutoff=0.5)
    return f" (did you mean {names[matches[0]]!r}?)" if matches else ""


def _check_references(settings: Mapping) -> None:
    """Names used somewhere are defined elsewhere, and numbers agree with one another."""
    define = settings["define"]
    for key in ("conditions", "backbones"):
        for name in settings[key]:
            if name not in define[key]:
                raise InputError(
                    f"{key}: {name!r} is not in define.{key}{_nearest(name, define[key])}; define it or take one of "
                    f"{', '.join(define[key])}"
                )
    for name, condition in define["conditions"].items():
        if condition["source"] not in ("none", "repeat", *define["sources"]):
            raise InputError(f"define.conditions.{name}.source: {condition['source']!r} is not in define.sources")
    for name, source in define["sources"].items():
        drawn = 4 * 2 ** (len(source.get("generator_channels", [])) - 1)
        if source["kind"] == "ts_hinge_gan" and drawn != settings["render"]["size"]:
            raise InputError(
                f"define.sources.{name}.generator_channels: {len(source['generator_channels'])} entries draw "
                f"{drawn} pixels, but render.size = {settings['render']['size']}; each entry doubles, from 4"
            )
    folds = settings["folds"]
    for fold in folds["run"]:
        if fold >= folds["n_splits"]:
            raise InputError(
                f"folds.run: found fold {fold}, but folds.n_splits = {folds['n_splits']} "
                f"has 0 to {folds['n_splits'] - 1}"
            )
    _check_more(settings)
    dataset = settings["dataset"]
    if dataset["source"] != "simulated" and not dataset["path"]:
        raise InputError(f"dataset.path: empty, but dataset.source = {dataset['source']} reads from there; give a path")
    for name in settings["budget"]["exclude"]:
        if name not in dataset["classes"]:
            raise InputError(f"budget.exclude: {name!r} is not in dataset.classes{_nearest(name, dataset['classes'])}")
    judge = settings["quality"]["judge"]
    if any(c for c in settings["conditions"] if define["conditions"][c]["source"] in define["sources"]):
        for key, names in (("backbone", "backbones"), ("condition", "conditions")):
            if judge[key] not in settings[names]:
                raise InputError(
                    f"quality.judge.{key}: {judge[key]!r} is not among {names}: {', '.join(settings[names])}"
                )


def _check_more(settings: Mapping) -> None:
    sources, conditions = settings["define"]["sources"], settings["conditions"]
    for name in settings["shape_filter"]["apply_to"]:
        if name not in sources:
            raise InputError(f"shape_filter.apply_to: {name!r} is not in define.sources{_nearest(name, sources)}")
    if settings["baseline"] not in conditions:
        raise InputError(
            f"baseline: {settings['baseline']!r} is not among conditions{_nearest(settings['baseline'], conditions)}; "
            f"they are {', '.join(conditions)}"
        )
    levels = settings["render"]["levels"]
    if levels != sorted(levels):
        raise InputError(f"render.levels: found {levels}, expected greys that rise: off-wafer, pass, fail")
    gamma = settings["svm"]["gamma"]
    if gamma not in ("scale", "auto"):
        settings["svm"]["gamma"] = _coerce_number(gamma, "number", "svm.gamma, neither scale nor auto")
        if settings["svm"]["gamma"] <= 0:
            raise InputError(f"svm.gamma: found {gamma}, expected scale, auto or a number above 0")
    for name, source in sources.items():
        if len(source.get("discriminator_channels", [])) not in (0, len(source.get("generator_channels", [])) - 1):
            raise InputError(
                f"define.sources.{name}.discriminator_channels: found {len(source['discriminator_channels'])} entries, "
                f"expected {len(source['generator_channels']) - 1}, one less than generator_channels"
            )
