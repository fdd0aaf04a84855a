"""Everything the documentation shows is true: samples run, links lead somewhere, the CLI reference is current."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import sys
import types
from pathlib import Path

import pytest

from popbench.planning.config import read_config

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path
    for path in (
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *ROOT.glob("*/README.md"),
        *ROOT.glob("plugins/*/*.md"),
    )
    if ".venv" not in path.parts
)
ELSEWHERE = (
    "deepseek", "gpt-4o", "llama-3", "qwen-2", "openai,model", "transformers,model", "--gen ltx", "microlens",
    "table,path", "MiniLM",
)  # fmt: skip
"""What needs a key, a server, a GPU or a download: a sample says what is missing, and nothing else is wrong."""


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def samples(language: str) -> list[object]:
    return [
        pytest.param(block, id=f"{document.relative_to(ROOT)}:{number}")
        for document in DOCUMENTS
        for number, block in enumerate(blocks(document, language))
    ]


def popbench(line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Run a command line as a shell would, with globs expanded; return its status and all it printed."""
    from popbench.cli import main

    words = [
        found
        for word in shlex.split(line, comments=True)
        for found in (sorted(map(str, Path().glob(word))) if "*" in word else [word])
    ]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as caught:
        main()
    said = capsys.readouterr()
    assert isinstance(caught.value.code, int)
    return caught.value.code, said.out + said.err


@pytest.mark.parametrize("block", samples("python"))
def test_python_samples_run(block: str, in_tmp: Path) -> None:
    module = types.ModuleType("sample")
    exec(compile(block, "sample", "exec"), module.__dict__)


@pytest.mark.parametrize("block", samples("(?:sh|console)"))
def test_shell_samples_run(
    block: str, in_tmp: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (in_tmp / "scores.csv").write_text(blocks(ROOT / "leaderboards/README.md", "csv")[0], encoding="utf-8")
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if not words or words[0] != "popbench":
            assert not words or words[0] in ("make", "pip", "python", "cp", "pytest", "cd"), line
            continue
        if any("runs/" in word for word in words):
            assert popbench("popbench eval --limit 2", capsys, monkeypatch)[0] == 0
        status, said = popbench(line, capsys, monkeypatch)
        if any(name in line for name in ELSEWHERE) and status == 2:
            lacks = r"the key \w+ is not set|GPU|not in the cache|folder|no such file|does not exist|hub"
            assert re.search(lacks, said), said
        elif not re.search(r"haiku|waves|shout", line):  # those need the plugin of the page installed
            assert status == 0, said


@pytest.mark.parametrize("block", samples("toml"))
def test_toml_samples_are_settings_or_entry_points(block: str, in_tmp: Path) -> None:
    path = in_tmp / "popbench.toml"
    path.write_text(block, encoding="utf-8")
    if "[project" in block:
        import tomllib

        assert "entry-points" in tomllib.loads(block)["project"]
    else:
        assert read_config(path)


def test_the_sample_task_is_a_task(
    in_tmp: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = ROOT / "tasks/README.md"
    for name, language in (("pets.yaml", "yaml"), ("pets.jsonl", "json"), ("basic.j2", "jinja")):
        (in_tmp / name).write_text(blocks(page, language)[0], encoding="utf-8")
    status, said = popbench("popbench task validate pets.yaml", capsys, monkeypatch)
    assert (status, said) == (0, "pets: 1 prompts (Cats 1), modes basic: ok\n")
    assert popbench("popbench eval --task ./pets.yaml", capsys, monkeypatch)[0] == 0


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_the_command_line_reference_is_current() -> None:
    spec = importlib.util.spec_from_file_location("make_cli_reference", ROOT / "docs/make_cli_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs/cli.md").read_text(encoding="utf-8") == module.render(), "run `make docs`"


def test_the_readme_shows_a_board_as_it_looks(
    in_tmp: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The README's board has the columns of a real one and the systems of the default run."""
    status, said = popbench("popbench eval --limit 2 --json", capsys, monkeypatch)
    assert status == 0
    run = json.loads(said.splitlines()[0])
    real = (Path(run["run"]) / "leaderboard.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = readme[readme.index("<!-- board -->") : readme.index("<!-- /board -->")].splitlines()[1:]
    assert "\n".join(shown[:2]) in real
    assert len(shown) == 2 + len(run["results"]["systems"]) // 3
