"""The configuration of a run: options over `--config`, over `popbench.toml`, over the defaults."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Container, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from popbench.errors import UsageError, damage, unknown
from popbench.files import MAX_CONFIG_BYTES, read_json, read_text, refuse_url
from popbench.planning.foreign_specs import SPECS, check_recorded
from popbench.records import JSON
from popbench.registry import load_registry
from popbench.specs import parse_spec

FILE = "popbench.toml"
DEFAULT_LLMS = ("verbatim", "shotlist")
DEFAULT_LLM = "shotlist"
"""The LLM of commands that take one."""
DEFAULT_CORPUS = "microlens"
"""The corpus if an LLM is named and a plugin registers this corpus; otherwise it is `demo`."""
DEFAULT_EMBEDDER = "all-MiniLM-L12-v2"
"""The embedder for every corpus that is no demonstration, as in the paper; otherwise it is `hashing`."""


@dataclass(frozen=True, slots=True)
class EvalConfig:
    """The arguments of `popbench eval` with defaults filled in; run.json holds them under `config`."""

    llm: tuple[str, ...] = DEFAULT_LLMS
    gen: tuple[str, ...] = ("kinetic",)
    mode: tuple[str, ...] = ()
    """If empty, `basic` and `pe`, as far as all tasks have them."""
    task: tuple[str, ...] = ("popcorn",)
    predictor: tuple[str, ...] = ("demo",)
    corpus: str = "demo"
    embedder: str = "hashing"
    baseline: tuple[str, ...] = ()
    allow_leakage: bool = False
    limit: int | None = None
    shard: str | None = None
    """`I/N`: every N-th prompt of the tasks, from the I-th on, in the order that `limit` takes them."""
    repeats: int = 1
    seed: int = 42
    out: str | None = None
    engine: str = "local"
    concurrency: int | None = None
    stop_after: Literal["write", "render"] | None = None
    max_cost: float | None = None
    """USD that the calls of the run's components may cost in all."""
    repeats_on: str | None = None
    """The percentage of the prompts that have `luck_repeats`, such as `20%`; the board is of the first repeat."""
    luck_repeats: int = 1
    until: str | None = None
    """`best`, `decided` or `width=W`: prompts are taken in rounds until that is reached; None takes all at once."""
    reference: str | None = None
    """The system that boards show win rates against; None leaves the choice to the board."""
    reuse: tuple[str, ...] = ()
    """Run directories whose calls are taken. Not recorded: what was taken of them is in the run then."""
    track: tuple[str, ...] = ()
    """Trackers that the command line hands the finished run over to. Not recorded: nothing in the run depends on it."""

    @property
    def share(self) -> tuple[int, int] | None:
        """The shard as numbers: (1, 4) for `1/4`."""
        if self.shard is None:
            return None
        which, number = map(int, self.shard.split("/"))
        return which, number

    def as_json(self) -> dict[str, JSON]:
        """Return the fields that are recorded, as JSON; those that earlier releases lack only if they are set."""
        values = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        del values["reuse"], values["track"]
        if self.repeats_on is None:
            del values["luck_repeats"]
        return {key: value for key, value in values.items() if value is not None or key not in _LATER}


BASELINES = ("human",)
_LATER = ("max_cost", "repeats_on", "until", "reference")
_NONE = frozenset({"baseline", "reuse", "track"})
"""Settings that may be an empty list, as in run.json."""
_MANY = frozenset(item.name for item in fields(EvalConfig) if str(item.type).startswith("tuple"))
_WHOLE: Mapping[str, int] = {"limit": 1, "repeats": 1, "luck_repeats": 1, "seed": 0, "concurrency": 1}


def make_config(*layers: Mapping[str, Any]) -> EvalConfig:
    """Merge settings, later layers over earlier ones. Raises UsageError for an unknown name or a bad value."""
    names = [item.name for item in fields(EvalConfig)]
    values: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            if name not in names:
                raise unknown("setting", name, names)
            if value is None:  # removes the setting of an earlier layer
                values.pop(name, None)
            else:
                values[name] = _checked(name, value)
    if "corpus" not in values and "llm" in values and DEFAULT_CORPUS in load_registry().names("corpus"):
        values["corpus"] = DEFAULT_CORPUS
    if "embedder" not in values and not _is_demo(values.get("corpus", EvalConfig().corpus)):
        values["embedder"] = DEFAULT_EMBEDDER
    if "repeats_on" in values:
        # A board has the same number of repeats of all prompts: the first one.
        values["luck_repeats"] = max(values.pop("repeats", 1), values.get("luck_repeats", 1))
        if values["luck_repeats"] < 2:
            raise UsageError("repeats_on: give --repeats of 2 or more, which these prompts have")
    return EvalConfig(**values)


def _is_demo(corpus: str) -> bool:
    """Return whether a corpus is a demonstration; True for an unknown one, which is refused later."""
    try:
        return bool(load_registry().find("corpus", parse_spec(corpus)[0]).load().demo)
    except UsageError:
        return True


