"""Embedders that encode queries and documents in two ways: instructions, fingerprints and the cache of vectors."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import popbench
import tiny_encoders
from made_retrieval import RowsCorpus, distinct_rows
from popbench import testing
from popbench.retrieval import RetrievalOptions, Retriever
from popbench_transformers.embedder import SentenceTransformersEmbedder

SEARCH, STORE = "take a picture of ", "music and light and "
ROLES = {"query": SEARCH, "document": STORE}
TEXTS = ["the dog in the rain", "a castle at night"]


@cache
def plain() -> Path:
    """Return the folder of a tiny model without instructions."""
    make(tiny_encoders.root()).check()  # the library is imported in silence below
    library: Any = importlib.import_module("sentence_transformers")
    modules: Any = importlib.import_module("sentence_transformers.sentence_transformer.modules")
    words = tiny_encoders.bert(tiny_encoders.root() / "words")
    parts = [modules.Transformer(str(words)), modules.Pooling(tiny_encoders.WIDTH)]
    folder = tiny_encoders.root() / "sentences"
    library.SentenceTransformer(modules=parts, device="cpu").save(str(folder), create_model_card=False)
    return folder


def make(folder: Path) -> SentenceTransformersEmbedder:
    return SentenceTransformersEmbedder(
        SentenceTransformersEmbedder.Options(model=str(folder), device="cpu")  # type: ignore[call-arg]
    )


@pytest.fixture
def with_settings(tmp_path: Path) -> Callable[..., SentenceTransformersEmbedder]:
    """Make an embedder whose settings hold these prompts and this default."""

    def made(prompts: Any, default: str | None = None) -> SentenceTransformersEmbedder:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        shutil.copytree(plain(), folder)
        file = folder / "config_sentence_transformers.json"
        settings = json.loads(file.read_text())
        file.write_text(json.dumps({**settings, "prompts": prompts, "default_prompt_name": default}))
        return make(folder)

    return made


def near(one: Any, other: Any) -> bool:
    return bool(np.abs(one - other).max() < 1e-5)


def test_queries_and_documents_get_the_model_s_own_instructions(with_settings: Any) -> None:
    bare, told = make(plain()), with_settings(ROLES)
    assert near(told.encode(TEXTS), bare.encode([STORE + text for text in TEXTS]))
    assert near(told.encode_queries(TEXTS), bare.encode([SEARCH + text for text in TEXTS]))
    assert not near(told.encode(TEXTS), told.encode_queries(TEXTS))
    assert near(bare.encode(TEXTS), bare.encode_queries(TEXTS))


@pytest.mark.parametrize(
    ("prompts", "default", "query", "document", "changed"),
    [
        ({}, None, "", "", False),
        ({"query": "", "document": ""}, None, "", "", False),
        ({"query": SEARCH}, None, SEARCH, "", True),
        ({"classification": STORE}, None, "", "", False),
        ({"query": SEARCH, "document": ""}, "query", SEARCH, "", True),
        ({"search_query": SEARCH, "search_document": STORE, "clustering": "c"}, None, SEARCH, STORE, True),
        ({"retrieval.query": SEARCH, "retrieval.passage": STORE}, None, SEARCH, STORE, True),
        ({"Web-Query": SEARCH, "other": STORE}, None, SEARCH, "", True),
        ({"s2p_query": SEARCH, "s2s_query": STORE}, None, "", "", False),
    ],
)
def test_only_models_with_instructions_have_another_fingerprint_than_before(
    with_settings: Any, prompts: Any, default: str | None, query: str, document: str, changed: bool
) -> None:
    bare, told = make(plain()), with_settings(prompts, default)
    assert near(told.encode(TEXTS), bare.encode([document + text for text in TEXTS]))
    assert near(told.encode_queries(TEXTS), bare.encode([query + text for text in TEXTS]))
    assert ("roles" in told.fingerprint()) == changed
    assert told.tells_queries == changed
    assert "roles" not in bare.fingerprint()


@pytest.mark.parametrize("prompts", [ROLES, {"query": SEARCH, "passage": STORE}, {"corpus": STORE, "other": SEARCH}])
def test_the_library_s_own_methods_give_the_same(with_settings: Any, prompts: Any) -> None:
    told = with_settings(prompts)
    assert "roles" in told.fingerprint()
    rows = told.encode(TEXTS), told.encode_queries(TEXTS)
    model: Any = told._model
    assert near(rows[0], model.encode_document(TEXTS, normalize_embeddings=True))
    assert near(rows[1], model.encode_query(TEXTS, normalize_embeddings=True))


@pytest.mark.slow
def test_an_embedder_with_instructions_keeps_the_rules_of_the_kit(with_settings: Any) -> None:
    told = with_settings(ROLES)
    report = testing.check_embedder(f"sentence-transformers,model={told.options.model},device=cpu")
    assert report.ok


class Recorder(popbench.Embedder):
    """Records which texts it gets in which role; rows of queries point elsewhere."""

    version = "1"

    def __init__(self, options: popbench.Options | None = None) -> None:
        super().__init__(options)
        self.documents: list[str] = []
        self.queries: list[str] = []

    def encode(self, texts: Any) -> Any:
        self.documents += texts
        return self._rows(texts)

    def encode_queries(self, texts: Any) -> Any:
        self.queries += texts
        return self._rows([f"query of {text}" for text in texts])

    @staticmethod
    def _rows(texts: Any) -> Any:
        rows = [np.random.default_rng(list(text.encode())).normal(size=16) for text in texts]
        return np.asarray([row / np.linalg.norm(row) for row in rows], np.float32).reshape(len(texts), 16)


class Symmetric(Recorder):
    encode_queries = popbench.Embedder.encode_queries


@pytest.fixture
def _vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POPBENCH_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("_vectors")
def test_prompts_are_queries_and_texts_titles_and_tags_of_a_corpus_are_documents() -> None:
    rows = distinct_rows(6)
    prompt = rows[0].title  # equal to a text of the corpus, whose vector it must not get
    embedder = Recorder()
    retriever = Retriever(RowsCorpus(rows), embedder)
    retriever.load_titles()
    retriever.prepare([prompt, "a new one"])
    retriever.find(prompt, RetrievalOptions(k=2))
    hit = retriever.nearest_title(prompt)
    assert embedder.queries == [prompt, "a new one"]
    assert {rows[0].title, rows[0].tag} <= set(embedder.documents)
    titles = embedder._rows([row.title for row in rows]) @ embedder._rows([f"query of {prompt}"])[0]
    assert hit.reference.id == rows[int(np.argmax(titles))].id
    again = Recorder()
    later = Retriever(RowsCorpus(rows), again)
    later.prepare([prompt])
    assert later.find(prompt, RetrievalOptions(k=2)) == retriever.find(prompt, RetrievalOptions(k=2))
    assert (again.queries, again.documents) == ([], [])  # both kinds of vectors are kept


@pytest.mark.usefixtures("_vectors")
def test_an_embedder_without_roles_embeds_a_prompt_that_is_in_the_corpus_once() -> None:
    rows = distinct_rows(6)
    embedder = Symmetric()
    retriever = Retriever(RowsCorpus(rows), embedder)
    retriever.load_titles()
    known = list(embedder.documents)
    retriever.prepare([rows[0].title])
    assert embedder.documents == known
