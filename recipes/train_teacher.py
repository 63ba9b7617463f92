"""Trains the bundled teacher from the prepared text: its tokenizer, then the model.

    python train_teacher.py [--text work] [--out ../models/austen] [--steps 5000 | --minutes 35] [--threads 2]

The learning rate warms up and then falls along a cosine to zero at the end, which is a number of steps (the same result for the
same seed and number of threads) or, with --minutes, a time: so a slow machine gets a finished model too, only a less trained one. Every
minute a checkpoint is written to work/teacher.pt; the same command goes on from it.
"""

import argparse
import json
import math
import pathlib
import time

import numpy
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from llama import Llama, block_losses, save
from prepare_text import CHAPTER

END_OF_TEXT = "<|endoftext|>"
VOCABULARY = 2048
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": VOCABULARY,
    "hidden_size": 128,
    "intermediate_size": 224,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 32,
    "hidden_act": "silu",
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "rope_scaling": None,
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": True,
    "initializer_range": 0.02,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "torch_dtype": "float16",
}

TOKENS_PER_STEP = 2048
# Length of the sequences until which part of the training is done: short at first, when the model learns what lies near.
LENGTHS = [(0.4, 128), (0.8, 256), (1.0, 512)]
WARM_UP = 0.02  # part of the training
MATRIX_RATE, VECTOR_RATE = 0.015, 0.006  # Muon's for the matrices of the blocks, Adam's for embedding and norms
WEIGHT_DECAY = 0.05
SEED = 1813


def train_tokenizer(text: str) -> Tokenizer:
    """A byte-level BPE: any text has tokens, and decoding gives the very bytes back."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(text.split(CHAPTER), trainer)
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, directory: pathlib.Path):
    tokenizer.save(str(directory / "tokenizer.json"), pretty=False)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "add_bos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": CONFIG["max_position_embeddings"],
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def tokens_of(tokenizer: Tokenizer, text: str) -> numpy.ndarray:
    """The chapters' tokens, an end-of-text token before each."""
    end = tokenizer.token_to_id(END_OF_TEXT)
    return numpy.array([t for chapter in text.split(CHAPTER) for t in [end, *tokenizer.encode(chapter).ids]], dtype=numpy.uint16)


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal by a Newton-Schulz iteration (Jordan et al., 2024). For matrices of a network's inside."""

    def __init__(self, parameters, lr: float, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for p in group["params"]:
                by_shape.setdefault(p.shape, []).append(p)
            for (rows, columns), parameters in by_shape.items():
                updates = []
                for p in parameters:
                    buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
                    buffer.lerp_(p.grad, 1 - group["momentum"])
                    updates.append(p.grad.lerp(buffer, group["momentum"]))
                # The scale keeps the size of an update independent of the matrix's form.
                scale = group["lr"] * max(1.0, rows / columns) ** 0.5
                for p, update in zip(parameters, orthogonal(torch.stack(updates))):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-scale)


