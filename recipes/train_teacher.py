"""Trains the bundled teacher from the prepared text: its tokenizer, then the model.

    python train_teacher.py [--text work] [--out ../models/austen] [--steps 11000] [--dropout 0.1] [--weight-decay 0.05]
                            [--minutes 55] [--threads 2] [--device cpu]

With --minutes, a run that would take longer has its rates fall sooner. Every minute a checkpoint is written to work/teacher.pt; the same
command goes on from it.
"""

import argparse
import json
import pathlib

import numpy
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from llama import Llama, save
from prepare_text import CHAPTER
from training import SEED, train

END_OF_TEXT = "<|endoftext|>"
VOCABULARY = 2048
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": VOCABULARY,
    "hidden_size": 128,
    "intermediate_size": 224,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "hidden_act": "silu",
    "max_position_embeddings": 2048,
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

# Length of the sequences until which part of the training is done: short at first, when the model learns what lies near.
LENGTHS = [(0.4, 256), (0.7, 512), (0.85, 1024), (1.0, 2048)]
WARM_UP = 0.02
MATRIX_RATE, VECTOR_RATE = 0.015, 0.006  # Muon's for the matrices of the blocks, Adam's for embedding and norms
DROPOUT, WEIGHT_DECAY = 0.1, 0.05


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


def prepare_tokens(text: pathlib.Path, out: pathlib.Path):
    """Tokenizer and tokens: into `out` what belongs to the model, into `text` what it is trained on."""
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer((text / "train.txt").read_text(encoding="utf-8"))
    save_tokenizer(tokenizer, out)
    for name in ("train", "validation", "heldout"):
        tokens = tokens_of(tokenizer, (text / f"{name}.txt").read_text(encoding="utf-8"))
        numpy.save((out if name == "heldout" else text) / f"{name}.npy", tokens)
        print(f"{name}: {len(tokens):,} tokens")


def untrained(dropout: float) -> Llama:
    model = Llama(CONFIG, dropout)
    for name, p in model.named_parameters():
        if p.ndim == 2:
            # The matrices that write into the residual stream start smaller, so that it doesn't grow with depth.
            narrow = name.endswith(("o_proj.weight", "down_proj.weight"))
            torch.nn.init.normal_(p, std=0.02 / (2 * CONFIG["num_hidden_layers"]) ** 0.5 if narrow else CONFIG["initializer_range"])
    return model


def next_token_loss(model: Llama):
    return lambda windows: F.cross_entropy(model(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=pathlib.Path, default=pathlib.Path("work"))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("../models/austen"))
    parser.add_argument("--steps", type=int, default=11000)
    parser.add_argument("--dropout", type=float, default=DROPOUT)
    parser.add_argument("--weight-decay", type=float, default=WEIGHT_DECAY)
    parser.add_argument("--minutes", type=float, help="at most")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.device != "cpu":
        torch.set_float32_matmul_precision("high")
    torch.manual_seed(SEED)
    text, out = arguments.text, arguments.out
    prepare_tokens(text, out)

    model = untrained(arguments.dropout).to(arguments.device)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    tokens, validation = numpy.load(text / "train.npy"), numpy.load(text / "validation.npy")
    train(
        model, next_token_loss(model), tokens, validation, (MATRIX_RATE, VECTOR_RATE), LENGTHS, WARM_UP, arguments.weight_decay,
        arguments.steps, arguments.minutes, checkpoint=text / "teacher.pt",
    )  # fmt: skip
    save(model, out)


if __name__ == "__main__":
    main()
