"""How fast MMRA scores clips, beside a loop that takes one video at a time with the same models loaded.

    OMP_NUM_THREADS= python tests/benchmarks/mmra_speed.py [--clips 48] [--full] [--device cuda] [--forward]

Both use the same clips (720x480, 49 frames, as CogVideoX renders them), the same encoders and the same bank, in turns,
several times; the result is the ratio of videos per second. Encoders have random weights: tiny ones for pictures of 224
by 224, or with `--full` ones of the paper's sizes. They share no stored features. `--forward` compares the model's
forward pass with its formulas written out. popbench need not be installed.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "plugins"), str(ROOT / "tests" / "support")]

import numpy as np  # noqa: E402 - the paths come first
import torch  # noqa: E402
import transformers as _transformers  # noqa: E402

import tiny_encoders  # noqa: E402
from popbench.cache import key_of  # noqa: E402
from popbench.local import peak_memory, quiet  # noqa: E402
from popbench.records import Score, ScoreRequest  # noqa: E402
from popbench.video import read_frames, sha256, write_mp4  # noqa: E402
from popbench_mmra import folder as folders  # noqa: E402
from popbench_mmra.bank import Bank  # noqa: E402
from popbench_mmra.cards import about_encoders, about_model  # noqa: E402
from popbench_mmra.encoders import find_encoders  # noqa: E402
from popbench_mmra.loaded_encoders import QUERY  # noqa: E402
from popbench_mmra.model import MMRA  # noqa: E402
from popbench_mmra.predictor import MMRAOptions, MMRAPredictor  # noqa: E402

transformers: Any = _transformers
FRAMES, HEIGHT, WIDTH, FPS = 49, 480, 720, 8
STARTED = time.perf_counter()


def full_encoders(folder: Path) -> dict[str, str]:
    """Save encoders of the paper's sizes with random weights."""
    words = tiny_encoders.tokenizer()
    ids = {name: words.convert_tokens_to_ids(name) for name in ("[DEC]", "[SEP]", "[PAD]")}
    made = {
        "visual": (
            lambda: transformers.ViTModel(transformers.ViTConfig(), add_pooling_layer=False),
            [transformers.ViTImageProcessor()],
        ),
        "textual": (lambda: transformers.BertModel(transformers.BertConfig()), [words]),
        "captioner": (
            lambda: transformers.BlipForConditionalGeneration(
                transformers.BlipConfig(
                    text_config={
                        "vocab_size": 30524, "hidden_size": 768, "encoder_hidden_size": 768, "num_hidden_layers": 12,
                        "num_attention_heads": 12, "bos_token_id": ids["[DEC]"], "sep_token_id": ids["[SEP]"],
                        "eos_token_id": ids["[SEP]"], "pad_token_id": ids["[PAD]"],
                    },
                    vision_config={"image_size": 384, "hidden_size": 768, "num_hidden_layers": 12},
                )
            ),
            [words, transformers.BlipImageProcessor()],
        ),
        "retriever": (
            lambda: transformers.BertModel(
                transformers.BertConfig(
                    hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096
                )
            ),
            [words],
        ),
    }  # fmt: skip
    with quiet("transformers"):
        for name, (make, others) in made.items():
            torch.manual_seed(0)
            model: Any = make()  # type: ignore[no-untyped-call]  # transformers has no types for it
            for item in (model, *others):
                item.save_pretrained(folder / name)
    return {name: str(folder / name) for name in made}


def make_model(folder: Path, models: dict[str, str], videos: int) -> Path:
    """Write an untrained MMRA with a bank of random features."""
    encoders = find_encoders(models)
    width = encoders["visual"].weights.index["hidden_size"]
    found = encoders["retriever"].weights.index["hidden_size"]
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((videos, found), np.float32)
    bank = Bank(
        [str(at) for at in range(videos)],
        rng.standard_normal((videos, 10, width), np.float32),
        rng.standard_normal((videos, width), np.float32),
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        rng.uniform(0, 10, videos).astype(np.float32),
    )
    torch.manual_seed(0)
    model = MMRA(width)
    card = {
        **about_model(model, 10, "comments", [], bank), **about_encoders(encoders), "corpus": None, "metrics": None
    }  # fmt: skip
    folders.save(folder, model, bank, card)
    return folder


