"""Files as bytes, whatever they hold."""

from __future__ import annotations

import hashlib
from pathlib import Path


def copy(source: Path, target: Path) -> str:
    """Copy a file in one pass and return the SHA-256 of its bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with source.open("rb") as read, target.open("wb") as write:
        while block := read.read(2**20):
            digest.update(block)
            write.write(block)
    return digest.hexdigest()


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
