"""What the server of `popbench view` answers, to whom, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hostile_cases import SECRET, TEXTS
from popbench.view.clips import Posters
from popbench.view.find import find
from run_folders import SYSTEMS, make_run
from view_server import TOKEN, Served, served, tree, until

PROMPT = {"run": "study/run", "task": "concrete", "prompt": "concrete-0001", "repeat": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, a run whose texts are hostile, a board, a run that leads out of the folder, and files of others."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.mp4").write_text(SECRET, encoding="utf-8")
    folder = tmp_path_factory.mktemp("view") / "runs"

    def change(values: dict[str, Any]) -> None:
        if values["prompt_id"] == "concrete-0003" and values["system"] == SYSTEMS[0]:
            values |= {"status": "invalid", "scores": dict.fromkeys(values["scores"], 0.0), "video": None}
            values |= {"error": "no usable draft in 3 answers"}

    run = make_run(folder / "study/run", change=change)
    (run / "videos/out.mp4").symlink_to(outside / "secret.mp4")
    (run / "videos/text.mp4").write_text(SECRET, encoding="utf-8")
    (run / "videos/note.txt").write_text(SECRET, encoding="utf-8")
    os.mkfifo(run / "videos/pipe.mp4")
    texts = iter([*TEXTS.values()] * 10)

    def attack(values: dict[str, Any]) -> None:
        values |= {"title": next(texts), "video_prompt": next(texts), "prompt": next(texts), "video": "../../etc/x.mp4"}

    hostile = make_run(folder / "hostile", systems=SYSTEMS[:2], change=attack, clip=False)
    results = json.loads((hostile / "results.json").read_text(encoding="utf-8"))
    (hostile / "results.json").write_text(json.dumps(results).replace("comments", TEXTS["script"]), encoding="utf-8")
    make_run(outside / "run", systems=SYSTEMS[:2])
    (folder / "linked").symlink_to(outside / "run")
    linked = make_run(folder / "half", systems=SYSTEMS[:2])
    shutil.rmtree(linked / "videos")
    (linked / "videos").symlink_to(outside)
    (folder / "board").mkdir()
    shutil.copy(run / "results.json", folder / "board/board.json")
    (folder / "board/board.yaml").write_text("board: a\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Served]:
    with served(folder) as found:
        yield found


# -- who is answered


@pytest.mark.parametrize("path", ["/", "/x", "/favicon.ico", f"/x{TOKEN}/", f"/{TOKEN[:-1]}/", f"//{TOKEN}/", "/../"])
def test_without_the_token_nothing_is_answered(server: Served, path: str) -> None:
    for target in (path, f"{path}samples?run=study/run", f"{path}clips/clip.mp4?run=study/run"):
        reply = server.send(target)
        assert reply.status == 403
        assert b"study" not in reply.body


def test_what_is_no_request_is_refused_and_shows_nothing_on_the_terminal(
    server: Served, capfd: pytest.CaptureFixture[str]
) -> None:
    assert server.send(f"/{TOKEN}/{'a' * 9000}").status == 400
    assert server.send(f"/{TOKEN}/", x="y" * 9000).status == 400
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
        raw.sendall(b"\x16\x03\x01 no HTTP\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.0 400")
    assert capfd.readouterr() == ("", "")


def test_an_address_without_its_last_slash_leads_to_the_page(server: Served) -> None:
    reply = server.send(f"/{TOKEN}")
    assert (reply.status, reply.headers["location"]) == (302, f"/{TOKEN}/")
    assert server.send(f"/{TOKEN[:-1]}").status == 403


@pytest.mark.parametrize(
    "host",
    ["example.invalid", "example.invalid:80", "127.0.0.1.example.invalid", "localhost.", "", "10.0.0.1", "[::2]"],
)
def test_another_name_of_the_server_is_refused_as_after_dns_rebinding(server: Served, host: str) -> None:
    reply = server.send(f"/{TOKEN}/", host=host)
    assert reply.status == 421
    assert b"<script" not in reply.body


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:9000", "[::1]:9000"])
def test_this_machine_is_answered_through_a_tunnel_too(server: Served, host: str) -> None:
    assert server.send(f"/{TOKEN}/", host=host).status == 200


def test_no_other_machine_can_connect(server: Served) -> None:
    addresses = {found[4][0] for found in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in {*addresses, "127.0.0.2"} - {"127.0.0.1"}:
        with pytest.raises(OSError):
            socket.create_connection((str(address), server.port), timeout=2)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(server: Served, method: str) -> None:
    for path in ("", "samples?run=study/run", "clips/clip.mp4?run=study/run", "nothing"):
        assert server.send(f"/{TOKEN}/{path}", method).status == 405


def test_every_answer_forbids_what_the_page_does_not_need(server: Served) -> None:
    for path in ("", "samples?run=study/run", "clips/clip.mp4?run=study/run", "static/core.js", "nothing"):
        headers = server.send(f"/{TOKEN}/{path}").headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["x-frame-options"] == "DENY"
    policy = server.get("").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


# -- which files


@pytest.mark.parametrize(
    "name",
    ["..%2frun.json", "..%2f..%2f..%2fetc%2fpasswd", "%2e%2e", "note.txt", "out.mp4", "pipe.mp4", "none.mp4", ".mp4",
     "a%00.mp4", "%ff.mp4", "%2fetc%2fpasswd.mp4", "../run.json", "x" * 5000 + ".mp4"],
)  # fmt: skip
def test_only_clips_of_runs_are_answered(server: Served, name: str) -> None:
    for kind in ("clips", "posters"):
        reply = server.send(f"/{TOKEN}/{kind}/{name}?run=study/run")
        assert reply.status in (400, 404)
        assert SECRET.encode() not in reply.body
        assert b"root:" not in reply.body


@pytest.mark.parametrize("run", ["..", "/", "linked", "study", "study/run/", "study/../study/run", "board", "", "\0"])
def test_only_runs_that_were_found_are_answered(server: Served, run: str) -> None:
    for path in ("samples", "prompt", "sample", "clips/clip.mp4", "posters/clip.mp4"):
        assert server.get(path, run=run, task="concrete", prompt="concrete-0001").status == 404


def test_a_folder_of_clips_that_leads_out_of_the_run_is_not_followed(server: Served) -> None:
    for kind in ("clips", "posters"):
        assert server.get(f"{kind}/secret.mp4", run="half").status == 404


def test_a_clip_can_be_read_in_parts_as_players_do(server: Served, folder: Path) -> None:
    data = (folder / "study/run/videos/clip.mp4").read_bytes()
    whole = server.get("clips/clip.mp4", run="study/run")
    assert (whole.status, whole.body, whole.headers["content-type"]) == (200, data, "video/mp4")
    part = server.send(f"/{TOKEN}/clips/clip.mp4?run=study/run", range="bytes=100-199")
    assert (part.status, part.body) == (206, data[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(data)}"
    assert server.send(f"/{TOKEN}/clips/clip.mp4?run=study/run", range="bytes=99999999-").status == 416


def test_a_clip_has_a_poster_and_what_is_no_clip_has_none(server: Served) -> None:
    reply = server.get("posters/clip.mp4", run="study/run")
    assert (reply.status, reply.headers["content-type"], reply.body[:3]) == (200, "image/jpeg", b"\xff\xd8\xff")
    assert server.get("posters/text.mp4", run="study/run").status == 404


def test_posters_are_made_once_and_the_oldest_are_dropped_when_there_are_too_many(folder: Path) -> None:
    clip = folder / "study/run/videos/clip.mp4"
    posters = Posters()
    picture = posters.get(clip)
    assert picture == posters.get(clip)
    assert posters.made == 1
    assert picture is not None
    small = Posters(most=len(picture) + 10)
    others = [folder / name / "videos/clip.mp4" for name in ("study/run", "half/../study/run", "study/../study/run")]
    for other in [*others, others[0]]:
        assert small.get(other) == picture
    assert small.made == 4


# -- what is answered


def test_samples_are_filtered_searched_ordered_and_paged(server: Served, folder: Path) -> None:
    lines = (folder / "study/run/samples.jsonl").read_text(encoding="utf-8").splitlines()
    samples = [json.loads(line) for line in lines]

    def asked(**values: Any) -> Any:
        return server.get("samples", run="study/run", **values).json

    whole = asked(limit=200)
    assert whole["matched"] == len(samples) == 120
    assert [row["prompt_id"] for row in whole["rows"]] == [sample["prompt_id"] for sample in samples]
    assert whole["facets"]["status"] == {"ok": 119, "invalid": 1}
    assert whole["facets"]["system"] == dict.fromkeys(sorted(SYSTEMS), 20)
    one = asked(system=SYSTEMS[1], task="abstract", category="Game", limit=200)
    wanted = [s for s in samples if (s["system"], s["task"], s["category"]) == (SYSTEMS[1], "abstract", "Game")]
    assert [row["score"] for row in one["rows"]] == [sample["popularity"] for sample in wanted]
    assert {row["status"] for row in asked(status="invalid")["rows"]} == {"invalid"}
    found = asked(text="WONDER 7th gpt", limit=200)["rows"]
    assert {row["title"] for row in found} == {"The 7th wonder of gpt"}
    scores = [row["score"] for row in asked(order="highest", limit=200)["rows"]]
    assert scores == sorted(scores, reverse=True)
    second = asked(order="lowest", offset=10, limit=10)["rows"]
    assert [row["score"] for row in second] == sorted(scores)[10:20]
    assert asked(text="nowhere to be found") == {**whole, "matched": 0, "rows": []}


def test_wrong_parameters_are_refused_in_one_line(server: Served) -> None:
    for values in ({"order": "n; DROP TABLE samples"}, {"limit": "201"}, {"limit": "-1"}, {"offset": "1e9"}):
        reply = server.get("samples", run="study/run", **values)
        assert reply.status == 400
        assert len(reply.body.splitlines()) == 1


def test_a_sample_is_answered_whole_with_those_of_the_other_systems(server: Served) -> None:
    rows = server.get("prompt", **PROMPT).json["rows"]
    assert [row["system"] for row in rows] == sorted(SYSTEMS)
    sample = server.get("sample", **PROMPT, system="gpt|pe|ltx").json
    assert sample["prompt"] == "Show me something concrete about number 1."
    assert sample["texts"]["title"] == "The 1th wonder of gpt"
    assert len(sample["texts"]["references"]) == 10
    assert set(sample["scores"]) == {"mmra", "second"}
    assert server.get("sample", **PROMPT, system="nobody").status == 404


def test_results_and_boards_are_drawn_anew_and_no_page_of_a_stranger_is_served(server: Served, folder: Path) -> None:
    (folder / "board/index.html").write_text("<script>alert(1)</script>", encoding="utf-8")
    for values in ({"board": "board"}, {"run": "study/run"}):
        page = server.get("board", **values)
        assert page.status == 200
        assert b"alert(1)" not in page.body
        assert b"Who beats whom" in page.body
    hostile = server.get("board", run="hostile").body
    assert b"<script>alert(1)" not in hostile
    for values in ({"board": "none"}, {"board": "study/run"}, {"run": "board"}, {}):
        assert server.get("board", **values).status == 404


def test_hostile_texts_are_answered_as_data(server: Served) -> None:
    reply = server.get("samples", run="hostile", limit=200)
    assert reply.headers["content-type"].startswith("application/json")
    rows = reply.json["rows"]
    assert {row["clip"] for row in rows} == {None}
    assert not any("\u202e" in row["title"] for row in rows)
    row = rows[0]
    values = {"run": "hostile", "task": row["task"], "prompt": row["prompt_id"], "system": row["system"]}
    assert server.get("sample", **values).status == 200


def test_looking_changes_no_file(server: Served, folder: Path) -> None:
    before = tree(folder)
    for run in ("study/run", "hostile", "half"):
        for path in ("samples", "prompt", "sample", "posters/clip.mp4", "clips/clip.mp4", "board"):
            server.get(path, **{**PROMPT, "run": run}, system=SYSTEMS[0])
    server.runs.overview()
    assert tree(folder) == before


# -- which runs


def test_runs_and_boards_are_found_in_folders_and_links_are_not_followed(folder: Path) -> None:
    found = find(folder)
    assert list(found.runs) == ["half", "hostile", "study/run"]
    assert list(found.boards) == ["board"]
    assert list(find(folder / "hostile").runs) == ["."]


def test_a_damaged_run_says_so_and_hides_no_other(tmp_path: Path) -> None:
    make_run(tmp_path / "good", systems=SYSTEMS[:2], clip=False)
    texts = {"list": "[]", "text": "{", "deep": "[" * 10**5, "huge": '{"schema": ' + "9" * 5000 + "}"}
    for name, text in texts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(text, encoding="utf-8")
    damaged = make_run(tmp_path / "lines", systems=SYSTEMS[:2], clip=False)
    good = (damaged / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    odd = ["[]", "{", "\udcff", json.dumps({**json.loads(good[0]), "repeat": 2**70}), '{"system": NaN}', "null"]
    (damaged / "samples.jsonl").write_text("\n".join([*odd, *good]), encoding="utf-8", errors="surrogateescape")
    with served(tmp_path) as server:
        states = {run["name"]: run for run in server.runs.overview()["runs"]}
        assert states["good"]["state"] == "finished"
        for name in texts:
            assert states[name]["state"] == "unreadable"
            assert "\n" not in states[name]["problem"]
            assert server.get("samples", run=name).json["matched"] == 0
        assert server.get("samples", run="lines").json["matched"] == len(good)
        until(lambda: server.runs.samples("lines").complete)  # type: ignore[union-attr]
        details = server.runs.details("lines")
        assert details is not None
        assert details["samples"]["problem"].endswith("and 5 more")


def test_many_samples_are_read_in_one_pass_and_listed_by_few_queries(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", systems=SYSTEMS[:2], clip=False)
    lines = [json.loads(line) for line in (run / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    with (run / "samples.jsonl").open("w", encoding="utf-8") as file:
        for number in range(8_000):
            values = lines[number % len(lines)]
            file.write(json.dumps(values | {"prompt_id": f"{number:06d}", "completion": "short"}) + "\n")
    with served(tmp_path) as server:
        first = server.get("samples", run="run", limit=30).json  # while the rest is read
        assert len(first["rows"]) == 30
        samples = server.runs.samples("run")
        assert samples is not None
        until(lambda: samples.complete)
        assert len(samples.index) == 8_000
        for values in ({}, {"text": "007999"}, {"order": "highest", "offset": 7_990}):
            before = samples.index.queries
            assert server.get("samples", run="run", **values).json["rows"]
            assert samples.index.queries - before <= 6  # of all samples, and each filter's values, once
        before = samples.index.queries
        server.get("samples", run="run", text="000123")
        assert samples.index.queries - before == 2
