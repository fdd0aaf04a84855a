"""A judge of clips behind a chat API: options, checks, fingerprint and costs. `judging` asks it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import popbench
from popbench import JSON
from popbench.specs import make_label
from popbench_openai.endpoint import Endpoint
from popbench_openai.judge_options import JudgeOptions
from popbench_openai.marks import answer_form
from popbench_openai.options import ChatOptions
from popbench_openai.servers import key_kept, refuse_options

_RESERVED = {"model", "messages", "stream", "n", "response_format", "seed"}
_UNLABELLED = ("model", "base_url", "provider")
_SEEN = ("title", "prompt", "video_prompt", "category", "task", "extra")
"""What a rubric may show of a sample, besides its frames."""
_GIVEN = ("frames", "seconds", "criteria")
_RUBRIC = Path(__file__).with_name("rubric.jinja")
_CHARS_PER_TOKEN, _CHARS_OF_VALUES, _OUTPUT_TOKENS = 3, 1500, 500
"""For estimates: characters of a token, of title and prompt together, and tokens of an answer without `max_tokens`."""


class Judge(Endpoint, popbench.Predictor):
    """Any vision-language model, for marks from 0 to 10: model=ID.

    Other servers than OpenAI's are named by base_url=URL.
    """

    version = "1"
    unit = "points"
    scale = "real"

    Options = JudgeOptions

    def __init__(self, options: JudgeOptions | None = None) -> None:
        """Read the rubric, and refuse options that would record a secret. The messages do not repeat it."""
        super().__init__(options)
        given: JudgeOptions = self.options
        refuse_options("predictor", self.called, given, given.extra_body, _RESERVED)
        self._rubric = popbench.TextTemplate(given.rubric or _RUBRIC, (*_SEEN, *_GIVEN))
        if given.criteria and "criteria" not in self._rubric.used:
            raise popbench.UsageError(
                f"{self._rubric.path}: names no criteria, so that the judge would not know them: add a loop over "
                "criteria ({% for one in criteria %}{{ one.name }}: {{ one.question }}{% endfor %}), or set criteria={}"
            )
        self.uses = frozenset({"video", *self._rubric.used} - {*_GIVEN})
        self.repeatable = given.seed
        self.note = f"{given.model} is shown {given.frames} frames of each clip, without sound"

    @property
    def called(self) -> str:
        """Return what messages call it."""
        return f"judge with model={self.options.model}"

    @property
    def asked(self) -> ChatOptions:
        """Return the options that requests are made with."""
        options: JudgeOptions = self.options
        return options.of_chat

    def retired(self) -> str:
        """Return that the provider has retired the model; empty if it has not."""
        known = self.known
        if known is None or not known.retired:
            return ""
        return f"{known.provider.name} retired {known.id} on {known.ends}: choose another model="

    def label(self) -> str | None:
        """Return `judge` with the model's id and the options that differ from the defaults; criteria by their names."""
        defaults = type(self.options).model_fields
        told = {
            name: value
            for name, value in self.options.determining().items()
            if name not in _UNLABELLED and value != defaults[name].default
        }
        if "criteria" in told:
            told["criteria"] = "+".join(sorted(self.options.criteria)) or "none"
        return make_label("judge", {"model": self.options.model, **told})

    def fingerprint(self) -> Mapping[str, JSON]:
        """Add the server and the rubric's text, whatever its file is called."""
        own = ("base_url", "provider", "rubric")
        options = {name: value for name, value in self.options.determining().items() if name not in own}
        base = super().fingerprint()
        return {**base, "options": options, "server": self.server, "rubric": self._rubric.fingerprint}

    def text(self, item: popbench.ScoreRequest, order: Sequence[str], seconds: float) -> str:
        """Return what the judge is told about a clip, with the criteria in an order; raises UsageError."""
        options: JudgeOptions = self.options
        seen = {name: getattr(item, name) for name in _SEEN}
        criteria = [{"name": name, "question": options.criteria[name]} for name in order]
        told = self._rubric.render(**seen, frames=options.frames, seconds=seconds, criteria=criteria)
        return f"{told}\n\n{answer_form(order)}"

    def estimate(self, requests: int) -> float | None:
        """Return the cost of all draws by `tokens_per_frame`, without further tries; None without prices."""
        options: JudgeOptions = self.options
        if options.price_in is None or options.price_out is None:
            return None
        questions = sum(map(len, options.criteria.values()))
        text = (len(self._rubric.source) + questions + _CHARS_OF_VALUES) / _CHARS_PER_TOKEN
        tokens_in = text + options.frames * options.tokens_per_frame
        tokens_out = options.max_tokens or _OUTPUT_TOKENS
        return requests * options.draws * (tokens_in * options.price_in + tokens_out * options.price_out) / 1e6

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        """Judge up to `concurrency` clips at once, and yield scores as they come."""
        from popbench_openai.judging import Judging

        with key_kept(self.key):
            yield from popbench.concurrently(items, Judging(self, self.text), limit=self.options.concurrency)
