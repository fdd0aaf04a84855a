"""Boards: results in markdown, in a folder and on the terminal, whole whatever the names are."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from made_scores import changed, grouped, results_of, score_rows, scores, write
from markdown_tables import cells, tables_are_whole
from popbench.errors import RunError
from popbench.leaderboard.markdown import markdown
from popbench.leaderboard.markup import escaped
from popbench.leaderboard.results import compute
from popbench.leaderboard.shown import number, percent
from popbench.publishing.build import build_board
from popbench.publishing.pages import board_files
from usage_errors import refusal

# -- markdown


NASTY = "a|`b`*c*_d_[e](f)<g>~~h~~\\i"


def test_names_cannot_break_tables_or_become_markup(tmp_path: Path) -> None:
    rows = score_rows((NASTY, "x|<b>|*y*", "x|basic|*y*"), tasks=("t<i>|_u_",))
    for row in rows:
        row["category"] = row["category"] + "|<script>"
    text = markdown(results_of(tmp_path, rows))
    assert tables_are_whole(text)
    unescaped = re.sub(r"\\[\\`*_\[\]<>|~]", "", text)
    for piece in ("<b>", "<i>", "<script>", "<g>", "`b`", "*c*", "*y*", "_d_", "_u_", "[e]", "~~h~~"):
        assert piece not in unescaped


LINKED = (
    "www.lamp.example", "WWW.lamp.example", "https://lamp.example/a_b?c", "http://x", "ftp://lamp.example", "0https://x",
    "mailto:a@lamp.example", "xmpp:a@lamp.example", "who@lamp.example", "@nobody", "@lamp/team",
)  # fmt: skip
SHORT = (":lamp:", ":+1:", ":e-mail:", ":100_a:", "#123", "x#7")
MARKED = (
    "<lamp>", "<b>x</b>", "<!-- x -->", "&lt;", "&#60;", "&copy;", "a|b", "*a*", "__a__", "~~a~~", "`a`", "[a](b)",
    "![a](b)", "[^1]", "$a$", "\\", "\\*", "- a", "+ a", "* a", "1. a", "2) a", "---", "===", "# a", "> a", "a:b:c",
    "12:30:45", "1.5", "-1", "-", "a-b", "x @ y", "a:", "a #b",
)  # fmt: skip


@pytest.mark.parametrize("name", [*LINKED, *SHORT, *MARKED])
@pytest.mark.parametrize("frame", ["> {}\n", "| a | {} |\n|--|--|\n| {} | x |\n", "- {}\n", "## {}\n"])
def test_markdown_shows_a_name_as_it_is_and_makes_nothing_of_it(name: str, frame: str) -> None:
    page = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(frame.replace("{}", escaped(name)))
    inner = re.sub(r"\u2060|</?(?:blockquote|p|table|thead|tbody|tr|th|td|ul|li|h2)>", "", page)
    assert name in html.unescape(inner)
    assert "<" not in inner, "nothing became markup"
    for text in re.split(r"\u2060|<[^>]*>", page):  # as GitHub looks for them: in each text of the finished page
        assert not re.search(r"@\w|(?<!&)#\d|:[a-z0-9_+-]*[a-z][a-z0-9_+-]*:|:[+]1:", text)


@pytest.mark.parametrize("name", LINKED)
def test_nothing_in_a_name_begins_like_an_address(name: str) -> None:
    """GitHub finds addresses in the source, where an escape hides them."""
    assert not re.search(r"(?i)www\.|(?:https?|ftp|mailto|xmpp):|@\w", escaped(name))


def test_what_turns_text_around_is_shown_as_a_code_on_every_page(tmp_path: Path) -> None:
    rows = score_rows(("live|pe|g", "e\u202evil|pe|g", "\u2067x|pe|g"), tasks=("t\u202et",))
    files = board_files(results_of(tmp_path, rows), "Cats")
    for page in ("README.md", "index.html"):
        assert not re.search("[\u202a-\u202e\u2066-\u2069]", files[page])
        assert "u202evil" in files[page]


def test_an_address_in_the_description_of_a_board_stays_a_link(tmp_path: Path) -> None:
    files = board_files(results_of(tmp_path, score_rows()), "Cats", ["See https://cats.example."])
    assert "See https://cats.example." in files["README.md"]


def test_hashes_and_fingerprints_of_score_files_cannot_break_out_of_their_line(tmp_path: Path) -> None:
    evil = "x` <img src=//evil>\n\n# Hi"
    text = markdown(results_of(tmp_path, score_rows(task_hash=evil, predictor=evil)))
    assert "\n# Hi" not in text
    assert "<img" not in re.sub(r"\\[<]", "", text)


def test_names_with_line_breaks_stay_in_their_cell(tmp_path: Path) -> None:
    assert tables_are_whole(markdown(results_of(tmp_path, score_rows(("a\nb", "c\r\n\r\nd|e")))))


def test_a_unit_cannot_break_a_table() -> None:
    (only,) = grouped()
    only.unit = "likes | views"
    assert tables_are_whole(markdown(compute([only])))


@pytest.mark.parametrize("systems", [1, 2, 3, 21])
def test_every_row_of_every_table_is_whole(tmp_path: Path, systems: int) -> None:
    rows = score_rows([f"m{n % 7}|{('basic', 'pe', 'pe[k=50]')[n // 7]}|g" for n in range(systems)], ("t1", "t2"))
    text = markdown(results_of(tmp_path, rows))
    assert tables_are_whole(text)
    assert ("pairs are in the JSON file" in text) == (systems > 20)


def test_systems_are_ranked_by_their_mean_win_rate(tmp_path: Path) -> None:
    found = results_of(tmp_path, score_rows())
    text = markdown(found)
    order = sorted(found["systems"], key=lambda row: -row["mean_win_rate"])
    rows = [line for line in text.splitlines() if re.match(r"\| \d+ \| ", line)]
    assert [" | ".join(cell.strip() for cell in cells(line)[2:5]) for line in rows[:3]] == [
        row["system"].replace("|", " | ") for row in order
    ]


def test_the_matrix_is_a_mirror_of_itself(tmp_path: Path) -> None:
    text = markdown(results_of(tmp_path, score_rows()))
    start = text.index("**Win rates, %**")
    lines = [line for line in text[start:].splitlines() if line.startswith("|")][:5]
    rates = [[cell.strip(" *").split(" [")[0] for cell in cells(line)[1:]] for line in lines[2:]]
    for a in range(3):
        assert rates[a][a] == ""
        for b in range(a):
            assert float(rates[a][b]) + float(rates[b][a]) == pytest.approx(100, abs=0.11)


def test_the_matrix_is_bold_where_a_verdict_decides_and_the_board_counts_them(tmp_path: Path) -> None:
    found = results_of(tmp_path, score_rows(("a", "b", "c", "d"), prompts=30))
    text = markdown(found)
    decided = sum(pair["verdict"] != "undecided" for pair in found["pairs"])
    assert 1 < decided < 6
    matrix = text[text.index("**Win rates, %**") :].splitlines()[4:]
    assert sum(cell.strip().startswith("**") for line in matrix[:4] for cell in cells(line)) == 2 * decided
    assert f"{decided} of the 6 pairs are decided by this predictor." in text


def test_few_prompts_are_told_to_judge_no_pair(tmp_path: Path) -> None:
    text = markdown(results_of(tmp_path, score_rows(prompts=9)))
    assert "Fewer than 10 prompts: no pair is judged." in text
    assert "| **" not in text


def test_ranks_and_strengths_stand_on_the_board_with_their_intervals(tmp_path: Path) -> None:
    found = results_of(tmp_path, score_rows(("a", "b"), prompts=30))
    rows = {cells(line)[2].strip(): cells(line) for line in markdown(found).splitlines() if re.match(r"\| \d+ ", line)}
    for row in found["systems"]:
        rank, strength = row["rank"], row["bradley_terry"]
        shown = rows[row["system"]]
        assert shown[1].strip() == f"{rank['value']} [{rank['low']}, {rank['high']}]"
        assert shown[6].strip() == f"{strength['value']:+.2f} [{strength['low']:+.2f}, {strength['high']:+.2f}]"
    lone = markdown(results_of(tmp_path, score_rows(("a",))))
    assert "| 1 | – | a |" in lone


def test_a_demo_and_a_restriction_are_said() -> None:
    demo = compute([scores(demo=True)])
    assert "**Demo scores.**" in markdown(demo)
    assert "**Demo scores.**" not in markdown(compute([scores()]))
    assert "restricted to the prompts that all systems have" in markdown(compute([scores()], common=True))


def test_copies_have_a_column_where_drafts_had_references_and_are_explained(tmp_path: Path) -> None:
    rows = score_rows(tasks=("t1", "t2"))
    for row in rows:
        row["originality"] = 0.1 if row["system"] == "a|pe|g" and row["task"] == "t1" else None
    text = markdown(results_of(tmp_path, rows))
    assert tables_are_whole(text)
    heads = [cells(line) for line in text.splitlines() if line.startswith("| # ")]
    assert [[cell.strip() for cell in head[11:]] for head in heads] == [
        ["Compliance, %", "Copies, %"],
        ["Compliance, %"],
    ]
    first = text[: text.index("## t2")]
    shown = {
        (cells(line)[2].strip(), cells(line)[3].strip()): cells(line)[12].strip()
        for line in first.splitlines()
        if re.match(r"\| \d+ \| ", line)
    }
    assert re.fullmatch(r"100\.0 \[\d\d\.\d, 100\.0\]", shown["a", "pe"])
    assert (shown["a", "basic"], shown["b", "basic"]) == ("–", "–")
    assert text.count("A copy is a draft") == 1
    assert "80 % like one of the references" in text


def test_a_board_without_references_says_nothing_of_copies(tmp_path: Path) -> None:
    text = markdown(results_of(tmp_path, score_rows(compliance=True)))
    assert "Cop" not in text
    assert "copy" not in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"), (0.5, "0.5"), (1, "1"), (12.345, "12.3"), (99.96, "100"), (123.4, "123"), (999.6, "1,000"),
        (1234567, "1,230,000"), (0.01234, "0.0123"), (1e12, "1,000,000,000,000"),
    ],
)  # fmt: skip
def test_a_popularity_has_three_digits_and_no_exponent(value: float, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize("n", [7, 40, 200, 1000])
def test_a_rate_and_that_of_the_other_side_add_up_to_one_hundred_as_shown(n: int) -> None:
    for half_wins in range(2 * n + 1):
        rate = half_wins / (2 * n)
        assert float(percent(rate)) == pytest.approx(100 * rate, abs=0.05 + 1e-9)
        assert float(percent(rate)) + float(percent(1 - rate)) == pytest.approx(100, abs=1e-9)


@pytest.mark.parametrize("value", [0.0001, 0.00001234, 5e-7])
def test_a_small_popularity_is_not_shown_as_zero(value: float) -> None:
    assert float(number(value)) == pytest.approx(value, rel=0.01)


# -- boards


def test_a_board_folder_holds_markdown_and_results(tmp_path: Path) -> None:
    source = write(tmp_path / "s.jsonl", score_rows())
    found = build_board([source], tmp_path / "deep" / "board", title="My board")
    assert json.loads((tmp_path / "deep" / "board" / "board.json").read_text()) == found
    assert (tmp_path / "deep" / "board" / "README.md").read_text().startswith("# My board\n")


def test_a_board_built_twice_has_the_same_bytes(tmp_path: Path) -> None:
    source = write(tmp_path / "s.jsonl", score_rows())
    files = []
    for name in ("one", "two"):
        build_board([source], tmp_path / name)
        files.append([(path.name, path.read_bytes()) for path in sorted((tmp_path / name).iterdir())])
    assert files[0] == files[1]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    source = write(tmp_path / "s.jsonl", score_rows())
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match=r"^.*file/README.md: cannot be written .*$"):
        build_board([source], tmp_path / "file")
    assert (tmp_path / "file").read_text() == "in the way"


def test_files_that_are_no_board_s_are_not_replaced(tmp_path: Path) -> None:
    source = write(tmp_path / "s.jsonl", score_rows())
    (tmp_path / "project").mkdir()
    (tmp_path / "project/README.md").write_text("my project")
    assert "README.md that belong to no board" in refusal(lambda: build_board([source], tmp_path / "project"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run/run.json").write_text("{}")
    assert "is a run directory" in refusal(lambda: build_board([source], tmp_path / "run"))
    assert (tmp_path / "project/README.md").read_text() == "my project"
    for _ in range(2):  # a board is built anew
        build_board([source], tmp_path / "board")


def test_a_refused_board_writes_nothing(tmp_path: Path) -> None:
    source = write(tmp_path / "s.jsonl", changed(popularity=-1))
    refusal(lambda: build_board([source], tmp_path / "board"))
    assert not (tmp_path / "board").exists()


def test_a_board_shows_on_the_terminal_whatever_its_names_are(tmp_path: Path) -> None:
    import io

    from rich.console import Console

    from popbench.leaderboard.terminal import show

    rows = score_rows(
        ("[bold]a[/x]|basic|g[fps=3]", "[bold]a[/x]|pe[k=50]|g[fps=3]"), ("t[/x]",), predictor="mmra[m=5]"
    )
    console = Console(file=io.StringIO(), width=200)
    show(results_of(tmp_path, rows), console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for piece in ("t[/x]", "mmra[m=5]", "pe[k=50]|g[fps=3]", "[bold]a[/x]"):
        assert piece in text


def test_the_terminal_has_a_column_of_copies_where_drafts_had_references(tmp_path: Path) -> None:
    import io

    from rich.console import Console

    from popbench.leaderboard.terminal import show

    shown = []
    for originality in (None, 0.0, 1.0):
        console = Console(file=io.StringIO(), width=200)
        show(results_of(tmp_path, score_rows(("a",), originality=originality)), console)
        shown.append(console.file.getvalue())  # type: ignore[attr-defined]
    assert ["copies" in text for text in shown] == [False, True, True]
    assert ["100.0" in text for text in shown] == [False, True, False]
