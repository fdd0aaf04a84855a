"""The predictor `mmra`: it scores titled videos with a model that was trained or imported before."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import pydantic

import popbench
from popbench.cards import PredictorCard, card_of
from popbench.errors import UsageError
from popbench.local import GIB, device_problem, gpu_count, peak_memory, release_memory, user_path
from popbench.specs import make_label
from popbench_mmra import folder as folders
from popbench_mmra.card_text import quality
from popbench_mmra.encoders import FEATURES_VERSION, ROLES, Encoder, find_encoders, width_mismatch
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
"""What `check` lists if no model is named."""


class MMRAOptions(popbench.Options):
    """The trained model, its encoders on this machine, and how it runs."""

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
    """The paper's predictor: path=FOLDER of a trained model.

    It predicts popularity from frames, title and similar videos.
    """

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
        """Return the model's card; None if it cannot be read, which `check` reports."""
        try:
            return None if self._folder is None else folders.read_card(self._folder)
        except UsageError:
            return None

    @cached_property
    def _encoders(self) -> dict[str, Encoder]:
        """Return the encoders that the options name, else those that the model was trained with."""
        return find_encoders({name: getattr(self.options, name) for name in ROLES}, self._card)

    def label(self) -> str | None:
        """Return a label with the name of the model's folder."""
        if self._folder is None:
            return None
        named = {} if self._folder.name == "mmra" else {"path": self._folder.name}
        set_ = {name: getattr(self.options, name) for name in ("precision", "batch_size")}
        return make_label("mmra", {**named, **{name: value for name, value in set_.items() if value != "auto"}})

    def fingerprint(self) -> Mapping[str, popbench.JSON]:
        """Identify model, bank and encoders by their content: the same files give the same in any folder."""
        options = {name: value for name, value in self.options.determining().items() if name != "path"}
        base = {**super().fingerprint(), "options": options, "model": None}
        if self._card is None:
            return base
        return {
            **base,
            "captions": caption_precision(self.options.precision, pick_device(self.options.device)),
            "model": self._card["model"],
            "files": {name: of["sha256"] for name, of in self._card["files"].items()},
            "encoders": {
                name: encoder.expected_digest or encoder.digest or encoder.commit
                for name, encoder in self._encoders.items()
            },
            "encoding": FEATURES_VERSION,
        }

    def trained_on(self) -> list[str]:
        """Return the parts of corpora that it was trained on, by its card."""
        return [] if self._card is None else [str(part) for part in self._card["trained_on"]]

    def card(self) -> PredictorCard | None:
        """Return what the card in its folder says of real videos."""
        return None if self._card is None else card_of(self._card)

    def check(self) -> list[str]:
        """List what is missing: the model, an encoder, the device."""
        if self._folder is None:
            return list(WAYS)
        wrong = folders.problem(self._folder)
        if wrong is not None:
            return [wrong]
        problems = [encoder.problem for encoder in self._encoders.values() if encoder.problem is not None]
        if not problems and self._card is not None:
            dim = int(self._card["model"]["feature_dim"])
            wrong = width_mismatch(self._encoders, {"visual": dim, "textual": dim})
            problems += [wrong] if wrong is not None else []
        if self.options.device not in ("auto", "cpu"):
            lacking = device_problem(self.options.device)
            problems += [lacking] if lacking is not None else []
        return problems

    def needs(self) -> popbench.Needs:
        """Return one GPU if there is any, and the memory of all weights in float32."""
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

        Raises ComponentError if the model cannot be loaded or memory is short.
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
                readable = [result for _, result in group if isinstance(result, Features)]
                predicted = iter(self._predict(trained, extractor, readable))
                loading = extractor.loading_seconds - loaded
                seconds = max(time.perf_counter() - start - loading, 0.0) / len(group)
                for item, result in group:
                    if isinstance(result, str):
                        yield popbench.Failure(item.id, result, seconds=seconds)
                    else:
                        yield _answer(item, *next(predicted), seconds, peak.mb)

    def _load(self) -> tuple[Trained, Extractor]:
        if self._trained is None or self._extractor is None:
            for line in self.check():
                raise UsageError(line)
            assert self._folder is not None
            trained = folders.load(self._folder)
            options = self.options
            machine = Machine(options.device, options.precision, options.batch_size, options.workers)
            self._extractor = Extractor(self._encoders, trained.model.frames, machine)
            trained.model.to(self._extractor.device)
            self._trained = trained
        return self._trained, self._extractor

    def _predict(
        self, trained: Trained, extractor: Extractor, features: Sequence[Features]
    ) -> list[tuple[float, dict[str, float]]]:
        """Return log2 popularity and novelty of each."""
        from popbench_mmra.prediction import predict

        return predict(trained, features, extractor.batch, extractor.device)


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