def make_clips(folder: Path, count: int) -> list[ScoreRequest]:
    """Write different clips of drifting coloured noise, with titles."""

    def make(at: int) -> ScoreRequest:
        coarse = np.random.default_rng(at).integers(0, 256, (HEIGHT // 16, WIDTH // 16 + FRAMES, 3), np.uint8)
        picture = coarse.repeat(16, axis=0).repeat(16, axis=1)
        frames = np.stack([picture[:, 4 * step : 4 * step + WIDTH] for step in range(FRAMES)])
        path = folder / f"{at}.mp4"
        write_mp4(frames, FPS, path)
        return ScoreRequest(str(at), f"A video of coloured squares, number {at}", path)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(make, range(count)))


class OneByOne:
    """The same steps for one video at a time, without padding, in float32."""

    def __init__(self, models: dict[str, str], folder: Path, device: str) -> None:
        self.device = device
        self.captions: dict[str, list[str]] = {}
        self.trained = folders.load(folder)
        self.trained.model.to(device)
        with quiet("transformers"):
            self.eyes = {
                name: transformers.AutoImageProcessor.from_pretrained(models[name], use_fast=False)
                for name in ("visual", "captioner")
            }
            self.words = {
                name: transformers.AutoTokenizer.from_pretrained(models[name])
                for name in ("textual", "captioner", "retriever")
            }
            self.models = {
                name: (transformers.BlipForConditionalGeneration if name == "captioner" else transformers.AutoModel)
                .from_pretrained(models[name], dtype=torch.float32)
                .to(device)
                .eval()
                for name in models
            }

    @torch.inference_mode()
    def score(self, item: ScoreRequest) -> float:
        frames = list(read_frames(item.path, 10))
        see = {
            name: eye(frames, return_tensors="pt", input_data_format="channels_last")["pixel_values"].to(self.device)
            for name, eye in self.eyes.items()
        }
        visual = self.models["visual"](pixel_values=see["visual"]).last_hidden_state[:, 0]
        tokens = self.models["captioner"].generate(
            pixel_values=see["captioner"], max_new_tokens=20, num_beams=1, do_sample=False
        )
        captions = self.words["captioner"].batch_decode(tokens, skip_special_tokens=True)
        self.captions[item.id] = [caption.strip() for caption in captions]
        shown = " ".join([item.title, *self.captions[item.id]])
        title = self.words["textual"](item.title, return_tensors="pt").to(self.device)
        hidden = self.models["textual"](
            input_ids=title["input_ids"], attention_mask=title["attention_mask"]
        ).last_hidden_state
        textual = (hidden[:, 0] + hidden.mean(1)) / 2
        longest = min(self.models["retriever"].config.max_position_embeddings, self.words["retriever"].model_max_length)
        text = self.words["retriever"](QUERY + shown, truncation=True, max_length=longest, return_tensors="pt")
        text = text.to(self.device)
        vector = self.models["retriever"](
            input_ids=text["input_ids"], attention_mask=text["attention_mask"]
        ).last_hidden_state[:, 0]
        vector = torch.nn.functional.normalize(vector).cpu().numpy()
        places, cosines = self.trained.bank.similar(vector, 10)
        bank = self.trained.bank
        near = [bank.visual[places], bank.textual[places], bank.target[places][..., None]]
        rows = [torch.from_numpy(np.ascontiguousarray(row, np.float32)).to(self.device) for row in (cosines, *near)]
        return float(self.trained.model(visual[None], textual[None], *rows)[0, 0])


def alone(requests: list[ScoreRequest], options: dict[str, Any]) -> dict[str, float]:
    """Score some of the clips one by one, without stored features; return log2 by id."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["POPBENCH_CACHE"] = cache
        predictor = MMRAPredictor(MMRAOptions(**options))
        answers = [answer for item in requests for answer in predictor.score([item])]
        predictor.close()
    return {answer.id: answer.extra["log2"] for answer in answers if isinstance(answer, Score)}


def kept_captions(cache: Path, requests: list[ScoreRequest]) -> dict[str, list[str]]:
    """Return the captions that popbench stored, by id."""
    with closing(sqlite3.connect(cache / "mmra" / "features.sqlite")) as db:
        rows = dict(db.execute("SELECT key, value FROM features WHERE substr(value, 1, 2) = x'5b22'"))
    return {item.id: json.loads(rows[key_of(sha256(item.path))]) for item in requests}


def of_predictor(
    requests: list[ScoreRequest], options: dict[str, Any]
) -> tuple[float, dict[str, float], float | None, dict[str, list[str]]]:
    """Score everything with popbench; return seconds without loading, log2 by id, the peak in MB, captions by id."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["POPBENCH_CACHE"] = cache  # nothing is known of these clips
        predictor = MMRAPredictor(MMRAOptions(**options))
        list(predictor.score(requests[:1]))  # loads the models
        assert predictor._extractor is not None
        batch = predictor._extractor.batch
        start = time.perf_counter()
        answers = list(predictor.score(requests[1:]))
        seconds = time.perf_counter() - start
        log2 = {answer.id: answer.extra["log2"] for answer in answers if isinstance(answer, Score)}
        assert len(log2) == len(requests) - 1, answers
        peak = next((answer.peak_memory_mb for answer in reversed(answers)), None)
        predictor.close()
        captions = kept_captions(Path(cache), requests)
    print(f"  popbench, {batch} at once: {(len(requests) - 1) / seconds:.2f} videos/s")
    return seconds, log2, peak, captions


def of_loop(requests: list[ScoreRequest], loop: OneByOne) -> tuple[float, dict[str, float]]:
    """Score everything one by one."""
    loop.score(requests[0])
    start = time.perf_counter()
    log2 = {item.id: loop.score(item) for item in requests[1:]}
    seconds = time.perf_counter() - start
    print(f"  one by one: {(len(requests) - 1) / seconds:.2f} videos/s")
    return seconds, log2


def scoring(given: argparse.Namespace) -> dict[str, Any]:
    """Compare both, in turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = full_encoders(folder) if given.full else tiny_encoders.encoders(224)
        model = make_model(folder / "mmra", models, given.bank)
        requests = make_clips(folder, given.clips + 1)
        print(f"  made encoders and clips in {time.perf_counter() - STARTED:.0f} s")
        gpus = [0] if given.device.startswith("cuda") else []
        slow: list[float] = []
        fast: dict[str, list[float]] = {precision: [] for precision in given.precision}
        found: dict[str, Any] = {precision: {} for precision in given.precision}
        for _ in range(given.rounds):
            loop = OneByOne(models, model, given.device)
            with peak_memory(gpus) as peak:
                seconds, plain = of_loop(requests, loop)
            slow.append(seconds)
            written = loop.captions
            del loop
            if gpus:
                torch.cuda.empty_cache()
            for precision in given.precision:
                options = {"path": str(model), "device": given.device, "precision": precision}
                options |= {"batch_size": given.batch} if given.batch else {}
                seconds, log2, mb, captions = of_predictor(requests, options)
                same = [a == b for id_ in written for a, b in zip(written[id_], captions[id_], strict=True)]
                fast[precision].append(seconds)
                found[precision] |= {
                    "peak_mb": mb,
                    "equal_captions": round(sum(same) / len(same), 4),
                    "largest_relative_difference": max(abs(2 ** (log2[id_] - plain[id_]) - 1) for id_ in log2),
                }
                if len(slow) == given.rounds:
                    some = alone(requests[1:4], options)
                    found[precision]["alone"] = max(abs(2 ** (log2[id_] - some[id_]) - 1) for id_ in some)
        for precision, times in fast.items():
            ratios = [one / many for one, many in zip(slow, times, strict=True)]
            found[precision] |= {
                "ratio": round(statistics.median(ratios), 2),
                "ratios": [round(ratio, 2) for ratio in ratios],
                "seconds_per_video": round(statistics.median(times) / given.clips, 4),
            }
        return {
            "one_by_one": {"seconds_per_video": round(statistics.median(slow) / given.clips, 4), "peak_mb": peak.mb},
            **found,
        }


def forward(given: argparse.Namespace) -> dict[str, Any]:
    """Compare the forward pass with the formulas as they stand, for a batch of 64."""
    from tiny_mmra import written_out

    torch.manual_seed(0)
    model = MMRA().eval().to(given.device)
    shapes = [(64, 10, 768), (64, 1, 768), (64, 10), (64, 10, 10, 768), (64, 10, 768), (64, 10, 1)]
    rows = [torch.rand(shape, device=given.device) for shape in shapes]

    def timed(run: Callable[[], Any]) -> float:
        run()
        if given.device != "cpu":
            torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(20):
            run()
        if given.device != "cpu":
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / 20

    with torch.inference_mode():
        pairs = [(timed(lambda: written_out(model, *rows)), timed(lambda: model(*rows))) for _ in range(given.rounds)]
        difference = float((written_out(model, *rows) - model(*rows)).abs().max())
    return {
        "ratio": round(statistics.median(plain / ours for plain, ours in pairs), 2),
        "milliseconds": round(1000 * statistics.median(ours for _, ours in pairs), 2),
        "largest_difference": difference,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bank", type=int, default=2000, help="videos in the bank")
    parser.add_argument("--full", action="store_true", help="encoders of the paper's sizes")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", nargs="+", default=["auto"])
    parser.add_argument("--batch", type=int, help="videos at once, where popbench is not to choose")
    parser.add_argument("--forward", action="store_true", help="compare the forward pass alone")
    given = parser.parse_args()
    found = forward(given) if given.forward else scoring(given)
    print(json.dumps({"device": given.device, "threads": torch.get_num_threads(), **found}))


if __name__ == "__main__":
    main()
