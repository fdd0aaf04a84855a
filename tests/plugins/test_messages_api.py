"""A third party's LLM over HTTP, in few lines: what the server does reaches samples, costs and boards."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import messages_server
from distributions import install, popbench

HERE = Path(__file__).parents[1] / "distributions" / "messages_api"
LINES = 27
PROMPTS = ("a kite", "a crowd of gulls", "the rush hour", "a wreck", "poison in a cup", "a whole novel", "tea 🐈")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(HERE, tmp_path_factory.mktemp("site"))


@pytest.fixture
def server() -> Iterator[messages_server.Server]:
    with messages_server.serving() as server:
        yield server


@pytest.fixture
def task(tmp_path: Path) -> Path:
    rows = [json.dumps({"id": f"p{n}", "prompt": text, "category": "all"}) for n, text in enumerate(PROMPTS)]
    (tmp_path / "prompts.jsonl").write_text("\n".join(rows), encoding="utf-8")
    template = "{% block system %}Be brief.{% endblock %}{% block user %}{{ prompt }}{% endblock %}"
    (tmp_path / "basic.j2").write_text(template, encoding="utf-8")
    (tmp_path / "own.yaml").write_text(
        "task: own\nversion: 1\ndescription: seven\ndataset: {path: json, data_files: prompts.jsonl, split: train}\n"
        "fields: {id: id, prompt: prompt, category: category}\ntemplates: {basic: basic.j2}\n",
        encoding="utf-8",
    )
    return tmp_path / "own.yaml"


def spec(server: messages_server.Server) -> str:
    return f"messages,model=m-1,url={server.url}"


def run(
    site: Path, server: messages_server.Server, task: Path, **environ: str
) -> tuple[int, str, list[dict[str, Any]]]:
    words = ("eval", "--llm", spec(server), "--mode", "basic", "--task", str(task), "--corpus", "demo", "--out", "run")
    done = popbench(site, task.parent, *words, **{"MESSAGES_API_KEY": messages_server.KEY, **environ})
    file = task.parent / "run/samples.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return done.returncode, done.stdout + done.stderr, [json.loads(line) for line in lines]


def test_its_class_is_as_short_as_it_is_said_to_be() -> None:
    source = (HERE / "popbench_messages/llm.py").read_text(encoding="utf-8")
    (cls,) = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    lines = source.splitlines()[cls.lineno - 1 : cls.end_lineno]
    assert len([line for line in lines if line.strip() and not line.strip().startswith('"""')]) == LINES


def test_the_kit_finds_that_it_keeps_the_rules(site: Path, tmp_path: Path, server: messages_server.Server) -> None:
    done = popbench(site, tmp_path, "-m", "popbench.testing", "llm", spec(server), MESSAGES_API_KEY=messages_server.KEY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "keeps all" in done.stdout


def test_a_run_with_it_gives_drafts_refusals_cuts_and_costs(
    site: Path, server: messages_server.Server, task: Path
) -> None:
    status, said, samples = run(site, server, task)
    assert status == 0, said
    assert [sample["status"] for sample in samples] == ["ok"] * 4 + ["invalid"] * 2 + ["ok"]
    by_prompt = {sample["prompt"]: sample for sample in samples}
    refused, cut = by_prompt["poison in a cup"], by_prompt["a whole novel"]
    assert (refused["error"], refused["unusable"]) == ("the model refused", ["refusal"])
    assert refused["cost"] == pytest.approx((3 * 100 + 15 * 3) / 1e6)
    assert by_prompt["a kite"]["cost"] == pytest.approx((3 * 100 + 15 * 20) / 1e6)
    assert set(cut["unusable"]) == {"cut at the limit"}
    assert {body["system"] for body in server.asked} == {"Be brief."}
    assert all([message["role"] for message in body["messages"]] == ["user"] for body in server.asked)
    for prompt, times in {"a crowd of gulls": 2, "the rush hour": 2, "a wreck": 2, "a kite": 1}.items():
        assert server.attempts[prompt] == times


def test_a_wrong_key_ends_it_with_one_line_and_a_missing_one_before_any_work(
    site: Path, server: messages_server.Server, task: Path
) -> None:
    status, said, _ = run(site, server, task, MESSAGES_API_KEY="")
    assert status == 2
    assert "no key: set MESSAGES_API_KEY" in said
    status, said, _ = run(site, server, task, MESSAGES_API_KEY="sk-wrong")
    assert status == 1
    assert "invalid x-api-key" in said
    assert "Traceback" not in said
    assert not server.asked
