"""The predictor `titles`: it scores titles with a model that was trained before; it never sees a video."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import pydantic

import popbench
from popbench.cards import PredictorCard, card_of
from popbench.errors import UsageError
from popbench.local import user_path
from popbench.specs import make_label
from popbench_mmra.card_text import quality
from popbench_mmra.titles import folder as folders
from popbench_mmra.titles.embedding import embedder_of_card

if TYPE_CHECKING:
    from pathlib import Path

    from popbench_mmra.titles.embedding import TitleEmbedder
    from popbench_mmra.titles.folder import Card
    from popbench_mmra.titles.ridge import Ridge

WAYS = (
    "it needs a trained model: --predictor titles,model=FOLDER",
    "to train one: popbench predictor train titles --corpus table,path=FILE,title=COLUMN,popularity=COLUMN "
    "--out FOLDER",
)
"""What `check` lists if no model is named."""


class TitlesOptions(popbench.Options):
    """The trained model, and its embedder on this machine."""

    model: str | None = pydantic.Field(None, min_length=1, description="the folder that `predictor train titles` wrote")
    embedder: str | None = popbench.runtime(
        None, min_length=1, description="the embedder of titles, where it lies here [the model's own]"
    )


class TitlesPredictor(popbench.Predictor):
    """A title's popularity by ridge regression: model=FOLDER.

    It was trained on anyone's table, and sees no video.
    """

    Options: ClassVar[type[popbench.Options]] = TitlesOptions
    version = "1"
    unit = "comments"
    uses = frozenset({"title"})

    def __init__(self, options: popbench.Options | None = None) -> None:
        super().__init__(options)
        self._trained: Ridge | None = None
        if self._card is not None:
            self.unit = str(self._card["target"])
            self.note = f"it sees titles alone; {quality(self._card)}"
            if self._card.get("demo") is True:
                vars(self)["demo"] = True  # of this instance: the base declares it for classes

    @cached_property
    def _folder(self) -> Path | None:
        return None if self.options.model is None else user_path(self.options.model)

    @cached_property
    def _card(self) -> Card | None:
        """Return the model's card; None if it cannot be read, which `check` reports."""
        try:
            return None if self._folder is None else folders.read_card(self._folder)
        except UsageError:
            return None

    @cached_property
    def _embedder(self) -> TitleEmbedder:
        """Return the embedder that the option names, else that of the card; raises UsageError if it is unknown."""
        assert self._card is not None
        return embedder_of_card(self._card, self.options.embedder)

    def label(self) -> str | None:
        """Return a label with the name of the model's folder."""
        if self._folder is None:
            return None
        return make_label("titles", {} if self._folder.name == "titles" else {"model": self._folder.name})

    def fingerprint(self) -> Mapping[str, popbench.JSON]:
        """Identify model and embedder by their content: the same files give the same in any folder."""
        base = {**super().fingerprint(), "options": {}, "model": None}
        if self._card is None:
            return base
        return {
            **base,
            "model": self._card["files"][folders.WEIGHTS]["sha256"],
            "embedder": self._card["embedder"]["digest"],
        }

    def trained_on(self) -> list[str]:
        """Return the parts of corpora that it was trained on, by its card."""
        return [] if self._card is None else [str(part) for part in self._card["trained_on"]]

    def card(self) -> PredictorCard | None:
        """Return what the card in its folder says of real videos."""
        return None if self._card is None else card_of(self._card)

    def check(self) -> list[str]:
        """List what is missing: the model, or the embedder that it was trained with."""
        if self._folder is None:
            return list(WAYS)
        wrong = folders.problem(self._folder)
        if wrong is not None:
            return [wrong]
        assert self._card is not None
        try:
            return self._embedder.problems(str(self._card["embedder"]["digest"]))
        except UsageError as error:
            return [str(error)]

    def needs(self) -> popbench.Needs:
        """Return what its embedder needs."""
        try:
            return popbench.Needs() if self._card is None else self._embedder.component.needs()
        except UsageError:
            return popbench.Needs()

    def close(self) -> None:
        """Free the models; the next score loads them again."""
        if self._trained is not None:
            self._trained = None
            self._embedder.close()

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        """Score items one by one: in a batch, a vector would depend on the other titles.

        Raises ComponentError if the model cannot be loaded.
        """
        try:
            for item in items:
                start = time.perf_counter()
                if self._trained is None:
                    self._trained = self._load()
                    start = time.perf_counter()
                rows = self._embedder.encode([item.title])
                if rows.shape[1] != len(self._trained.weights):
                    raise UsageError(
                        f"embedder {self._embedder.label}: vectors of {rows.shape[1]} numbers, and the model takes "
                        f"{len(self._trained.weights)}: give the embedder that it was trained with"
                    )
                yield _answer(item, float(self._trained.predict(rows)[0]), time.perf_counter() - start)
        except UsageError as error:  # what check() could not see
            raise popbench.ComponentError(str(error)) from error

    def _load(self) -> Ridge:
        for line in self.check():
            raise UsageError(line)
        assert self._folder is not None
        model, _ = folders.load(self._folder)
        self._embedder.encode([""])  # loads it, so that no title is charged for that
        return model


def _answer(item: popbench.ScoreRequest, log2: float, seconds: float) -> popbench.Score | popbench.Failure:
    if not -1000 < log2 < 1000:  # also NaN; no float has such a power of 2
        return popbench.Failure(
            item.id, f"the model predicts 2 ** {log2:g}: it is not fit for this title", seconds=seconds
        )
    notes = () if item.title.strip() else ("scored without a title",)
    return popbench.Score(item.id, 2.0**log2, {"log2": log2}, seconds=seconds, notes=notes)
