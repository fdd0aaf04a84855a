"""Folders of models of a stranger: no file in one is run, whatever it is called and whichever file names it."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import diffusers_pipelines
import tiny_encoders
import tiny_llms
from hostile_cases import Evil
from popbench.local import asks_for_kernels, quiet
from popbench.testing import sample_chats
from popbench_mmra.encoders import find_encoders
from popbench_transformers.embedder import SentenceTransformersEmbedder
from popbench_transformers.llm import TransformersLLM
from popbench_transformers.options import TransformersOptions
from tiny_pipelines import tiny

Change = Callable[[Path, Path], object]
"""Makes something of a model's folder, so that the canary is made where it is run."""
LOADED = ""
"""The folder is sound once what it asks for is passed over."""
REFUSED = "library"
"""The library refuses it, and popbench does not see to it."""
AUTO = {
    "AutoConfig": "evil.Evil", "AutoModel": "evil.Evil", "AutoModelForCausalLM": "evil.Evil",
    "AutoTokenizer": ["evil.Evil", "evil.Evil"], "AutoImageProcessor": "evil.Evil", "AutoProcessor": "evil.Evil",
}  # fmt: skip


def code(path: Path, canary: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"import os\nos.mkdir({str(canary)!r})\n\n\nclass Evil:\n    load = from_pretrained = lambda *_: Evil()\n"
    )


def js(file: str, *python: str, **values: Any) -> Change:
    """Write values into a JSON object, and code into files beside the model."""

    def change(model: Path, canary: Path) -> None:
        path = model / file
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(json.dumps({**known, **values}), encoding="utf-8")
        for name in ("evil.py", *python):
            code(model / name, canary)

    return change


def both(*changes: Change) -> Change:
    def change(model: Path, canary: Path) -> None:
        for one in changes:
            one(model, canary)

    return change


def pickled(file: str, of: str = "model.safetensors", *, bare: bool = False) -> Change:
    """Put weights that run code when they are unpickled into the place of others."""

    def change(model: Path, canary: Path) -> None:
        (model / of).unlink()
        if bare:
            (model / file).write_bytes(pickle.dumps(Evil(canary)))
        else:
            torch.save({"x": Evil(canary)}, model / file)

    return change


def template(text: str) -> Change:
    return lambda model, canary: (model / "chat_template.jinja").write_text(text.replace("CANARY", str(canary)))


def tried(made: Any, use: Callable[[], object], canary: Path) -> tuple[list[str], str]:
    """Check a component and use it whatever it lacks; return what it lacks and how using it ended."""
    lacks = made.check()
    ended = ""
    try:
        use()
    except Exception as error:  # whatever libraries raise
        ended = f"{type(error).__name__}: {error}"
    assert not canary.exists()
    return lacks, ended


def held(told: str, lacks: list[str], ended: str) -> None:
    """Compare how it went with what was expected: loaded, refused by the library, or by popbench, in one line."""
    if told in (LOADED, REFUSED):
        assert lacks == []
        assert bool(ended) == (told == REFUSED), ended
        return
    (line,) = lacks
    assert told in line
    assert "\n" not in line
    assert ended == f"ComponentError: {line}"


