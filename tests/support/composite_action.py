"""Runs the steps of a composite action with bash, as a runner does, with a `gh` that writes down what it is asked."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_GH = """#!/bin/sh
for word in "$@"; do
  case "$word" in body=@*) cp "${word#body=@}" "$GH_SAID/body.md";; esac
done
echo "$@" >> "$GH_SAID/calls.txt"
case "$*" in *--jq*) cat "$GH_SAID/comments.txt" 2> /dev/null;; esac
exit "${GH_STATUS:-0}"
"""


@dataclass
class Outcome:
    """What came of an action: the status of its first failed step, its output, and what was asked of `gh`."""

    status: int
    output: str
    summary: str
    comment: str | None
    calls: list[str] = field(default_factory=list)


class Action:
    """A composite action and its folder for temporary files; `gh` finds its earlier comments in `comments.txt`."""

    def __init__(self, path: Path, temporary: Path) -> None:
        self.content = yaml.safe_load(path.read_text(encoding="utf-8"))
        self.temporary = temporary
        self.said = temporary / "gh"
        bin_folder = temporary / "bin"
        for folder in (self.said, bin_folder):
            folder.mkdir(parents=True)
        gh = bin_folder / "gh"
        gh.write_text(_GH, encoding="utf-8")
        gh.chmod(0o755)
        self.path = os.pathsep.join([str(bin_folder), str(Path(sys.executable).parent), os.environ["PATH"]])

    def run(self, repository: Path, inputs: Mapping[str, str], number: str = "", **environment: str) -> Outcome:
        """Run all steps in a repository; `number` is that of a pull request, or empty."""
        unknown = set(inputs) - set(self.content["inputs"])
        assert not unknown, unknown
        files = {name: self.temporary / name.lower() for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for file in (*files.values(), self.said / "body.md", self.said / "calls.txt"):
            file.unlink(missing_ok=True)
        values: dict[str, Any] = {"github.event.pull_request.number": number, "github.token": "t"}
        for name, of in self.content["inputs"].items():
            default = _filled(str(of.get("default", "")), values)
            assert name in inputs or not of.get("required"), name
            values[f"inputs.{name}"] = inputs.get(name, default)
        output, status = "", 0
        for step in self.content["runs"]["steps"]:
            assert step["shell"] == "bash"
            assert "if" not in step
            assert "${{" not in step["run"], "texts of strangers would be run as a script"
            files["GITHUB_OUTPUT"].write_text("", encoding="utf-8")
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
                cwd=repository,
                env={
                    **os.environ,
                    "PATH": self.path,
                    "RUNNER_TEMP": str(self.temporary),
                    "GITHUB_REPOSITORY": "lab/boards",
                    "GH_SAID": str(self.said),
                    **{name: str(file) for name, file in files.items()},
                    **{name: _filled(str(value), values) for name, value in step.get("env", {}).items()},
                    **environment,
                },
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )
            output += done.stdout + done.stderr
            for line in files["GITHUB_OUTPUT"].read_text(encoding="utf-8").splitlines():
                name, _, value = line.partition("=")
                values[f"steps.{step['id']}.outputs.{name}"] = value
            if done.returncode:
                status = done.returncode
                break
        return Outcome(
            status,
            output,
            _text(files["GITHUB_STEP_SUMMARY"]) or "",
            _text(self.said / "body.md"),
            (_text(self.said / "calls.txt") or "").splitlines(),
        )


def _text(file: Path) -> str | None:
    return file.read_text(encoding="utf-8") if file.exists() else None


def _filled(text: str, values: Mapping[str, Any]) -> str:
    """Fill in expressions: names, of which the first with a value counts where they are joined with `||`."""

    def value(match: re.Match[str]) -> str:
        names = [name.strip() for name in match[1].split("||")]
        assert all(re.fullmatch(r"[\w.]+", name) for name in names), match[0]
        return next((str(values[name]) for name in names if values.get(name)), "")

    filled = re.sub(r"\$\{\{(.*?)\}\}", value, text)
    assert "${{" not in filled, json.dumps(filled)
    return filled
