"""What the ledger stores of an answer."""

from __future__ import annotations

from pathlib import Path

from popbench.errors import RunError, one_line
from popbench.files import copy_whole, sha256
from popbench.keys import clip_name
from popbench.records import JSON, Answer, Clip, Completion, Failure, Score


def payload_of(answer: Answer, videos: Path) -> dict[str, JSON]:
    """Return what the ledger stores of an answer; a clip is copied into the folder `videos`.

    Raises RunError if the clip cannot be kept.
    """
    payload: dict[str, JSON] = {
        "seconds": answer.seconds,
        "peak_memory_mb": answer.peak_memory_mb,
        "notes": list(answer.notes),
    }
    if answer.usage is not None:
        payload["usage"] = dict(answer.usage)
    match answer:
        case Failure():
            payload["error"] = answer.error
            if answer.reason:
                payload["reason"] = answer.reason
        case Completion():
            payload |= {"text": answer.text, "reasoning": answer.reasoning}
            payload.setdefault("usage", None)
            if answer.remarks:
                payload["remarks"] = list(answer.remarks)
            if answer.cut:
                payload["cut"] = True
        case Clip():
            payload |= _keep(answer, videos)
        case Score():
            payload |= {"popularity": answer.value, "extra": dict(answer.extra)}
            if answer.parts:
                payload["parts"] = dict(answer.parts)
    return payload


def _keep(clip: Clip, videos: Path) -> dict[str, JSON]:
    """Copy a finished clip into the folder of clips, whole or not at all; return its hash and size."""
    assert clip.path is not None
    source = Path(clip.path)
    target = videos / clip_name(clip.id)
    try:
        # They are the same where the engine's workspace is the folder of clips.
        digest = sha256(target) if source == target else copy_whole(source, target)
        size = target.stat().st_size
    except OSError as error:
        raise RunError(f"clip {target} cannot be kept: {one_line(error)}") from error
    return {"sha256": digest, "bytes": size}