def _checked(name: str, value: Any) -> Any:
    if name in _MANY:
        specs = (value,) if isinstance(value, str | Path) else tuple(value) if isinstance(value, list | tuple) else ()
        if name == "reuse":
            specs = tuple(str(spec) if isinstance(spec, Path) else spec for spec in specs)
        value = specs[0] if len(specs) == 1 else value
        if not (specs or (value == [] and name in _NONE)) or not all(
            isinstance(spec, str) and spec.strip() for spec in specs
        ):
            what = "the directory of a run" if name == "reuse" else "NAME[,key=value]..."
            raise UsageError(f"{name}: expected {what} or a list of such, not {value!r}")
        for spec in specs if name == "reuse" else ():
            refuse_url("reuse", spec)
        for spec in specs if name == "baseline" else ():
            if spec not in BASELINES:
                raise unknown("baseline", spec, BASELINES)
        return tuple(dict.fromkeys(specs))
    if name == "allow_leakage":
        if not isinstance(value, bool):
            raise UsageError(f"{name}: expected true or false, not {value!r}")
        return value
    if name in _WHOLE:
        least = _WHOLE[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise UsageError(f"{name}: expected a whole number of at least {least}, not {value!r}")
        return value
    if name == "max_cost":
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise UsageError(f"max_cost: expected USD as a number of at least 0, not {value!r}")
        return float(value)
    if name == "stop_after" and value not in ("write", "render"):
        raise unknown("stage for stop_after", str(value), ["write", "render"])
    if name == "shard":
        return _shard(value)
    if name == "until":
        return _until(value)
    if name == "repeats_on":
        return _percentage(value)
    if name == "out" and isinstance(value, str | Path):
        refuse_url("out", value)
    if isinstance(value, Path):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{name}: expected text, not {value!r}")
    return value


def _shard(value: Any) -> str:
    match = re.fullmatch(r"\s*(\d{1,9})/(\d{1,9})\s*", value, re.ASCII) if isinstance(value, str) else None
    which, number = map(int, match.groups()) if match else (0, 0)
    if not 1 <= which <= number:
        raise UsageError(f"shard: expected I/N with I from 1 to N, such as 1/4, not {value!r}")
    return f"{which}/{number}"


def _percentage(value: Any) -> str:
    match = re.fullmatch(r"\s*(\d{1,3}(?:\.\d+)?)\s*%?\s*", value, re.ASCII) if isinstance(value, str) else None
    if match is None or not 0 < float(match[1]) <= 100:
        raise UsageError(f"repeats_on: expected a percentage of the prompts, such as 20%, not {value!r}")
    return f"{float(match[1]):g}%"


def _until(value: Any) -> str:
    text = value.strip() if isinstance(value, str) else ""
    match = re.fullmatch(r"width\s*=\s*(0?\.\d+)", text, re.ASCII)
    if text in ("best", "decided"):
        return text
    if match is None or not 0 < float(match[1]) < 1:
        raise UsageError(f"until: expected best, decided, or width=W, such as width=0.1, not {value!r}")
    return f"width={float(match[1]):g}"


def defaults() -> dict[str, JSON]:
    """Read popbench.toml: settings in the working directory override those in the user's config folder."""
    import platformdirs

    merged: dict[str, JSON] = {}
    for folder in (platformdirs.user_config_path("popbench"), Path()):
        path = folder / FILE
        if path.is_file():
            merged |= _named(_read_toml(path), path)
    return merged


def read_config(path: Path, given: Container[str] = ()) -> dict[str, JSON]:
    """Read `--config FILE`: TOML, or JSON such as a run.json (its `config` counts).

    Raises UsageError for a run.json that asks to run code of a model, unless the user has `given` that setting.
    """
    if path.suffix == ".toml":
        return _named(_read_toml(path), path)
    try:
        content = read_json(path)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read as a configuration ({damage(error)})") from error
    if isinstance(content, dict) and "config" in content:
        # A run.json: its run is repeated elsewhere, not resumed in its directory.
        content = content["config"]
        if isinstance(content, dict):
            content = {key: value for key, value in content.items() if key != "out"}
            named = _named(content, path)
            specs = [named[name] for name in SPECS if name not in given and name in named]
            check_recorded(
                [spec for value in specs for spec in ([value] if isinstance(value, str) else value or ())], str(path)
            )
    if not isinstance(content, dict):
        raise UsageError(f"{path}: not a configuration (expected an object with settings such as llm and gen)")
    return _named(content, path)


def _read_toml(path: Path) -> dict[str, JSON]:
    try:
        return tomllib.loads(read_text(path, MAX_CONFIG_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read ({damage(error)})") from error


def _named(content: Mapping[str, JSON], path: Path) -> dict[str, JSON]:
    """Accept names as typed (`stop-after`) and as in Python (`stop_after`), and check values; errors name the file."""
    values = {name.replace("-", "_"): value for name, value in content.items()}
    try:
        make_config(values)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    return values


def resolve_config(given: dict[str, Any], config: Path | None = None) -> EvalConfig:
    """Merge the options given with `--config` and popbench.toml."""
    chosen = {name: value for name, value in given.items() if value is not None and value != ()}
    return make_config(defaults(), {} if config is None else read_config(config, chosen), chosen)
