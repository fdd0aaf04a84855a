"""The folder of caches, which hold what is costly to make again, such as embeddings.

Everything in this folder may be removed at any time: it is made again when it is needed.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from popbench.errors import UsageError, one_line

VARIABLE = "POPBENCH_CACHE"
"""The environment variable that names another folder for caches."""


def cache_folder() -> Path:
    """Return the folder of caches: the user's, or the one that POPBENCH_CACHE names.

    Raises UsageError if POPBENCH_CACHE names none.
    """
    given = os.environ.get(VARIABLE)
    if given:
        try:
            return Path(given).expanduser().absolute()
        except RuntimeError as error:  # no such user
            raise UsageError(f"{VARIABLE}={given}: {one_line(str(error))}: name a folder in it") from error
    import platformdirs

    return platformdirs.user_cache_path("popbench")


def key_of(text: str) -> bytes:
    """Hash a text into a key of 16 bytes."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
