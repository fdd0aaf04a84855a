"""Generators that make sound keep it: along with frames, and in finished files. What is wrong with it is told."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

import popbench
import popbench_runs
from faults import SHAPE, Ringing, tone
from popbench.engines import ComponentThread
from popbench.planning.systems import as_part
from popbench.registry import load_registry
from popbench.video import SOUND_ENCODER, has_sound, read_frames, sha256, write_mp4
from scripted_clips import PATIENCE, Scripted, requests
from video_files import sound_packets, spoil_sound

RATE = 24_000


def pitch(path: Path) -> float:
    """Return the pitch of a file's sound."""
    with av.open(str(path)) as file:
        wave = np.concatenate([frame.to_ndarray() for frame in file.decode(audio=0)], axis=1)[0]
    return float(np.abs(np.fft.rfft(wave)).argmax() * RATE / len(wave))


def clip(sound: Any, sample_rate: Any = RATE) -> Any:
    """Return a step that renders grey with this sound."""
    return lambda request: popbench.Clip(
        request.id, np.full(SHAPE, 90, np.uint8), 8.0, sound=sound, sample_rate=sample_rate
    )


class Loud(Scripted):
    makes_sound = True


# -- sound beside frames


def test_the_clips_of_a_run_have_their_sound_and_a_second_run_the_same_bytes(tmp_path: Path) -> None:
    first = popbench_runs.run_fast(tmp_path / "first", gen="ringing", limit=3)
    assert first.complete
    assert first.problems == ()
    clips = sorted((first.path / "videos").iterdir())
    assert len(clips) == 3
    assert all(has_sound(path) for path in clips)
    assert len({round(pitch(path)) for path in clips}) == 3
    again = popbench_runs.run_fast(tmp_path / "again", gen="ringing", limit=3)
    assert popbench_runs.outcome(again.path) == popbench_runs.outcome(first.path)


def test_a_generator_may_reuse_the_buffer_of_its_sound(tmp_path: Path) -> None:
    buffer = tone(0.5)

    def step(height: float) -> Any:
        def paint(request: popbench.VideoRequest) -> popbench.Clip:
            buffer[:] = tone(0.5, height)
            return clip(buffer)(request)  # type: ignore[no-any-return]

        return paint

    thread = ComponentThread(Loud(step(400), step(800), step(1600)), requests(3), tmp_path)
    for expected in (400, 800, 1600):
        answer = thread.next(PATIENCE)
        assert isinstance(answer, popbench.Clip)
        assert answer.sound is None
        assert pitch(Path(str(answer.path))) == pytest.approx(expected, abs=10)


def test_a_clip_with_sound_can_be_pickled() -> None:
    given = popbench.Clip("a", np.zeros(SHAPE, np.uint8), 8.0, sound=tone(0.5), sample_rate=RATE)
    read = pickle.loads(pickle.dumps(given))
    assert np.array_equal(read.sound, tone(0.5))
    assert read.sample_rate == RATE


@pytest.mark.parametrize(
    ("sound", "rate", "told"),
    [
        (tone(0.5) * 9, RATE, "sound has values up to 4.5, expected -1 to 1"),
        (tone(0.5) * np.nan, RATE, "sound holds NaN"),
        (tone(0.5), None, "sample_rate is None"),
        (tone(9), RATE, "sound takes 9.00 s and the frames 0.50 s"),
    ],
)
def test_sound_that_is_none_fails_its_clip_alone(tmp_path: Path, sound: Any, rate: Any, told: str) -> None:
    thread = ComponentThread(Loud(clip(tone(0.5)), clip(sound, rate), clip(None)), requests(3), tmp_path, "loud")
    answers = [thread.next(PATIENCE) for _ in range(3)]
    assert [type(answer) for answer in answers] == [popbench.Clip, popbench.Failure, popbench.Clip]
    failure = answers[1]
    assert isinstance(failure, popbench.Failure)
    assert failure.error.startswith(f"generator loud: {told}")
    assert not failure.invalid


def test_sound_of_which_keys_do_not_know_is_refused(tmp_path: Path) -> None:
    answer = ComponentThread(Scripted(clip(tone(0.5))), requests(1), tmp_path, "quiet").next(PATIENCE)
    assert isinstance(answer, popbench.Failure)
    assert answer.error == (
        "generator quiet: clip has sound, which its key has to cover: set makes_sound = True in the generator's class"
    )