def orthogonal(m: Tensor) -> Tensor:
    """About the nearest orthogonal matrix of each of m [n, rows, columns], by five steps of a quintic Newton-Schulz iteration."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = m.shape[1] > m.shape[2]
    x = m.mT if tall else m
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


def optimizers(model: Llama, matrix_rate: float = MATRIX_RATE, vector_rate: float = VECTOR_RATE) -> list[torch.optim.Optimizer]:
    """For the parameters that are to be trained (`requires_grad`)."""
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2 and p.requires_grad]
    inside = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in inside and p.requires_grad]
    return [
        Muon(matrices, matrix_rate, weight_decay=WEIGHT_DECAY),
        torch.optim.AdamW(others, vector_rate, betas=(0.9, 0.95), eps=1e-10, weight_decay=0.0),
    ]


class Batches:
    """Windows of the training tokens in an order that repeats for a seed, each epoch cut at another offset."""

    def __init__(self, tokens: numpy.ndarray):
        self.tokens = torch.from_numpy(tokens.astype(numpy.int64))
        self.random = torch.Generator().manual_seed(SEED)
        self.waiting: list[Tensor] = []

    def next(self, length: int) -> Tensor:
        """[TOKENS_PER_STEP / length, length + 1]"""
        if not self.waiting or self.waiting[-1].shape[1] != length + 1:
            offset = int(torch.randint(length, (), generator=self.random))
            windows = self.tokens[offset:].unfold(0, length + 1, length)
            order = torch.randperm(len(windows), generator=self.random)
            size = TOKENS_PER_STEP // length
            self.waiting = [windows[part] for part in order.split(size) if len(part) == size]
        return self.waiting.pop()


def train(model: Llama, tokens: numpy.ndarray, validation: numpy.ndarray, steps: int, minutes: float | None, checkpoint: pathlib.Path):
    """Trains for `minutes`, or for `steps` where there are none."""
    steps_by = optimizers(model)
    rates = [group["lr"] for o in steps_by for group in o.param_groups]
    batches = Batches(tokens)
    spent, step = 0.0, 0
    if checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        for o, s in zip(steps_by, state["optimizers"]):
            o.load_state_dict(s)
        batches.random.set_state(state["random"])
        spent, step = state["spent"], state["step"]
        print(f"going on from step {step}, {spent / 60:.1f} minutes")
    started, saved, mean = time.monotonic() - spent, spent, None
    while (done := spent / (60 * minutes) if minutes else step / steps) < 1:
        factor = min(1.0, done / WARM_UP + 0.01) * 0.5 * (1 + math.cos(math.pi * done))
        for group, rate in zip((g for o in steps_by for g in o.param_groups), rates):
            group["lr"] = rate * factor
        windows = batches.next(next(length for until, length in LENGTHS if done < until))
        loss = F.cross_entropy(model(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten())
        loss.backward()
        for o in steps_by:
            o.step()
            o.zero_grad()
        step += 1
        spent = time.monotonic() - started
        mean = loss.item() if mean is None else 0.98 * mean + 0.02 * loss.item()
        if step % 100 == 0:
            print(f"{spent / 60:5.1f} min  step {step:5d}  epoch {step * TOKENS_PER_STEP / len(tokens):5.2f}  loss {mean:.4f}", flush=True)
        if spent - saved > 60:
            saved = spent
            state = {"model": model.state_dict(), "optimizers": [o.state_dict() for o in steps_by]}
            state |= {"random": batches.random.get_state(), "spent": spent, "step": step}
            torch.save(state, checkpoint.with_suffix(".new"))
            checkpoint.with_suffix(".new").replace(checkpoint)
            if int(spent / 60) % 5 == 0:
                print(f"      validation loss {block_losses(model, validation).mean():.4f}", flush=True)
    print(f"{step} steps, {step * TOKENS_PER_STEP:,} tokens; validation loss {block_losses(model, validation).mean():.4f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=pathlib.Path, default=pathlib.Path("work"))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("../models/austen"))
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--minutes", type=float, help="train for so long, instead of a number of steps")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(SEED)
    text, out = arguments.text, arguments.out
    out.mkdir(parents=True, exist_ok=True)

    tokenizer = train_tokenizer((text / "train.txt").read_text(encoding="utf-8"))
    save_tokenizer(tokenizer, out)
    parts = {name: tokens_of(tokenizer, (text / f"{name}.txt").read_text(encoding="utf-8")) for name in ("train", "validation", "heldout")}
    for name, tokens in parts.items():
        numpy.save(text / f"{name}.npy", tokens)
        print(f"{name}: {len(tokens):,} tokens")
    numpy.save(out / "heldout.npy", parts["heldout"])

    model = Llama(CONFIG)
    for name, p in model.named_parameters():
        if p.ndim == 2:
            # The matrices that write into the residual stream start smaller, so that it doesn't grow with depth.
            narrow = name.endswith(("o_proj.weight", "down_proj.weight"))
            torch.nn.init.normal_(p, std=0.02 / (2 * CONFIG["num_hidden_layers"]) ** 0.5 if narrow else CONFIG["initializer_range"])
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    train(model, parts["train"], parts["validation"], arguments.steps, arguments.minutes, text / "teacher.pt")
    save(model, out)


if __name__ == "__main__":
    main()
