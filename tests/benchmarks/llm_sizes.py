"""Memory and seconds per query of the paper's open models, beside its Table 10 (arXiv 2502.12945).

No weights are downloaded: the models are built in their real shapes with random 4-bit weights, written as folders of
pre-quantized weights (about 40 GB each, one at a time), and run through the plugin. Random weights take the memory and
the time of real ones, but write no sensible text, so answers are a fixed number of tokens long. A GPU of 80 GB is
needed, save with --tiny, which shows on any machine that the script works.
"""

from __future__ import annotations

import argparse
import json
import shutil
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "plugins"))
sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import popbench
from popbench_transformers.llm import TransformersLLM
from popbench_transformers.options import TransformersOptions
from popbench_transformers.presets import PAPER

LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 8192, "intermediate_size": 28672,
    "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 128,
    "vocab_size": 128256, "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "rope_theta": 500000.0,
    "hidden_act": "silu", "attention_bias": False,
}  # fmt: skip
QWEN = {
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 8192, "intermediate_size": 29568,
    "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 152064,
    "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "hidden_act": "silu",
    "use_sliding_window": False,
}  # fmt: skip
MODELS: dict[str, dict[str, Any]] = {"llama-3.3-70b": LLAMA, "qwen-2.5-72b": QWEN}
TINY = {
    "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 1024,
}  # fmt: skip
SETTINGS = {"basic": (400, 200), "pe,k=10": (1500, 600), "pe,k=50": (5500, 600), "pe,k=100": (10500, 600)}
"""Prompt tokens of each setting, and the new tokens that seconds are scaled to."""
TABLE_10 = {
    "qwen-2.5-72b": {
        "basic": (44246, 8), "pe,k=10": (47468, 28), "pe,k=50": (53504, 62), "pe,k=100": (67192, 90),
    },
    "llama-3.3-70b": {
        "basic": (42240, 9), "pe,k=10": (43948, 48), "pe,k=50": (49662, 75), "pe,k=100": (56842, 86),
    },
}  # fmt: skip
"""The paper's MB of GPU memory and seconds per query."""
WRITTEN, BATCHED = 64, 32
MEMORY_LIMIT, SPEED_LIMIT = 1.05, 2.0
NF4 = [
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
]  # fmt: skip
"""The sixteen values of a 4-bit normal float (arXiv 2305.14314, appendix E)."""


def linears(config: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Return the linear layers of a block: name to (out, in)."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    head = config.get("head_dim", hidden // config["num_attention_heads"])
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    return {
        "self_attn.q_proj": (queries, hidden),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, queries),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }


def block(config: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Make the tensors of one block: random 4-bit codes with scales that keep activations of ordinary size."""
    tensors: dict[str, torch.Tensor] = {}
    for name, (rows, columns) in linears(config).items():
        count = rows * columns
        about = {"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [rows, columns]}
        key = f"{name}.weight"
        tensors[key] = torch.randint(0, 256, (count // 2, 1), dtype=torch.uint8)
        tensors[f"{key}.absmax"] = torch.full((count // 64,), 2 / columns**0.5, dtype=torch.float32)
        tensors[f"{key}.quant_map"] = torch.tensor(NF4, dtype=torch.float32)
        tensors[f"{key}.quant_state.bitsandbytes__nf4"] = torch.frombuffer(
            bytearray(json.dumps(about).encode()), dtype=torch.uint8
        )
        if config["model_type"] == "qwen2" and name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"):
            tensors[f"{name}.bias"] = torch.zeros(rows, dtype=torch.bfloat16)
    for name in ("input_layernorm", "post_attention_layernorm"):
        tensors[f"{name}.weight"] = torch.ones(config["hidden_size"], dtype=torch.bfloat16)
    return tensors


DTYPES = {torch.uint8: "U8", torch.float32: "F32", torch.bfloat16: "BF16"}


def write(path: Path, tensors: dict[str, torch.Tensor], prefix: str) -> int:
    """Write a safetensors file and return its size; by hand, so that one block's bytes serve for all of them."""
    header, position = {}, 0
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        header[prefix + name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [position, position + size],
        }
        position += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            file.write(tensor.contiguous().view(torch.uint8).numpy().data)
    return position


def build(config: dict[str, Any], folder: Path) -> int:
    """Write a model's folder; return the bytes of its weights."""
    folder.mkdir(parents=True)
    index: dict[str, str] = {}
    total = 0

    def shard(name: str, tensors: dict[str, torch.Tensor], prefix: str) -> None:
        nonlocal total
        total += write(folder / name, tensors, prefix)
        index.update({prefix + key: name for key in tensors})

    made = block(config)
    for layer in range(config["num_hidden_layers"]):
        shard(f"model-{layer:03}.safetensors", made, f"model.layers.{layer}.")
    shape = (config["vocab_size"], config["hidden_size"])
    ends = {
        "model.embed_tokens.weight": torch.randn(shape, dtype=torch.bfloat16),
        "model.norm.weight": torch.ones(config["hidden_size"], dtype=torch.bfloat16),
        "lm_head.weight": torch.randn(shape, dtype=torch.bfloat16) / config["hidden_size"] ** 0.5,
    }
    shard("model-ends.safetensors", ends, "")
    about = {"metadata": {"total_size": total}, "weight_map": index}
    (folder / "model.safetensors.index.json").write_text(json.dumps(about), encoding="utf-8")
    quantization = {
        "quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False, "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_compute_dtype": "bfloat16", "bnb_4bit_use_double_quant": False, "bnb_4bit_quant_storage": "uint8",
    }  # fmt: skip
    full = {**config, "dtype": "bfloat16", "torch_dtype": "bfloat16", "tie_word_embeddings": False, "eos_token_id": 0,
            "bos_token_id": None, "use_cache": True, "quantization_config": quantization}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(full), encoding="utf-8")
    generation = {"do_sample": True, "top_k": 20, "eos_token_id": 0}
    (folder / "generation_config.json").write_text(json.dumps(generation), encoding="utf-8")
    tokenizer().save_pretrained(folder)
    return total


