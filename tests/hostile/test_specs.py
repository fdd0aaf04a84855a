"""What a run's own files name: nothing that leads elsewhere is made, loaded or looked up by who only reads the run."""

from __future__ import annotations

import ast
import json
import shlex
import shutil
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import pydantic
import pytest

import popbench
from command_line import Run, in_process
from hostile_cases import Outside, check_end, harmless, outside
from made_boards import ROWS, begin, edit, evaluate
from popbench.evaluation.merge import merge
from popbench.hookspecs import Register
from popbench.planning.config import read_config
from popbench.planning.foreign_specs import check_recorded, leads_elsewhere, names_place_here
from popbench.registry import Plugin, load_registry
from popbench.scores.submission import digest_of
from usage_errors import refusal

ROOT = Path(__file__).parents[2]


class CodeOptions(popbench.Options):
    """A file that is run."""

    path: str = ""
    more: dict[str, Any] = pydantic.Field({})


class _RunsCode:
    """What an installed plugin might do with an option: it runs a file as soon as it is made."""

    Options: ClassVar[type[popbench.Options]] = CodeOptions
    version = "1"

    def __init__(self, options: Any = None) -> None:
        self.options = options or CodeOptions()
        for path in (self.options.path, *self.options.more.values()):
            if path:
                exec(Path(path).expanduser().read_text(encoding="utf-8"))


class CodeLLM(_RunsCode, popbench.LLM):
    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        yield from ()

    def cost(self, usage: Mapping[str, float]) -> float | None:
        return float(len(usage))


class CodeGenerator(_RunsCode, popbench.VideoGenerator):
    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[popbench.Clip | popbench.Failure]:
        yield from ()


class CodePredictor(_RunsCode, popbench.Predictor):
    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        yield from ()


class CodeCorpus(_RunsCode, popbench.Corpus):
    def rows(self, part: str) -> Iterator[popbench.Reference]:
        yield from ()


class CodeEmbedder(_RunsCode, popbench.Embedder):
    def encode(self, texts: Any) -> Any:
        raise AssertionError


class CodeEngine(_RunsCode, popbench.Engine):
    def map(self, spec: Any, items: Iterable[Any]) -> Iterator[Any]:
        yield from ()


NAME = "runs-code"
CLASSES: Mapping[str, Any] = {
    "llms": CodeLLM, "generators": CodeGenerator, "predictors": CodePredictor, "corpora": CodeCorpus,
    "embedders": CodeEmbedder, "engines": CodeEngine,
}  # fmt: skip


def _hook(kind: str) -> Any:
    def hook(register: Register) -> None:
        register(NAME, CLASSES[kind])

    hook.__name__ = f"register_{kind}"
    return popbench.hookimpl(hook)


