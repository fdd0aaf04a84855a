"""Pushes folders to the Hugging Face hub: one commit with everything, and a tag by which this version stays there."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from popbench.errors import RunError, UsageError, one_line
from popbench.records import JSON
from popbench.text import counted

Kind = Literal["dataset", "model"]
_ID, _LONGEST_ID = re.compile(r"(\w[\w.-]*/)?\w([\w.-]*\w)?", re.ASCII), 96
_TAG = re.compile(r"[A-Za-z0-9][\w.\-]{0,99}", re.ASCII)
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]{0,60}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository of the hub, and how it is pushed to.

    `private` is for a new one. `replace` allows to push where files are already; earlier versions stay under their tags
    and commits. `tag` names the version that is pushed; without one, it is named by what is in it. `license` is the
    hub's word for what others may do with it, such as cc-by-4.0; without one, the card says nothing of it.
    """

    kind: Kind
    id: str
    private: bool = False
    replace: bool = False
    tag: str | None = None
    license: str | None = None

    @property
    def terms(self) -> dict[str, JSON]:
        """Return what the header of a card says of its licence."""
        return {} if self.license is None else {"license": self.license}

    def ready(self, option: str) -> None:
        """Check before any work that something can be pushed; raises UsageError that says what is missing.

        A repository with files in it is refused, unless `replace`; so is a tag that is there already.
        """
        import huggingface_hub

        if not _ID.fullmatch(self.id) or len(self.id) > _LONGEST_ID or "--" in self.id or ".." in self.id:
            raise UsageError(f"{option}: {self.id!r:.100} is no name of a repository: expected OWNER/NAME")
        if self.tag is not None and (not _TAG.fullmatch(self.tag) or ".." in self.tag):
            raise UsageError(f"--tag: {self.tag!r:.100} is no tag: expected letters, digits, '.', '_' and '-'")
        if self.license is not None and not _LICENSE.fullmatch(self.license):
            raise UsageError(
                f"--license: {self.license!r:.100} is no licence of the hub, such as cc-by-4.0 or apache-2.0"
            )
        if not huggingface_hub.get_token():
            raise UsageError(f"{option} needs a token of the hub: give it with `hf auth login`, or in HF_TOKEN")
        files, tags = self._content()
        if files and not self.replace:
            raise UsageError(
                f"{self.id} holds {counted(len(files), 'file')} already ({', '.join(files[:3])}): --replace pushes a "
                "new version over them, or choose another name"
            )
        if self.tag in tags:
            raise UsageError(f"{self.id} has a version {self.tag} already: choose another --tag")

    def _content(self) -> tuple[list[str], list[str]]:
        """Return the names of its files and its tags; none if there is no such repository."""
        from huggingface_hub import HfApi
        from huggingface_hub.errors import RepositoryNotFoundError

        api = HfApi()
        try:
            names = api.list_repo_files(self.id, repo_type=self.kind)
            tags = [tag.name for tag in api.list_repo_refs(self.id, repo_type=self.kind).tags]
        except RepositoryNotFoundError:
            return [], []
        except Exception as error:  # the client's errors, and those of the HTTP library that it uses
            raise UsageError(f"the hub cannot be asked for {self.id}: {one_line(error)}") from error
        return sorted(name for name in names if name != ".gitattributes"), tags

    def push(self, folder: Path, message: str, owned: Sequence[str], kept: str) -> str:
        """Push the files of a folder in one commit, and tag it; returns the tag.

        Earlier files that match a pattern in `owned` are removed. `kept` begins the line of an error. Raises RunError
        if the hub refuses.
        """
        from huggingface_hub import HfApi

        tag = self.tag or version_of(folder)
        try:
            api = HfApi()
            api.create_repo(self.id, repo_type=self.kind, private=self.private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=self.id,
                folder_path=folder,
                repo_type=self.kind,
                commit_message=message,
                delete_patterns=list(owned),
            )
        except Exception as error:  # the client's errors, and those of the HTTP library that it uses
            raise RunError(f"{kept}, but {self.id} is not: {one_line(error)}") from error
        try:
            api.create_tag(self.id, tag=tag, revision=commit.oid, repo_type=self.kind, exist_ok=self.tag is None)
        except Exception as error:
            what = f"{self.id} is pushed, as commit {commit.oid}, but without its tag {tag}"
            raise RunError(f"{what}: {one_line(error)}") from error
        return tag


def version_of(folder: Path) -> str:
    """Return a tag for what is in a folder, but for README.md, in which the tag stands: the same for equal files."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / "README.md"):
        total.update(f"{path.relative_to(folder).as_posix()}\0".encode())
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return f"v-{total.hexdigest()[:12]}"
