"""Templates that are written into a folder, and what they are rendered with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from popbench.prompting.templates import Template
from popbench.records import Prompt, Reference
from popbench.tasks.schema import DraftRules

SYSTEM = "{% block system %}Be brief.{% endblock %}"
BASE = SYSTEM + "{% block user %}Base: {% block inner %}{{ prompt }}{% endblock %}{% endblock %}"
PROMPT = Prompt("p1", "A cat on a mat", "Pets", "mine")
REFERENCES = [
    Reference("1", "First", "d1", "c1", "tag", 5.0, popular=True),
    Reference("2", "Second", "d2", "c2", "tag", 1.0, popular=False),
]


def template(folder: Path, user: str = "{{ prompt }}", source: str | None = None, **others: str) -> Template:
    """Make a template of a user block (or a whole source), beside other files."""
    for name, text in others.items():
        (folder / f"{name}.j2").write_text(text, encoding="utf-8")
    path = folder / "main.j2"
    path.write_text(source or SYSTEM + "{% block user %}" + user + "{% endblock %}", encoding="utf-8")
    return Template(path)


def rendered(made: Template, references: Sequence[Reference] = REFERENCES) -> str:
    """Return the user message."""
    return made.render(PROMPT, DraftRules(), references)[-1]["content"]