def tokenizer() -> Any:
    """Train a tokenizer on a few words: only the size of the embeddings matters, and that is the model's."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator([" kite" * 10] * 10, trainer)
    hf: Any = transformers
    ready = hf.PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|end|>")
    ready.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    return ready


def chats(prompt_tokens: int, count: int = 1) -> list[popbench.Chat]:
    """Make chats whose prompts have this many tokens: ` kite` is one."""
    message = popbench.Message(role="user", content=" kite" * prompt_tokens)
    return [popbench.Chat(str(number), (message,), number, {}) for number in range(count)]


def ask(llm: TransformersLLM, asked: Sequence[popbench.Chat], written: int, batch_size: Any = 1) -> list[Any]:
    """Run chats to answers of `written` tokens."""
    llm.options = llm.options.model_copy(update={"max_new_tokens": written, "batch_size": batch_size})
    llm._batcher = None
    answers = list(llm.generate(asked))
    for answer in answers:
        if isinstance(answer, popbench.Failure):
            raise SystemExit(f"llm_sizes: {answer.error}")
    return answers


def plain(llm: TransformersLLM, prompt_tokens: int) -> float:
    """Measure the seconds per token of plain transformers, with the same model and settings."""
    loaded = llm._loaded
    assert loaded is not None
    prompt = loaded.format.encode(chats(prompt_tokens)[0].messages).tokens
    ids = torch.tensor([prompt], device=loaded.device)
    decoding = {name: PAPER[name] for name in ("temperature", "top_p", "repetition_penalty")}
    started = time.perf_counter()
    with torch.inference_mode():
        written = loaded.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=WRITTEN, do_sample=True, **decoding,
            pad_token_id=0,
        )  # fmt: skip
        count = len(written[0].tolist()) - len(prompt)
    return (time.perf_counter() - started) / count


def measure(name: str, folder: Path, scale: float) -> bool:
    """Print the table of one model; return whether it keeps to the limits."""
    llm = TransformersLLM(TransformersOptions(model=str(folder), **PAPER))
    lines = llm.check()
    if lines:
        raise SystemExit("\n".join(f"llm_sizes: {line}" for line in lines))
    started = time.perf_counter()
    llm.fingerprint()
    fingerprint = time.perf_counter() - started
    started = time.perf_counter()
    ask(llm, chats(16), 2)
    print(f"{name}: fingerprint {fingerprint * 1000:.0f} ms, loaded in {time.perf_counter() - started:.0f} s")
    print("setting    prompt  first s  ms/token  new tokens  seconds  (paper)  peak MB  (paper)")
    good = True
    for setting, (tokens, new) in SETTINGS.items():
        tokens = max(16, round(tokens * scale))
        first = ask(llm, chats(tokens), 1)[0]
        whole = ask(llm, chats(tokens), WRITTEN)[0]
        written = whole.usage["output"]
        each = (whole.seconds - first.seconds) / max(1, written - 1)
        paper_mb, paper_seconds = TABLE_10[name][setting]
        peak = whole.peak_memory_mb
        print(
            f"{setting:<10} {whole.usage['input']:>6}  {first.seconds:>7.2f}  {each * 1000:>8.1f}  {new:>10}  "
            f"{first.seconds + each * (new - 1):>7.1f}  {paper_seconds:>7}  {peak or 0:>7.0f}  {paper_mb:>7}"
        )
        good = good and (peak is None or peak <= MEMORY_LIMIT * paper_mb)
    tokens = max(16, round(SETTINGS["basic"][0] * scale))
    alone = min(plain(llm, tokens + 8 * number) for number in range(3))
    ours = min(
        answer.seconds / answer.usage["output"]
        for number in range(3)
        for answer in ask(llm, chats(tokens + 8 * number), WRITTEN)
    )
    print(
        f"ms/token with the prompt, basic: {ours * 1000:.1f}, bare model.generate (sampling) {alone * 1000:.1f}, "
        f"ratio {ours / alone:.2f}"
    )
    speed = {}
    for batch_size, count in ((1, 2), ("auto", BATCHED)):
        started = time.perf_counter()
        answers = ask(llm, chats(tokens, count), WRITTEN, batch_size)
        speed[batch_size] = sum(answer.usage["output"] for answer in answers) / (time.perf_counter() - started)
    ratio = speed["auto"] / speed[1]
    print(
        f"tokens per second, basic: batch_size=1 {speed[1]:.1f}, auto ({BATCHED} chats) {speed['auto']:.1f}, "
        f"ratio {ratio:.1f}"
    )
    llm.close()
    return good and ratio >= SPEED_LIMIT


def main() -> int:
    """Build, measure and remove each model; 1 if one takes more memory than the paper's, or batches do not pay."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=list(MODELS), action="append", help="one of them only; repeatable")
    parser.add_argument("--layers", type=int, help="fewer layers than the model has")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes and short prompts, for a try on any machine")
    parser.add_argument("--folder", type=Path, default=Path("llm-sizes"), help="where the models are written")
    given = parser.parse_args()
    good = True
    for name in given.model or MODELS:
        config = {**MODELS[name], **(TINY if given.tiny else {})}
        if given.layers:
            config["num_hidden_layers"] = given.layers
        folder = given.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        try:
            started = time.perf_counter()
            size = build(config, folder)
            print(f"{name}: built {size / 1e9:.1f} GB in {time.perf_counter() - started:.0f} s")
            good = measure(name, folder, 0.02 if given.tiny else 1.0) and good
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
