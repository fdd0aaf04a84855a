"""Keys and seeds: pure functions of everything that determines a result, and of nothing else."""

from __future__ import annotations

import hashlib
import json

from popbench.records import JSON, Chat
from popbench.video import ENCODER

_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def digest(*parts: JSON) -> str:
    """Hash JSON values into 32 hexadecimal digits; equal values give equal digests on every machine."""
    return hashlib.sha256(_ENCODE(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def derive_seed(run_seed: int, task: str, prompt: str, repeat: int, stage: str, attempt: int = 0) -> int:
    """Derive the seed of one call, 0 <= seed < 2**31. The system is not in it: common random numbers."""
    return int(digest(run_seed, task, prompt, repeat, stage, attempt)[:16], 16) % 2**31


def draft_key(llm: str, chat: Chat) -> str:
    """Key a completion by the LLM's fingerprint and all that the LLM is shown but the id."""
    references = [
        [ref.id, ref.title, ref.description, ref.caption, ref.tag, ref.popularity, ref.popular]
        for ref in chat.references
    ]
    return digest("draft", llm, chat.messages, chat.schema, chat.seed, chat.prompt, references, chat.reasons)


def clip_key(generator: str, video_prompt: str, seed: int) -> str:
    """Key a clip by the generator's fingerprint, the video prompt, the seed and the encoder's settings."""
    return digest("clip", generator, video_prompt, seed, dict(ENCODER))


def clip_name(key: str) -> str:
    """Name a clip's file in the folder `videos` of a run."""
    return f"{key}.mp4"


def score_key(predictor: str, title: str, video_sha256: str) -> str:
    """Key a score by the predictor's fingerprint, the title and the video's bytes."""
    return digest("score", predictor, title, video_sha256)
