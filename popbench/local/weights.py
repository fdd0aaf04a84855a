"""Where a model's files are, and which ones exactly: a folder's contents, or a commit of the hub.

No weights are read here beyond a sample of their bytes, and the hub is asked once, for a few seconds at most.
"""

from __future__ import annotations

import os
import re
import threading
from functools import cached_property
from pathlib import Path
from typing import Any

from popbench.local.files import is_folder, read_json
from popbench.local.layout import Layout, folder_digest

_COMMIT = re.compile(r"[0-9a-f]{40}")
_PATIENCE = 3.0
"""Seconds for the hub to answer."""


class Weights:
    """The files that `model` and `revision` stand for. What was found out is kept for the life of the object."""

    def __init__(self, model: str, revision: str | None, layout: Layout) -> None:
        self.model = model
        self.revision = revision
        self.layout = layout
        self._path = Path(os.path.expanduser(model))  # noqa: PTH111 - Path's own raises where there is no such user
        self.local = is_folder(model) or model.startswith((".", "/", "~")) or model.count("/") > 1

    @cached_property
    def folder(self) -> Path | None:
        """The folder to load from: a local model's, or the hub cache's where it holds the whole model."""
        if self.local:
            return self._path.resolve() if is_folder(self.model) else None
        cached = self._cached
        return cached if cached is not None and self.layout.complete(cached) else None

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
        return None if self.folder is None else folder_digest(self.folder, self.layout)

    def changed(self) -> bool:
        """Whether a folder's files are no longer those of `identity`. What the hub's cache holds does not change."""
        if not self.local or self.folder is None:
            return False
        known = self.identity
        return folder_digest(self.folder, self.layout) != known

    @cached_property
    def problem(self) -> str | None:
        """Why the model cannot be loaded, and what to do about it, in one line."""
        if self.local:
            if self.folder is None:
                return f"model {self.model}: there is no such folder; give the folder of a model, or a hub id"
            found = self._broken(self.folder)
            if found is not None:
                return f"model {self.model}: {found}"
            if self.revision is not None:
                return f"model {self.model}: revision={self.revision} is for hub models; leave it out for a folder"
            return None
        if self.folder is None:
            return self._answer[1]
        found = self._broken(self.folder)
        return None if found is None else f"model {self.model}: in {self.folder}, {found}"

    @property
    def index(self) -> dict[str, Any]:
        """What the layout's index file holds, where it is on this machine; else empty."""
        folder = self.folder or (None if self.local else self._cached)
        return {} if folder is None else read_json(folder / self.layout.index)

    @cached_property
    def stored_bytes(self) -> int | None:
        """The size of the weight files on this machine, None where they are not here."""
        if self.folder is None:
            return None
        return sum(file.stat().st_size for file in self.layout.weights(self.folder)) or None

    def _broken(self, folder: Path) -> str | None:
        """Say in a few words what keeps a folder from being loaded."""
        index, kind = self.layout.index, self.layout.kind
        if not (folder / index).is_file():
            return f"the folder holds no {index}, so it is no {kind}: give the folder of one"
        if not read_json(folder / index):
            return f"its {index} is no JSON object: copy or download that file again"
        return self.layout.problem(folder)

    @cached_property
    def _cached(self) -> Path | None:
        """The folder of this revision in the hub's cache, whole or not."""
        import huggingface_hub

        try:
            found = huggingface_hub.try_to_load_from_cache(self.model, self.layout.index, revision=self.revision)
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
            asking = threading.Thread(
                target=lambda: found.append(_ask(self.model, self.revision, self.layout)), daemon=True
            )
            asking.start()
            asking.join(_PATIENCE)
        if found:
            return found[0]
        why = "HF_HUB_OFFLINE is set" if offline else "the hub cannot be reached"
        what = f"{self.model} {self.layout.download}".strip()
        what += "" if self.revision is None else f" --revision {self.revision}"
        return None, (
            f"model {self.model}: there is no folder {self.model} here; as a hub id: not complete in the local cache, "
            f"and {why}: run `hf download {what}` where there is a connection "
            "(a gated model needs its licence accepted and HF_TOKEN set), or give a folder"
        )


def _ask(model: str, revision: str | None, layout: Layout) -> tuple[str | None, str | None]:
    import huggingface_hub
    from huggingface_hub import errors

    page = f"https://huggingface.co/{model}"
    try:
        url = huggingface_hub.hf_hub_url(model, layout.index, revision=revision)
        commit = huggingface_hub.get_hf_file_metadata(url, timeout=_PATIENCE).commit_hash
        if commit is not None or _COMMIT.fullmatch(revision or ""):
            return commit, None
        # without it nobody could say which weights results are of
        return None, f"model {model}: the hub (a mirror or a proxy?) does not say its commit: give revision=COMMIT"
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
        return None, f"model {model}: it holds no {layout.index}, so it is no {layout.kind}"
    except Exception as error:  # whatever the connection may raise
        what = " ".join(str(error).split())[:200] or type(error).__name__
        return None, (
            f"model {model}: there is no folder {model} here, and the hub cannot be reached ({what}): run "
            f"`{f'hf download {model} {layout.download}'.strip()}` first"
        )
