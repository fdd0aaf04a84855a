"""Finds the files of a model, in a folder or in the hub's cache, and identifies them by a hash or a commit.

No more of the weights is read than a sample of their bytes. The hub is asked once, for a few seconds at most.
"""

from __future__ import annotations

import os
import re
import threading
from functools import cached_property
from pathlib import Path
from typing import Any

from popbench.local.files import is_folder, is_there, read_json
from popbench.local.layout import Layout, folder_digest

_COMMIT = re.compile(r"[0-9a-f]{40}")
_PATIENCE = 3.0
"""Seconds that the hub has to answer."""


class Weights:
    """The files of a model: `model` is a folder, its index file or a hub id, `revision` a branch, tag or commit of it.

    >>> from popbench import local
    >>> layout = local.Layout(
    ...     kind="toy model",
    ...     index="toy.json",
    ...     problem=lambda folder: None,
    ...     complete=lambda folder: True,
    ...     files=lambda folder: [folder / "toy.json"],
    ...     weights=lambda folder: [],
    ... )
    >>> local.Weights("./no-such-folder", None, layout).problem  # for a component's check()
    'model ./no-such-folder: there is no such folder; give the folder of a model, or a hub id'

    Results are cached in the object, so that the hub is asked once.
    """

    def __init__(self, model: str, revision: str | None, layout: Layout) -> None:
        self.model = model
        self.revision = revision
        self.layout = layout
        path = Path(os.path.expanduser(model))  # noqa: PTH111 - Path's own raises where there is no such user
        self._is_file = path.name == layout.index and not is_folder(model)
        self._home = path.parent if self._is_file else path
        self.local = self._is_file or is_there(model) or model.startswith((".", "/", "~")) or model.count("/") > 1

    @cached_property
    def folder(self) -> Path | None:
        """The folder to load from: the given one, or that in the hub's cache if it is complete; else None."""
        if self.local:
            return self._home.resolve() if is_folder(str(self._home)) else None
        cached = self._cached
        return cached if cached is not None and self.layout.complete(cached) else None

    @cached_property
    def commit(self) -> str | None:
        """The commit of a hub model: the given one, else the cached one, else the hub's; None if unknown."""
        if self.local:
            return None
        if self.revision is not None and _COMMIT.fullmatch(self.revision):
            return self.revision
        return self._cached.name if self._cached is not None else self._answer[0]

    @cached_property
    def identity(self) -> str | None:
        """The commit of a hub model, or a hash of a folder's files, for the fingerprint; None if unknown."""
        if not self.local:
            return self.commit
        return None if self.folder is None else folder_digest(self.folder, self.layout)

    def changed(self) -> bool:
        """Say whether a folder's files differ from those of `identity`. Those in the hub's cache never change."""
        if not self.local or self.folder is None:
            return False
        before = self.identity
        return folder_digest(self.folder, self.layout) != before

    @cached_property
    def problem(self) -> str | None:
        """Why the model cannot be loaded, and what to do, in one line; None if it can."""
        if self.local:
            if self.folder is None and is_there(self.model):
                return f"model {self.model}: it is no folder; give the folder of a {self.layout.kind}, or a hub id"
            if self.folder is None:
                what = "file; give one that exists" if self._is_file else "folder; give the folder of a model"
                return f"model {self.model}: there is no such {what}, or a hub id"
            defect = self._broken(self.folder)
            if defect is not None:
                return f"model {self.model}: {defect}"
            if self.revision is not None:
                what = "file" if self._is_file else "folder"
                return f"model {self.model}: revision={self.revision} is for hub models; leave it out for a {what}"
            return None
        if self.folder is None:
            return self._answer[1]
        defect = self._broken(self.folder)
        return None if defect is None else f"model {self.model}: in {self.folder}, {defect}"

    @property
    def index(self) -> dict[str, Any]:
        """The content of the layout's index file; empty if it is not on this machine."""
        folder = self.folder or (None if self.local else self._cached)
        return {} if folder is None else self.layout.read(folder / self.layout.index)

    @cached_property
    def stored_bytes(self) -> int | None:
        """The size of the weight files on this machine; None if they are not here."""
        if self.folder is None:
            return None
        return sum(file.stat().st_size for file in self.layout.weights(self.folder)) or None

    def _broken(self, folder: Path) -> str | None:
        """Return in a few words why a folder cannot be loaded; None if it can."""
        index, kind = self.layout.index, self.layout.kind
        if not (folder / index).is_file():
            advice = self.layout.without_index(names_in(folder))
            return advice or f"the folder holds no {index}, so it is no {kind}: give the folder of one"
        if self.layout.read is read_json and not read_json(folder / index):
            return f"its {index} is no JSON object: copy or download that file again"
        return self.layout.problem(folder)

    @cached_property
    def _cached(self) -> Path | None:
        """The folder of this revision in the hub's cache, complete or not."""
        import huggingface_hub

        try:
            file = huggingface_hub.try_to_load_from_cache(self.model, self.layout.index, revision=self.revision)
        except ValueError:  # not a name that a hub model can have
            return None
        return Path(file).parents[self.layout.index.count("/")] if isinstance(file, str) else None

    @cached_property
    def _answer(self) -> tuple[str | None, str | None]:
        """Ask the hub; return the commit, and why the model cannot be loaded from it."""
        from huggingface_hub import constants

        offline = constants.HF_HUB_OFFLINE
        answers: list[tuple[str | None, str | None]] = []
        if not offline:
            # In a thread: the library's own limits do not cover name resolution and retries.
            asking = threading.Thread(
                target=lambda: answers.append(_ask(self.model, self.revision, self.layout)), daemon=True
            )
            asking.start()
            asking.join(_PATIENCE)
        if answers:
            return answers[0]
        names = _cached_names(self.model) if self.layout.read is read_json else []
        if names and (advice := self.layout.without_index(names)):
            return None, f"model {self.model}: {advice}"
        why = "HF_HUB_OFFLINE is set" if offline else "the hub cannot be reached"
        what = f"{self.model} {self.layout.download}".strip()
        what += "" if self.revision is None else f" --revision {self.revision}"
        return None, (
            f"model {self.model}: there is no folder {self.model} here; as a hub id: not complete in the local cache, "
            f"and {why}: run `hf download {what}` where there is a connection "
            "(a gated model needs its licence accepted and HF_TOKEN set), or give a folder"
        )