for _kind in CLASSES:
    globals()[f"register_{_kind}"] = _hook(_kind)


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    registry = load_registry()
    if not any(plugin.name == NAME for plugin in registry.plugins):
        registry.add(sys.modules[__name__], Plugin(NAME, NAME, "1", __name__))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run, a board of it, and two shards of the same run."""
    folder = tmp_path_factory.mktemp("made")
    begin(folder / "board", evaluate(folder / "run", ROWS[:4]))
    for shard in ("1/2", "2/2"):
        evaluate(folder / "part", ROWS[:4], shard=shard)
    return folder


@pytest.fixture
def popbench_(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


@pytest.fixture
def of(tmp_path: Path) -> Outside:
    return outside(tmp_path / "outside")


@pytest.fixture
def place(made: Path, tmp_path: Path, of: Outside) -> Path:
    """A copy of what was made, and the code that a stranger sends with it."""
    shutil.copytree(made, tmp_path / "it")
    (tmp_path / "it/evil.py").write_text(f"__import__('os').mkdir({str(of.canary)!r})\n", encoding="utf-8")
    return tmp_path / "it"


SPELLINGS = {
    "absolute": "{name},path={code}",
    "quoted": '{name},path="{code}"',
    "relative": "{name},path=it/evil.py",
    "by-the-working-directory": "{name},path=/proc/self/cwd/it/evil.py",
    "nested": '{name},more={{"a":"{code}"}}',
    "nested-and-labelled": '{name},more={{"a":"it/evil.py"}},label=faulty',
}
"""How a run may name a file that is run as soon as a component is made of the spec."""
SETTINGS = ("llm", "gen", "predictor", "corpus", "embedder", "engine")
COMMANDS: dict[str, tuple[str, ...]] = {
    "merge": ("merge", "it/part.shard-1-of-2", "it/part.shard-2-of-2"),
    "report": ("report", "it/run"),
    "paper": ("report", "it/run", "--paper", "--concrete", "cats", "--out", "paper"),
    "status": ("status", "it/run"),
    "audit": ("predictor", "audit", "it/run", "--shuffles", "1"),
    "compare": ("compare", "it/run", "it/run"),
    "export": ("export", "it/run", "--format", "jsonl", "--out", "x.jsonl"),
    "build": ("leaderboard", "build", "it/run", "--out", "built"),
    "add": ("leaderboard", "add", "it/board", "it/run"),
    "begin": ("leaderboard", "add", "new", "it/run", "--title", "New"),
    "check": ("leaderboard", "check", "it/board"),
}


def name(about: dict[str, Any], spec: str, settings: Iterable[str] = SETTINGS) -> None:
    """Have a run.json, or a submission, name a spec wherever one may stand."""
    for setting in settings:
        if setting in about["config"]:
            about["config"][setting] = [spec] if isinstance(about["config"][setting], list) else spec
    for part in about["components"].values():
        part["spec"] = spec
    about["components"] |= {f"corpus {NAME}": {"spec": spec, "fingerprint": {}}}
    about["references"] = {"corpus": NAME, "part": "test", "videos": 1, "embedder": NAME, "remarks": []}


def spoiled(place: Path, spec: str, settings: Iterable[str] = SETTINGS) -> None:
    """Write a spec into all run.json and submissions; show a reference, so that its title is wanted."""
    for file in place.glob("*/run.json"):
        edit(file, lambda about: name(about, spec, settings))
        with closing(sqlite3.connect(file.with_name("ledger.sqlite"))) as ledger:  # of LLMs that cost something
            ledger.execute("INSERT OR REPLACE INTO used SELECT part, 'input', 5 FROM spent WHERE stage = 'write'")
            ledger.commit()
        samples = file.with_name("samples.jsonl")
        rows = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
        lines = [json.dumps({**row, "references": ["a"]}) for row in rows]
        samples.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    for file in place.glob("board/submissions/*.json"):

        def change(content: dict[str, Any]) -> None:
            for part in (content.get("components") or {}).values():
                part["spec"] = spec
            content["digest"] = digest_of({key: value for key, value in content.items() if key != "digest"})

        edit(file, change)


@pytest.mark.slow
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_makes_what_a_run_names_elsewhere(
    popbench_: Run, place: Path, of: Outside, command: str, spelling: str
) -> None:
    spoiled(place, SPELLINGS[spelling].format(name=NAME, code=place / "evil.py"))
    with harmless(of):
        done = popbench_(*COMMANDS[command])
    check_end(done)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("command", ["merge", "report", "status", "audit"])
def test_one_setting_alone_is_enough_to_be_refused(
    popbench_: Run, place: Path, of: Outside, command: str, setting: str
) -> None:
    spoiled(place, f"{NAME},path={place / 'evil.py'}", [setting])
    with harmless(of):
        check_end(popbench_(*COMMANDS[command]))


def test_the_trap_is_a_real_one(place: Path, of: Outside) -> None:
    load_registry().resolve("llm", f"{NAME},path={place / 'evil.py'}")
    assert of.canary.exists()


def test_what_is_refused_says_what_to_type_and_that_works(popbench_: Run, place: Path, made: Path) -> None:
    parts = sorted(place.glob("part.shard-*"))
    done = popbench_("merge", *parts)
    assert done.status == 2
    assert "names task" in done.line
    task = json.loads((parts[0] / "run.json").read_text(encoding="utf-8"))["config"]["task"][0]
    assert f"name it by --task; --config {parts[0]}/run.json says that the shards are your own" in done.line
    assert popbench_("merge", *parts, "--task", task, "--out", "typed").status == 0
    assert popbench_("merge", *parts, "--config", parts[0] / "run.json", "--out", "own").status == 0
    (place / "study.toml").write_text(f"task = {json.dumps(task)}\n", encoding="utf-8")
    assert popbench_("merge", *parts, "--config", place / "study.toml", "--out", "file").status == 0
    for folder in ("typed", "own", "file"):
        for file in ("samples.jsonl", "results.json"):
            found = [(at / file).read_text(encoding="utf-8") for at in (Path(folder), made / "run")]
            assert without_times(found[0]) == without_times(found[1])
    config = {
        folder: json.loads(Path(folder, "run.json").read_text(encoding="utf-8"))["config"]
        for folder in ("own", "typed")
    }
    assert {**config["own"], "out": None} == {**config["typed"], "out": None}


def without_times(text: str) -> list[Any]:
    found = []
    for line in text.splitlines() if not text.startswith("{\n") else [text]:
        row = json.loads(line)
        for key in ("seconds", "peak_memory_mb", "costs"):
            row.pop(key, None)
        found.append(row)
    return found


def test_a_task_that_a_run_names_by_a_path_is_not_even_read(
    popbench_: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        raise AssertionError("a task was read")

    monkeypatch.setattr("popbench.tasks.schema.read_task_file", read)
    for command in COMMANDS.values():
        check_end(popbench_(*command))


def test_another_task_than_that_of_the_shards_is_refused(popbench_: Run, place: Path, tmp_path: Path) -> None:
    from made_tasks import task_file

    other = task_file(tmp_path / "other", ROWS[:5], name="cats")
    done = popbench_("merge", *sorted(place.glob("part.shard-*")), "--task", other)
    assert done.status == 2
    assert "what is installed here is not what made the shards: " in done.line


def test_an_audit_takes_the_predictor_that_is_typed(popbench_: Run, place: Path, of: Outside) -> None:
    spoiled(place, f"{NAME},path={place / 'evil.py'}", ["predictor"])
    with harmless(of):
        done = popbench_(*COMMANDS["audit"])
        assert f"--predictor {shlex.quote(f'{NAME},path={place}/evil.py')}" in done.line
        assert popbench_(*COMMANDS["audit"], "--predictor", "faulty").status == 0


def test_a_report_takes_the_corpus_that_is_typed(popbench_: Run, place: Path, of: Outside) -> None:
    spoiled(place, f"{NAME},path={place / 'evil.py'}", ["corpus"])
    with harmless(of):
        done = popbench_(*COMMANDS["report"])
        assert "references are shown without titles: what a run names is not looked up elsewhere" in done.err
        assert popbench_(*COMMANDS["report"], "--corpus", "demo").status == 0
    assert "--corpus belongs to a run's page" in popbench_("report", "it/run", "--paper", "--corpus", "demo").err
    popbench_(*COMMANDS["report"], "--corpus", f"{NAME},path={place / 'evil.py'}")
    assert of.canary.exists()  # who types it means it


CODE = (
    "x,trust_remote_code=true", "x,trust_remote_code=True", "x,trust_remote_code=1", "x,trust_remote_code=yes",
    "x,trust_remote_code=on", 'x,trust_remote_code="true"', "x, trust_remote_code = t", "x,trust_remote_code=[true]",
    'x,model_kwargs={"trust_remote_code":true}', 'x,more={"a":[{"b":{"trust_remote_code":1}}]}',
    "x,custom_pipeline=evil", "x,custom_generate=evil/evil", 'x,more={"custom_generate":"evil"}',
    'x,auto_map={"AutoModel":"evil.Evil"}', 'x,config={"auto_map":{"AutoModel":"evil.Evil"}}', "x,code_revision=main",
    'best,picker="x,trust_remote_code=true"', "best,picker='x,more={\"auto_map\":{\"AutoModel\":\"evil.Evil\"}}'",
)  # fmt: skip
HARMLESS = (
    "x", "x,trust_remote_code=false", "x,trust_remote_code=0", 'x,more={"trust_remote_code":false}', "pe,k=50,tags=3",
    "kinetic,fps=12", 'best,picker="x,length=3"', "x,note=a=b", "x,custom_pipeline=null",
    "x,label=a/b,temperature=0.5", 'x,scheduler={"flow_shift":3.0}',
)  # fmt: skip
ELSEWHERE = (
    "x,path=/etc/passwd", "x,path=~/x", "x,path=../x", "x,path=a/b", "x,base_url=http://example.invalid",
    "x,model=owner/name", 'x,more={"a":"/etc"}', 'x,more=["owner/name"]', 'x,more={"a":{"b":["~/x"]}}', r"x,path=a\\b",
    "x,path=tests", "x,path=file:x/y", 'best,picker="x,path=tests"',
)  # fmt: skip


@pytest.mark.parametrize("spec", CODE)
def test_code_is_asked_for_by_typing_alone_however_it_is_spelt(spec: str, tmp_path: Path) -> None:
    assert "is not trusted to" in refusal(lambda: check_recorded([spec], "run.json"))
    assert leads_elsewhere(spec)
    (tmp_path / "run.json").write_text(json.dumps({"config": {"llm": ["x", spec]}}), encoding="utf-8")
    assert "asks to run code that comes with a model" in refusal(lambda: read_config(tmp_path / "run.json"))
    assert read_config(tmp_path / "run.json", {"llm": ("x",)})["llm"] == ["x", spec]  # which what is typed replaces
    (tmp_path / "mine.toml").write_text(f"llm = {json.dumps(spec)}\n", encoding="utf-8")
    assert read_config(tmp_path / "mine.toml") == {"llm": spec}  # a file of one's own stands for the command line


@pytest.mark.parametrize("spec", HARMLESS)
def test_plain_values_are_taken_from_a_run(spec: str) -> None:
    check_recorded([spec], "run.json")
    assert not names_place_here(spec)


@pytest.mark.parametrize("spec", ELSEWHERE)
def test_what_leads_elsewhere_is_seen(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert leads_elsewhere(spec)


def test_tasks_lead_elsewhere_by_their_names_and_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("popcorn", "mine", "a,b"):
        (tmp_path / folder).mkdir()
    for task in ("mine", "a,b", "x.yaml", "./popcorn", "/x", "popcorn,path=x", "llmpopcorn,path=x"):
        assert leads_elsewhere(task, task=True), task
    for task in ("popcorn", "popcorn_concrete", "llmpopcorn", "unknown"):
        assert not leads_elsewhere(task, task=True), task


def test_merging_names_no_engine_of_the_shards(made: Path, tmp_path: Path) -> None:
    for part in made.glob("part.shard-*"):
        shutil.copytree(part, tmp_path / part.name)
        edit(tmp_path / part.name / "run.json", lambda about: about["config"].update(engine="ray,address=ray://x:1"))
    parts = sorted(tmp_path.glob("part.shard-*"))
    merged = merge(parts, config=parts[0] / "run.json")
    assert json.loads((merged.path / "run.json").read_text())["config"]["engine"] == "ray,address=ray://x:1"


RUN_WHAT_THEY_READ = (
    "parse_raw", "parse_file", "parse_obj", "construct", "from_orm", "eval", "exec", "unsafe_load", "full_load",
    "load_all", "os.system", "os.popen", "runpy.run_path", "get_class_from_dynamic_module",
)  # fmt: skip
"""Functions that run what they are given, and pydantic's deprecated ways in, some of which unpickle."""
MAY: Mapping[str, frozenset[str]] = {
    "model_construct": frozenset({"popbench/specs.py"}),  # of defaults
    "import_module": frozenset(
        {
            "popbench/__init__.py",
            "popbench/cards/__init__.py",
            "popbench/cli/__init__.py",
            "popbench/local/quiet.py",
            "popbench/registry/registrations.py",
            "popbench_litellm/library.py",
            "popbench_litellm/video_jobs.py",
            "popbench_litellm/video_models.py",
            "popbench_trackers/libraries.py",
            "popbench_transformers/reader.py",
        }
    ),  # of popbench, litellm, trackers and transformers by literal names, and what plugins register
    "Environment": frozenset({"popbench/report/html.py", "popbench/paper/document.py"}),  # popbench's own templates
    "load_dataset": frozenset({"popbench/tasks/datasets.py", "popbench_microlens/hub.py"}),
    "load_from_disk": frozenset({"popbench/tasks/saved.py"}),
}
"""Functions that run what some of their arguments name, and the files that may call them."""


def test_nothing_that_runs_what_it_reads_is_called_but_where_it_is_known() -> None:
    found = set()
    for root in (ROOT / "popbench", *sorted((ROOT / "plugins").glob("popbench_*"))):
        for file in root.rglob("*.py"):
            place = file.relative_to(root.parent).as_posix()
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call) or not (node.args or node.keywords):  # `model.eval()` runs nothing
                    continue
                whole = ast.unparse(node.func)
                last = whole.rpartition(".")[2]
                if whole in RUN_WHAT_THEY_READ or last in RUN_WHAT_THEY_READ or place not in MAY.get(last, {place}):
                    found.add((place, last))
                if whole == "torch.load":
                    assert "weights_only=True" in ast.unparse(node), place
    assert found == set()
