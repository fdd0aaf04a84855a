"""The page of a ballot: one file with its clips that asks nothing of the network and knows no system."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from popbench.report.html import environment, inert, policy

TITLE = "Which would you rather watch?"
_TEMPLATES = Path(__file__).parent / "templates"
_SHARED = Path(__file__).parents[1] / "report" / "templates"


class PagePair(NamedTuple):
    """A pair as the page has it: ids of clips and what is read with them, and nothing of where they come from."""

    id: str
    question: str
    left: str
    right: str
    left_title: str
    right_title: str


class PageClip(NamedTuple):
    """A clip of the page by its random id."""

    id: str
    data: bytes


def page_of(ballot: str, title: str, pairs: Sequence[PagePair], clips: Sequence[PageClip]) -> str:
    """Return the page of a ballot. Clips stand in the order of their random ids, which tells nothing."""
    data = {
        "ballot": ballot,
        "pairs": [
            {
                "id": pair.id,
                "question": pair.question,
                "clips": [
                    {"id": pair.left, "title": _whole(pair.left_title)},
                    {"id": pair.right, "title": _whole(pair.right_title)},
                ],
            }
            for pair in pairs
        ],
    }
    early = Markup((_SHARED / "theme.js").read_text(encoding="utf-8"))
    script = Markup("".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in ("state.js", "ballot.js")))
    styles = (_SHARED / "page.css", _TEMPLATES / "ballot.css")
    by_id = {clip.id: clip.data for clip in clips}
    context = {
        "title": title,
        "policy": policy([early, script], "blob:"),
        "early": early,
        "script": script,
        "styles": Markup("\n".join(style.read_text(encoding="utf-8") for style in styles)),
        "data": Markup(inert(data)),
        "clips": [(id_, Markup(base64.b64encode(by_id[id_]).decode("ascii"))) for id_ in sorted(by_id)],
        "count": len(pairs),
    }
    return environment(_TEMPLATES).get_template("ballot.html.j2").render(context) + "\n"


def _whole(text: str) -> str:
    """Return a text without half characters, which models write and a file in UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode("utf-8")
