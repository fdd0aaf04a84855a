"""The tracker `mlflow`: a run of MLflow with settings, metrics, files and clips."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import popbench
from popbench import TrackedRun
from popbench_trackers.libraries import library, missing, variable
from popbench_trackers.names import clip_names, metrics_by_name, settings_by_name

_ID, _REPLACED = "popbench.run", "popbench.replaced_by"
_FOLDER = "mlruns"
_DATABASES = ("sqlite", "mysql", "postgresql", "mssql")
_MOST_METRICS, _MOST_PARAMS, _LONGEST_TAG = 1000, 100, 4_000


class MLflow(popbench.Tracker):
    """Runs of MLflow: a folder, or a server."""

    version = "1"

    class Options(popbench.TrackerOptions):
        """Where runs go."""

        uri: str = popbench.runtime("", description="server, database or folder; MLFLOW_TRACKING_URI, else mlruns")
        experiment: str = popbench.runtime("popbench", min_length=1, description="the experiment that runs belong to")

    def check(self) -> list[str]:
        """Say whether MLflow is there, and what its databases need."""
        lacks = missing("mlflow")
        scheme = urlsplit(self._uri).scheme.partition("+")[0]
        if not lacks and scheme in _DATABASES and find_spec("sqlalchemy") is None:
            return [
                f"the database {scheme} needs the whole of MLflow: pip install mlflow, or take a folder (uri=mlruns)"
            ]
        return lacks

    @property
    def _uri(self) -> str:
        return str(self.options.uri or os.environ.get("MLFLOW_TRACKING_URI") or _FOLDER)

    def track(self, run: TrackedRun) -> str:
        """Store a run, or bring the one that is there up to date."""
        uri = self._uri
        is_folder = "://" not in uri and not re.match(r"databricks|uc:", uri)
        place = Path(uri).resolve().as_uri() if is_folder else uri
        folder = is_folder or uri.startswith("file:")
        with variable("MLFLOW_ALLOW_FILE_STORE", "true") if folder else nullcontext():
            client = library("mlflow").MlflowClient(tracking_uri=place)
            run_id = self._store(client, run)
        shown = re.sub(r"(?<=://)[^/@]*@", "", uri)
        return f"run {run.name} ({run_id}), experiment {self.options.experiment} in {shown}"

    def _store(self, client: Any, run: TrackedRun) -> str:
        experiment = self._experiment(client)
        metrics = metrics_by_name(run.metrics)
        params = {name: str(value) for name, value in settings_by_name(run.params).items()}
        earlier = client.search_runs(
            [experiment], f"tags.`{_ID}` = '{run.id}'", order_by=["attributes.start_time DESC"]
        )
        live = [each for each in earlier if _REPLACED not in each.data.tags]
        current = live[0] if live else None
        if current is None or not _may_grow(current.data, params, metrics):
            made = client.create_run(experiment, run_name=run.name, tags={_ID: run.id})
            run_id = str(made.info.run_id)
        else:
            run_id, params = (
                str(current.info.run_id),
                {name: value for name, value in params.items() if name not in current.data.params},
            )
        try:
            _log(client, run_id, run, params, metrics)
            self._log_files(client, run_id, run)
        except BaseException:
            with suppress(Exception):
                client.set_terminated(run_id, "FAILED")
            raise
        client.set_terminated(run_id, "FINISHED")
        for each in live:
            if each.info.run_id != run_id:
                client.set_tag(each.info.run_id, _REPLACED, run_id)
        return run_id

    def _experiment(self, client: Any) -> str:
        name = self.options.experiment
        found = client.get_experiment_by_name(name)
        if found is None:
            return str(client.create_experiment(name))
        if found.lifecycle_stage != "active":
            raise popbench.UsageError(
                f"MLflow's experiment {name!r} is deleted: restore it, or give another experiment="
            )
        return str(found.experiment_id)

    def _log_files(self, client: Any, run_id: str, run: TrackedRun) -> None:
        for file in (run.board, run.results, run.samples):
            client.log_artifact(run_id, str(file))
        with _clip_folder(run, self.options.clips) as folder:
            if folder is not None:
                client.log_artifacts(run_id, str(folder), "clips")


def _may_grow(data: Any, params: Mapping[str, str], metrics: Mapping[str, float]) -> bool:
    """Say whether a run of MLflow can be brought up to date: its settings cannot be changed, nor metrics taken away."""
    same = all(params.get(name) == value for name, value in data.params.items())
    return same and set(data.metrics) <= set(metrics)


def _log(client: Any, run_id: str, run: TrackedRun, params: Mapping[str, str], metrics: Mapping[str, float]) -> None:
    entities = library("mlflow.entities")
    now = int(1000 * time.time())
    tags = {
        "popbench.state": run.state[:_LONGEST_TAG],
        "popbench.demo": str(run.demo).lower(),
        "mlflow.note.content": run.board.read_text(encoding="utf-8")[:_LONGEST_TAG],
    }
    client.update_run(run_id, status="RUNNING", name=run.name)
    client.log_batch(run_id, tags=[entities.RunTag(*tag) for tag in tags.items()])
    settings = [entities.Param(name, value) for name, value in params.items()]
    for start in range(0, len(settings), _MOST_PARAMS):
        client.log_batch(run_id, params=settings[start : start + _MOST_PARAMS])
    numbers = [entities.Metric(name, value, now, 0) for name, value in metrics.items()]
    for start in range(0, len(numbers), _MOST_METRICS):
        client.log_batch(run_id, metrics=numbers[start : start + _MOST_METRICS])


@contextmanager
def _clip_folder(run: TrackedRun, most: int) -> Iterator[Path | None]:
    """Yield a folder of copies of clips under names that say what they are; None without clips."""
    clips = run.clips[:most]
    if not clips:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="popbench-clips-") as name:
        for clip, file in clip_names(clips).items():
            target = Path(name, file)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(clip.path, target)
        yield Path(name)
