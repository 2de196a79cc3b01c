"""From what a user has written to typed settings: defaults, overlays, overrides, clear errors.

Snakemake imports this while it parses, so it imports nothing heavy.
"""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from waferbench.base.errors import InputError, nearest, readable
from waferbench.config.section import Section, shown
from waferbench.config.study import Machine

S = TypeVar("S", bound=Section)
SHELL = " \t\n'\"`$&|;<>()\\"  # signs that end a word of a shell's command, or stand for something else in it
SIGNS = {" ": "blank", "\t": "tab", "\n": "line end", "'": "apostrophe"}
HOME = ("dataset.path", "weights.folder", "cache", "wafers")  # keys whose ~ is the user's folder


def resolve(config: Mapping, model: type[S], checks: Iterable[Callable[[Any], None]] = ()) -> S:
    """The study's settings: overrides of ``set`` applied, every value checked.

    Args:
        config: what configuration files and the command line say; what they leave out has the model's default.
        model: of all sections.
        checks: called with the settings; each raises an `InputError` where they contradict one another.

    Raises:
        InputError: an unknown key (with its nearest match), a wrong type or an impossible value.
    """
    try:
        settings = validated(model, written(config, model))
    except RecursionError:
        raise InputError(
            "config: keys within keys without end, expected a few levels; look for an alias (*name)"
        ) from None
    for check in checks:
        check(settings)
    return settings


def machine_of(config: Mapping) -> Machine:
    """The part of a valid configuration that no result depends on."""
    mine = {key: value for key, value in config.items() if key in Machine.model_fields}
    pairs = [
        (key, value) for key, value in _overrides(config.get("set") or "") if key.split(".")[0] in Machine.model_fields
    ]
    whole = _with_overrides(_merged(Machine().model_dump(), mine), dict(pairs))
    _expand(whole)
    return validated(Machine, whole)


def written(config: Mapping, model: type[Section]) -> dict:
    """The model's defaults with what a user has written in their place, ``set`` applied."""
    plain = {key: value for key, value in config.items() if key != "set"}
    whole = _with_overrides(_merged(model().model_dump(mode="json"), plain), config.get("set") or "")
    _expand(whole)
    return whole


def validated(model: type[S], values: Mapping) -> S:
    """A section of these values, or an `InputError` that says where they are wrong."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InputError(_told(model, values, _first(values, error.errors()))) from None


def require_name(name: object) -> None:
    """`InputError` for a study whose name YAML or Snakemake has turned into a number."""
    if isinstance(name, (bool, int, float)):
        raise InputError(
            f"study: found the number {name}, expected a name: digits are taken for a number, and Snakemake takes "
            "quotes off; on the command line give it as --config set='study=007', in a file as study: \"007\""
        )


def require_runnable(folder: str | os.PathLike, python: str = sys.executable) -> None:
    """`InputError` for a path that no job could be started from.

    Args:
        folder: the workflow's; Snakemake takes a brace in its path for a wildcard.
        python: the interpreter, whose path Snakemake writes into each job's command as it is, for a shell to read.
    """
    if set(str(folder)) & set("{}"):
        raise InputError(f"the workflow's folder: found {str(folder)!r}, expected no brace in it; rename the folder")
    if sign := next((sign for sign in python if sign in SHELL), ""):
        raise InputError(
            f"the Python environment: found {python!r}, expected no {SIGNS.get(sign, sign)} in its path, as no job "
            "could be started; make the environment in another folder, for instance python3 -m venv ~/waferbench-env "
            "(the workflow and your data may stay where they are)"
        )


def _merged(base: dict, over: Any) -> dict:
    """Mappings extend mappings; everything else replaces. A source of another kind begins with that kind's defaults."""
    if not isinstance(over, Mapping):
        return over
    if "kind" in base and over.get("kind", base["kind"]) != base["kind"]:
        base = {}
    result = copy.deepcopy(base)
    for key, value in over.items():
        known = result.get(key)
        result[key] = _merged(known, value) if isinstance(known, dict) else copy.deepcopy(value)
    return result


def _expand(settings: dict) -> None:
    for key in HOME:
        *sections, last = key.split(".")
        section: Any = settings
        for name in sections:
            section = section.get(name) if isinstance(section, dict) else None
        if isinstance(section, dict) and isinstance(section.get(last), str):
            section[last] = os.path.expanduser(section[last])


def _with_overrides(settings: dict, given: str | Mapping) -> dict:
    require_name(settings.get("study"))
    for key, text in _overrides(given):
        _assign(settings, key, text)
    require_name(settings.get("study"))
    return settings


def _overrides(text: str | Mapping) -> list[tuple[str, str]]:
    if isinstance(text, Mapping) and len(text) == 1 and "=" in str(key := next(iter(text))):
        text = f"{key}: {text[key]}"  # 'a={b: c}' on the command line, which Snakemake has read as YAML
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
    raw = key == "study" or not isinstance(text, str)  # a study's name stays as it was written, whatever it looks like
    last, value = ".".join(steps), text if raw else _yaml(text, f"set: {key}")
    if last == "kind" and "kind" in node and value != node["kind"]:
        node.clear()  # another kind begins with its own defaults
    node[last] = value


def _yaml(text: str, name: str) -> Any:
    with readable(name, "YAML value", "write it as in config/config.yaml, brackets and quotes closed"):
        return yaml.safe_load(text)


