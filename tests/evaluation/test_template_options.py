"""Options of template modes: given in a spec, part of label and fingerprint, refused if unknown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import popbench
import popbench_runs
from made_tasks import task_file
from popbench.keys import digest
from usage_errors import refusal

TEMPLATE = """{% set default_options = {"tone": "plain", "beats": 3} %}
{% block system %}Be {{ options.tone }}.{% endblock %}
{% block user %}{{ prompt }} in {{ options.beats }} beats{% endblock %}
"""


@pytest.fixture
def task(tmp_path: Path) -> str:
    path = task_file(tmp_path / "task", templates={"basic": "basic.j2", "told": "told.j2", "shown": "shown.j2"})
    (path.parent / "told.j2").write_text(TEMPLATE, encoding="utf-8")
    shown = TEMPLATE.replace("{{ prompt }}", "{{ prompt }}{% for one in references %}{{ one.title }}{% endfor %}")
    (path.parent / "shown.j2").write_text(shown, encoding="utf-8")
    return str(path)


def run(out: Path, task: str, mode: Any) -> popbench.Run:
    return popbench_runs.run_fast(out, task=task, mode=mode, llm="shotlist", limit=1, stop_after="write")


def modes(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((path / "run.json").read_text(encoding="utf-8"))["modes"]
    return content


def test_an_option_changes_label_fingerprint_and_text(task: str, tmp_path: Path) -> None:
    run(tmp_path / "run", task, ["told", "told,tone=dry", "told,tone=dry,beats=5", "told,beats=3,label=again"])
    entries = modes(tmp_path / "run")
    assert list(entries) == ["told", "told[tone=dry]", "told[tone=dry,beats=5]", "again"]
    assert entries["told[tone=dry]"]["options"] == {"tone": "dry", "beats": 3}
    prints = {label: json.dumps(entry["fingerprints"]) for label, entry in entries.items()}
    assert prints.pop("again") == prints["told"]
    assert len(set(prints.values())) == 3


def test_a_template_without_options_has_none_in_its_fingerprint(task: str, tmp_path: Path) -> None:
    run(tmp_path / "run", task, "basic")
    entry = modes(tmp_path / "run")["basic"]
    (template,), (fingerprint,) = entry["templates"].values(), entry["fingerprints"].values()
    assert (entry["options"], fingerprint) == ({}, digest("mode", template))


def test_options_stand_beside_those_of_references_and_of_registered_modes(task: str, tmp_path: Path) -> None:
    run(tmp_path / "run", task, ["shown,tone=dry,k=2", "refine,template=told,rounds=2,beats=9"])
    assert list(modes(tmp_path / "run")) == ["shown[tone=dry,k=2]", "refine[template=told,rounds=2,beats=9]"]
    assert modes(tmp_path / "run")["shown[tone=dry,k=2]"]["options"]["k"] == 2


@pytest.mark.parametrize(
    ("mode", "what"),
    [
        ("told,ton=dry", "unknown option of mode told 'ton': did you mean 'tone'? (possible: beats, label, tone)"),
        ("told,beats=many", "beats: "),
        ("told,k=3", "unknown option of mode told 'k'"),
        ("basic,tone=dry", "unknown option of mode basic 'tone'"),
    ],
)
def test_a_wrong_option_is_told_with_what_is_possible(task: str, mode: str, what: str, tmp_path: Path) -> None:
    assert what in refusal(lambda: run(tmp_path / "run", task, mode))


def test_an_option_with_the_name_of_one_of_references_is_refused(task: str, tmp_path: Path) -> None:
    shown = Path(task).parent / "shown.j2"
    shown.write_text(shown.read_text().replace('"beats"', '"k"').replace("options.beats", "options.k"))
    told = refusal(lambda: run(tmp_path / "run", task, "shown"))
    assert "mode shown: its option 'k' has the name of another one: rename it" in told
