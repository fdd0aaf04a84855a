"""Where a model's files are, and which ones exactly: a folder's contents, or a commit of the hub.

No weights are read here beyond a sample of their bytes, and the hub is asked once, for a few seconds at most.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from popbench_transformers.files import complete, folder_problem, read_json, weight_files

_COMMIT = re.compile(r"[0-9a-f]{40}")
_TEXTS = {".json", ".jinja", ".txt", ".model", ".py", ".tiktoken"}
_WHOLE = 8 * 2**20
"""Weight files up to this size are hashed whole; of larger ones, blocks spread over the file."""
_WHOLE_TEXT = 64 * 2**20
"""The same for texts: no tokenizer is larger, but data left in the folder may be."""
_SETTINGS = re.compile(
    r".+\.jinja|(.+_)?config\.json|chat_template\.json|(tokenizer|vocab|merges)\b.*|(added|special)_tokens.*\.json|.+\.model"
)
"""What counts in sub-folders: transformers reads `additional_chat_templates/default.jinja` before the main template."""
_BLOCKS, _BLOCK = 64, 4096
_PATIENCE = 3.0


class Weights:
    """The files that `model` and `revision` stand for. What was found out is kept for the life of the object."""

    def __init__(self, model: str, revision: str | None) -> None:
        self.model = model
        self.revision = revision
        self._path = Path(os.path.expanduser(model))  # noqa: PTH111 - Path's own raises where there is no such user
        self.local = self._path.is_dir() or model.startswith((".", "/", "~")) or model.count("/") > 1

    @cached_property
    def folder(self) -> Path | None:
        """The folder to load from: a local model's, or the hub cache's where it holds the whole model."""
        if self.local:
            return self._path.resolve() if self._path.is_dir() else None
        cached = self._cached
        return cached if cached is not None and complete(cached) else None

    @cached_property
    def commit(self) -> str | None:
        """The commit of a hub model: as given, else the cached one, else what the hub says; None if unknown."""
        if self.local:
            return None
        if self.revision is not None and _COMMIT.fullmatch(self.revision):
            return self.revision
        return self._cached.name if self._cached is not None else self._answer[0]

    @cached_property
    def identity(self) -> str | None:
        """What results depend on: the commit of a hub model, a hash of a folder's files; None if not to be had."""
        if not self.local:
            return self.commit
        return None if self.folder is None else folder_digest(self.folder)

    def changed(self) -> bool:
        """Whether a folder's files are no longer those of `identity`. What the hub's cache holds does not change."""
        if not self.local or self.folder is None:
            return False
        known = self.identity
        return folder_digest(self.folder) != known

    @cached_property
    def problem(self) -> str | None:
        """Why the model cannot be loaded, and what to do about it, in one line."""
        if self.local:
            if self.folder is None:
                return f"model {self.model}: there is no such folder; give the folder of a model, or a hub id"
            found = folder_problem(self.folder)
            if found is not None:
                return f"model {self.model}: {found}"
            if self.revision is not None:
                return f"model {self.model}: revision={self.revision} is for hub models; leave it out for a folder"
            return None
        if self.folder is None:
            return self._answer[1]
        found = folder_problem(self.folder)
        return None if found is None else f"model {self.model}: in {self.folder}, {found}"

    @property
    def config(self) -> dict[str, Any]:
        """config.json, where it is on this machine; else empty."""
        folder = self.folder or (None if self.local else self._cached)
        return {} if folder is None else read_json(folder / "config.json")

    @cached_property
    def stored_bytes(self) -> int | None:
        """The size of the weight files on this machine, None where they are not here."""
        if self.folder is None:
            return None
        return sum(file.stat().st_size for file in weight_files(self.folder)) or None

    @cached_property
    def _cached(self) -> Path | None:
        """The folder of this revision in the hub's cache, whole or not."""
        import huggingface_hub

        try:
            found = huggingface_hub.try_to_load_from_cache(self.model, "config.json", revision=self.revision)
        except ValueError:  # not a name that a hub model can have
            return None
        return Path(found).parent if isinstance(found, str) else None

    @cached_property
    def _answer(self) -> tuple[str | None, str | None]:
        """Ask the hub; return the commit and what stands against loading from it."""
        from huggingface_hub import constants

        offline = constants.HF_HUB_OFFLINE
        found: list[tuple[str | None, str | None]] = []
        if not offline:
            asking = threading.Thread(target=lambda: found.append(_ask(self.model, self.revision)), daemon=True)
            asking.start()
            asking.join(_PATIENCE)
        if found:
            return found[0]
        why = "HF_HUB_OFFLINE is set" if offline else "the hub cannot be reached"
        what = self.model if self.revision is None else f"{self.model} --revision {self.revision}"
        return None, (
            f"model {self.model}: there is no folder {self.model} here; as a hub id: not complete in the local cache, "
            f"and {why}: run `hf download {what}` where there is a connection "
            "(a gated model needs its licence accepted and HF_TOKEN set), or give a folder"
        )


