"""Writes a model of random weights as a Hugging Face directory: for trying sizes that no test should have to fetch.

    python recipes/random_model.py /tmp/llama-1b                    # the dimensions of Llama 3.2 1B, 2.5 GB
    python recipes/random_model.py /tmp/small --config config.json  # those of another Llama

Needs numpy. With --tokenizer, that file goes with it (its vocabulary may be the smaller one).
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np

LLAMA_32_1B = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 8192,
    "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64, "hidden_act": "silu",
    "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "tie_word_embeddings": True, "rope_theta": 500000.0,
    "rope_scaling": {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192},
    "bos_token_id": 128000, "eos_token_id": 128001,
}  # fmt: skip
# Elements made at a time: no tensor is ever in memory as a whole.
CHUNK = 1 << 22


def tensors(config: dict) -> list[tuple[str, list[int]]]:
    """Names and shapes, in the order in which they are used."""
    width, heads = config["hidden_size"], config["num_attention_heads"]
    head = config.get("head_dim") or width // heads
    keys = head * config.get("num_key_value_heads", heads)
    found = [("model.embed_tokens.weight", [config["vocab_size"], width])]
    for layer in range(config["num_hidden_layers"]):
        for name, shape in [
            ("input_layernorm", [width]),
            ("self_attn.q_proj", [heads * head, width]),
            ("self_attn.k_proj", [keys, width]),
            ("self_attn.v_proj", [keys, width]),
            ("self_attn.o_proj", [width, heads * head]),
            ("post_attention_layernorm", [width]),
            ("mlp.gate_proj", [config["intermediate_size"], width]),
            ("mlp.up_proj", [config["intermediate_size"], width]),
            ("mlp.down_proj", [width, config["intermediate_size"]]),
        ]:
            found.append((f"model.layers.{layer}.{name}.weight", shape))
    found.append(("model.norm.weight", [width]))
    if not config.get("tie_word_embeddings"):
        found.append(("lm_head.weight", [config["vocab_size"], width]))
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("directory", type=Path)
    arguments.add_argument("--config", type=Path, help="a Llama's config.json (default: that of Llama 3.2 1B)")
    arguments.add_argument("--tokenizer", type=Path, help="a tokenizer.json to go with it")
    arguments.add_argument("--seed", type=int, default=0)
    chosen = arguments.parse_args()
    config = json.loads(chosen.config.read_text()) if chosen.config else LLAMA_32_1B
    chosen.directory.mkdir(parents=True, exist_ok=True)
    (chosen.directory / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    if chosen.tokenizer:
        shutil.copy(chosen.tokenizer, chosen.directory / "tokenizer.json")

    header, end = {}, 0
    for name, shape in tensors(config):
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    random = np.random.default_rng(chosen.seed)
    with open(chosen.directory / "model.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in tensors(config):
            left = int(np.prod(shape))
            while left > 0:
                count = min(left, CHUNK)
                # Norms are ones; matrices keep the size of what goes through them.
                values = np.ones(count) if len(shape) == 1 else random.standard_normal(count, dtype=np.float32) / np.sqrt(shape[1])
                values.astype(np.float16).tofile(file)
                left -= count
    print(f"{chosen.directory}: {end / 2**20:.0f} MB")


if __name__ == "__main__":
    main()
