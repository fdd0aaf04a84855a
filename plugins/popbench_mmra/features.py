"""Makes MMRA's features of titled videos, in batches; equal videos and texts are encoded once.

While a batch is encoded, threads decode and scale the frames of the next ones. The encoders run in the thread that
takes the results. Results come in the order of the videos.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from popbench.cache import cache_folder, key_of
from popbench.errors import ComponentError, PopbenchError, UsageError, one_line
from popbench.local import is_out_of_memory
from popbench.video import VideoError, map_frames, sha256
from popbench_mmra.encoders import FEATURES_VERSION
from popbench_mmra.settings import Machine, caption_precision, pick_device
from popbench_mmra.store import Store, space_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from popbench_mmra.encoders import Encoder
    from popbench_mmra.loaded_encoders import LoadedEncoders

_BATCH = {False: 4, True: 16}
"""Videos that are encoded together, by whether CUDA is used."""
_AHEAD = 2
"""Batches that are decoded while one is encoded."""


@dataclass(frozen=True, slots=True)
class Item:
    """A titled video. The caller chooses `id`."""

    id: str
    title: str
    path: Path


@dataclass(frozen=True, slots=True)
class Features:
    """The features of a titled video: visual (F, D), textual (D,), and `vector` (R,), which finds similar videos."""

    visual: NDArray[np.float32]
    textual: NDArray[np.float32]
    vector: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Video:
    """A video's key, with its stored features, or else its frames scaled for both models that take them."""

    key: bytes
    kept: tuple[NDArray[np.float32], list[str]] | None
    pixels: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None


