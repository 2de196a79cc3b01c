"""A section of settings: frozen, strict, forgiving in how a value is written, clear about what is wrong with it.

A section holds data alone. What follows from its values is computed elsewhere: settings reach a job as the text of
their values, and the code here is in no digest.
"""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, field_validator, model_validator

from waferbench.base.errors import InputError, require_plain

LONGEST = 4096  # characters of a text, as long as a path may be
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 200
_short.maxlist = _short.maxdict = _short.maxtuple = _short.maxset = 8
_short.maxlevel = 3
shown = _short.repr  # a value in a message: YAML's aliases make a short text a huge value
BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Section(BaseModel):
    """Base of all sections. Unknown keys are refused; `2`, `2.0` and `"2"` are one number; `a,b` is a list of two."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        validate_default=True,
        defer_build=True,  # a job reads one section of a hundred that it imports
    )

    @model_validator(mode="before")
    @classmethod
    def _as_people_write(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        fields = cls.model_fields
        return {key: prepared(fields[key].annotation, v) if key in fields else v for key, v in values.items()}

    @field_validator("*", mode="after")
    @classmethod
    def _plain_texts(cls, value: Any) -> Any:
        for text in (value,) if isinstance(value, str) else value if isinstance(value, (tuple, dict)) else ():
            if isinstance(text, str):
                _require_plain(text)
        return value

    @classmethod
    def of(cls, *parts: BaseModel, **given: Any) -> Self:
        """This section out of larger ones: each field is the one given, else that of the first part which has it.

        Fields that are sections themselves are narrowed alike: a stage holds what it reads and nothing else.
        """
        found = {}
        for name, field in cls.model_fields.items():
            if name in given:
                value = given[name]
            else:
                holder = next((part for part in parts if name in type(part).model_fields), None)
                if holder is None:
                    continue  # its default
                value = getattr(holder, name)
            found[name] = _narrowed(field.annotation, value)
        unknown = given.keys() - cls.model_fields.keys()
        if unknown:
            raise TypeError(f"{cls.__name__} has no field {sorted(unknown)[0]!r}")
        return cls.model_validate(found)


def _narrowed(annotation: Any, value: Any) -> Any:
    """A section as the plain values of the section that is wanted of it."""
    if not isinstance(value, BaseModel):
        return value
    wanted = next((part for part in (annotation, *get_args(annotation)) if _is_section(part)), type(value))
    return value if type(value) is wanted else wanted.of(value)


def _is_section(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, Section)


def prepared(annotation: Any, value: Any) -> Any:
    """A value as people write it in YAML or on a command line, as pydantic takes it; what is wrong is left to that.

    Args:
        annotation: the type that the value is to have.
    """
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return prepared(inner[0], value)
    if origin in (Union, UnionType):
        some = [part for part in inner if part is not type(None)]
        if len(some) == 1:
            return None if value is None else prepared(some[0], value)
        if isinstance(value, Mapping) and not isinstance(value.get("kind", ""), str):
            return {**value, "kind": shown(value["kind"])}  # pydantic would write it out, however large it is
        return str(value) if isinstance(value, bool) else value
    if origin is Literal:
        return _number(value) if all(type(word) is int for word in inner) else value
    if origin is tuple:
        items = _listed(value)
        return [prepared(inner[0], item) for item in items] if isinstance(items, list) else items
    if origin in (dict, Mapping) and isinstance(value, Mapping):
        return {str(key): prepared(inner[1], item) for key, item in value.items()}
    if annotation in (int, float):
        return _number(value)
    if annotation is bool:
        return BOOLEANS.get(str(value).lower(), value) if isinstance(value, (str, int)) else value
    if annotation is str:
        return _text(value)
    return value


def _listed(value: Any) -> Any:
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = yaml.safe_load(value)
        except yaml.YAMLError:
            return value  # its brackets are not closed
    elif isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    return list(value) if isinstance(value, (list, tuple)) else value if isinstance(value, Mapping) else [value]


def _number(value: Any) -> Any:
    """YAML reads 1e-4 as a text; true is no number."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            return value
        return value if not math.isfinite(number) else int(number) if number == int(number) else number
    return value


def _text(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    try:
        return str(value)
    except ValueError:  # Python writes no number of thousands of digits
        return value


def _require_plain(text: str) -> None:
    try:
        require_plain(text, "", LONGEST)
    except InputError as error:
        raise ValueError(str(error).removeprefix(": ")) from None


def _path(value: str) -> str:
    if set(value) & set("{}<>\n"):
        raise ValueError(
            f"found {value!r}, expected a path without line ends, braces and angle brackets, which Snakemake takes "
            "for its own; rename the file, or make a link to it"
        )
    return value


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError(
            f"found {value!r}, expected letters, digits, '.', '_' and '-': it names a folder; it starts with a letter "
            "or digit and has at most 64 characters"
        )
    return value


def _once(values: tuple) -> tuple:
    if len(set(values)) < len(values):
        raise ValueError(f"found {list(values)}, expected no entry twice")
    return values


_WRITTEN = WithJsonSchema({"type": ["string", "number"]})  # in YAML a text may look like a number
Text = Annotated[str, _WRITTEN]
Name = Annotated[str, AfterValidator(_name), _WRITTEN]  # of a folder
FilePath = Annotated[str, AfterValidator(_path)]
Once = AfterValidator(_once)  # of a list: no entry twice
Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Decay = Annotated[float, Field(ge=0, le=0.99999)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Precision = Literal["auto", "float32", "bf16"]