KERNELS = "asks for compiled code of the hub ('evil/kernel'), which is not run"
LLMS: dict[str, tuple[Change, str]] = {
    "classes-of-its-own": (js("config.json", auto_map=AUTO), LOADED),
    "a-kind-of-its-own": (js("config.json", auto_map=AUTO, model_type="evil", architectures=["Evil"]), REFUSED),
    "trust-in-itself": (js("config.json", auto_map=AUTO, model_type="evil", trust_remote_code=True), REFUSED),
    "a-tokenizer-of-its-own": (js("tokenizer_config.json", auto_map=AUTO), LOADED),
    "a-tokenizer-that-trusts": (
        js("tokenizer_config.json", auto_map=AUTO, tokenizer_class="Evil", trust_remote_code=True), REFUSED
    ),
    "a-tokenizer-by-its-module": (js("tokenizer_config.json", tokenizer_class="evil.Evil"), LOADED),
    "a-way-to-generate": (js("config.json", "custom_generate/generate.py"), LOADED),
    "a-way-to-generate-that-is-named": (
        js("generation_config.json", "custom_generate/generate.py", custom_generate=".", trust_remote_code=True), LOADED
    ),
    "kernels-for-attention": (js("config.json", attn_implementation="evil/kernel"), KERNELS),
    "kernels-for-attention-within": (js("config.json", _attn_implementation="evil/kernel"), KERNELS),
    "kernels-for-a-part": (js("config.json", text_config={"attn_implementation": {"": "evil/kernel"}}), KERNELS),
    "kernels-for-experts": (js("config.json", experts_implementation="evil/kernel"), KERNELS),
    "an-adapter-of-another-model": (
        js("adapter_config.json", base_model_name_or_path="evil/evil", peft_type="LORA"), LOADED
    ),
    "an-unknown-quantization": (js("config.json", quantization_config={"quant_method": "evil"}), LOADED),
    "a-quantization-of-classes": (
        js("config.json", quantization_config={
            "quant_method": "torchao", "quant_type": {"default": {"_type": "os.system", "_data": {}}}
        }), REFUSED
    ),
    "pickled-weights": (pickled("pytorch_model.bin"), REFUSED),
    "pickled-weights-of-old": (pickled("pytorch_model.bin", bare=True), REFUSED),
    "pickled-weights-by-a-name": (
        both(pickled("own.bin"), js("config.json", transformers_weights="own.bin")), REFUSED
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LLMS)
def test_a_language_model_runs_no_code(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    change, told = LLMS[name]
    model = Path(shutil.copytree(tiny_llms.tiny(), tmp_path / "model"))
    change(model, tmp_path / "canary")
    made = llm(model)
    held(told, *tried(made, lambda: list(made.generate(sample_chats()[:1])), tmp_path / "canary"))


def llm(model: Path) -> TransformersLLM:
    return TransformersLLM(TransformersOptions(model=str(model), max_new_tokens=2, device="cpu"))


ESCAPES = (
    "{{ raise_exception.__globals__.os.mkdir('CANARY') }}", "{{ strftime_now.__globals__ }}",
    "{{ cycler.__init__.__globals__.os.mkdir('CANARY') }}", "{{ joiner.__init__.__globals__.os.mkdir('CANARY') }}",
    "{{ namespace.__init__.__globals__ }}", "{{ lipsum.__globals__.os.mkdir('CANARY') }}",
    "{{ dict.__class__.__init__.__globals__ }}", "{{ self.__init__.__globals__ }}",
    "{{ messages[0].__class__.__mro__[1].__subclasses__() }}", "{{ '{0.__class__.__init__}'.format(messages) }}",
    "{{ (''|attr('format')).__globals__ }}", "{{ (messages|map(attribute='__class__')|list)[0].__mro__ }}",
    "{% macro m() %}{% endmacro %}{{ m._environment.globals }}", "{{ messages.append(1) }}",
    "{{ messages[0].update(a=1) }}", "{{ range(10 ** 9)|list }}", "{% include '/etc/passwd' %}",
)  # fmt: skip


@pytest.mark.parametrize("number", range(len(ESCAPES)))
def test_a_chat_template_reaches_nothing_but_the_messages(number: int, tmp_path: Path) -> None:
    model = Path(shutil.copytree(tiny_llms.tiny(), tmp_path / "model"))
    template(ESCAPES[number])(model, tmp_path / "canary")
    answers: list[Any] = []
    made = llm(model)
    lacks, ended = tried(made, lambda: answers.extend(made.generate(sample_chats()[:1])), tmp_path / "canary")
    assert lacks == []
    assert answers == []
    assert ended.startswith(f"ComponentError: model {model}: its chat template cannot be used: ")
    assert "\n" not in ended


OWN = "sentence_transformers.models."


@cache
def sentences() -> Path:
    """Write a small sentence-transformers model, as versions of the library for years have."""
    model = tiny_encoders.bert(tiny_encoders.root() / "hostile-sentences")
    kinds = {"": "Transformer", "1_Pooling": "Pooling"}
    listed = [
        {"idx": at, "name": str(at), "path": path, "type": OWN + kind} for at, (path, kind) in enumerate(kinds.items())
    ]
    (model / "modules.json").write_text(json.dumps(listed), encoding="utf-8")
    (model / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": tiny_encoders.WIDTH, "pooling_mode_mean_tokens": True}
    (model / "1_Pooling/config.json").write_text(json.dumps(pooling), encoding="utf-8")
    return model


def step(kind: str, file: str = "", **values: Any) -> Change:
    """Add a step, in the folder `x`, that a model's list names by its class, with a file of its own."""

    def change(model: Path, canary: Path) -> None:
        listed = json.loads((model / "modules.json").read_text(encoding="utf-8"))
        listed.append({"idx": len(listed), "name": "x", "path": "x", "type": kind})
        (model / "modules.json").write_text(json.dumps(listed), encoding="utf-8")
        js(f"x/{file or 'config.json'}", "x/evil.py", "x/a/evil.py", **values)(model, canary)

    def made(model: Path, canary: Path) -> None:
        (model / "x").mkdir()
        change(model, canary)

    return made


def inner(kind: str) -> dict[str, Any]:
    return {"types": {"a": kind}, "structure": {"query": ["a"]}, "parameters": {}}


def strange(kind: str, where: str = "modules.json") -> str:
    return f"its {where} asks for code of its own ({kind}), which is not run: choose another model"


EMBEDDERS: dict[str, tuple[Change, str]] = {
    "a-class-beside-it": (step("evil.Evil"), strange("evil.Evil")),
    "a-class-that-is-installed": (step("joblib.numpy_pickle"), strange("joblib.numpy_pickle")),
    "what-the-library-imports": (
        step("sentence_transformers.util.misc.os"), strange("sentence_transformers.util.misc.os")
    ),
    "what-loads-files-in-it": (
        step("sentence_transformers.base.model.torch"), strange("sentence_transformers.base.model.torch")
    ),
    "a-class-in-a-router": (
        step(f"{OWN}Router", "router_config.json", **inner("evil.Evil")), strange("evil.Evil", "module x")
    ),
    "an-installed-class-in-a-router": (
        step(f"{OWN}Router", **inner("joblib.numpy_pickle")), strange("joblib.numpy_pickle", "module x")
    ),
    "a-class-in-an-old-router": (step(f"{OWN}Asym", **inner("evil.Evil")), strange("evil.Evil", "module x")),
    "a-router-in-itself": (
        both(step(f"{OWN}Router", **inner(f"{OWN}Router")),
             *(lambda model, canary, deep="/a" * depth: js(f"x{deep}/config.json", **inner(f"{OWN}Router"))(
                 *made_folder(model, f"x{deep}", canary)) for depth in range(1, 6))),
        "asks for code of its own",
    ),
    "a-tokenizer-of-words": (
        step(f"{OWN}WordEmbeddings", "wordembedding_config.json", tokenizer_class="os.system"),
        strange("os.system", "module x"),
    ),
    "kernels": (js("config.json", attn_implementation="evil/kernel"), KERNELS),
    "trust-in-itself": (
        both(js("sentence_bert_config.json", **{
            name: {"trust_remote_code": True} for name in ("model_args", "config_args", "tokenizer_args")
        }), js("config.json", auto_map=AUTO, model_type="evil")), REFUSED
    ),
    "trust-at-the-top": (
        both(js("config_sentence_transformers.json", trust_remote_code=True),
             js("config.json", auto_map=AUTO, model_type="evil")), REFUSED
    ),
    "classes-of-its-own": (js("config.json", auto_map=AUTO), REFUSED),
    "a-tokenizer-of-the-library": (js("config.json", tokenizer_class="BertTokenizer"), LOADED),
    "pickled-weights": (pickled("pytorch_model.bin"), REFUSED),
}  # fmt: skip


def made_folder(model: Path, name: str, canary: Path) -> tuple[Path, Path]:
    (model / name).mkdir(parents=True, exist_ok=True)
    return model, canary


@pytest.mark.parametrize("name", EMBEDDERS)
def test_an_embedder_runs_no_code(name: str, tmp_path: Path) -> None:
    change, told = EMBEDDERS[name]
    model = Path(shutil.copytree(sentences(), tmp_path / "model"))
    change(model, tmp_path / "canary")
    made = SentenceTransformersEmbedder(
        SentenceTransformersEmbedder.Options(model=str(model), device="cpu")  # type: ignore[call-arg]
    )
    held(told, *tried(made, lambda: made.encode(["a"]), tmp_path / "canary"))


INDEX = "model_index.json"
PIPELINES: dict[str, tuple[Change, str]] = {
    "a-class-beside-it": (js(INDEX, _class_name=["evil", "Evil"]), "its model_index.json has no sound '_class_name'"),
    "a-file-of-no-name": (js(INDEX, "None.py"), "it holds code of its own (None.py), which is not run"),
    "a-pipeline-file": (js(INDEX, "pipeline.py"), LOADED),
    "a-pipeline-that-is-named": (js(INDEX, custom_pipeline="evil", trust_remote_code=True), LOADED),
    "a-part-of-its-own": (
        js(INDEX, "vae/evil.py", vae=["evil", "Evil"]), "asks for code of its own (vae of 'evil'), which is not run"
    ),
    "a-part-that-is-installed": (js(INDEX, vae=["antigravity", "Evil"]), "code of its own (vae of 'antigravity')"),
    "a-part-of-a-submodule": (js(INDEX, vae=["pipeline_utils", "os"]), "code of its own (vae of 'pipeline_utils')"),
    "a-part-by-a-path": (js(INDEX, vae=["../evil", "Evil"]), "code of its own (vae of '../evil')"),
    "a-file-called-as-the-library": (js(INDEX, "vae/diffusers.py"), "vae/ holds code of its own (diffusers.py)"),
    "a-file-called-as-the-other": (
        js(INDEX, "text_encoder/transformers.py"), "text_encoder/ holds code of its own (transformers.py)"
    ),
    "classes-of-its-own": (js("text_encoder/config.json", "text_encoder/evil.py", auto_map=AUTO), LOADED),
    "kernels": (js("text_encoder/config.json", attn_implementation="evil/kernel"), KERNELS),
    "pickled-weights": (
        pickled("vae/diffusion_pytorch_model.bin", "vae/diffusion_pytorch_model.safetensors"), REFUSED
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_runs_no_code(name: str, tmp_path: Path) -> None:
    change, told = PIPELINES[name]
    model = Path(shutil.copytree(tiny("ltx"), tmp_path / "model"))
    change(model, tmp_path / "canary")
    made = diffusers_pipelines.make("ltx", model=str(model), device="cpu")
    held(told, *tried(made, lambda: list(made.generate([diffusers_pipelines.CAT])), tmp_path / "canary"))


@pytest.mark.parametrize("role", ["visual", "textual", "captioner", "retriever"])
def test_an_encoder_of_mmra_runs_no_code_and_asks_nobody(
    role: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(tiny_encoders.encoders()[role], tmp_path / "model"))
    encoder = find_encoders({**tiny_encoders.encoders(), role: str(folder)})[role]
    source, how = encoder.source
    js("config.json", auto_map=AUTO, model_type="evil")(folder, tmp_path / "canary")
    js("preprocessor_config.json", auto_map=AUTO)(folder, tmp_path / "canary")
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # what a user may type who is asked
    auto: Any = transformers
    for loader in (auto.AutoModel, auto.AutoConfig):
        with quiet("transformers"), pytest.raises(ValueError, match="trust_remote_code"):
            loader.from_pretrained(source, **how)
    with quiet("transformers"), suppress(ValueError, OSError):  # there is one of the library's own, or none
        auto.AutoImageProcessor.from_pretrained(source, **how)
    assert not (tmp_path / "canary").exists()
    js("config.json", attn_implementation="evil/kernel", model_type="blip")(folder, tmp_path / "canary")
    fresh = find_encoders({**tiny_encoders.encoders(), role: str(folder)})[role]
    assert KERNELS in (fresh.problem or "")


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"attn_implementation": "a/b"}, True),
        ({"text_config": {"vision": [{"_attn_implementation": "a/b:f"}]}}, True),
        ({"attn_implementation": {"text": "a/b"}}, True),
        ({"attn_implementation": "sdpa", "_name_or_path": "a/b"}, False),
        ({"attn_implementation": None}, False),
        ([], False),
    ],
)
def test_kernels_are_found_wherever_a_configuration_names_them(
    config: Mapping[str, Any], found: bool, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert bool(asks_for_kernels(tmp_path)) == found


def test_the_traps_are_real_ones(tmp_path: Path) -> None:
    model = Path(shutil.copytree(tiny_llms.tiny(), tmp_path / "model"))
    js("config.json", auto_map=AUTO, model_type="evil")(model, tmp_path / "canary")
    options = TransformersOptions(model=str(model), trust_remote_code=True, device="cpu")
    with pytest.raises(Exception, match=r".+"):  # it is run, and then is no model
        list(TransformersLLM(options).generate(sample_chats()[:1]))
    assert (tmp_path / "canary").exists()
    os.rmdir(tmp_path / "canary")  # noqa: PTH106
    (tmp_path / "x").write_text("")
    pickled("pytorch_model.bin", "x")(tmp_path, tmp_path / "canary")
    torch.load(tmp_path / "pytorch_model.bin", weights_only=False)
    assert (tmp_path / "canary").exists()