class Extractor:
    """Makes and stores features of videos, from `frames` frames each. Encoders are loaded when one is needed."""

    def __init__(self, encoders: Mapping[str, Encoder], frames: int, machine: Machine) -> None:
        """Choose the device, which imports torch, and open the store; raises RunError if features cannot be stored."""
        import torch

        self.device = torch.device(pick_device(machine.device))
        self.batch = machine.batch_size if machine.batch_size != "auto" else _BATCH[self.device.type == "cuda"]
        self._encoders, self._frames = encoders, frames
        self.captions = caption_precision(machine.precision, self.device.type)
        self._workers = machine.workers or min(os.cpu_count() or 1, 16)
        self._loading = threading.Lock()
        self._loaded: LoadedEncoders | None = None
        self.loading_seconds = 0.0
        # a row's bits do not depend on the other rows of its batch, but on the size of the batch and on the device
        how = (FEATURES_VERSION, self.batch, self.device.type)
        identity = {
            name: encoder.expected_digest or encoder.digest or encoder.commit for name, encoder in encoders.items()
        }
        self._spaces = {
            "visual": space_of("visual", *how, identity["visual"], frames),
            "captions": space_of("captions", *how, identity["captioner"], frames, self.captions),
            "textual": space_of("textual", *how, identity["textual"]),
            "vector": space_of("vector", *how, identity["retriever"]),
        }
        self._store = Store(cache_folder() / "mmra" / "features.sqlite")

    def _encoding(self) -> LoadedEncoders:
        with self._loading:
            if self._loaded is None:
                import torch

                from popbench_mmra.loaded_encoders import LoadedEncoders

                start = time.perf_counter()
                try:
                    self._loaded = LoadedEncoders(
                        self._encoders, self.device, getattr(torch, self.captions), self.batch
                    )
                except PopbenchError:
                    raise
                except Exception as error:  # libraries raise many kinds
                    raise _component_error(error, "the encoders cannot be loaded") from error
                self.loading_seconds += time.perf_counter() - start
            return self._loaded

    def close(self) -> None:
        """Free the encoders' memory and close the file of features."""
        if self._loaded is not None:
            self._loaded.close()
            self._loaded = None
        self._store.close()

    def groups(self, items: Iterable[Item]) -> Generator[list[tuple[Item, Features | str]], None, None]:
        """Yield every item with its features, in order, or with one line if its video cannot be read.

        Videos come in groups of `batch`, whose features are stored together, so that a repeated run forms the same
        groups. Raises RunError if features cannot be stored, UsageError for encoders of other models, and
        ComponentError if they fail or memory is short.
        """
        source = iter(items)
        ahead: deque[tuple[Item, Future[_Video]]] = deque()
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="mmra-decode")
        try:
            while True:
                for item in islice(source, (1 + _AHEAD) * self.batch - len(ahead)):
                    ahead.append((item, pool.submit(self._decode, item.path)))
                if not ahead:
                    return
                group = [ahead.popleft() for _ in range(min(self.batch, len(ahead)))]
                try:
                    results = list(self._features(group))
                except PopbenchError:
                    raise
                except Exception as error:  # of the libraries, which have many kinds
                    raise _component_error(error, "the encoders failed") from error
                yield results
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _decode(self, path: Path) -> _Video:
        """Hash a video and look up its features, or decode it. It runs in a decoding thread."""
        key = key_of(sha256(path))
        kept = self._kept(key)
        if kept is not None:
            return _Video(key, kept, None)
        encoding = self._encoding()
        frames = map_frames(path, self._frames, lambda frame: encoding.prepare(frame[None]))
        if key_of(sha256(path)) != key:
            raise VideoError(f"{path}: the file changed while it was read: run the same command again")
        seen, captioned = zip(*frames, strict=True)
        return _Video(key, None, (np.concatenate(seen), np.concatenate(captioned)))

    def _kept(self, key: bytes) -> tuple[NDArray[np.float32], list[str]] | None:
        visual = self._store.get(self._spaces["visual"], [key]).get(key, b"")
        captions = self._store.get(self._spaces["captions"], [key]).get(key, b"")
        rows, texts = _floats(visual, self._encoders["visual"].width, self._frames), _texts(captions, self._frames)
        return None if rows is None or texts is None else (rows.reshape(self._frames, -1), texts)

    def _features(self, group: Sequence[tuple[Item, Future[_Video]]]) -> Iterator[tuple[Item, Features | str]]:
        problems: dict[int, str] = {}
        seen: dict[int, _Video] = {}
        for index, (item, future) in enumerate(group):
            try:
                seen[index] = future.result()
            except VideoError as error:
                problems[index] = one_line(str(error))
            except OSError as error:
                problems[index] = f"{item.path}: cannot be read ({one_line(error)})"
        visual = self._visual_features(seen.values())
        titles = {index: group[index][0].title for index in seen}
        shown = {index: " ".join([titles[index], *visual[seen[index].key][1]]) for index in seen}
        textual, vectors = self._text_features(list(titles.values()), list(shown.values()))
        for index, (item, _) in enumerate(group):
            if index in problems:
                yield item, problems[index]
            else:
                yield item, Features(visual[seen[index].key][0], textual[titles[index]], vectors[shown[index]])

    def _visual_features(self, seen: Iterable[_Video]) -> dict[bytes, tuple[NDArray[np.float32], list[str]]]:
        """Return visual features and captions by key. New videos are encoded and stored."""
        values = {one.key: one.kept for one in seen if one.kept is not None}
        new = {one.key: one.pixels for one in seen if one.pixels is not None and one.key not in values}
        if new:
            encoding = self._encoding()
            with encoding.computing():
                visual = encoding.visual([pixels[0] for pixels in new.values()])
                captions = encoding.captions([pixels[1] for pixels in new.values()])
            made = dict(zip(new, zip(visual, captions, strict=True), strict=True))
            self._store.put(
                [
                    (self._spaces["visual"], {key: of_key[0].tobytes() for key, of_key in made.items()}),
                    (self._spaces["captions"], {key: json.dumps(of_key[1]).encode() for key, of_key in made.items()}),
                ]
            )
            values |= made
        return values

    def _text_features(
        self, titles: Sequence[str], shown: Sequence[str]
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
        """Return textual features by title and retrieval vectors by text. New texts are encoded and stored."""
        tables, new = [], []
        for kind, role, texts in (("textual", "textual", titles), ("vector", "retriever", shown)):
            keys = {text: key_of(text) for text in dict.fromkeys(texts)}
            kept = self._store.get(self._spaces[kind], list(keys.values()))
            rows_kept = {text: _floats(kept.get(key, b""), self._encoders[role].width) for text, key in keys.items()}
            values = {text: row for text, row in rows_kept.items() if row is not None}
            missing = [text for text in keys if text not in values]
            if missing:
                encoding = self._encoding()
                with encoding.computing():
                    rows = (encoding.textual if kind == "textual" else encoding.retrieval)(missing)
                values |= dict(zip(missing, rows, strict=True))
                new.append((self._spaces[kind], {keys[text]: values[text].tobytes() for text in missing}))
            tables.append(values)
        self._store.put(new)
        return tables[0], tables[1]


def _floats(value: bytes, width: int | None, count: int = 1) -> NDArray[np.float32] | None:
    """Read `count` stored vectors; None if there are none or they are damaged."""
    size = 4 * count * width if width is not None else 4 * count * max(1, len(value) // (4 * count))
    if not value or len(value) != size:
        return None
    vectors = np.frombuffer(value, np.float32)
    return vectors if np.isfinite(vectors).all() else None


def _texts(value: bytes, count: int) -> list[str] | None:
    """Read `count` stored captions; None if there are none or they are damaged."""
    try:
        texts = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return texts if isinstance(texts, list) and len(texts) == count and all(isinstance(x, str) for x in texts) else None


def _component_error(error: Exception, what: str) -> PopbenchError:
    """Return the error for what a library raised, in one line that says what to do."""
    if is_out_of_memory(error):
        return ComponentError("mmra: out of memory: take fewer videos at once, or device=cpu")
    if isinstance(error, OSError | ValueError):
        return UsageError(f"mmra: {what}: {one_line(error, 300)}")
    return ComponentError(f"mmra: {what}: {one_line(error, 300)}")
