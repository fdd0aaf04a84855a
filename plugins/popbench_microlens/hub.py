"""Reads data sets of the Hugging Face hub: finds the commit, downloads it, and yields its rows.

A commit is downloaded once, as by `hf download`, and later read from the hub's cache, so that rows cannot change during
a run, and a machine without a connection reads the same ones. The hub is asked once, for a few seconds at most.
"""

from __future__ import annotations

import logging
import re
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from popbench.errors import UsageError, one_line, unknown
from popbench.local import check_card, plain_places, quiet
from popbench.tables import label_of

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHARD = re.compile(r"(.*?)-(\d{5})-of-(\d{5})(.*)")
_FORMATS = (".parquet", ".csv", ".tsv", ".json", ".jsonl", ".arrow", ".gz", ".zst")
_HUB_SECONDS = 3.0
"""Seconds for the hub to answer."""


class HubData:
    """One split of a hub data set. The hub's answer is kept for the life of the object.

    `alternative` ends messages about missing data: it says what else the user can give.
    """

    def __init__(self, name: str, revision: str | None, split: str, alternative: str) -> None:
        self.name = name
        self.revision = revision
        self.split = split
        self._alternative = alternative
        self._columns: list[str] | None = None

    @property
    def folder(self) -> Path | None:
        """Return the folder of the revision in the hub's cache; None if its data are incomplete."""
        import huggingface_hub

        try:
            folder = Path(
                huggingface_hub.snapshot_download(
                    self.name, repo_type="dataset", revision=self.revision, local_files_only=True
                )
            )
        except (OSError, ValueError):  # OSError: missing; ValueError: no valid name
            return None
        return folder if _is_complete(folder) else None

    @cached_property
    def commit(self) -> str | None:
        """Return the commit: as given, else the cached one, else the hub's current one; None if unknown."""
        if self.revision is not None and _COMMIT.fullmatch(self.revision):
            return self.revision
        return self.folder.name if self.folder is not None else self._answer[0]

    @property
    def problem(self) -> str | None:
        """Return in one line why the data set cannot be read, and what to do; None if it can."""
        return None if self.folder is not None else self._answer[1]

    def rows(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the named columns of every row, in the data set's order; raises UsageError for a missing column.

        Class labels are their names.
        """
        folder = self._downloaded()
        with self._usage_errors(), tempfile.TemporaryDirectory() as cache:
            data = self._open(folder, cache)
            for column in columns:
                if column not in data.column_names:
                    raise unknown(f"column of hub data set {self.name}", column, data.column_names)
            labels = {name: getattr((data.features or {}).get(name), "names", None) for name in columns}
            for row in data.select_columns(list(columns)):
                yield {
                    name: label_of(value, names) if (names := labels[name]) else value for name, value in row.items()
                }

    @property
    def columns(self) -> list[str] | None:
        """Return the names of the columns; None if the data set is not on this machine yet."""
        if self._columns is None and self.folder is not None:
            with self._usage_errors(), tempfile.TemporaryDirectory() as cache:
                self._columns = list(self._open(self.folder, cache).column_names)
        return self._columns

    def _open(self, folder: Path, cache: str) -> Any:
        import datasets

        arguments: dict[str, Any] = {"path": str(folder), "split": self.split, "cache_dir": cache}
        check_card(folder)
        with _quiet(), plain_places():
            try:
                # Texts are converted first, so that a column has one type throughout and files are closed.
                return datasets.load_dataset(
                    **arguments, streaming=all(name.endswith(".parquet") for name in _data_files(folder))
                )
            except ValueError as error:
                if "split" in str(error):
                    raise UsageError(f"hub data set {self.name}: split={self.split}: {one_line(str(error))}") from error
                raise

    @contextmanager
    def _usage_errors(self) -> Iterator[None]:
        """Raise UsageError, in one line, for whatever `datasets` raises."""
        try:
            yield
        except UsageError:
            raise
        except Exception as error:  # errors of the library and of the formats have no common base class
            cause = one_line(error.__cause__ or error, 200)
            raise UsageError(f"hub data set {self.name} cannot be read: {cause}; {self._alternative}") from error

    def _downloaded(self) -> Path:
        """Return the folder of the commit in the hub's cache; download it if it is missing."""
        commit, folder = self.commit, self.folder
        if folder is None:
            if self.problem is not None:
                raise UsageError(self.problem)
            import huggingface_hub

            wanted = ["*.md", *(f"*{suffix}" for suffix in _FORMATS)]
            with self._usage_errors(), _quiet():
                # by the requested name, so that the cache links it to the commit
                folder_name = huggingface_hub.snapshot_download(
                    self.name, repo_type="dataset", revision=self.revision, allow_patterns=wanted
                )
            folder = Path(folder_name)
            if not _is_complete(folder):
                missing = f"no data files ({', '.join(_FORMATS)})"
                raise UsageError(f"hub data set {self.name} holds {missing}; {self._alternative}")
        if folder.name != commit:
            raise UsageError(f"hub data set {self.name} changed since the run was planned: run the same command again")
        return folder

    @cached_property
    def _answer(self) -> tuple[str | None, str | None]:
        """Ask the hub; return the commit, and a problem that prevents reading it."""
        from huggingface_hub import constants

        offline = constants.HF_HUB_OFFLINE
        answers: list[tuple[str | None, str | None]] = []
        if not offline:
            thread = threading.Thread(target=lambda: answers.append(self._ask()), daemon=True)
            thread.start()
            thread.join(_HUB_SECONDS)
        if answers:
            return answers[0]
        return None, self._unreachable("HF_HUB_OFFLINE is set" if offline else "the hub cannot be reached")

    def _ask(self) -> tuple[str | None, str | None]:
        import huggingface_hub
        from huggingface_hub import errors

        name, page = f"hub data set {self.name}", f"https://huggingface.co/datasets/{self.name}"
        try:
            commit = huggingface_hub.HfApi().dataset_info(self.name, revision=self.revision, timeout=_HUB_SECONDS).sha
            if commit is not None or _COMMIT.fullmatch(self.revision or ""):
                return commit, None
            # without the commit, the rows behind the results would be unknown
            return None, f"{name}: the hub (a mirror or a proxy?) does not say its commit: give revision=COMMIT"
        except errors.GatedRepoError:
            return None, f"{name}: gated: accept its terms at {page} and set HF_TOKEN to a token of that account"
        except errors.RevisionNotFoundError:
            return None, f"{name}: it has no revision {self.revision!r}; see {page}/commits"
        except (errors.RepositoryNotFoundError, errors.HFValidationError):
            return (
                None,
                f"{name}: the hub has no such data set, or HF_TOKEN is no token that may see it; {self._alternative}",
            )
        except Exception as error:  # connections raise errors of any kind
            return None, self._unreachable(f"the hub cannot be reached ({one_line(error, 200)})")

    def _unreachable(self, why: str) -> str:
        command = f"hf download --repo-type dataset {self.name}"
        command += "" if self.revision is None else f" --revision {self.revision}"
        return (
            f"hub data set {self.name}: not complete in the local cache, and {why}: run `{command}` where there is a "
            f"connection, or {self._alternative}"
        )


def _is_complete(folder: Path) -> bool:
    """Return whether a folder of the hub's cache has data files, with all shards if their names give the number."""
    names = _data_files(folder)
    for name in names:
        match = _SHARD.fullmatch(name)
        if match is not None:
            stem, _, total, end = match.groups()
            if any(f"{stem}-{number:05}-of-{total}{end}" not in names for number in range(int(total))):
                return False
    return bool(names)


def _data_files(folder: Path) -> set[str]:
    """Return the names of data files in a folder of the hub's cache, which holds files whole or not at all."""
    files = [path for path in folder.rglob("*") if path.suffix in _FORMATS and path.name != "dataset_infos.json"]
    return {path.relative_to(folder).as_posix() for path in files if path.is_file()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence progress bars and the hub's warnings."""
    import huggingface_hub.utils

    bars: Any = huggingface_hub.utils  # it exports them at run time only
    hub = logging.getLogger("huggingface_hub")
    level, shown = hub.level, not bars.are_progress_bars_disabled()
    hub.setLevel(logging.ERROR)
    bars.disable_progress_bars()
    try:
        with quiet("datasets"):
            yield
    finally:
        hub.setLevel(level)
        if shown:
            bars.enable_progress_bars()
