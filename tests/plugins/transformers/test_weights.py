"""The weights of a run, and messages when they, a package, a GPU or memory are missing."""

from __future__ import annotations

import json
import shutil
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants

import hub_cache
import popbench
from hub_cache import COMMIT
from popbench import local, testing
from popbench.local import GIB, weights
from popbench_transformers import checks
from popbench_transformers.files import LAYOUT
from popbench_transformers.llm import TransformersLLM
from popbench_transformers.options import TransformersOptions
from popbench_transformers.presets import PRESETS
from tiny_llms import build, tiny


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, and no hub."""
    return hub_cache.empty(tmp_path / "hub", monkeypatch)


def cached(cache: Path, model: str = "org/tiny", ref: str = "main") -> Path:
    """Lay a model out as the hub's client does."""
    root = cache / f"models--{model.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / ref).write_text(COMMIT)
    shutil.copytree(tiny(), root / "snapshots" / COMMIT)
    return root / "snapshots" / COMMIT


def folder_digest(folder: Path) -> str:
    return local.folder_digest(folder, LAYOUT)


def make(model: str | Path, **options: Any) -> TransformersLLM:
    return TransformersLLM(TransformersOptions(model=str(model), max_new_tokens=3, **options))


def only(llm: TransformersLLM) -> str:
    lines = llm.check()
    assert len(lines) == 1, lines
    assert "\n" not in lines[0]
    return lines[0]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny(), tmp_path / "model"))


@pytest.mark.slow
def test_a_fingerprint_says_which_weights_template_and_tokenizer_it_is_of(copied: Path, tmp_path: Path) -> None:
    found = {str(make(copied).fingerprint())}
    assert {str(make(copied).fingerprint())} == found
    build(copied, seed=1)
    found.add(str(make(copied).fingerprint()))
    (copied / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    found.add(str(make(copied).fingerprint()))
    (copied / "generation_config.json").write_text('{"temperature": 0.3}', encoding="utf-8")
    found.add(str(make(copied).fingerprint()))
    template = tmp_path / "own.jinja"
    for text in ("a", "b"):
        template.write_text(text, encoding="utf-8")
        found.add(str(make(copied, chat_template=str(template)).fingerprint()))
    assert len(found) == 6


def test_a_fingerprint_depends_on_contents_not_on_the_place_or_bystanders(copied: Path) -> None:
    before = folder_digest(copied)
    (copied / "README.md").write_text("words", encoding="utf-8")
    (copied / "optimizer.pt").write_bytes(b"state")
    assert folder_digest(copied) == before == folder_digest(tiny())


def test_every_path_to_a_folder_has_the_same_fingerprint(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "link").symlink_to(copied)
    paths = [str(copied), f"{copied}/", "model", "./model", "~/model", "link", str(tmp_path / "link")]
    found = {path: str(make(path).fingerprint()) for path in paths}
    assert len(set(found.values())) == 1, found
    assert [make(path).check() for path in paths] == [[]] * len(paths)
    assert make("~/link").label() == "link[max_new_tokens=3]"
    llm = make("~/model")
    assert isinstance(next(iter(llm.generate(testing.sample_chats()[:1]))), popbench.Completion)
    llm.close()
    (tmp_path / "chat.jinja").write_text("hello", encoding="utf-8")
    templates = ["chat.jinja", "~/chat.jinja", str(tmp_path / "chat.jinja")]
    assert len({str(make("model", chat_template=path).fingerprint()) for path in templates}) == 1


def test_a_path_that_leads_nowhere_is_said(cache: Path) -> None:
    line = only(make("tinny"))
    assert "there is no folder tinny here" in line
    assert "hf download tinny" in line
    assert "there is no folder org/tinny here" in only(make("org/tinny"))
    assert "no such folder" in only(make("~nobody-of-this-name/model"))


def _cut(file: Path, by: int) -> None:
    file.write_bytes(file.read_bytes()[:-by])


def _index(folder: Path, *shards: str) -> Path:
    """Make a model one of several shards, of which only the first is there; return that one."""
    first = (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    names = {f"layer.{number}": name for number, name in enumerate(shards)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}), encoding="utf-8")
    return first


WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
AGAIN = "copy or download it again"


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / "config.json").write_text("{"), ["config.json is no JSON object"]),
        (lambda folder: (folder / "tokenizer.json").unlink(), ["no tokenizer (tokenizer.json, tokenizer.model"]),
        (lambda folder: (folder / WEIGHTS).unlink(), ["no weights (model.safetensors"]),
        (lambda folder: (folder / WEIGHTS).rename(folder / "other.safetensors"), ["no weights (model.safetensors"]),
        (lambda folder: _cut(folder / WEIGHTS, 1), [WEIGHTS, "bytes, and", AGAIN]),
        (lambda folder: _cut(folder / WEIGHTS, (folder / WEIGHTS).stat().st_size - 100), [WEIGHTS, "header", AGAIN]),
        (lambda folder: (folder / WEIGHTS).write_bytes(b""), [WEIGHTS, "header", AGAIN]),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"\xff" * 500), [WEIGHTS, "header", AGAIN]),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"\2" + b"\0" * 7 + b"[]"), [WEIGHTS, "header", AGAIN]),
        (
            lambda folder: (folder / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0"),
            [WEIGHTS, "git lfs pull"],
        ),
        (
            lambda folder: _index(folder, "model-1.safetensors", "model-2.safetensors", "model-3.safetensors"),
            [f"{INDEX} names model-2.safetensors and 1 more, which the folder lacks"],
        ),
        (lambda folder: _index(folder), [f"{INDEX} names no shards"]),
        (
            lambda folder: _cut(_index(folder, "model-1.safetensors"), 9),
            ["its model-1.safetensors has", AGAIN],
        ),
    ],
)  # fmt: skip
def test_a_broken_folder_is_found_before_the_run(copied: Path, damage: Any, says: list[str]) -> None:
    assert make(copied).check() == []
    damage(copied)
    line = only(make(copied))
    for text in says:
        assert text in line


def test_a_cached_model_with_a_damaged_file_is_said(cache: Path) -> None:
    _cut(cached(cache) / WEIGHTS, 1)
    line = only(make("org/tiny"))
    assert f"{WEIGHTS} has" in line
    assert str(cache) in line


def test_folders_that_transformers_can_load_are_not_called_broken(copied: Path) -> None:
    _index(copied, "model-1.safetensors")
    assert make(copied).check() == []
    (copied / "tokenizer.json").rename(copied / "tokenizer.model")
    assert make(copied).check() == []
    (copied / "tokenizer.model").unlink()
    (copied / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["own.Own", null]}}')
    assert make(copied).check() == []


def test_use_does_not_change_a_fingerprint(copied: Path) -> None:
    llm = make(copied)
    before = llm.fingerprint()
    list(llm.generate(testing.sample_chats()[:1]))
    llm.close()
    assert llm.fingerprint() == before == make(copied).fingerprint()


def test_large_weight_files_are_sampled_in_no_time_and_changes_seen(copied: Path) -> None:
    file = copied / "model-00002.safetensors"
    with file.open("wb") as data:
        data.truncate(20 * 2**30)  # sparse: takes no room
    started = time.perf_counter()
    before = folder_digest(copied)
    assert time.perf_counter() - started < 3  # reading it would take more
    with file.open("r+b") as data:
        data.seek(file.stat().st_size - 100)
        data.write(b"trained")
    assert folder_digest(copied) != before


def test_a_cached_hub_model_is_its_commit_and_runs_without_a_connection(cache: Path) -> None:
    snapshot = cached(cache)
    llm = make("org/tiny")
    assert llm.check() == []
    assert llm.fingerprint()["weights"] == COMMIT
    assert make("org/tiny", revision=COMMIT).fingerprint()["weights"] == COMMIT
    assert llm._weights.folder == snapshot
    answers = list(llm.generate(testing.sample_chats()[:1]))
    assert isinstance(answers[0], popbench.Completion)
    llm.close()


def test_a_branch_of_a_hub_model_is_found_in_the_cache(cache: Path) -> None:
    cached(cache, ref="dev")
    assert make("org/tiny", revision="dev").fingerprint()["weights"] == COMMIT
    assert make("org/tiny").fingerprint()["weights"] is None


def test_a_cache_that_lacks_a_shard_is_not_taken_for_the_model(cache: Path) -> None:
    snapshot = cached(cache)
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    assert make("org/tiny").fingerprint()["weights"] == COMMIT
    assert "hf download org/tiny" in only(make("org/tiny"))


