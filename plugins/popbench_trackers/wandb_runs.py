"""The tracker `wandb`: a run of Weights & Biases, online or kept on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import popbench
from popbench import TrackedRun
from popbench_trackers.libraries import library, missing
from popbench_trackers.names import clip_names, metrics_by_name, settings_by_name
from popbench_trackers.rows import board_rows, first_rows

_ONLINE = ("online", "shared")
_SETTINGS: dict[str, Any] = {
    "silent": True,
    "console": "off",
    # what the library would send of its own: this command line, the machine, packages, the repository around
    "disable_code": True,
    "disable_git": True,
    "host": "",
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}


class WandB(popbench.Tracker):
    """Runs of Weights & Biases; needs a key, or offline."""

    version = "1"

    class Options(popbench.TrackerOptions):
        """Where runs go."""

        project: str = popbench.runtime("popbench", min_length=1, description="the project that runs belong to")
        entity: str = popbench.runtime("", description="the team or user; your own by default")
        mode: str = popbench.runtime("", pattern="^(online|offline|)$", description="online or offline; WANDB_MODE")
        folder: str = popbench.runtime("", description="where files of runs are kept; WANDB_DIR, else ./wandb")
        rows: int = popbench.runtime(1000, ge=0, description="rows of the table of samples; the file has all")

    def check(self) -> list[str]:
        """Say whether the library is there, and the key that it needs online."""
        lacks = missing("wandb")
        if lacks or self._mode not in _ONLINE:
            return lacks
        if os.environ.get("WANDB_API_KEY") or _kept_key():
            return []
        return ["a key is needed: `wandb login`, or WANDB_API_KEY; mode=offline keeps runs here, for `wandb sync`"]

    @property
    def _mode(self) -> str:
        return str(self.options.mode or os.environ.get("WANDB_MODE") or "online")

    def track(self, run: TrackedRun) -> str:
        """Store a run, or bring the one of the same id up to date."""
        wandb = library("wandb")
        made = wandb.init(
            project=self.options.project,
            entity=self.options.entity or None,
            id=run.id,
            name=run.name,
            dir=self.options.folder or None,
            mode=self._mode,
            resume="allow",
            tags=["popbench", *(["demo"] if run.demo else [])],
            settings=wandb.Settings(**_SETTINGS),
        )
        try:
            self._log(wandb, made, run)
        except BaseException:
            made.finish(exit_code=1)
            raise
        made.finish()
        if self._mode in _ONLINE:
            return f"run {run.name}: {made.url}"
        return f"run {run.name} is kept here: wandb sync {Path(made.dir).parent}"

    def _log(self, wandb: Any, made: Any, run: TrackedRun) -> None:
        made.config.update({**settings_by_name(run.params), "state": run.state}, allow_val_change=True)
        numbers = metrics_by_name(run.metrics)
        for name in set(made.summary.keys()) - set(numbers):
            if "/" in name and not name.startswith("_"):  # of an earlier state of this run
                del made.summary[name]
        made.summary.update(numbers)
        shown: dict[str, Any] = {}
        tables: dict[str, Sequence[Mapping[str, Any]]] = {"board": board_rows(run.metrics)}
        if self.options.rows:
            tables["samples"] = first_rows(run.samples, self.options.rows)
        for name, rows in tables.items():
            if rows:
                columns = list(rows[0])
                shown[name] = wandb.Table(columns=columns, data=[[row[column] for column in columns] for row in rows])
        for clip, name in clip_names(run.clips[: self.options.clips]).items():
            shown[f"clips/{name}"] = wandb.Video(str(clip.path), caption=clip.title, format="mp4")
        if shown:
            made.log(shown)
        files = wandb.Artifact(f"run-{run.id}-popbench", type="popbench")
        for file in (run.board, run.results, run.samples):
            files.add_file(str(file), name=file.name)
        made.log_artifact(files)


def _kept_key() -> bool:
    """Say whether `wandb login` has left a key in the user's netrc."""
    import netrc

    try:
        kept = netrc.netrc(os.environ.get("NETRC") or None)
    except (OSError, netrc.NetrcParseError):
        return False
    return any("wandb" in host for host in kept.hosts)
