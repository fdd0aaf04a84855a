"""Sentences that popbench tries in a template by itself, each an idea of what makes a short clip work."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

SENTENCES: Mapping[str, str] = {
    "hook": "Put the most striking moment into the first second: most viewers decide there whether they stay.",
    "one-action": "Show one subject doing one thing, from beginning to end, in a single continuous shot.",
    "concrete": "Name exact colours, materials, light and camera movement; leave out words that no camera can see.",
    "question": "Word the title so that it raises a question which only the clip answers.",
    "feeling": "Decide on one feeling that the viewer is to have, and let every detail serve it.",
    "surprise": "Add one detail that nobody would expect from this request, and make it clearly visible.",
    "talk": "Prefer what people can disagree about or add to: a clip that invites comments gets them.",
    "plain-title": "Keep the title short and plain, in words that people use when they tell a friend about a clip.",
}
_SYSTEM = re.compile(r"\{%[-+]?\s*block\s+system\b[^%]*%\}.*?(?=\{%[-+]?\s*endblock\b)", re.DOTALL)


def with_sentences(template: str, sentences: Iterable[str]) -> str | None:
    """Add sentences at the end of a template's block `system`; None if it has no such block of its own."""
    added = "\n".join(sentences)
    if not added:
        return template
    match = _SYSTEM.search(template)
    if match is None:
        return None
    body = template[: match.end()].rstrip()
    return f"{body}\n\n{added}\n{template[match.end() :]}"
