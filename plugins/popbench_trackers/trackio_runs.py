"""The tracker `trackio`: a run of Trackio, on this machine or in a Space of the Hugging Face hub."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import Any

import popbench
from popbench import RunError, TrackedRun
from popbench_trackers.libraries import library, missing
from popbench_trackers.names import clip_names, metrics_by_name, settings_by_name
from popbench_trackers.rows import board_rows, first_rows


class Trackio(popbench.Tracker):
    """Runs of Trackio: on this machine, or in a Space."""

    version = "1"

    class Options(popbench.TrackerOptions):
        """Where runs go."""

        project: str = popbench.runtime("popbench", min_length=1, description="the project that runs belong to")
        space: str = popbench.runtime("", description="a Space of the hub, OWNER/NAME; without one, this machine")
        rows: int = popbench.runtime(1000, ge=0, description="rows of the table of samples; the file has all")

    def check(self) -> list[str]:
        """Say whether Trackio is there, and the token that a Space needs."""
        lacks = missing("trackio")
        if not lacks and self.options.space:
            import huggingface_hub

            if not huggingface_hub.get_token():
                return ["a Space needs a token of the hub: give it with `hf auth login`, or in HF_TOKEN"]
        return lacks

    def track(self, run: TrackedRun) -> str:
        """Store a run; on this machine it takes the place of the one that was stored before."""
        trackio = library("trackio")
        project, name = self.options.project, f"{run.name}-{run.id[:8]}"
        earlier = [] if self.options.space else _runs(trackio, project, name)
        # Trackio tells of what it loses in warnings, and else of its work on stdout, where a command's result goes.
        with warnings.catch_warnings(record=True) as told, contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("always")
            made = trackio.init(
                project=project,
                name=name,
                config={**settings_by_name(run.params), "state": run.state},
                space_id=self.options.space or None,
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )
            try:
                self._log(trackio, made, run)
            finally:
                trackio.finish()
        if told:
            raise RunError(f"Trackio has not taken all of the run: {told[0].message}")
        for each in earlier:
            each.delete()
        place = f"Space {self.options.space}" if self.options.space else "trackio show"
        return f"run {name}, project {project} ({place})"

    def _log(self, trackio: Any, made: Any, run: TrackedRun) -> None:
        made.log(dict(metrics_by_name(run.metrics)), step=0)
        if rows := board_rows(run.metrics):
            made.log({"board": trackio.Table(data=rows)}, step=0)
        if self.options.rows:
            made.log({"samples": trackio.Table(data=first_rows(run.samples, self.options.rows))}, step=0)
        clips = run.clips[: self.options.clips]
        for clip, name in clip_names(clips).items():
            made.log({f"clips/{name}": trackio.Video(str(clip.path), caption=clip.title, format="mp4")}, step=0)
        files = trackio.Artifact(f"{run.name}-{run.id[:8]}", type="popbench")
        for file in (run.board, run.results, run.samples):
            files.add_file(str(file))
        made.log_artifact(files)


def _runs(trackio: Any, project: str, name: str) -> list[Any]:
    try:
        return [each for each in trackio.Api().runs(project) if each.name == name]
    except ValueError:  # no such project yet
        return []