# -- keys


def fingerprint(spec: str) -> dict[str, Any]:
    return dict(as_part(load_registry().resolve("generator", spec)).fingerprint)


def test_how_sound_is_encoded_is_in_the_fingerprint_of_generators_that_make_sound_alone(tmp_path: Path) -> None:
    loud, mute = fingerprint("ringing"), fingerprint("ringing,mute=true")
    assert loud.pop("sound_encoder") == "codec=aac,coder=fast,bits_per_channel=96000,threads=1,version=1"
    assert set(SOUND_ENCODER) == {"codec", "coder", "bits_per_channel", "threads", "version"}
    assert loud == mute == Ringing().fingerprint()
    assert "sound_encoder" not in fingerprint("kinetic")
    run = popbench_runs.run_fast(tmp_path / "run", gen="ringing", limit=1)
    recorded = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
    assert '"sound_encoder"' in json.dumps(recorded)


def test_a_silent_clip_of_before_is_not_taken_for_one_with_sound(tmp_path: Path) -> None:
    before = popbench_runs.run_fast(tmp_path / "run", gen="ringing,mute=true", limit=2)
    silent = {path.name for path in (before.path / "videos").iterdir()}
    after = popbench_runs.run_fast(tmp_path / "run", gen="ringing", limit=2)
    assert after.complete
    rows = [json.loads(line) for line in (after.path / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 2
    for row in rows:
        assert row["video"].removeprefix("videos/") not in silent
        assert has_sound(after.path / row["video"])


# -- finished files


@pytest.fixture
def film(tmp_path: Path) -> Path:
    frames: NDArray[np.uint8] = np.full((16, 32, 48, 3), 90, np.uint8)
    write_mp4(frames, 8.0, tmp_path / "made.mp4", sound=tone(2), sample_rate=RATE)
    return tmp_path / "made.mp4"


def finished(path: Path, **more: Any) -> Any:
    return lambda request: popbench.Clip(request.id, path=path, notes=("from afar",), **more)


def test_a_finished_file_stays_as_it_is_with_its_sound(film: Path, tmp_path: Path) -> None:
    run = popbench_runs.run_fast(tmp_path / "run", gen=f"finished,path={film}", limit=2)
    assert run.complete
    clips = list((run.path / "videos").iterdir())
    assert len(clips) == 2
    assert {sha256(path) for path in clips} == {sha256(film)}
    answer = ComponentThread(Scripted(finished(film)), requests(1), tmp_path).next(PATIENCE)
    assert isinstance(answer, popbench.Clip)
    assert answer.notes == ("from afar",)


def test_sound_that_cannot_be_decoded_is_noted_and_the_clip_counts(film: Path, tmp_path: Path) -> None:
    spoil_sound(film)
    answer = ComponentThread(Scripted(finished(film)), requests(1), tmp_path).next(PATIENCE)
    assert isinstance(answer, popbench.Clip)
    kept, note = answer.notes
    assert kept == "from afar"
    assert note.startswith("its sound cannot be decoded, and stays in the file as it is (")
    assert len(note.splitlines()) == 1
    assert len(read_frames(film)) == 16
    run = popbench_runs.run_fast(tmp_path / "run", gen=f"finished,path={film}", limit=1)
    (row,) = popbench_runs.samples(run.path)
    assert row["status"] == "ok"
    assert row["notes"][-1].startswith("its sound cannot be decoded")


def test_a_file_that_is_cut_in_its_sound_is_an_error_and_not_invalid(film: Path, tmp_path: Path) -> None:
    last = max(place + size for place, size in sound_packets(film))
    film.write_bytes(film.read_bytes()[: last - 5])
    answer = ComponentThread(Scripted(finished(film)), requests(1), tmp_path, "afar").next(PATIENCE)
    assert isinstance(answer, popbench.Failure)
    assert "the file is cut short" in answer.error
    assert not answer.invalid


def test_a_finished_file_and_sound_beside_it_are_refused(film: Path, tmp_path: Path) -> None:
    step = finished(film, sound=tone(2), sample_rate=RATE)
    answer = ComponentThread(Loud(step), requests(1), tmp_path, "both").next(PATIENCE)
    assert isinstance(answer, popbench.Failure)
    assert answer.error == "generator both: clip has a path and sound: the file holds its own sound"
