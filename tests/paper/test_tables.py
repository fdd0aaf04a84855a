"""The paper's tables from scores: the right numbers in its layout, beside its own, and what is missing said."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import made_paper_scores
from made_paper_scores import brute_median, brute_rate, cells, look, paper_rows, parts, report, systems
from made_scores import write
from markdown_tables import tables_are_whole
from popbench.paper import tables
from popbench.paper.choices import Asked, choose
from popbench.paper.document import Code, Document, Grid, Heading, Paragraph, as_html, as_markdown
from popbench.paper.entries import Lookup
from popbench.paper.evidence import read_evidence
from popbench.paper.paper_names import ALIASES, PaperNames
from popbench.paper.report import paper_report, write_paper
from usage_errors import refusal

ABSTRACT, CONCRETE = made_paper_scores.TASKS
SWAPPED = {"concrete": ABSTRACT, "abstract": CONCRETE}
ROWS = paper_rows([*systems(), "deepseek-v3|pe[k=50]|ltx", "deepseek-v3|pe[k=100]|ltx", "human"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Lookup:
    return look(tmp_path_factory.mktemp("whole"), ROWS)


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Document:
    return report(tmp_path_factory.mktemp("document"), ROWS)[0]


# -- numbers


def test_table_2_has_medians_with_intervals_beside_the_paper_s(whole: Lookup) -> None:
    table = tables.medians(whole)
    found = cells(table)
    assert [names[0] for names, _ in table.rows] == [*made_paper_scores.LLMS, "human (matched)"]
    for llm, task, column in (("gpt-4o", CONCRETE, "Concrete"), ("qwen-2.5-72b", ABSTRACT, "Abstract")):
        entry = found[llm, column]
        assert entry.value == pytest.approx(brute_median(ROWS, f"{llm}|basic|cogvideox-5b", task))
        low, high = entry.low, entry.high
        assert low is not None
        assert high is not None
        assert low <= brute_median(ROWS, f"{llm}|basic|cogvideox-5b", task) <= high
    assert found["human (matched)", "Abstract"].value == pytest.approx(brute_median(ROWS, "human", ABSTRACT))
    assert [found[llm, "Concrete"].published for llm in made_paper_scores.LLMS] == [0.41, 0.56, 0.52, None, None]
    assert found["human (matched)", "Concrete"].published == 0.44
    assert table.gap is None


def test_table_3_has_medians_of_each_category(whole: Lookup) -> None:
    table = tables.categories(whole)
    found = cells(table)
    assert [tuple(names) for names, _ in table.rows[:3]] == [
        ("Anime", "concrete"), ("Anime", "abstract"), ("Daily Sharing", "concrete"),
    ]  # fmt: skip
    rows = [row for row in ROWS if row["category"] == "Delicacy"]
    entry = found["Delicacy", "concrete", "gpt-4o"]
    assert entry.value == pytest.approx(brute_median(rows, "gpt-4o|basic|cogvideox-5b", CONCRETE))
    assert entry.published == 1.24


def test_tables_4_and_5_have_win_rates_of_prompt_enhancement(whole: Lookup) -> None:
    by_llm, by_generator = cells(tables.enhancement_by_llm(whole)), cells(tables.enhancement_by_generator(whole))
    for llm in made_paper_scores.LLMS:
        expected = brute_rate(ROWS, f"{llm}|pe|cogvideox-5b", f"{llm}|basic|cogvideox-5b", CONCRETE)
        assert by_llm[llm, "Concrete, %"].value == pytest.approx(expected)
    for generator in made_paper_scores.GENERATORS:
        expected = brute_rate(ROWS, f"llama-3.3-70b|pe|{generator}", f"llama-3.3-70b|basic|{generator}", ABSTRACT)
        assert by_generator[generator, "Abstract, %"].value == pytest.approx(expected)
    assert by_llm["deepseek-v3", "Abstract, %"].published == 0.49
    assert by_generator["ltx", "Abstract, %"].published == 0.61
    assert by_generator["cogvideox-5b", "Abstract, %"].published is None


def test_tables_6_and_7_have_both_directions_of_every_pair(whole: Lookup) -> None:
    llms, generators = tables.llm_pairs(whole), tables.generator_pairs(whole)
    assert (len(llms.rows), len(generators.rows)) == (5 * 4, 3 * 2)
    found = cells(llms)
    for column, task, mode in (("Concrete PE, %", CONCRETE, "pe"), ("Abstract basic, %", ABSTRACT, "basic")):
        for a in made_paper_scores.LLMS:
            for b in made_paper_scores.LLMS:
                if a != b:
                    expected = brute_rate(ROWS, f"{a}|{mode}|cogvideox-5b", f"{b}|{mode}|cogvideox-5b", task)
                    entry, other = found[a, b, column], found[b, a, column]
                    assert entry.value == pytest.approx(expected)
                    assert other.value == pytest.approx(1 - expected)
                    assert entry.low == pytest.approx(1 - (other.high or 0))
    assert found["llama-3.3-70b", "gpt-4o", "Abstract PE, %"].published == 0.53
    assert found["gpt-4o", "llama-3.3-70b", "Abstract PE, %"].published == 0.46
    pair = cells(generators)["ltx", "hunyuan", "Abstract PE, %"]
    rate = brute_rate(ROWS, "llama-3.3-70b|pe|ltx", "llama-3.3-70b|pe|hunyuan", ABSTRACT)
    assert pair.value == pytest.approx(rate)
    assert pair.published == 0.6


def test_table_8_has_a_row_for_each_rag_size(whole: Lookup) -> None:
    table = tables.rag_sizes(whole)
    assert [list(names) for names, _ in table.rows] == [
        ["basic", "basic"], ["10", "pe"], ["50", "pe[k=50]"], ["100", "pe[k=100]"],
    ]  # fmt: skip
    found = cells(table)
    assert found["50", "pe[k=50]", "Abstract"].value == pytest.approx(
        brute_median(ROWS, "deepseek-v3|pe[k=50]|ltx", ABSTRACT)
    )
    assert [entry.published for (*_, column), entry in found.items() if column == "Concrete"] == [
        0.52,
        0.92,
        0.72,
        0.84,
    ]


def test_a_decided_pair_is_bold_and_an_undecided_one_is_not(tmp_path: Path) -> None:
    rows = paper_rows(["gpt-4o|basic|ltx", "deepseek-v3|basic|ltx", "deepseek-r1|basic|ltx"], prompts=60)
    for row in rows:
        row["popularity"] *= 50 if row["system"].startswith("gpt") else 1
    lines = parts(look(tmp_path, rows))[6].splitlines()
    (decided,) = [line for line in lines if line.startswith("| gpt-4o | deepseek-v3")]
    assert re.search(r"\*\*(9\d|100)\.\d\*\* \[", decided)
    (undecided,) = [line for line in lines if line.startswith("| deepseek-v3 | deepseek-r1")]
    assert "**" not in undecided


# -- layout


def test_the_report_is_in_the_paper_s_order_and_every_table_is_whole(document: Document) -> None:
    headings = [block.text for block in document.blocks if isinstance(block, Heading)]
    assert [heading.split(":")[0] for heading in headings] == [f"Table {number}" for number in range(2, 11)]
    assert tables_are_whole(as_markdown(document))
    grids = [block for block in document.blocks if isinstance(block, Grid)]
    assert all(len(row) == len(grid.head) for grid in grids for row in grid.rows)
    html = as_html(document)
    assert html.count("<table>") == len(grids) == 7  # a score file has no costs


def test_published_numbers_stand_beside_ours_and_only_where_there_are_any(whole: Lookup) -> None:
    text = parts(whole)
    assert "| LLM | Concrete | Paper | Abstract | Paper |" in text[2]
    assert re.search(r"\| llama-3\.3-70b \| [\d.]+ \[[\d.]+, [\d.]+\] \| 0\.41 \| ", text[2])
    assert re.search(r"\| deepseek-r1 \| [^|]+ \| – \| ", text[2])
    assert re.search(r"\| deepseek-r1 \| qwen-2\.5-72b \| [^|]+ \| 56 \| [^|]+ \| 66 \| ", text[6])


def test_nothing_stands_beside_systems_that_the_paper_does_not_have(tmp_path: Path) -> None:
    found = look(tmp_path, paper_rows(systems(("shotlist", "verbatim"), ("kinetic",))))
    assert "Paper |" not in "".join(parts(found).values())
    assert not found.names.matched()


def test_the_paper_s_medians_stand_beside_its_own_generator_only(tmp_path: Path) -> None:
    other = look(tmp_path, paper_rows(systems(("gpt-4o", "deepseek-v3"), ("kinetic",))))
    assert not tables.medians(other).compared
    assert not tables.categories(other).compared
    assert not tables.rag_sizes(other).compared
    assert tables.enhancement_by_llm(other).compared  # which generator the paper does not say


def test_names_are_shown_as_they_are_in_both_forms(tmp_path: Path) -> None:
    nasty = "<img src=x>*b*"
    rows = paper_rows(systems((nasty, "verbatim"), ("`ki`",), ("basic",)), ("a_<b>concrete", "a_<b>abstract"))
    document, _ = report(tmp_path, rows)
    text, html = as_markdown(document), as_html(document)
    assert tables_are_whole(text)
    assert "<img" not in re.sub(r"\\.|`[^`]*`", "", text)  # code is shown as it is
    assert "<img" not in html
    assert "&lt;img src=x&gt;*b*" in html
    assert "<b>" not in html


# -- what is missing


def test_what_a_table_lacks_is_one_line_with_the_options_that_run_it(tmp_path: Path) -> None:
    text = parts(look(tmp_path, paper_rows(systems(("gpt-4o",), ("cogvideox-5b",), ("basic",)))))
    gaps = {number: re.findall(r"^Not in these runs: .*$", text[number], re.MULTILINE) for number in range(2, 11)}
    assert all(len(lines) == 1 for lines in gaps.values())
    assert gaps[2] == [
        "Not in these runs: Llama-3.3-70B, DeepSeek-V3, human (matched). To run: `--llm llama-3.3-70b "
        "--llm deepseek-v3 --gen cogvideox-5b --mode basic --baseline human`."
    ]
    assert "mode pe,k=10" in gaps[4][0]
    assert "--mode pe,k=10`" in gaps[4][0]
    assert gaps[7][0].startswith("Not in these runs: LTX-Video, HunyuanVideo")
    assert "--llm deepseek-v3 --gen ltx --mode basic --mode pe,k=10 --mode pe,k=50 --mode pe,k=100`" in gaps[8][0]
    assert "seconds of retrieval" in gaps[9][0]
    assert "--llm qwen-2.5-72b --llm llama-3.3-70b --mode basic --mode pe,k=10" in gaps[10][0]
    assert "Nothing of this table is in these runs." in text[4]
    assert "Nothing of this table is in these runs." not in text[2]


def test_a_mode_that_alone_is_missing_is_run_alone(tmp_path: Path) -> None:
    rows = [row for row in ROWS if "k=100" not in row["system"]]
    assert tables.rag_sizes(look(tmp_path, rows)).gap == [
        "Not in these runs: mode pe,k=100. To run: ", Code("--llm deepseek-v3 --gen ltx --mode pe,k=100"), ".",
    ]  # fmt: skip


def test_every_option_that_a_gap_names_is_one_that_eval_takes(tmp_path: Path) -> None:
    from popbench.cli.eval import command
    from popbench.registry import load_registry

    text = "".join(parts(look(tmp_path, paper_rows(systems(("m",), ("g",), ("basic",))))).values())
    words = " ".join(re.findall(r"To run: `([^`]+)`", text)).split()
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options
    names = {kind: set(load_registry().names(kind)) for kind in ("llm", "generator")}
    for option, kind in (("--llm", "llm"), ("--gen", "generator")):
        named = {value for name, value in pairwise(words) if name == option} - {"m", "g"}
        assert named
        assert named <= names[kind]


# -- choices


def test_defaults_are_the_paper_s_where_the_runs_have_them(whole: Lookup) -> None:
    choices = whole.choices
    assert (choices.tasks, choices.pe, choices.mode) == ({"concrete": CONCRETE, "abstract": ABSTRACT}, "pe", "basic")
    assert choices.generators == {2: "cogvideox-5b", 3: "cogvideox-5b", 4: "cogvideox-5b", 6: "cogvideox-5b", 8: "ltx"}
    assert choices.llms == {5: "llama-3.3-70b", 7: "llama-3.3-70b", 8: "deepseek-v3"}
    told = "\n".join(choices.notes)
    assert "Tables 2, 3, 4 and 6: generator cogvideox-5b (the paper's, the default; --generator chooses)." in told
    assert "Tables 4 to 7: RAG size 10, mode pe (the paper does not say; the default; --rag-size chooses)." in told
    assert "Tables 5 and 7: LLM llama-3.3-70b (the paper does not say; " in told


def test_without_the_paper_s_a_default_is_what_covers_most(tmp_path: Path) -> None:
    rows = paper_rows([*systems(("a", "b"), ("x",)), *systems(("b",), ("y",)), "b|pe[k=50]|y"])
    choices = look(tmp_path, rows).choices
    assert (choices.generators[6], choices.generators[8]) == ("x", "y")
    assert set(choices.llms.values()) == {"b"}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"llm": "gpt-4o"}, {"llms": {5: "gpt-4o", 7: "gpt-4o", 8: "gpt-4o"}}),
        ({"generator": "ltx"}, {"generators": dict.fromkeys((2, 3, 4, 6, 8), "ltx")}),
        ({"rag_size": "50"}, {"pe": "pe[k=50]"}),
        ({"rag_size": "pe[k=100]"}, {"pe": "pe[k=100]"}),
        ({"mode": "pe"}, {"mode": "pe"}),
        ({"tasks": SWAPPED}, {"tasks": SWAPPED}),
    ],
)
def test_every_choice_can_be_made_otherwise(whole: Lookup, asked: dict[str, Any], expected: dict[str, Any]) -> None:
    choices = choose(whole.evidence, Asked(**asked))
    assert {name: getattr(choices, name) for name in expected} == expected
    assert "as asked" in "\n".join(choices.notes)


def test_of_two_modes_of_one_size_the_plainer_stands_for_it(tmp_path: Path) -> None:
    rows = paper_rows(systems(("a",), ("x",), ("basic", "pe[tags=2]", "pe", "pe[k=20]")))
    assert look(tmp_path, rows).choices.pe == "pe"
    assert look(tmp_path, rows, rag_size="pe[tags=2]").choices.pe == "pe[tags=2]"
    without = [row for row in rows if row["system"] != "a|pe|x"]
    assert look(tmp_path, without, rag_size="20").choices.pe == "pe[k=20]"


def test_the_paper_s_own_prompts_go_before_others(tmp_path: Path) -> None:
    tasks = ("llmpopcorn_abstract", "llmpopcorn_concrete", *made_paper_scores.TASKS, "zz_concrete")
    chosen = look(tmp_path, paper_rows(["a|basic|x"], tasks)).choices.tasks
    assert chosen == {"concrete": "llmpopcorn_concrete", "abstract": "llmpopcorn_abstract"}


def test_one_prompt_set_alone_makes_half_a_table(tmp_path: Path) -> None:
    found = look(tmp_path, paper_rows(systems(("a", "b"), ("x",)), (CONCRETE,)))
    entries = cells(tables.medians(found))
    assert entries["a", "Abstract"].value is None
    assert entries["a", "Concrete"].value is not None
    assert f"Abstract prompts: none of the tasks ({CONCRETE}); --abstract chooses." in found.choices.notes


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Llama-3.3-70B-Instruct", "Llama-3.3-70B"), ("Qwen2.5-72B-Instruct", "Qwen-2.5-72B"), ("gpt-4o", "ChatGPT-4o"),
        ("deepseek-chat", "DeepSeek-V3"), ("deepseek_reasoner", "DeepSeek-R1"), ("CogVideoX-5b", "CogVideoX-5B"),
        ("LTX-Video", "LTX-Video"), ("HunyuanVideo", "HunyuanVideo"), ("gpt-4o[temperature=0]", None),
        ("gpt-4o-mini", None), ("hunyuan-1.5", None), ("ltx-2", None), ("Llama-3.1-70B", None),
    ],
)  # fmt: skip
def test_labels_are_matched_by_name_and_not_by_likeness(label: str, name: str | None) -> None:
    assert PaperNames([label]).of(label) == name


def test_a_match_can_be_declared(tmp_path: Path) -> None:
    found = look(tmp_path, paper_rows(systems(("my=llama[t=1]", "b"), ("x",))), matches=["my=llama[t=1]=llama-3.3-70B"])
    assert found.names.of("my=llama[t=1]") == "Llama-3.3-70B"
    assert cells(tables.enhancement_by_llm(found))["my=llama[t=1]", "Concrete, %"].published == 0.56


def test_presets_of_popbench_have_the_names_that_stand_for_them() -> None:
    from popbench.registry import load_registry

    names = {name for kind in ("llm", "generator") for name in load_registry().names(kind)}
    assert {aliases[0] for aliases in ALIASES.values()} <= names


# -- refusals


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"llm": "gpt-4"}, "unknown llm 'gpt-4': did you mean 'gpt-4o'?"),
        ({"generator": "ltxx"}, "unknown generator 'ltxx': did you mean 'ltx'?"),
        ({"rag_size": "20"}, "unknown RAG size '20'"),
        ({"mode": "bsic"}, "unknown mode 'bsic': did you mean 'basic'?"),
        (
            {"tasks": {"concrete": "popcorn_concret"}},
            "unknown task 'popcorn_concret': did you mean 'popcorn_concrete'?",
        ),
        ({"tasks": {"abstract": CONCRETE}}, "cannot stand for the concrete and the abstract prompts"),
        ({"matches": ["gpt-4o"]}, "--match gpt-4o: expected LABEL=NAME"),
        ({"matches": ["gpt-4=ChatGPT-4o"]}, "unknown label 'gpt-4': did you mean 'gpt-4o'?"),
        ({"matches": ["gpt-4o=ChatGTP-4o"]}, "unknown name of the paper 'ChatGTP-4o': did you mean 'ChatGPT-4o'?"),
    ],
)
def test_a_wrong_choice_is_one_line_with_the_closest_match(whole: Lookup, asked: dict[str, Any], told: str) -> None:
    assert told in refusal(lambda: choose(whole.evidence, Asked(**asked)))


def test_runs_without_concrete_and_abstract_prompts_are_refused(tmp_path: Path) -> None:
    told = refusal(lambda: look(tmp_path, paper_rows(["a|basic|x"], ("mine",))))
    assert "no task is named concrete or abstract (tasks: mine)" in told
    assert "--concrete TASK" in told


def test_scores_of_systems_without_parts_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "scores.jsonl", paper_rows(["model-a", "human"]))
    assert "no system is made of LLM, mode and generator" in refusal(lambda: read_evidence([path]))


def test_what_does_not_compare_is_refused(tmp_path: Path) -> None:
    one = write(tmp_path / "one.jsonl", [{**row, "task_hash": "1"} for row in paper_rows(["a|basic|x"])])
    two = write(tmp_path / "two.jsonl", [{**row, "task_hash": "2"} for row in paper_rows(["b|basic|x"])])
    assert "their hashes differ" in refusal(lambda: read_evidence([one, two]))
    few = write(tmp_path / "few.jsonl", paper_rows(["b|basic|x"], prompts=10))
    three = write(tmp_path / "three.jsonl", paper_rows(["a|basic|x"]))
    assert "--common restricts" in refusal(lambda: read_evidence([three, few]))
    assert read_evidence([three, few], common=True).results["systems"][0]["n"] == 10
    assert "unknown predictor 'p'" in refusal(lambda: read_evidence([three], "p"))


def test_a_score_file_has_no_folder_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path / "scores.jsonl", paper_rows(["a|basic|x"]))
    assert "--out" in refusal(lambda: write_paper([path]))
    assert "choose another --out" in refusal(lambda: write_paper([path], path))
    assert "no such run or score file" in refusal(lambda: write_paper([tmp_path / "none"]))


def test_restricted_and_demo_reports_say_so_first(tmp_path: Path) -> None:
    path = write(tmp_path / "scores.jsonl", paper_rows(["a|basic|x"]))
    evidence = read_evidence([path], common=True)
    evidence.results["demo"] = True
    document, _ = paper_report(evidence, Asked(), [path])
    first, second = document.warnings
    assert first.startswith("Demo scores.")
    assert "--common" in second
    assert as_markdown(document).splitlines()[2] == "> [!WARNING]"
    assert isinstance(document.blocks[0], Paragraph)
