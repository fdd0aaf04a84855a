"""Files as bytes, whatever they hold; pipes and devices are no files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from popbench.files import opened, opened_new


def copy(source: Path, target: Path) -> str:
    """Copy a file in one pass and return the SHA-256 of its bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with opened(source) as read, opened_new(target) as write:
        while block := read.read(2**20):
            digest.update(block)
            write.write(block)
    return digest.hexdigest()


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
