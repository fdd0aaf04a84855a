"""Which samples of a run are audited, and what identifies them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from popbench.keys import digest
from popbench.records import Prompt, Sample
from popbench.tasks import spread


def select(samples: Iterable[Sample], limit: int | None) -> list[Sample]:
    """Take the samples that are ok, of `limit` prompts per task, chosen among the run's as `eval --limit` does.

    What can be read again, as a file, is read twice and not held.
    """
    samples = list(samples) if isinstance(samples, Iterator) else samples
    prompts: dict[str, dict[str, Prompt]] = {}
    for sample in samples:
        of_task = prompts.setdefault(sample.task, {})
        of_task.setdefault(sample.prompt_id, Prompt(sample.prompt_id, sample.prompt, sample.category, sample.task))
    chosen = {
        (prompt.task, prompt.id) for of_task in prompts.values() for prompt in spread(list(of_task.values()), limit)
    }
    return [
        sample
        for sample in samples
        if sample.status == "ok" and sample.video is not None and (sample.task, sample.prompt_id) in chosen
    ]


def content(samples: Sequence[Sample], predictor: str) -> str:
    """Digest what an audit of a predictor depends on: whose samples they are, their titles, videos and scores."""
    rows = [
        [
            sample.system, sample.task, sample.prompt_id, sample.repeat, sample.title, sample.video_sha256,
            sample.scores.get(predictor),
        ]
        for sample in samples
    ]  # fmt: skip
    return digest("audit", sorted(rows, key=lambda row: row[:4]))


def prompts_of(samples: Iterable[Sample]) -> list[tuple[str, str]]:
    """Return the prompts of samples as (task, prompt id), each once."""
    return list(dict.fromkeys((sample.task, sample.prompt_id) for sample in samples))
