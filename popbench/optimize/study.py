"""The start of a search, what may be changed of it, and how a candidate becomes a mode and an LLM of a plan."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from popbench.errors import RunError, UsageError, one_line
from popbench.files import MAX_CONFIG_BYTES, read_text, write_whole
from popbench.keys import digest
from popbench.optimize.search import Candidate, Changes
from popbench.optimize.sentences import SENTENCES, with_sentences
from popbench.planning.plan import Plan
from popbench.planning.resolve import with_modes
from popbench.planning.systems import Part, as_part
from popbench.prompting.templates import Template
from popbench.records import JSON, Prompt
from popbench.registry import load_registry
from popbench.specs import parse_spec, write_spec

VARY = ("options", "sentences", "llm")
"""What popbench changes by itself: options of the mode, sentences in the template, options of the LLM."""
CANDIDATES = "candidates"
"""The folder of candidates' templates."""
_LLM_VALUES: Mapping[str, Sequence[float]] = {"temperature": (0.3, 0.7, 1.0, 1.3), "top_p": (0.8, 0.95)}
_TEMPLATE, _SENTENCE, _OPTION, _LLM = "template", "sentence.", "option.", "llm."


class Study:
    """A search's start in its plan: one LLM, one generator, one mode."""

    def __init__(self, plan: Plan, folder: Path, scratch: Path, vary: Collection[str] = VARY) -> None:
        """`folder` is the directory of the optimisation, `scratch` one for templates that are only looked at.

        Raises UsageError for a mode that cannot be searched from.
        """
        (mode,) = plan.modes
        if mode.registered is not None:
            raise UsageError(
                f"--from {mode.name}: is code of a plugin, and a search changes templates: give basic, pe, another "
                "mode of the task or FILE.j2"
            )
        files = {mode.template_file(task) for task in plan.tasks}
        texts = {read_text(file, MAX_CONFIG_BYTES) for file in files if file is not None}
        if len(texts) != 1:
            raise UsageError(f"--from {mode.name}: the tasks have different templates of this name: give one --task")
        self.plan, self.folder, self.vary, self.mode, (self.text,) = plan, folder, vary, mode, texts
        self.llm = plan.llms[0]
        self.spec = plan.config.mode[0]
        _, self._options = parse_spec(self.spec)
        self._options.pop("label", None)
        self.scratch, self._scratch = scratch, scratch / "template.j2"
        self._llms: dict[str, Part] = {digest({}): self.llm}
        self._valid: dict[str, bool] = {}
        try:
            self.template = self.parsed(self.text)
        except UsageError:  # it parses where it is
            raise UsageError(
                f"--from {mode.name}: its template is made of several files, and candidates are one file each: put it "
                "into one file"
            ) from None

    def parsed(self, text: str) -> Template:
        """Return a template of a text; raises UsageError if it is none."""
        self._write(text, self._scratch)
        return Template(self._scratch)

    @cached_property
    def space(self) -> dict[str, Sequence[JSON]]:
        """The values that changes may have, by name."""
        space: dict[str, Sequence[JSON]] = {}
        if "options" in self.vary:
            for name, value in self.mode.options.items():
                space[_OPTION + name] = self._steps(name, value)
        if "sentences" in self.vary and with_sentences(self.text, ["x"]) is not None:
            space |= {_SENTENCE + name: (text,) for name, text in SENTENCES.items()}
        if "llm" in self.vary:
            own = type(self.llm.resolved.component.options)
            for name, values in _LLM_VALUES.items():
                if name in own.model_fields and name not in own.runtime_names():
                    now = getattr(self.llm.resolved.component.options, name)
                    space[_LLM + name] = tuple(value for value in values if value != now)
        return {name: kept for name, values in space.items() if (kept := [*filter(self._allows(name), values)])}

    def _steps(self, name: str, value: JSON) -> Sequence[JSON]:
        """Return other values of an option: twice and half of a number, the other of two, or those that are named."""
        named: Mapping[str, Sequence[JSON]] = {
            "tag_by": ("name", "profile", "none"), "order": ("nearest", "farthest", "popular"),
            "negative_ratio": (0.0, 0.1, 0.3, 0.5), "diversity": (0.0, 0.3, 0.6), "tags": (1, 2, 4),
        }  # fmt: skip
        if name in named and self.mode.retrieval is not None and name not in self.template.options.model_fields:
            return [other for other in named[name] if other != value]
        match value:
            case bool():
                return [not value]
            case int():
                return sorted({value * 2, value // 2} - {value}) if value else [1]
            case float():
                return [value / 2, value * 2] if value else [1.0]
        return []

    def _allows(self, name: str) -> Callable[[JSON], bool]:
        return lambda value: self.valid({name: value})

    def valid(self, changes: Changes) -> bool:
        """Say whether changes go together: the mode and the LLM can be made of them."""
        key = digest(dict(changes))
        if key not in self._valid:
            try:
                self.planned([Candidate(0, changes)], trial=True)
                self._valid[key] = True
            except UsageError:
                self._valid[key] = False
        return self._valid[key]

    def text_of(self, changes: Changes) -> str | None:
        """Return the text of a candidate's template; None if it has no place for its sentences."""
        sentences = [str(value) for name, value in sorted(changes.items()) if name.startswith(_SENTENCE)]
        return with_sentences(str(changes.get(_TEMPLATE, self.text)), sentences)

    def options_of(self, changes: Changes) -> dict[str, str]:
        """Return the options of a candidate's mode, as texts of a spec."""
        own = {name.removeprefix(_OPTION): _text(value) for name, value in changes.items() if name.startswith(_OPTION)}
        return {**self._options, **own}

    @property
    def llms(self) -> list[Part]:
        """Every LLM that was made of changes, and the start's."""
        return list(self._llms.values())

    def llm_of(self, changes: Changes) -> Part:
        """Return a candidate's LLM, the same for the same options; raises UsageError for a bad value."""
        own = {name.removeprefix(_LLM): value for name, value in changes.items() if name.startswith(_LLM)}
        key = digest(own)
        if key not in self._llms:
            name, options = parse_spec(self.llm.resolved.spec.text)
            label = options.pop("label", None)
            spec = write_spec(name, {**options, **{name: _text(value) for name, value in own.items()}})
            runtime = {"concurrency": self.plan.config.concurrency} if self.plan.config.concurrency else {}
            if label is not None:
                named = ",".join(f"{name}={_text(value)}" for name, value in own.items())
                spec = write_spec(name, {**parse_spec(spec)[1], "label": f"{label}[{named}]"})
            self._llms[key] = as_part(load_registry().resolve("llm", spec, runtime))
        return self._llms[key]

    def file_of(self, candidate: Candidate) -> Path:
        """Return the file of a candidate's template, whose text is written there."""
        return self.folder / CANDIDATES / f"{candidate.id}.j2"

    def write(self, candidate: Candidate) -> None:
        """Write the template of a candidate; raises RunError where the disk refuses."""
        self._write(self.text_of(candidate.changes) or "", self.file_of(candidate))

    def _write(self, text: str, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, text.encode("utf-8", "replace"))
        except OSError as error:
            raise RunError(f"{path} cannot be written: {one_line(error)}") from error

    def mode_of(self, candidate: Candidate, label: str | None = None, *, trial: bool = False) -> str:
        """Return the spec of a candidate's mode: the start's own template while no change is of the text."""
        name, _ = parse_spec(self.spec)
        if any(change == _TEMPLATE or change.startswith(_SENTENCE) for change in candidate.changes):
            if trial:
                self._write(self.text_of(candidate.changes) or "", self._scratch)
            name = str((self._scratch if trial else self.file_of(candidate)).absolute())
        return write_spec(name, {**self.options_of(candidate.changes), "label": label or candidate.id})

    def planned(
        self, candidates: Sequence[Candidate], labels: Mapping[int, str] | None = None, *, trial: bool = False
    ) -> Plan:
        """Return the plan of candidates, whose modes have their ids as labels, or those of `labels`.

        Raises UsageError for one that is not possible.
        """
        if any(self.text_of(one.changes) is None for one in candidates):
            raise UsageError("the template has no block 'system' for sentences")
        named = {one.number: (labels or {}).get(one.number, one.id) for one in candidates}
        llms = [self.llm_of(one.changes) for one in candidates]
        specs = [self.mode_of(one, named[one.number], trial=trial) for one in candidates]
        written = {(llm.label, named[one.number]) for one, llm in zip(candidates, llms, strict=True)}
        return with_modes(self.plan, specs, list({part.label: part for part in llms}.values()), written)

    def with_prompts(self, plan: Plan, prompts: Iterable[Prompt]) -> Plan:
        """Let a plan take some prompts only, in the order of their tasks."""
        chosen = {(prompt.task, prompt.id) for prompt in prompts}
        plan.prompts = {
            task.name: tuple(prompt for prompt in task.prompts if (task.name, prompt.id) in chosen)
            for task in plan.tasks
        }
        return plan


def _text(value: JSON) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def options_text(options: Mapping[str, str]) -> str:
    """Return options as they are typed in a spec, quoted where they have to be."""
    plain = re.compile(r"[\w.+-]+", re.ASCII)
    return ",".join(
        f"{name}={value}" if plain.fullmatch(value) else write_spec("x", {name: value}).removeprefix("x,")
        for name, value in options.items()
    )