def _ask(model: str, revision: str | None) -> tuple[str | None, str | None]:
    import huggingface_hub
    from huggingface_hub import errors

    page = f"https://huggingface.co/{model}"
    try:
        url = huggingface_hub.hf_hub_url(model, "config.json", revision=revision)
        return huggingface_hub.get_hf_file_metadata(url, timeout=_PATIENCE).commit_hash, None
    except errors.GatedRepoError:
        return None, f"model {model}: gated: accept its licence at {page} and set HF_TOKEN to a token of that account"
    except errors.RevisionNotFoundError:
        return None, f"model {model}: it has no revision {revision!r}; see {page}/commits"
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        return None, (
            f"model {model}: there is no folder {model} here, nor such a model on the hub: check the path or the id, "
            "or set HF_TOKEN to a token that may see it"
        )
    except errors.EntryNotFoundError:
        return None, f"model {model}: it holds no config.json, so it is no transformers model"
    except Exception as error:  # whatever the connection may raise
        what = " ".join(str(error).split())[:200] or type(error).__name__
        return None, (
            f"model {model}: there is no folder {model} here, and the hub cannot be reached ({what}): run "
            f"`hf download {model}` first"
        )


def folder_digest(folder: Path) -> str:
    """Hash what a model's folder holds: texts whole, large files by name, size and a sample of their bytes.

    It takes milliseconds for any size. A change of a few bytes in a large weight file may go unseen; another
    training, conversion or quantization of the model does not.
    """
    found = hashlib.sha256()
    weights = set(weight_files(folder))
    texts = [file for file in folder.iterdir() if file.suffix in _TEXTS]
    for file in sorted({*weights, *texts, *_below(folder)}):
        if not file.is_file():
            continue
        size = file.stat().st_size
        found.update(f"{file.relative_to(folder).as_posix()}\0{size}\0".encode("utf-8", "surrogateescape"))
        with file.open("rb") as data:
            if size <= (_WHOLE if file in weights else _WHOLE_TEXT):
                found.update(data.read())
                continue
            for block in range(_BLOCKS):
                data.seek((size - _BLOCK) * block // (_BLOCKS - 1), os.SEEK_SET)
                found.update(data.read(_BLOCK))
    return found.hexdigest()[:32]


def _below(folder: Path) -> Iterator[Path]:
    """Yield the templates, configurations and tokenizers in sub-folders, which may be read too; not in hidden ones."""
    for child in folder.iterdir():
        if child.is_dir() and not child.name.startswith("."):
            with suppress(OSError):  # what cannot be listed here cannot be loaded either
                yield from (file for file in child.iterdir() if _SETTINGS.fullmatch(file.name))


def file_digest(path: str) -> str | None:
    """Hash a file's content; None where it cannot be read."""
    try:
        return hashlib.sha256(Path(path).expanduser().read_bytes()).hexdigest()[:32]
    except OSError:
        return None