def _first(values: Mapping, errors: list) -> Mapping:
    """The first error. Of a value that may be a word or a number, where it is neither, that of the number."""
    where = _where(values, errors[0]["loc"])
    same = [error for error in errors if _where(values, error["loc"]) == where]
    words = [
        error["ctx"]["expected"].replace(" or ", ", ").replace("'", "")
        for error in same[:-1]
        if "expected" in error.get("ctx", {})
    ]
    return {**same[-1], "words": ", ".join([*words, ""])}


def _told(model: type[Section], values: Mapping, error: Mapping) -> str:
    """The first of pydantic's errors in this project's words."""
    where = _where(values, error["loc"])
    name, found, said = ".".join(map(str, where)) or "config", error["input"], error.get("ctx", {})
    inner = said.get("error")
    if isinstance(inner, InputError):
        return str(inner)
    name = name.replace(".[", "[")
    kind = error["type"]
    if kind == "extra_forbidden":
        known = _keys(model, values, where[:-1])
        return f"unknown key {name!r}{nearest(str(where[-1]), known)}; the keys here are {', '.join(known)}"
    if kind == "missing":
        *outer, last = where
        return f"{'.'.join(map(str, outer)) or 'config'}: the key {last!r} is missing"
    if kind in ("value_error", "assertion_error"):
        return f"{name}: {inner}"
    if kind in ("too_short", "too_long"):
        bound, word = (said["min_length"], "least") if kind == "too_short" else (said["max_length"], "most")
        return f"{name}: found {said['actual_length']} entries, expected at {word} {bound}"
    if kind in ("literal_error", "union_tag_invalid", "union_tag_not_found"):
        return _not_among(name, found, said)
    if kind == "invalid_key":
        return f"unknown key {name!r}; keys are texts: put it in quotes"
    expected = _expected(kind, said, error["words"])
    return f"{name}: found {shown(found)}, expected {expected}" if expected else f"{name}: {error['msg']}"


def _not_among(name: str, found: Any, said: Mapping) -> str:
    if "discriminator" in said:
        key = said["discriminator"].strip("'")
        found, name = found.get(key) if isinstance(found, Mapping) else found, f"{name}.{key}"
    words = (said.get("expected_tags") or said.get("expected") or "").replace(" or ", ", ").replace("'", "")
    known = [word for word in words.split(", ") if word] or [_kind(kind) for kind in _kinds()]
    near = nearest(found, known) if isinstance(found, str) else ""
    return f"{name}: found {shown(found)}, expected one of {', '.join(known)}{near}"


def _expected(kind: str, said: Mapping, words: str) -> str:
    return {
        "greater_than": f"more than {_number(said.get('gt'))}",
        "greater_than_equal": f"at least {_number(said.get('ge'))}",
        "less_than_equal": f"at most {_number(said.get('le'))}",
        "int_type": "a whole number",
        "int_parsing": "a whole number",
        "int_from_float": "a whole number",
        "float_type": f"{words}a finite number",
        "float_parsing": f"{words}a finite number",
        "finite_number": f"{words}a finite number",
        "bool_type": "true or false",
        "bool_parsing": "true or false",
        "string_type": "a text",
        "string_too_short": "at least a letter",
        "string_too_long": f"at most {said.get('max_length')} characters",
        "tuple_type": "a list such as [a, b]",
        "model_type": "a mapping of keys to values",
        "model_attributes_type": "a mapping of keys to values",
        "dict_type": "a mapping of keys to values",
    }.get(kind, "")


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _where(values: Any, loc: tuple) -> list:
    """Where an error is, without what pydantic adds: the kind of a source, the branch of a choice, "[key]"."""
    where, node = [], values
    for part in loc:
        if isinstance(node, Mapping):
            if part in node:
                where.append(part)
                node = node[part]
            elif part == "[key]" or (where and isinstance(node.get("kind"), str) and part == node["kind"]):
                continue
            elif isinstance(part, str) and not _branch(part):
                where.append(part)
                node = None
        elif isinstance(part, int):
            where.append(f"[{part}]")
            node = node[part] if isinstance(node, (list, tuple)) and part < len(node) else None
    return where


def _branch(part: str) -> bool:
    """Whether a part of an error's place names one of several types and no key."""
    return "[" in part or part in ("str", "int", "float")


def _keys(model: type[Section], values: Mapping, where: list) -> list[str]:
    """The keys of the section at a place."""
    section: Any = model()
    for part in where:
        if isinstance(section, Mapping):
            section = section.get(part) or next(iter(section.values()), None)
            values = values.get(part, {}) if isinstance(values, Mapping) else {}
            kinds = [kind for kind in _kinds() if isinstance(values, Mapping) and _kind(kind) == values.get("kind")]
            section = kinds[0]() if kinds else section
        else:
            section = getattr(section, str(part), None)
            values = values.get(part, {}) if isinstance(values, Mapping) else {}
    return list(type(section).model_fields) if isinstance(section, BaseModel) else []


def _kinds() -> list[type]:
    """The sections that are told apart by their kind."""
    return list(dict.fromkeys(kind for kind in _leaves(Section) if "kind" in kind.model_fields))


def _leaves(section: type) -> list[type]:
    below = section.__subclasses__()
    return [section, *(leaf for one in below for leaf in _leaves(one))]


def _kind(section: type) -> str:
    return section.model_fields["kind"].default
