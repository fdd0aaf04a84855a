"""The spec syntax `NAME[,key=value]...`: from a text to a name and options, and back to a label.

A value with commas is quoted, with " or '; lists and objects are JSON. This module does not know which names and keys
exist: `popbench.registry` checks them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import pydantic

from popbench.errors import UsageError, one_line, unknown
from popbench.options import Options
from popbench.records import JSON
from popbench.text import BLANKS, UNSEEN

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_OPEN, _CLOSE = "[{", "]}"


@dataclass(frozen=True, slots=True)
class ComponentSpec:
    """A component by kind, registered name and options: picklable, and enough to make it in any process.

    `text` is the spec as the user wrote it; `options` are the typed values that differ from the defaults.
    """

    kind: str
    name: str
    options: Mapping[str, JSON] = field(default_factory=dict)
    label: str = ""
    text: str = ""


def parse_spec(text: str) -> tuple[str, dict[str, str]]:
    """Split a spec into its name and its options as texts; raises UsageError that shows the place."""
    name, *pairs = _split(text)
    name = _unquote(name)
    if not name or ("=" in name and not isinstance(name, Quoted)):
        raise UsageError(f"spec {text!r}: starts with a name, as in NAME,key=value")
    options: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        key = key.strip()
        if not equals or not _KEY.fullmatch(key):
            raise UsageError(f'spec {text!r}: {pair!r} is not key=value (a value with commas is quoted: key="a,b")')
        if key in options:
            raise UsageError(f"spec {text!r}: {key!r} is given twice")
        options[key] = _unquote(value.strip())
    return str(name), options


def write_spec(name: str, options: Mapping[str, str]) -> str:
    """Return a spec that `parse_spec` reads as this name and these options, whatever characters they have.

    Every value is quoted, lists and objects too; only a bare `null` stays bare, for quotes make it a text. A name
    without options is not quoted: it may be a task's path, which is no spec.
    """
    if options and not _is_bare_name(name):
        name = _quote(name)
    shown = {key: value if value == "null" and not isinstance(value, Quoted) else _quote(value)
             for key, value in options.items()}  # fmt: skip
    return name + "".join(f",{key}={value}" for key, value in shown.items())


def _is_bare_name(name: str) -> bool:
    try:
        return parse_spec(name) == (name, {})
    except UsageError:
        return False


def _quote(text: str) -> str:
    """Put a text in quotes with the escapes that `_unquote` takes out; it has none for line ends and the like."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def absolute_paths(spec: str, name: str | None = None) -> str:
    """Make the paths in a spec absolute, so that it works in any folder; `name` replaces its name."""
    own, options = parse_spec(spec)
    whole = {key: str(Path(value).absolute()) if path_exists(value) else value for key, value in options.items()}
    return write_spec(own if name is None else name, whole)


def path_exists(name: str) -> bool:
    """Say whether a text is the path of an existing file or folder."""
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # not a path
        return False


def _split(text: str) -> list[str]:
    """Split at commas outside quotes, lists and objects. A quote opens only where a value may start."""
    parts, start, depth, quote, position = [], 0, 0, "", 0
    while position < len(text):
        char = text[position]
        if quote:
            if char == "\\":
                position += 1
            elif char == quote:
                quote = ""
        elif char in "\"'" and (depth or text[:position].rstrip()[-1:] in ("=", "")):
            quote = char
        elif char in _OPEN and (depth or text[:position].rstrip()[-1:] == "="):
            depth += 1
        elif char in _CLOSE and depth:
            depth -= 1
        elif char == "," and not depth:
            parts.append(text[start:position].strip())
            start = position + 1
        position += 1
    if quote or depth:
        raise UsageError(f"spec {text!r}: a quote or bracket is not closed")
    return [*parts, text[start:].strip()]


class Quoted(str):
    """A value that was quoted: `"null"` is text, while `"[1]"` may still be a list."""

    __slots__ = ()


_QUOTED = re.compile(r"""(["'])((?:\\.|(?!\1)[^\\])*)\1""", re.DOTALL)


def _unquote(value: str) -> str:
    match = _QUOTED.fullmatch(value)
    return Quoted(re.sub(r"\\(.)", r"\1", match[2], flags=re.DOTALL)) if match else value


