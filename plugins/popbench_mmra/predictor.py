"""The predictor `mmra`: titled videos in, popularity out, by a model that was trained or imported before."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import pydantic

import popbench
from popbench.errors import UsageError
from popbench.local import GIB, device_problem, gpu_count, peak_memory, release_memory, user_path
from popbench.specs import make_label
from popbench_mmra import folder as folders
from popbench_mmra.card_text import quality
from popbench_mmra.encoders import ROLES, VERSION, Encoder, find_encoders, misfit
from popbench_mmra.features import Extractor, Features, Item
from popbench_mmra.settings import DEVICE, Machine, Precision, caption_precision, pick_device

if TYPE_CHECKING:
    from pathlib import Path

    from popbench_mmra.folder import Card, Trained

WAYS = (
    "it needs a trained model: --predictor mmra,path=FOLDER (as `predictor` in popbench.toml it is the default)",
    "to train one: popbench predictor train --corpus microlens,path=DIR --videos DIR --out FOLDER",
    "to take over a released one: popbench predictor import CHECKPOINT.pth --corpus microlens,path=DIR --videos DIR "
    "--out FOLDER (--bank FILE stands for corpus and videos)",
)
"""What is told where no model is named."""


class MMRAOptions(popbench.Options):
    """Which trained model, where its encoders are on this machine, and how it runs."""

    path: str | None = pydantic.Field(None, min_length=1, description="the folder that train or import wrote")
    visual: str | None = popbench.runtime(None, min_length=1, description="the encoder of frames, where it lies here")
    textual: str | None = popbench.runtime(None, min_length=1, description="the encoder of titles")
    captioner: str | None = popbench.runtime(None, min_length=1, description="the model that captions frames")
    retriever: str | None = popbench.runtime(None, min_length=1, description="the encoder that finds similar videos")
    precision: Precision = pydantic.Field("auto", description="of the captioner; auto: float16 on CUDA")
    batch_size: Literal["auto"] | Annotated[int, pydantic.Field(ge=1, le=1024)] = pydantic.Field(
        "auto", description="videos encoded together"
    )
    device: str = popbench.runtime("auto", pattern=DEVICE)
    workers: int | None = popbench.runtime(None, ge=1, description="threads that decode videos")


class MMRAPredictor(popbench.Predictor):
    """Predicts popularity as the paper does, from frames, title and similar videos: path=FOLDER of a trained model."""

    Options: ClassVar[type[popbench.Options]] = MMRAOptions
    version = "1"
    unit = "comments"

    def __init__(self, options: popbench.Options | None = None) -> None:
        super().__init__(options)
        self._trained: Trained | None = None
        self._extractor: Extractor | None = None
        if self._card is not None:
            self.unit = str(self._card["target"])
            self.note = quality(self._card)

    @cached_property
    def _folder(self) -> Path | None:
        return None if self.options.path is None else user_path(self.options.path)

    @cached_property
    def _card(self) -> Card | None:
        """The model's card; None where there is none to be read: `check` tells."""
        try:
            return None if self._folder is None else folders.read_card(self._folder)
        except UsageError:
            return None

    @cached_property
    def _encoders(self) -> dict[str, Encoder]:
        """The encoders that the options name, else those the model was trained with, wherever they were then."""
        return find_encoders({name: getattr(self.options, name) for name in ROLES}, self._card)

    def label(self) -> str | None:
        """Name the model by its folder."""
        if self._folder is None:
            return None
        named = {} if self._folder.name == "mmra" else {"path": self._folder.name}
        set_ = {name: getattr(self.options, name) for name in ("precision", "batch_size")}
        return make_label("mmra", {**named, **{name: value for name, value in set_.items() if value != "auto"}})

    def fingerprint(self) -> Mapping[str, popbench.JSON]:
        """Say what the model, its bank and its encoders are, wherever they lie."""
        options = {name: value for name, value in self.options.determining().items() if name != "path"}
        found = {**super().fingerprint(), "options": options, "model": None}
        if self._card is None:
            return found
        return {
            **found,
            "captions": caption_precision(self.options.precision, pick_device(self.options.device)),
            "model": self._card["model"],
            "files": {name: of["sha256"] for name, of in self._card["files"].items()},
            "encoders": {
                name: encoder.known or encoder.digest or encoder.commit for name, encoder in self._encoders.items()
            },
            "encoding": VERSION,
        }

    def trained_on(self) -> list[str]:
        """Name the parts whose popularity it has seen, as its card does."""
        return [] if self._card is None else [str(part) for part in self._card["trained_on"]]

    def check(self) -> list[str]:
        """List what is missing: the model, an encoder, the device."""
        if self._folder is None:
            return list(WAYS)
        wrong = folders.problem(self._folder)
        if wrong is not None:
            return [wrong]
        found = [encoder.problem for encoder in self._encoders.values() if encoder.problem is not None]
        if not found and self._card is not None:
            dim = int(self._card["model"]["feature_dim"])
            wrong = misfit(self._encoders, {"visual": dim, "textual": dim})
            found += [wrong] if wrong is not None else []
        if self.options.device not in ("auto", "cpu"):
            lacking = device_problem(self.options.device)
            found += [lacking] if lacking is not None else []
        return found

    def needs(self) -> popbench.Needs:
        """Ask for one GPU where there is any, and for the memory of all weights in float32."""
        stored = sum(encoder.weights.stored_bytes or 0 for encoder in self._encoders.values())
        return popbench.Needs(gpus=min(1, gpu_count(self.options.device)), memory_gb=round(1.5 * stored / GIB, 1))

    def close(self) -> None:
        """Free the models; the next score loads them again."""
        if self._extractor is not None:
            self._extractor.close()
        if self._trained is not None or self._extractor is not None:
            self._trained = self._extractor = None
            release_memory()

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        """Score items in batches, in their order; a video that cannot be read fails alone.

        Raises ComponentError where the model cannot be loaded or memory is short.
        """
        try:
            yield from self._scores(items)
        except UsageError as error:  # what check() could not see
            raise popbench.ComponentError(str(error)) from error

    def _scores(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        trained, extractor = self._load()
        source = extractor.groups(Item(item.id, item.title, item.path) for item in items)
        gpus = [extractor.device.index or 0] if extractor.device.type == "cuda" else []
        with closing(source) as groups, peak_memory(gpus) as peak:
            while True:
                start, loaded = time.perf_counter(), extractor.loading_seconds
                group = next(groups, None)
                if group is None:
                    return
                readable = [found for _, found in group if isinstance(found, Features)]
                predicted = iter(self._predict(trained, extractor, readable))
                loading = extractor.loading_seconds - loaded
                seconds = max(time.perf_counter() - start - loading, 0.0) / len(group)
                for item, found in group:
                    if isinstance(found, str):
                        yield popbench.Failure(item.id, found, seconds=seconds)
                    else:
                        yield _answer(item, *next(predicted), seconds, peak.mb)

    def _load(self) -> tuple[Trained, Extractor]:
        if self._trained is None or self._extractor is None:
            for line in self.check():
                raise UsageError(line)
            assert self._folder is not None
            trained = folders.load(self._folder)
            given = self.options
            machine = Machine(given.device, given.precision, given.batch_size, given.workers)
            self._extractor = Extractor(self._encoders, trained.model.frames, machine)
            trained.model.to(self._extractor.device)
            self._trained = trained
        return self._trained, self._extractor

    def _predict(
        self, trained: Trained, extractor: Extractor, found: Sequence[Features]
    ) -> list[tuple[float, dict[str, float]]]:
        """Return log2 popularity and novelty of each."""
        from popbench_mmra.prediction import predict

        return predict(trained, found, extractor.batch, extractor.device)


def _answer(
    item: Item, log2: float, novelty: Mapping[str, float], seconds: float, peak: float | None
) -> popbench.Score | popbench.Failure:
    if not -1000 < log2 < 1000:  # also NaN; no float has such a power of 2
        return popbench.Failure(
            item.id, f"the model predicts 2 ** {log2:g}: it is not fit for this video", seconds=seconds
        )
    notes = () if item.title.strip() else ("scored without a title",)
    extra = {"log2": log2, "novelty": dict(novelty)}
    return popbench.Score(item.id, 2.0**log2, extra, seconds=seconds, peak_memory_mb=peak, notes=notes)
