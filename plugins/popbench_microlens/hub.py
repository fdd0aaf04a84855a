"""Data sets of the Hugging Face hub: which commit, whether it is on this machine, and its rows one by one.

A commit is downloaded once, as `hf download` does it, and read from the hub's cache from then on: rows cannot change
under a run, and a machine without a connection reads the same ones. The hub is asked once, for a few seconds at most.
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

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHARD = re.compile(r"(.*?)-(\d{5})-of-(\d{5})(.*)")
_FORMATS = (".parquet", ".csv", ".tsv", ".json", ".jsonl", ".arrow", ".gz", ".zst")
_PATIENCE = 3.0
"""Seconds for the hub to answer."""


class HubData:
    """One split of a hub data set. What was found out is kept for the life of the object.

    `instead` ends the line that says the data are not to be had: what else a user can give.
    """

    def __init__(self, name: str, revision: str | None, split: str, instead: str) -> None:
        self.name = name
        self.revision = revision
        self.split = split
        self._instead = instead
        self._columns: list[str] | None = None

    @property
    def folder(self) -> Path | None:
        """The folder of the revision in the hub's cache, where it holds data that are whole."""
        import huggingface_hub

        try:
            found = Path(
                huggingface_hub.snapshot_download(
                    self.name, repo_type="dataset", revision=self.revision, local_files_only=True
                )
            )
        except (OSError, ValueError):  # not there; not a name that a data set can have
            return None
        return found if _whole(found) else None

    @cached_property
    def commit(self) -> str | None:
        """The commit: as given, else the cached one, else what the hub says; None if unknown."""
        if self.revision is not None and _COMMIT.fullmatch(self.revision):
            return self.revision
        return self.folder.name if self.folder is not None else self._answer[0]

    @property
    def problem(self) -> str | None:
        """Why the data set cannot be read, and what to do about it, in one line."""
        return None if self.folder is not None else self._answer[1]

    def rows(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the named columns of every row, in the order of the data set; a column it lacks is an error."""
        folder = self._downloaded()
        with self._told(), tempfile.TemporaryDirectory() as cache:
            data = self._open(folder, cache)
            for column in columns:
                if column not in data.column_names:
                    raise unknown(f"column of hub data set {self.name}", column, data.column_names)
            yield from data.select_columns(list(columns))

    @property
    def columns(self) -> list[str] | None:
        """The names of the columns; None where the data set is not on this machine yet."""
        if self._columns is None and self.folder is not None:
            with self._told(), tempfile.TemporaryDirectory() as cache:
                self._columns = list(self._open(self.folder, cache).column_names)
        return self._columns

    def _open(self, folder: Path, cache: str) -> Any:
        import datasets

        what: dict[str, Any] = {"path": str(folder), "split": self.split, "cache_dir": cache}
        check_card(folder)
        with _silent(), plain_places():
            try:
                # Texts are converted first, so that a column has one type throughout and files are closed.
                return datasets.load_dataset(**what, streaming=all(name.endswith(".parquet") for name in _data(folder)))
            except ValueError as error:
                if "split" in str(error):
                    raise UsageError(f"hub data set {self.name}: split={self.split}: {one_line(str(error))}") from error
                raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn whatever `datasets` raises into one line."""
        try:
            yield
        except UsageError:
            raise
        except Exception as error:  # the library's own errors, and those of every format it reads, share no base
            cause = one_line(error.__cause__ or error, 200)
            raise UsageError(f"hub data set {self.name} cannot be read: {cause}; {self._instead}") from error

    def _downloaded(self) -> Path:
        """Return the folder of the commit in the hub's cache; download it where it is not there."""
        commit, folder = self.commit, self.folder
        if folder is None:
            if self.problem is not None:
                raise UsageError(self.problem)
            import huggingface_hub

            wanted = ["*.md", *(f"*{suffix}" for suffix in _FORMATS)]
            with self._told(), _silent():
                # By the name that was asked for, so that the cache knows the commit by it.
                found = huggingface_hub.snapshot_download(
                    self.name, repo_type="dataset", revision=self.revision, allow_patterns=wanted
                )
            folder = Path(found)
            if not _whole(folder):
                what = f"no data files ({', '.join(_FORMATS)})"
                raise UsageError(f"hub data set {self.name} holds {what}; {self._instead}")
        if folder.name != commit:
            raise UsageError(f"hub data set {self.name} changed since the run was planned: run the same command again")
        return folder

    @cached_property
    def _answer(self) -> tuple[str | None, str | None]:
        """Ask the hub; return the commit and what stands against reading it."""
        from huggingface_hub import constants

        offline = constants.HF_HUB_OFFLINE
        found: list[tuple[str | None, str | None]] = []
        if not offline:
            asking = threading.Thread(target=lambda: found.append(self._ask()), daemon=True)
            asking.start()
            asking.join(_PATIENCE)
        if found:
            return found[0]
        return None, self._unreachable("HF_HUB_OFFLINE is set" if offline else "the hub cannot be reached")

    def _ask(self) -> tuple[str | None, str | None]:
        import huggingface_hub
        from huggingface_hub import errors

        what, page = f"hub data set {self.name}", f"https://huggingface.co/datasets/{self.name}"
        try:
            commit = huggingface_hub.HfApi().dataset_info(self.name, revision=self.revision, timeout=_PATIENCE).sha
            if commit is not None or _COMMIT.fullmatch(self.revision or ""):
                return commit, None
            # without it nobody could say which rows results are of
            return None, f"{what}: the hub (a mirror or a proxy?) does not say its commit: give revision=COMMIT"
        except errors.GatedRepoError:
            return None, f"{what}: gated: accept its terms at {page} and set HF_TOKEN to a token of that account"
        except errors.RevisionNotFoundError:
            return None, f"{what}: it has no revision {self.revision!r}; see {page}/commits"
        except (errors.RepositoryNotFoundError, errors.HFValidationError):
            return (
                None,
                f"{what}: the hub has no such data set, or HF_TOKEN is no token that may see it; {self._instead}",
            )
        except Exception as error:  # whatever the connection may raise
            return None, self._unreachable(f"the hub cannot be reached ({one_line(error, 200)})")

    def _unreachable(self, why: str) -> str:
        command = f"hf download --repo-type dataset {self.name}"
        command += "" if self.revision is None else f" --revision {self.revision}"
        return (
            f"hub data set {self.name}: not complete in the local cache, and {why}: run `{command}` where there is a "
            f"connection, or {self._instead}"
        )


def _whole(folder: Path) -> bool:
    """Whether a folder of the hub's cache holds data files, and every shard of those that say how many there are."""
    names = _data(folder)
    for name in names:
        match = _SHARD.fullmatch(name)
        if match is not None:
            stem, _, total, end = match.groups()
            if any(f"{stem}-{number:05}-of-{total}{end}" not in names for number in range(int(total))):
                return False
    return bool(names)


def _data(folder: Path) -> set[str]:
    """Name the data files of a folder of the hub's cache, which holds a file whole or not at all."""
    files = [path for path in folder.rglob("*") if path.suffix in _FORMATS and path.name != "dataset_infos.json"]
    return {path.relative_to(folder).as_posix() for path in files if path.is_file()}


@contextmanager
def _silent() -> Iterator[None]:
    """Load without progress bars, and with the hub's warnings untold."""
    import huggingface_hub.utils

    bars: Any = huggingface_hub.utils  # which exports them at run time only
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