def test_a_model_that_is_nowhere_is_said_with_how_to_get_it(cache: Path, tmp_path: Path) -> None:
    line = only(make("org/none"))
    assert "HF_HUB_OFFLINE is set" in line
    assert "hf download org/none" in line
    assert "HF_TOKEN" in line
    assert "no such folder" in only(make(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    assert "no config.json" in only(make(tmp_path / "empty"))
    assert "revision=main is for hub models" in only(make(tiny(), revision="main"))


class Hub:
    """Answers as the hub's client would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", self)
        self.cache = cache
        self.commit: str | None = COMMIT
        self.error: Exception | None = None
        self.silence = 0.0
        self.asked = 0

    def __call__(self, url: str, **_: Any) -> Any:
        self.asked += 1
        time.sleep(self.silence)
        if self.error is not None:
            raise self.error
        return type("Metadata", (), {"commit_hash": self.commit})


def _refusal(name: str) -> Exception:
    """Make one of the client's errors without the response that it wants to be made from."""
    cls = getattr(huggingface_hub.errors, name)
    error: Exception = cls.__new__(cls)
    return error


def test_the_hub_is_asked_for_the_commit_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch, cache)
    llm = make("org/far", device="cpu")
    assert llm.check() == []
    assert llm.fingerprint()["weights"] == COMMIT
    assert llm.fingerprint() == llm.fingerprint()
    assert hub.asked == 1


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (_refusal("GatedRepoError"), "accept its licence at https://huggingface.co/org/far and set HF_TOKEN"),
        (_refusal("RepositoryNotFoundError"), "there is no folder org/far here, nor such a model on the hub"),
        (_refusal("RevisionNotFoundError"), "no revision"),
        (_refusal("EntryNotFoundError"), "no config.json"),
        (OSError("network is down"), "the hub cannot be reached"),
    ],
)
def test_what_the_hub_refuses_is_said_with_the_remedy(
    cache: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    hub = Hub(monkeypatch, cache)
    hub.error = error
    assert says in only(make("org/far"))
    assert make("org/far").fingerprint()["weights"] is None


def test_a_mirror_that_does_not_say_the_commit_is_told_apart(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Hub(monkeypatch, cache).commit = None
    for options in ({}, {"revision": "main"}):
        assert "does not say its commit: give revision=COMMIT" in only(make("org/far", device="cpu", **options))
    given = make("org/far", device="cpu", revision=COMMIT)
    assert given.check() == []
    assert given.fingerprint()["weights"] == COMMIT


def test_a_hub_that_does_not_answer_is_not_waited_for(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch, cache)
    hub.silence = 60.0
    monkeypatch.setattr(weights, "_PATIENCE", 0.1)
    started = time.perf_counter()
    assert "the hub cannot be reached" in only(make("org/far"))
    assert time.perf_counter() - started < 30


@pytest.mark.parametrize(
    ("options", "package"),
    [
        ({"quantization": "4bit"}, "bitsandbytes"),
        ({"quantization": "8bit"}, "accelerate"),
        ({"structured": True}, "llguidance"),
    ],
)
def test_a_missing_package_is_named_with_the_command(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], package: str
) -> None:
    here = {"bitsandbytes", "accelerate"}  # whether or not they are installed where the test runs

    def find(name: str) -> Any:
        return None if name == package else True if name in here else find_spec(name)

    monkeypatch.setattr(checks, "find_spec", find)
    assert f"pip install {package}" in only(make(tiny(), **options))


def test_a_template_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    assert "give a Jinja file" in only(make(tiny(), chat_template=str(tmp_path / "none.jinja")))
    (tmp_path / "bytes.jinja").write_bytes(b"\xff\xfe")
    assert "not UTF-8" in only(make(tiny(), chat_template=str(tmp_path / "bytes.jinja")))


def test_a_gpu_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert "use device=auto" in only(make(tiny(), device="cuda"))
    assert "use device=auto" in only(make(tiny(), device="cuda:3"))
    assert make(tiny()).check() == []


def test_the_paper_s_models_need_a_gpu_of_the_size_it_reports(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Table 10 has 42,240 and 44,246 MB for short prompts."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for preset in PRESETS.values():
        llm = TransformersLLM(TransformersOptions(**preset.options))
        assert 36 < llm.needs().memory_gb < 48
        assert llm.needs().gpus == 0
        assert any("needs a CUDA GPU" in line for line in llm.check())


def test_a_gpu_that_is_too_small_is_said_with_what_would_fit(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    size = 80.0

    def properties(index: int) -> Any:
        assert index == 0
        return type("Properties", (), {"total_memory": int(size * GIB)})

    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    model = PRESETS["llama-3.3-70b"].model

    def hardware(**options: Any) -> list[str]:
        return [line for line in make(model, **options).check() if "GPU memory" in line]

    assert hardware(quantization="4bit") == []
    (line,) = hardware()
    assert "138 GiB of GPU memory and the GPU has 80" in line
    assert "quantization=8bit" in line
    size = 48.0
    assert "quantization=4bit" in hardware()[0]
    size = 24.0
    assert "smaller model" in hardware(quantization="4bit")[0]


def test_a_model_larger_than_the_machine_is_said(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with (copied / "model-00002.safetensors").open("wb") as data:
        data.truncate(2000 * GIB)
    assert "of memory and this machine has" in only(make(copied))


def test_weights_that_are_quantized_already_keep_their_quantization(copied: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (copied / "config.json").write_text(json.dumps(config))
    assert make(copied).check() == []
    assert make(copied, quantization="4bit").check() == []
    assert "quantized already (4bit)" in only(make(copied, quantization="8bit"))
