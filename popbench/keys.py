"""Keys and seeds of calls: pure functions of everything that determines a result, and of nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from popbench.records import JSON, Chat
from popbench.video import ENCODER

_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def digest(*parts: JSON) -> str:
    """Hash JSON values into 32 hexadecimal digits, the same on every machine."""
    return hashlib.sha256(_ENCODE(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def derive_seed(run_seed: int, task: str, prompt: str, repeat: int, stage: str, attempt: int = 0) -> int:
    """Derive the seed of a call, 0 <= seed < 2**31."""
    # The system has no part in it, so that systems are compared on common random numbers.
    return int(digest(run_seed, task, prompt, repeat, stage, attempt)[:16], 16) % 2**31


def draft_key(llm: str, chat: Chat) -> str:
    """Return a completion's key, from the LLM's fingerprint and all of the chat but its id."""
    references = [
        [ref.id, ref.title, ref.description, ref.caption, ref.tag, ref.popularity, ref.popular]
        for ref in chat.references
    ]
    return digest("draft", llm, chat.messages, chat.schema, chat.seed, chat.prompt, references, chat.reasons)


def clip_key(generator: str, video_prompt: str, seed: int) -> str:
    """Return a clip's key, from the generator's fingerprint, video prompt, seed and the encoder's settings."""
    return digest("clip", generator, video_prompt, seed, dict(ENCODER))


def clip_name(key: str) -> str:
    """Return the name of a clip's file in the folder `videos` of a run."""
    return f"{key}.mp4"


def score_key(predictor: str, title: str, video_sha256: str) -> str:
    """Return a score's key, from the predictor's fingerprint, the title and the hash of the video's bytes."""
    return digest("score", predictor, title, video_sha256)


def compare_key(predictor: str, first: Mapping[str, JSON], second: Mapping[str, JSON]) -> str:
    """Return a comparison's key, from the predictor's fingerprint and what it uses of both, in the order shown."""
    return digest("compare", predictor, dict(first), dict(second))


def used_key(predictor: str, used: Mapping[str, JSON]) -> str:
    """Return a score's key, from the predictor's fingerprint and the values that it uses, by name.

    For a title and a video it is that of `score_key`.
    """
    if used.keys() == {"title", "video"}:
        return score_key(predictor, used["title"], used["video"])
    return digest("score", predictor, dict(used))
