"""Every Eval Ever files: what the format asks for is there, and what was changed by hand is told of when it is read."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exported_runs import board, edit_about, edit_samples, real_run, second_predictor
from popbench.export.eee import write_eee
from popbench.scores.sources import read_source
from usage_errors import refusal

PLACE = r"data/popbench/popbench/[^/]+/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = real_run(tmp_path_factory.mktemp("eee") / "run").path
    edit_samples(run, lambda sample: sample.update(usage={"input": 3, "output": 4}, reasoning="Because."), only=0)
    second_predictor(run)
    return run


@pytest.fixture(scope="module")
def written(made: Path) -> Path:
    write_eee(made, made / "eee", organization="My lab", relationship="third_party")
    return made / "eee"


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "eee"))


def aggregates(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.json"))


def instances(aggregate: Path) -> Path:
    return aggregate.with_name(f"{aggregate.stem}_samples.jsonl")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


# -- what is written


def test_a_system_has_an_aggregate_and_instances_where_the_format_has_them(written: Path) -> None:
    files = sorted(str(path.relative_to(written)) for path in written.rglob("*") if path.is_file())
    assert len(files) == 4
    for name, instance_file in zip(files[::2], files[1::2], strict=True):
        assert re.fullmatch(PLACE + r"\.json", name)
        assert instance_file == name.removesuffix(".json") + "_samples.jsonl"
        told = json.loads((written / name).read_text())["detailed_evaluation_results"]
        content = (written / instance_file).read_bytes()
        assert told == {
            "format": "jsonl", "file_path": instance_file, "hash_algorithm": "sha256",
            "checksum": hashlib.sha256(content).hexdigest(), "total_rows": content.count(b"\n"),
        }  # fmt: skip


def test_an_aggregate_has_the_statistics_of_the_board_with_their_intervals(made: Path, written: Path) -> None:
    results = board(made)
    for path in aggregates(written):
        told = json.loads(path.read_text())
        system = told["model_info"]["name"]
        assert told["schema_version"] == "0.3.0"
        assert told["model_info"]["id"] == f"popbench/{system}"
        assert told["evaluation_id"].endswith(f"/{system}/{told['retrieved_timestamp']}")
        assert told["eval_library"]["name"] == "popbench"
        source = told["source_metadata"]
        assert (source["source_organization_name"], source["evaluator_relationship"]) == ("My lab", "third_party")
        assert source["additional_details"] == {"demo": "false"}
        found = {
            (item["evaluation_name"], item["metric_config"]["additional_details"]["predictor_name"],
             item["metric_config"]["metric_id"]): item
            for item in told["evaluation_results"]
        }  # fmt: skip
        rows = [row for row in results["systems"] if row["system"] == system]
        assert len(found) == 2 * len(rows) == 12
        for row in rows:
            median = found[row["task"], row["predictor"], "popbench.median_popularity"]
            rate = found[row["task"], row["predictor"], "popbench.mean_win_rate"]
            for item, value, low, high in (
                (median, row["median"]["value"], row["median"]["low"], row["median"]["high"]),
                (rate, row["mean_win_rate"], *row["mean_win_rate_interval"]),
            ):
                assert item["score_details"]["score"] == value
                interval = item["score_details"]["uncertainty"]["confidence_interval"]
                assert (interval["lower"], interval["upper"], interval["confidence_level"]) == (low, high, 0.95)
                assert item["score_details"]["uncertainty"]["num_samples"] == row["n"]
                config = item["metric_config"]
                assert (config["lower_is_better"], config["score_type"], config["min_score"]) == (
                    False,
                    "continuous",
                    0,
                )
            assert median["metric_config"]["metric_unit"] == {"faulty": "likes", "second": "views"}[row["predictor"]]
            assert median["metric_config"]["max_score"] == "Infinity"
            assert rate["metric_config"]["max_score"] == 1
            assert rate["score_details"]["uncertainty"]["num_bootstrap_samples"] == results["resamples"]
            assert json.loads(rate["score_details"]["details"]["opponents"]) == [
                other["system"] for other in rows_of(results, row) if other["system"] != system
            ]


def rows_of(results: dict[str, Any], row: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        other for other in results["systems"] if (other["task"], other["predictor"]) == (row["task"], row["predictor"])
    ]


def test_an_instance_tells_prompt_answer_and_score_and_belongs_to_its_median(made: Path, written: Path) -> None:
    samples = {
        (sample["system"], sample["task"], sample["prompt_id"], str(sample["repeat"])): sample
        for sample in lines(made / "samples.jsonl")
    }
    seen = set()
    for path in aggregates(written):
        aggregate = json.loads(path.read_text())
        ids = {item["evaluation_result_id"] for item in aggregate["evaluation_results"]}
        for line in lines(instances(path)):
            about = line["metadata"]
            key = (about["system"], line["evaluation_name"], line["sample_id"], about["repeat"])
            sample = samples[key]
            seen.add((*key, about["predictor_name"]))
            assert line["evaluation_id"] == aggregate["evaluation_id"]
            assert line["model_id"] == aggregate["model_info"]["id"]
            assert line["evaluation_result_id"] in ids
            assert line["input"] == {"raw": sample["prompt"], "formatted": None, "reference": []}
            assert line["sample_hash"] == hashlib.sha256(sample["prompt"].encode()).hexdigest()
            assert (line["interaction_type"], line["messages"]) == ("single_turn", None)
            assert line["output"]["raw"] == [sample["completion"]]
            assert [item["extracted_value"] for item in line["answer_attribution"]] == [
                text for text in (sample["title"], sample["video_prompt"]) if text is not None
            ]
            assert line["evaluation"]["score"] == sample["scores"][about["predictor_name"]]
            assert line["evaluation"]["is_correct"] == (sample["status"] == "ok")
            assert line["error"] == sample["error"]
            assert all(isinstance(value, str) for value in about.values())
            assert line["performance"]["generation_time_ms"] == 1000 * sample["seconds"]["llm"]
    assert len(seen) == 2 * len(samples)
    first = lines(made / "samples.jsonl")[0]
    (line,) = (
        line for path in aggregates(written) for line in lines(instances(path))
        if line["metadata"]["system"] == first["system"] and line["sample_id"] == first["prompt_id"]
        and line["metadata"]["repeat"] == "0" and line["metadata"]["predictor_name"] == "faulty"
        and line["evaluation_name"] == first["task"]
    )  # fmt: skip
    assert line["token_usage"] == {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    assert line["output"]["reasoning_trace"] == ["Because."]
    assert [row for row in samples.values() if row["status"] == "invalid"], "one score is an invalid sample's"


def test_what_an_llm_was_told_of_decoding_is_told(made: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(made, tmp_path / "run"))
    shutil.rmtree(run / "eee")

    def set_options(about: dict[str, Any]) -> None:
        options = {"temperature": 0.7, "top_p": None, "top_k": True, "model": "m"}
        about["components"]["llm faulty"]["fingerprint"]["options"] = options

    edit_about(run, set_options)
    write_eee(run, tmp_path / "out")
    for path in aggregates(tmp_path / "out"):
        told = json.loads(path.read_text())
        arguments = {json.dumps(item["generation_config"]["generation_args"]) for item in told["evaluation_results"]}
        assert arguments == {'{"temperature": 0.7}' if told["model_info"]["name"].startswith("faulty") else "{}"}


def test_systems_with_odd_names_have_files_of_their_own_inside_the_folder(made: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(made, tmp_path / "run"))
    shutil.rmtree(run / "eee")
    names = {
        "faulty|basic|faulty": "../../a b/..|pe[k=50]|/etc\n",
        "counting|basic|faulty": "../../a-b/..|pe[k=50]|-etc ",
    }
    edit_samples(run, lambda sample: sample.update(system=names[sample["system"]]))
    edit_about(run, lambda about: about.update(systems={names[name]: told for name, told in about["systems"].items()}))
    found, _ = write_eee(run, tmp_path / "out")
    assert len(set(found)) == 2
    for path in found:
        assert path.resolve().is_relative_to((tmp_path / "out").resolve())
        assert re.fullmatch(PLACE + r"\.json", str(path.relative_to(tmp_path / "out")))
    assert {row.system for scores in read_source(tmp_path / "out") for row in scores.rows} == set(names.values())


def test_samples_without_a_result_have_no_place_in_the_format(made: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(made, tmp_path / "run"))
    edit_samples(run, lambda s: s["scores"].update(second=None), only=3)
    message = refusal(lambda: write_eee(run, tmp_path / "out"))
    assert "1 sample without a result" in message
    assert not (tmp_path / "out").exists()


# -- what is read


def test_an_aggregate_and_its_instances_can_be_read_alone(folder: Path) -> None:
    for aggregate in aggregates(folder):
        one, other = read_source(aggregate), read_source(instances(aggregate))
        assert [scores.rows for scores in one] == [scores.rows for scores in other]
        assert {row.system for scores in one for row in scores.rows} == {
            json.loads(aggregate.read_text())["model_info"]["name"]
        }


def test_both_layouts_of_a_folder_are_read(folder: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in folder.rglob("*.json*"):
        shutil.copy(path, flat)
    (flat / "package.json").write_text('{"name": "something else"}')
    assert board(flat) == board(folder)
    for path in flat.glob("*.json"):
        path.unlink()
    assert board(flat) == board(folder), "instances do without their aggregates"


def change(path: Path, at: int, edit: Callable[[dict[str, Any]], object]) -> None:
    found = lines(path)
    edit(found[at])
    path.write_text("".join(json.dumps(line) + "\n" for line in found), encoding="utf-8")


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda line: line.update(schema_version="0.2.0"), "has schema_version '0.2.0', expected '0.3.0'"),
        (lambda line: line.pop("metadata"), "is no score of popbench"),
        (lambda line: line.update(metadata=None), "is no score of popbench"),
        (lambda line: line["metadata"].pop("system"), "is no score of popbench"),
        (lambda line: line.update(evaluation=[]), "has no score"),
        (lambda line: line["evaluation"].pop("score"), "has no score"),
        (lambda line: line["evaluation"].update(score="high"), "popularity 'high' is not a number"),
        (lambda line: line.pop("sample_id"), "prompt_id is empty"),
        (lambda line: line["metadata"].update(status="fine"), "unknown status 'fine'"),
        (lambda line: line["metadata"].update(demo="perhaps"), "demo 'perhaps' is neither true nor false"),
        (lambda line: line["metadata"].update(task_prompts="many"), "task_prompts 'many' is not a whole number"),
    ],
)
def test_a_line_that_is_no_score_is_told_with_its_file_and_number(folder: Path, edit: Any, told: str) -> None:
    path = instances(aggregates(folder)[0])
    change(path, 4, edit)
    message = refusal(lambda: read_source(path))
    assert told in message
    assert f"{path}: line 5" in message


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda line: line["metadata"].update(task_hash="other"), "task 'popcorn_abstract' has two hashes"),
        (lambda line: line["metadata"].update(unit="pounds"), "has two units"),
        (lambda line: line["metadata"].update(demo="true"), "has two demo flags"),
        (lambda line: line["metadata"].update(system_fingerprint="other"), "has two fingerprints"),
        (lambda line: line["metadata"].update(task_group="other"), "has two groups"),
    ],
)
def test_lines_that_contradict_one_another_are_refused(folder: Path, edit: Any, told: str) -> None:
    path = instances(aggregates(folder)[0])
    change(path, 4, edit)
    message = refusal(lambda: read_source(path))
    assert told in message
    assert str(path) in message


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (
            lambda path: change(instances(path), 2, lambda line: line["evaluation"].update(score=99.0)),
            "was changed after",
        ),
        (lambda path: instances(path).write_bytes(instances(path).read_bytes()[:-10]), "was changed after"),
        (lambda path: instances(path).write_bytes(b""), "was changed after"),
        (lambda path: instances(path).unlink(), "its instances cannot be read"),
        (lambda path: path.write_text("{"), "is no aggregate of popbench's"),
        (lambda path: path.write_text("[" * 10_000), "is no aggregate of popbench's"),
        (lambda path: path.write_text('{"evaluation_results": []}'), "is no aggregate of popbench's"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "is no aggregate of popbench's"),
    ],
)
@pytest.mark.parametrize("alone", [False, True])
def test_tampered_files_are_told_with_their_names(folder: Path, damage: Any, told: str, alone: bool) -> None:
    path = aggregates(folder)[1]
    damage(path)
    message = refusal(lambda: read_source(path if alone else folder))
    assert told in message
    assert path.stem in message


@pytest.mark.parametrize("name", ["run.json", "results.json", "board.json"])
def test_a_file_of_a_run_or_a_board_is_answered_with_its_directory(tmp_path: Path, name: str) -> None:
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / name).write_text("{}")
    assert refusal(lambda: read_source(tmp_path / name)).endswith(": name a run or a board by its directory")


@pytest.mark.parametrize("content", ["", "{", "3\n", "[]\n", '{"schema_version": "0.3.0"}\n', "\n\n"])
def test_a_file_of_instances_without_instances_is_told(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x_samples.jsonl"
    path.write_text(content)
    assert str(path) in refusal(lambda: read_source(path))


def test_a_folder_of_other_things_holds_no_scores(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "b.txt").write_text("x")
    assert "no finished run here" in refusal(lambda: read_source(tmp_path))
