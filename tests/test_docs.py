"""Everything the documentation shows is true: samples run, links lead somewhere, the CLI reference is current."""

from __future__ import annotations

import ast
import html.parser
import importlib
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from popbench.planning.config import read_config

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path
    for path in (
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *ROOT.glob("*/README.md"),
        *ROOT.glob("plugins/*/*.md"),
    )
    if ".venv" not in path.parts
)
TUTORIAL = ROOT / "docs/tutorial.md"
"""Its samples build on one another: they run in their order, in one folder."""
ARCHITECTURE = ROOT / "docs/architecture.md"
ELSEWHERE = (
    "deepseek", "gpt-4o", "llama-3", "qwen-2", "openai,model", "transformers,model", "--gen ltx", "microlens",
    "table,path", "MiniLM", "titles", "litellm-judge", "local-judge",
)  # fmt: skip
"""What needs a key, a server, a GPU or a download: a sample says what is missing, and nothing else is wrong."""


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def samples(language: str) -> list[object]:
    return [
        pytest.param(document, block, id=f"{document.relative_to(ROOT)}:{number}")
        for document in DOCUMENTS
        if document != TUTORIAL
        for number, block in enumerate(blocks(document, language))
    ]


def write_files(document: Path, folder: Path) -> None:
    """Write the files that a page shows: code blocks after a line that begins with a path and ends with a colon."""
    text = document.read_text(encoding="utf-8")
    for name, content in re.findall(r"^`([\w/-]+\.\w+)`[^\n]*:\n\n```\w+\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


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


@pytest.mark.parametrize(("document", "block"), samples("python"))
def test_python_samples_run(document: Path, block: str, in_tmp: Path) -> None:
    run_python(block)


def run_python(block: str) -> None:
    module = types.ModuleType("sample")
    exec(compile(block, "sample", "exec"), module.__dict__)


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What samples call `runs/popcorn-...`: the embedded defaults on two prompts of each task."""
    from popbench import evaluate

    folder = tmp_path_factory.mktemp("small")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        evaluate(limit=2)
    return folder / "runs"


@pytest.mark.slow
@pytest.mark.parametrize(("document", "block"), samples("(?:sh|console)"))
def test_shell_samples_run(
    document: Path,
    block: str,
    in_tmp: Path,
    small_run: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_files(document, in_tmp)
    if "runs/" in block:
        shutil.copytree(small_run, in_tmp / "runs")
    (in_tmp / "scores.csv").write_text(blocks(ROOT / "leaderboards/README.md", "csv")[0], encoding="utf-8")
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if not words or words[0] != "popbench":
            assert not words or words[0] in ("make", "pip", "python", "cp", "pytest", "cd"), line
            continue
        status, said = popbench(line, capsys, monkeypatch)
        if any(name in line for name in ELSEWHERE) and status == 2:
            lacks = r"the key \w+ is not set|needs \w+_KEY|GPU|not in the cache|folder|no such file|does not exist|hub"
            assert re.search(lacks, said), said
        elif not re.search(r"haiku|waves|shout", line):  # those need the plugin of the page installed
            assert status == 0, said


@pytest.mark.parametrize(("document", "block"), samples("toml"))
def test_toml_samples_are_settings_or_entry_points(document: Path, block: str, in_tmp: Path) -> None:
    path = in_tmp / "popbench.toml"
    path.write_text(block, encoding="utf-8")
    if "[project" in block:
        import tomllib

        assert "entry-points" in tomllib.loads(block)["project"]
    else:
        assert read_config(path)


@pytest.mark.slow
def test_the_tutorial_runs_from_its_first_command_to_its_last(
    in_tmp: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(TUTORIAL, in_tmp)
    text = TUTORIAL.read_text(encoding="utf-8")
    for language, block in re.findall(r"^```(sh|python)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        if language == "python":
            run_python(block)
            continue
        for line in block.splitlines():
            status, said = popbench(line, capsys, monkeypatch)
            assert status == 0, said
    assert "boards/cats: ok: 3 systems, 2 submissions" in said
    assert (in_tmp / "runs/first/report.html").exists()


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
    assert (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8") == module.render(), "run `make docs`"


@pytest.mark.slow
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


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 900


def test_every_public_name_is_on_the_page_of_public_names() -> None:
    import popbench

    page = (ROOT / "docs/reference/plugin-api.md").read_text(encoding="utf-8")
    assert [name for name in popbench.__all__ if f"`{name}`" not in page] == []


def test_every_module_on_the_page_of_public_names_is_there() -> None:
    page = (ROOT / "docs/reference/plugin-api.md").read_text(encoding="utf-8")
    for name in re.findall(r"`(popbench(?:\.\w+)+)`", page):
        importlib.import_module(name)


def named_places(page: Path) -> list[tuple[str, str]]:
    """Return the (path, name) that code spans of a page name, as `path` or `path:name`."""
    spans = re.findall(r"`((?:popbench|plugins|tasks|tests)/[\w./-]+)(?::([\w.]+))?`", page.read_text(encoding="utf-8"))
    return sorted(set(spans))


def definitions(path: Path) -> set[str]:
    """Return the names that a module defines or imports, and those in its classes as `Class.name`."""

    def of(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
        for node in body:
            match node:
                case ast.ClassDef():
                    yield prefix + node.name
                    yield from of(node.body, f"{prefix}{node.name}.")
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    yield prefix + node.name
                case ast.Assign():
                    for target in node.targets:
                        yield from (prefix + name.id for name in ast.walk(target) if isinstance(name, ast.Name))
                case ast.AnnAssign(target=ast.Name(id=name)):
                    yield prefix + name

    return set(of(ast.parse(path.read_text(encoding="utf-8")).body))


@pytest.mark.slow
def test_every_place_that_the_architecture_names_is_there() -> None:
    places = [
        *named_places(ARCHITECTURE),
        *named_places(ROOT / "docs/concepts/comparability.md"),
        *named_places(ROOT / "CONTRIBUTING.md"),
    ]
    wrong = [
        f"{path}:{name}" if name else path
        for path, name in places
        if not (ROOT / path).exists() or (name and name not in definitions(ROOT / path))
    ]
    assert wrong == []


def test_the_architecture_says_where_to_change_what() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    section = text[text.index("## Where do I change") : text.index("## Why it is built so")]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| ") and "`" in line]
    assert len(rows) >= 25
    for _, what, where, tests, _ in rows:
        assert what.strip()
        assert "/" in where, what
        assert (ROOT / "tests").name in tests, what


class _Resources(html.parser.HTMLParser):
    """Collects what a browser would load for a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        loads = tag != "link" or given.get("rel") not in ("canonical", "next", "prev", "alternate")
        self.found += [value for name, value in attrs if value and name in ("src", "srcset", "data", "poster")]
        if tag in ("link", "use", "image") and loads and (value := given.get("href")):
            self.found.append(value)


@pytest.mark.slow
def test_the_site_is_built_and_asks_nothing_of_other_hosts(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="mkdocs comes with the extra `dev`")
    pytest.importorskip("material")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert len(pages) > len(DOCUMENTS) // 2
    for page in pages:
        resources = _Resources()
        resources.feed(page.read_text(encoding="utf-8"))
        assert [found for found in resources.found if re.match(r"(?:\w+:)?//", found)] == [], page
        assert "unpkg.com" not in page.read_text(encoding="utf-8"), page
    for style in (tmp_path / "site").rglob("*.css"):
        loaded = re.findall(r"""(?:url\(|@import)\s*["']?((?:\w+:)?//[^"')]*)""", style.read_text(encoding="utf-8"))
        assert loaded == [], style