def names_in(folder: Path) -> list[str]:
    """Return the names of a folder's files, and of those one folder below with that folder's name."""
    files = [*folder.glob("*"), *folder.glob("[!.]*/*")]
    return sorted(file.relative_to(folder).as_posix() for file in files if file.is_file())


def _names(model: str, revision: str | None) -> list[str]:
    """Return the names of a repository's files; none if the hub does not say."""
    import huggingface_hub

    try:
        found = huggingface_hub.HfApi().model_info(model, revision=revision, timeout=_PATIENCE).siblings
    except Exception:  # whatever the connection may raise: the names only improve a message
        return []
    return [file.rfilename for file in found or ()]


def _cached_names(model: str) -> list[str]:
    """Return the names of a repository's files in the hub's cache, of any revision."""
    from huggingface_hub import constants, file_download

    home = Path(constants.HF_HUB_CACHE) / file_download.repo_folder_name(repo_id=model, repo_type="model")
    return sorted({name for snapshot in home.glob("snapshots/*") for name in names_in(snapshot)})


def _ask(model: str, revision: str | None, layout: Layout) -> tuple[str | None, str | None]:
    import huggingface_hub
    from huggingface_hub import errors

    page = f"https://huggingface.co/{model}"
    try:
        url = huggingface_hub.hf_hub_url(model, layout.index, revision=revision)
        commit = huggingface_hub.get_hf_file_metadata(url, timeout=_PATIENCE).commit_hash
        if commit is not None or _COMMIT.fullmatch(revision or ""):
            return commit, None
        # Without a commit, nothing says which weights the results come from.
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
        advice = layout.without_index(_names(model, revision))
        return None, f"model {model}: {advice or f'it holds no {layout.index}, so it is no {layout.kind}'}"
    except Exception as error:  # whatever the connection may raise
        what = " ".join(str(error).split())[:200] or type(error).__name__
        return None, (
            f"model {model}: there is no folder {model} here, and the hub cannot be reached ({what}): run "
            f"`{f'hf download {model} {layout.download}'.strip()}` first"
        )
