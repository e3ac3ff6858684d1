"""Job files: TOML text in, a frozen ``Config`` out; the only place that parses TOML.

Every mistake is one InputError that names the key, what came and what was expected; an unknown key also gets the
nearest known one.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from .particles import InputError
from .tables import Config

Whole = TypeVar("Whole", bound=BaseModel)

#: Texts for what pydantic calls an error; {input} is what came.
_EXPECTED = {
    "missing": "is missing",
    "string_type": "must be text in quotes",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "tuple_type": "must be a list",
    "too_long": "must have three entries",
    "string_too_short": "must not be empty",
    "finite_number": "must be a finite number",
    "model_type": "must be a table",
}


def load(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Return the job of a TOML file, with ``key=value`` overrides applied.

    Raises
    ------
    InputError : no such file, not TOML, unknown keys, values of the wrong type or out of range

    """
    return parse(override(read_toml(path), overrides), str(path))


def read_toml(path: str | Path, what: str = "job") -> dict[str, Any]:
    """Return a TOML file as nested tables; raises InputError when there is none, or it is not TOML."""
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise InputError(f"cannot read the {what} file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text; expected a TOML {what} file (askel example writes some)") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not valid TOML: {error}") from None


def parse(tables: Mapping[str, Any], origin: str = "job") -> Config:
    """Return the job of nested tables; raises InputError as ``checked``."""
    return checked(tables, Config, origin)


def checked(tables: Mapping[str, Any], model: type[Whole], origin: str) -> Whole:
    """Return nested tables as a model of all of them.

    Raises
    ------
    InputError : unknown keys, values of the wrong type or out of range; ``origin`` opens the message

    """
    try:
        return model.model_validate(dict(tables))
    except ValidationError as error:
        wrong = sorted(
            error.errors(), key=lambda e: e["type"] != "extra_forbidden"
        )  # a misspelt key explains a missing one
        raise InputError(f"{origin}: {_sentence(wrong[0], tables, model)}") from None


def override(tables: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return the tables with ``integrator.tolerance=1e-12`` and the like applied; a value is TOML, or else text.

    Raises
    ------
    InputError : no ``=``, or a key that runs through something that is not a table

    """
    result = _copy(tables)
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise InputError(f"-s {text}: expected key=value, such as -s integrator.tolerance=1e-12")
        *path, last = key.strip().split(".")
        table: Any = result
        for part in path:
            table = _step_into(table, part, text)
        if isinstance(table, list):
            table[_row(table, last, text)] = _value(value)
        elif isinstance(table, dict):
            table[last] = _value(value)
        else:
            raise InputError(f"-s {text}: {'.'.join(path)} is not a table")
    return result


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _copy(v) for k, v in value.items()}
    return [_copy(v) for v in value] if isinstance(value, list | tuple) else value


def _row(table: list, part: str, text: str) -> int:
    if not part.isdigit() or int(part) >= len(table):
        raise InputError(f"-s {text}: {part!r} is no row of a list of {len(table)}; rows count from 0")
    return int(part)


def _step_into(table: Any, part: str, text: str) -> Any:
    if isinstance(table, list):
        return table[_row(table, part, text)]
    if not isinstance(table, dict):
        raise InputError(f"-s {text}: what stands before {part!r} is not a table")
    return table.setdefault(part, {})


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _sentence(error: ErrorDetails, tables: Mapping[str, Any], whole: type[BaseModel]) -> str:
    """Return one line for a pydantic error: the key, what came, what was expected."""
    path = _key_path(error["loc"], tables)
    key, kind = ".".join(str(p) for p in path), error["type"]
    if kind == "extra_forbidden":
        known = _known_keys(path[:-1], whole)
        near = difflib.get_close_matches(str(path[-1]), known, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        return f"unknown key {key!r}; {hint}"
    if kind == "missing":
        return f"{key} is missing{_why(path)}" if error["loc"][-1] == path[-1] else f"{key} must have three entries"
    came = error["input"]
    shown = "a table" if isinstance(came, Mapping) else _literal(came)
    message = _EXPECTED.get(kind) or error["msg"].removeprefix("Value error, ").replace("Input should", "must", 1)
    return f"{key} = {shown}: {message}"


def _why(path: Sequence[str | int]) -> str:
    reasons: dict[tuple[str, ...], str] = {
        ("particles",): "; give [particles] file = ..., or [[particles.body]] or [[particles.galaxy]] tables",
        ("run",): "; give [run] t_end = ...",
    }
    return reasons.get(tuple(str(p) for p in path), "")


def _key_path(location: Sequence[str | int], tables: Any) -> list[str | int]:
    """Return a pydantic location without the parts that name members of a union."""
    path: list[str | int] = []
    at: Any = tables
    for part in location:
        inside = (isinstance(at, Mapping) and part in at) or (
            isinstance(at, list | tuple) and isinstance(part, int) and part < len(at)
        )
        if inside:
            at = at[part]
            path.append(part)
        elif part == location[-1] and isinstance(at, Mapping):
            path.append(part)  # a missing key
    return path


def _known_keys(path: Sequence[str | int], model: type[BaseModel]) -> list[str]:
    """Return the keys of the table at ``path``."""
    for part in path:
        if isinstance(part, str):
            model = next(m for m in _models(model.model_fields[part].annotation))
    return list(model.model_fields)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for a in getattr(annotation, "__args__", ()) for m in _models(a)]


def as_tables(config: Config) -> dict[str, Any]:
    """Return the job as nested tables of plain values, without what is not set."""
    tables = config.model_dump(mode="python", exclude_none=True)
    if config.forces is not None or config.integrator.model is not None:  # atoms know no gravity
        del tables["gravity"]
    return {k: v for k, v in tables.items() if v}


def to_toml(tables: Mapping[str, Any], header: Sequence[str] = ()) -> str:
    """Return nested tables as TOML text, under comment lines.

    Floats are written so that they are read back bit for bit.
    """
    lines = [f"# {line}" for line in header]
    plain = {k: v for k, v in tables.items() if not _is_tables(v)}
    lines += [f"{k} = {_literal(v)}" for k, v in plain.items()]
    for name, table in tables.items():
        if _is_tables(table):
            lines += _table(name, table)
    return "\n".join(lines) + "\n"


def _is_tables(value: Any) -> bool:
    if isinstance(value, Mapping):
        return True
    return isinstance(value, list | tuple) and len(value) > 0 and all(isinstance(v, Mapping) for v in value)


def _table(name: str, table: Any) -> list[str]:
    if not isinstance(table, Mapping):
        return [line for row in table for line in ["", f"[[{name}]]", *_rows(name, row)]]
    return ["", f"[{name}]", *_rows(name, table)]


def _rows(name: str, table: Mapping[str, Any]) -> list[str]:
    lines = [f"{k} = {_literal(v)}" for k, v in table.items() if not _is_tables(v) and not _is_empty(v)]
    for key, value in table.items():
        if _is_tables(value):
            lines += _table(f"{name}.{key}", value)
    return lines


def _is_empty(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 0


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_literal(v) for v in value) + "]"
    return str(value)
