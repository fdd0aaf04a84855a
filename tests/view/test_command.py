"""`popbench view`, as a command and as a process."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import command_line
from popbench.cli.view import command
from popbench.view.serve import PORT
from run_folders import SYSTEMS, make_run


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> command_line.Run:
    return command_line.in_process(monkeypatch, capsys, tmp_path)


def test_a_missing_folder_and_a_taken_port_are_one_line(run: command_line.Run, tmp_path: Path) -> None:
    done = run("view", "nowhere")
    assert (done.status, done.line) == (2, "popbench: nowhere: no such folder: give one that runs are in, or will be")
    (tmp_path / "file").touch()
    assert run("view", "file").status == 2
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("view", ".", "--port", port)
    assert (done.status, done.out) == (2, "")
    why = f"port {port} is taken, perhaps by another popbench view"
    assert done.line == f"popbench: {why}: give another --port, or 0 for any that is free"
    assert run("view", ".", "--port", "70000").status == 2


def test_the_command_names_the_port_that_the_server_has() -> None:
    (port,) = [option for option in command.params if option.name == "port"]
    assert port.default == PORT


@pytest.mark.slow
def test_the_address_is_printed_and_an_interrupt_ends_it_cleanly(tmp_path: Path) -> None:
    make_run(tmp_path / "runs/a", systems=SYSTEMS[:2])
    sources = [sys.executable, "-m", "popbench", "view", "--port", "0"]
    process = subprocess.Popen(sources, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    assert process.stdout.readline() == "(the page of runs; Ctrl-C ends it)\n"
    with urllib.request.urlopen(address, timeout=10) as answer:
        assert b"popbench view" in answer.read()
    token = address.split("/")[-2]
    assert len(token) >= 32
    port = int(address.split(":")[2].split("/")[0])
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        assert b"400" in client.recv(100)
    with urllib.request.urlopen(f"{address}events", timeout=10) as stream:  # a page that stays open
        assert stream.readline().startswith(b"data: ")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")