def read_options(
    options_class: type[Options], raw: Mapping[str, JSON], preset: Mapping[str, JSON], what: str
) -> Options:
    """Make typed options of `raw` over `preset`; raises UsageError for an unknown key or a bad value."""
    values = dict(preset)
    own = options_class.model_fields
    further: dict[str, Any] = {}
    # Fields first: which further options exist may depend on their values.
    for key in sorted(raw, key=lambda name: name not in own):
        fields = own if key in own else options_class.further(values)
        if key not in fields:
            raise unknown(f"option of {what}", key, [*own, *fields, "label"], shown=None)
        values[key] = _typed(fields[key], raw[key]) if isinstance(raw[key], str) else raw[key]
        if key not in own:
            further[key] = (fields[key].annotation, fields[key])
    try:
        if further:
            typed = pydantic.create_model("Further", __base__=Options, **further)
            values |= typed.model_validate({key: values[key] for key in further}).model_dump()
        return options_class.model_validate(values)
    except pydantic.ValidationError as error:
        raise UsageError(one_line(f"{what}{_mistake(error.errors())}")) from None


def _mistake(errors: Sequence[Mapping[str, Any]]) -> str:
    """Describe pydantic's errors, to follow a component's name: all missing options, or the first bad one."""
    missing = [f"{error['loc'][0]}=VALUE" for error in errors if error["type"] == "missing" and len(error["loc"]) == 1]
    if missing:
        return f" needs {' and '.join(missing)}"
    first = errors[0]
    if not first["loc"]:  # options that do not go together
        return f": {_plain(first['msg'])}"
    # A value that fits none of several types has an error for each of them.
    same = [error for error in errors if error["loc"][:1] == first["loc"][:1] and error["input"] == first["input"]]
    given = "" if isinstance(first["input"], dict) else f", not {first['input']!r}"
    return f": {first['loc'][0]}: {_expected(same)}{given}"


_SHOULD = "Input should be "
_BOOLEAN = ("bool_parsing", "bool_type")


def _expected(errors: Sequence[Mapping[str, Any]]) -> str:
    """Join what each type of an option would take, without pydantic's words on why parsing failed."""
    if all(error["type"] in _BOOLEAN for error in errors):
        return "expected true or false"
    messages = [_plain(error["msg"]) for error in errors]
    if not all(message.startswith(_SHOULD) for message in messages):
        return "; ".join(dict.fromkeys(messages))
    possible = [
        "true or false" if error["type"] in _BOOLEAN else message.removeprefix(_SHOULD).partition(", unable to ")[0]
        for error, message in zip(errors, messages, strict=True)
    ]
    return f"input should be {' or '.join(dict.fromkeys(possible))}"


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ").removeprefix("Assertion failed, ")


def _typed(info: Any, value: str) -> JSON:
    """Parse a value as JSON if that fits the option's type better than the text does."""
    text = str(value)
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return text
    structured = isinstance(parsed, list | dict) or (parsed is None and not isinstance(value, Quoted))
    for candidate in (parsed, text) if structured else (text, parsed):
        try:
            pydantic.TypeAdapter(info.annotation).validate_python(candidate)
        except (ValueError, RecursionError):
            continue
        return candidate
    return parsed if isinstance(parsed, list | dict) else text


def differing(options: Options, preset: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return the determining options whose values differ from the preset and the defaults."""
    fields = type(options).model_fields
    required = {name for name, info in fields.items() if info.is_required() and name not in preset}
    given = {**preset, **{name: getattr(options, name) for name in required}}
    try:
        base = type(options).model_validate(given)
    except pydantic.ValidationError:  # the preset's options are valid only together with others
        base = type(options).model_construct(**given)
    return {
        name: value
        for name, value in options.determining().items()
        if name in required or getattr(options, name) != getattr(base, name, None)
    }


def make_label(name: str, options: Mapping[str, JSON]) -> str:
    """Return a component's name on boards: `name[key=value,...]`, with paths shortened to their last part."""
    if not options:
        return name
    shown = ",".join(f"{key}={_short(value)}" for key, value in options.items())
    return safe_label(f"{name}[{shown}]")


def safe_label(text: str) -> str:
    """Make a text valid in a system's id: one line, without `|`."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split()).replace("|", "/")


def _short(value: JSON) -> str:
    if isinstance(value, str):
        return PurePath(value).name if "/" in value and "://" not in value else value
    return json.dumps(value)


def check_label(label: str) -> str:
    """Return a label that the user gave; raises UsageError if it is not valid in a system's id."""
    text = label.strip()
    if not text or "|" in text or not text.isprintable() or not (BLANKS | UNSEEN).isdisjoint(text):
        raise UsageError(f"label {label!a}: needs visible characters, on one line, without '|'")
    return text
