"""board.yaml: the title of a board, and the rules that every submission to it has to keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml

from popbench.cards.card import checked
from popbench.errors import UsageError, damage, one_line, unknown
from popbench.files import read_yaml
from popbench.records import JSON, Scale
from popbench.text import counted

FILE = "board.yaml"
_HEAD = (
    "# What every submission to this board has to share with the others: `popbench leaderboard add` and `check` hold\n"
    "# them to it. Title and description may be changed at any time (then `popbench leaderboard build` this folder).\n"
)


class Strict(pydantic.BaseModel):
    """A part of a file that a stranger may have written: no unknown keys, and no values of other types."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True)


def _one_line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("expected visible text on one line")
    return text


Line = Annotated[str, pydantic.AfterValidator(_one_line)]

_LONGEST_TITLE, _LONGEST_DESCRIPTION = 200, 5_000


def check_words(title: str | None, description: str | None = None) -> None:
    """Raise UsageError if a title or a description that is given for a board cannot stand on it."""
    if title is not None and (not title.strip() or not title.isprintable() or len(title) > _LONGEST_TITLE):
        raise UsageError(
            f"title {one_line(title, 60)!r}: expected visible text on one line of at most {_LONGEST_TITLE} characters"
        )
    if description is not None and len(description) > _LONGEST_DESCRIPTION:
        raise UsageError(
            f"description {one_line(description, 60)!r}: expected at most {_LONGEST_DESCRIPTION:,} characters, "
            f"not {len(description):,}"
        )


class Predictor(Strict):
    """The predictor whose scores are ranked; `digest` is the digest of its fingerprint. `scale` is written if real.

    `card`, in a board's rules alone, is how far its order carries to real outcomes: the board's owner says so.
    """

    name: str
    digest: str
    unit: str
    scale: Scale = "positive"
    card: Annotated[dict[str, Any], pydantic.AfterValidator(checked)] | None = None

    @pydantic.model_serializer(mode="wrap")
    def _without_default(self, handler: pydantic.SerializerFunctionWrapHandler) -> dict[str, JSON]:
        content: dict[str, JSON] = handler(self)
        if self.scale == "positive":
            del content["scale"]
        if self.card is None:
            content.pop("card", None)
        return content


class TaskRule(Strict):
    """A prompt set: its hash, how many prompts it has, and the group under which it is pooled with others."""

    hash: str
    prompts: int = pydantic.Field(gt=0)
    group: str | None = None


class Terms(Strict):
    """What must be equal for results to share a board. With `seed` None, any seed will do."""

    demo: bool
    predictor: Predictor
    tasks: dict[str, TaskRule] = pydantic.Field(min_length=1)
    repeats: int = pydantic.Field(default=1, gt=0)
    seed: int | None = pydantic.Field(default=None, ge=0)


INNER: Mapping[str, type[Strict]] = {"predictor": Predictor, "tasks": TaskRule}


class Rules(Terms):
    """The content of a board.yaml."""

    kind: Literal["runs"] = "runs"
    title: Line
    description: str = ""
    reference: Line | None = None
    """The system that win rates are shown against; None leaves the choice to the board."""


class PaperRules(Strict):
    """The board.yaml of the paper's own board: its numbers come with popbench, and there are no submissions."""

    kind: Literal["paper"]
    title: str = ""
    description: str = ""


def read_rules(board: Path) -> Rules | PaperRules:
    """Read a board's rules; raises UsageError with what is wrong in the file."""
    path = board / FILE
    try:
        content = read_yaml(path)
    except FileNotFoundError:
        raise UsageError(f"{board}: not a board ({FILE} is missing): `popbench leaderboard add` makes one") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({one_line(error)})") from error
    except ValueError as error:
        raise UsageError(f"{path}: not valid YAML ({damage(error)})") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path}: not a board's rules (expected keys such as title, predictor, tasks)")
    kind = content.get("kind", "runs")
    if kind not in ("runs", "paper"):
        raise UsageError(f"{path}: {unknown('kind of board', one_line(str(kind), 50), ['runs', 'paper'])}")
    model: type[Rules | PaperRules] = PaperRules if kind == "paper" else Rules
    try:
        return model.model_validate(content)
    except pydantic.ValidationError as error:
        raise UsageError(f"{path}: {mistake(error, {**INNER, '': model})}") from None


def mistake(error: pydantic.ValidationError, models: Mapping[str, type[pydantic.BaseModel]]) -> str:
    """Return one line about the first mistake in a file: an unknown key with the closest known one, or a wrong value.

    `models` maps the keys of inner objects to their models, and "" to the outermost model.
    """
    # An unknown key comes first: it often is a misspelt one that is missing.
    first = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    where = one_line(".".join(map(str, first["loc"])))
    if first["type"] == "extra_forbidden":
        *parents, key = map(str, first["loc"])
        within = f" in {'.'.join(parents)}" if parents else ""
        return f"{unknown(f'key{within}', key, models[parents[0] if parents else ''].model_fields)}"
    return f"{where}: {one_line(first['msg'].removeprefix('Value error, '))}"


def write_rules(rules: Rules) -> str:
    """Return the text of a board.yaml."""
    content = {key: value for key, value in rules.model_dump(exclude_none=True).items() if key != "kind"}
    order = ("title", "description", "reference", "demo", "predictor", "tasks", "repeats", "seed")
    content = {key: content[key] for key in order if content.get(key) not in (None, "")}
    return _HEAD + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def breaches(rules: Terms, terms: Terms) -> Iterator[str]:
    """Yield one line for each difference between results and a board's rules; the predictor is not compared."""
    if terms.demo != rules.demo:
        kinds = {True: "demo scores", False: "real ones"}
        yield (
            f"demo scores never share a board with real ones: these are {kinds[terms.demo]}, the board has "
            f"{kinds[rules.demo]}"
        )
    for name, rule in sorted(rules.tasks.items()):
        task = terms.tasks.get(name)
        if task is None:
            yield f"task {name!r} of the board is missing: run it too, with --task {name}"
        elif task.hash != rule.hash:
            yield (
                f"task {name!r} is another version than the board's: its hash is {task.hash}, the board has {rule.hash}"
            )
        elif task.prompts != rule.prompts or task.group != rule.group:
            yield (
                f"task {name!r} has {counted(task.prompts, 'prompt')} in group {task.group}, the board has "
                f"{rule.prompts:,} in group {rule.group}"
            )
    if terms.repeats != rules.repeats:
        yield (
            f"it has {counted(terms.repeats, 'repeat')} per prompt, the board {rules.repeats}: "
            f"run it with --repeats {rules.repeats} (what is there is kept)"
        )
    if rules.seed is not None and terms.seed != rules.seed:
        yield f"its seed is {terms.seed}, the board's {rules.seed}: run it with --seed {rules.seed}"


def other_predictor(wanted: Predictor, digests: Mapping[str, str]) -> Iterator[str]:
    """Yield a line if none of a run's predictors is the board's; `digests` are theirs, by name."""
    if wanted.digest in digests.values():
        return
    if wanted.name in digests:
        yield (
            f"predictor {wanted.name!r} is not the board's: its fingerprint is {digests[wanted.name]}, the board has "
            f"{wanted.digest}"
        )
        return
    names = ", ".join(map(repr, sorted(digests))) or "none"
    yield (
        f"scored by another predictor than the board's: by {names}, the board has {wanted.name!r} with fingerprint "
        f"{wanted.digest}: popbench eval --predictor scores the clips that are there"
    )
