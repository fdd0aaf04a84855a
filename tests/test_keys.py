"""Keys hold everything that determines a result, and nothing else; seeds never depend on the system."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import popbench.keys
from popbench.keys import clip_key, derive_seed, digest, draft_key, score_key, used_key
from popbench.records import Chat, Message, Reference
from popbench.video import ENCODER

TEXT = st.text(max_size=20)
SEEDS = st.integers(0, 2**31 - 1)
REFERENCES = st.builds(
    Reference, id=TEXT, title=TEXT, description=TEXT, caption=TEXT, tag=TEXT,
    popularity=st.floats(1, 1e6), popular=st.booleans(),
)  # fmt: skip
CHATS = st.builds(
    Chat,
    id=TEXT,
    messages=st.lists(st.builds(Message, role=st.sampled_from(["system", "user"]), content=TEXT), max_size=3).map(
        tuple
    ),
    seed=SEEDS,
    schema=st.dictionaries(TEXT, TEXT, max_size=2),
    prompt=TEXT,
    references=st.lists(REFERENCES, max_size=3).map(tuple),
)


@given(TEXT, CHATS, TEXT, CHATS)
def test_two_drafts_share_a_key_only_if_the_llm_is_shown_the_same(llm: str, a: Chat, other: str, b: Chat) -> None:
    def shown(fingerprint: str, chat: Chat) -> Any:
        return fingerprint, dataclasses.replace(chat, id="")

    assert (draft_key(llm, a) == draft_key(other, b)) == (shown(llm, a) == shown(other, b))


@given(TEXT, CHATS, st.data())
def test_a_draft_s_key_changes_with_each_field_but_the_id(llm: str, chat: Chat, data: st.DataObject) -> None:
    for field in dataclasses.fields(Chat):
        drawn = data.draw(CHATS)
        changed = dataclasses.replace(chat, **{field.name: getattr(drawn, field.name)})
        same = field.name == "id" or getattr(changed, field.name) == getattr(chat, field.name)
        assert (draft_key(llm, changed) == draft_key(llm, chat)) == same, field.name


@given(st.tuples(TEXT, TEXT, SEEDS), st.tuples(TEXT, TEXT, SEEDS))
def test_clips_share_a_key_only_if_generator_prompt_and_seed_agree(
    a: tuple[str, str, int], b: tuple[str, str, int]
) -> None:
    assert (clip_key(*a) == clip_key(*b)) == (a == b)


@pytest.mark.parametrize("setting", sorted(ENCODER))
def test_a_clip_s_key_changes_with_every_encoder_setting(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = clip_key("generator", "a lake", 1)
    monkeypatch.setattr(popbench.keys, "ENCODER", {**ENCODER, setting: "other"})
    assert clip_key("generator", "a lake", 1) != before


@given(st.tuples(TEXT, TEXT, TEXT), st.tuples(TEXT, TEXT, TEXT))
def test_scores_share_a_key_only_if_predictor_title_and_video_agree(
    a: tuple[str, str, str], b: tuple[str, str, str]
) -> None:
    assert (score_key(*a) == score_key(*b)) == (a == b)


USED: dict[str, Any] = {"video": "a hash", "title": "A title", "prompt": "A lake", "extra": {"lang": None}}


def test_the_key_of_a_score_of_title_and_video_is_the_one_it_always_was() -> None:
    assert used_key("p", {"video": "b", "title": "a"}) == score_key("p", "a", "b") == "da729b831d91f32a54caa454f5c61ddc"


@pytest.mark.parametrize("name", USED)
def test_a_score_s_key_covers_the_names_and_values_that_are_used(name: str) -> None:
    changed: dict[str, dict[str, Any]] = {
        "another": {**USED, name: "another"},
        "none": {**USED, name: None},
        "unused": {**USED},
    }
    del changed["unused"][name]
    keys = [used_key("p", USED), *(used_key("p", used) for used in changed.values()), used_key("q", USED)]
    assert len(set(keys)) == 5
    assert used_key("p", dict(reversed(USED.items()))) == keys[0]


def test_a_draft_a_clip_and_a_score_never_share_a_key() -> None:
    assert len({digest(kind, "x", "y", 1) for kind in ("draft", "clip", "score")}) == 3


PLACES = st.tuples(SEEDS, TEXT, TEXT, st.integers(0, 9), st.sampled_from(["write", "render"]), st.integers(0, 2))


@given(PLACES, PLACES)
def test_seeds_are_hashes_of_the_place_of_a_call(a: tuple[Any, ...], b: tuple[Any, ...]) -> None:
    assert 0 <= derive_seed(*a) < 2**31
    if a == b:
        assert derive_seed(*a) == derive_seed(*b)
    else:
        assert derive_seed(*a) != derive_seed(*b)


def test_digests_are_the_same_on_every_machine() -> None:
    """Pinned: a change of this value orphans every ledger there is."""
    assert digest("draft", 1, {"b": [1.5, None], "a": "ü"}) == "5e814618654b320ca853adfe8db3ab15"


def test_an_option_that_no_spec_could_set_is_refused() -> None:
    import popbench

    with pytest.raises(TypeError, match="an option cannot be called 'label'"):

        class _Options(popbench.Options):
            label: str = "x"


def test_an_option_that_holds_a_secret_is_refused() -> None:
    import pydantic

    import popbench

    with pytest.raises(TypeError, match="take secrets from the environment"):

        class _Options(popbench.Options):
            key: pydantic.SecretStr = pydantic.SecretStr("x")
