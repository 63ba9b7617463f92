"""Distils the bundled DBA student from the bundled teacher.

    python distil_student.py START ../models/austen-dba [--teacher ../models/austen] [--text work]
                             [--steps 450] [--minutes 50] [--threads 2] [--device cpu]

START is the directory of an untrained student: `caramba script upcycle.rhai` makes it from the teacher. With --attn-dim its values are
narrowed too, by the weights alone (one truncated SVD per key/value head): a calibrated student has narrow values already.

The whole student is trained: next-token cross-entropy and, with the same weight, the divergence from the teacher's distribution.
"""

import argparse
import json
import pathlib
import shutil

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor

from llama import DecoupledAttention, Llama, load, save
from training import SEED, train

# The student is trained at its whole context from the first step on: its geometric heads turn through few frequencies, and shorter sequences
# undo at long distances what calibration has done there.
LENGTHS = [(1.0, 2048)]
# Below the teacher's own rates: the student starts near a good place.
MATRIX_RATE, VECTOR_RATE = 0.005, 0.002
WARM_UP = 0.03
KL_WEIGHT = 0.5
DROPOUT, WEIGHT_DECAY = 0.1, 0.05


@torch.no_grad()
def narrow_values(model: Llama, attn_dim: int):
    """Values of attn_dim / H per head. A query head adds Wo_h Wv to the residual stream, so per key/value head the products of its
    query heads, stacked, are factored by one SVD: the best values of the new width, with outputs to match."""
    h, attention = model.config["num_attention_heads"], model.config["attention"]
    width = attn_dim // h
    for layer in model.model.layers:
        a = layer.self_attn
        if not isinstance(a, DecoupledAttention):
            continue
        value = heads_of(a.v_proj.weight, a.k)  # [K, v, D]
        out = heads_of(a.out_proj.weight.T, h).transpose(1, 2)  # [H, D, v]
        new_value, new_out = [], []
        for j in range(a.k):
            group = torch.cat(list(out[j * h // a.k : (j + 1) * h // a.k]))  # [group * D, v]
            u, s, vt = torch.linalg.svd(group @ value[j], full_matrices=False)
            root = s[:width].sqrt()
            new_value.append(root[:, None] * vt[:width])
            new_out += list((u[:, :width] * root).split(a.out_proj.out_features))  # group times [D, width]
        a.v_proj.weight = torch.nn.Parameter(torch.cat(new_value))
        a.out_proj.weight = torch.nn.Parameter(torch.cat(new_out, dim=1))
    attention["attn_dim"] = attn_dim
    for own in attention.get("layers", {}).values():
        own["attn_dim"] = attn_dim


def heads_of(weight: Tensor, count: int) -> Tensor:
    """[count * width, D] -> [count, width, D]"""
    return weight.unflatten(0, (count, -1))


def distillation_loss(teacher: Llama, student: Llama):
    """(1 - KL_WEIGHT) cross-entropy + KL_WEIGHT KL(teacher || student), per token."""

    def loss(windows: Tensor) -> Tensor:
        ours = F.log_softmax(student(windows[:, :-1]), -1).flatten(0, 1)
        with torch.no_grad():
            theirs = F.log_softmax(teacher(windows[:, :-1]), -1).flatten(0, 1)
        divergence = F.kl_div(ours, theirs, reduction="batchmean", log_target=True)
        return (1 - KL_WEIGHT) * F.nll_loss(ours, windows[:, 1:].flatten()) + KL_WEIGHT * divergence

    return loss


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("start", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--teacher", type=pathlib.Path, default=pathlib.Path("../models/austen"))
    parser.add_argument("--text", type=pathlib.Path, default=pathlib.Path("work"))
    parser.add_argument("--attn-dim", type=int, help="narrow the values to this width over all heads")
    parser.add_argument("--steps", type=int, default=450)
    parser.add_argument("--minutes", type=float, help="at most")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--curve", type=pathlib.Path, help="write the validation loss by the step here (JSON)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.device != "cpu":
        torch.set_float32_matmul_precision("high")
    torch.manual_seed(SEED)
    teacher, student = load(arguments.teacher).requires_grad_(False), load(arguments.start, DROPOUT)
    if arguments.attn_dim:
        narrow_values(student, arguments.attn_dim)
    teacher, student = teacher.to(arguments.device), student.to(arguments.device)
    tokens, validation = numpy.load(arguments.text / "train.npy"), numpy.load(arguments.text / "validation.npy")
    curve = train(
        student, distillation_loss(teacher, student), tokens, validation, (MATRIX_RATE, VECTOR_RATE), LENGTHS, WARM_UP, WEIGHT_DECAY,
        arguments.steps, arguments.minutes, every=max(1, arguments.steps // 10),
    )  # fmt: skip
    save(student, arguments.out)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(arguments.teacher / name, arguments.out / name)
    if arguments.curve:
        arguments.curve.write_text(json.dumps(curve, indent=1) + "\n")


if __name__ == "__main__":
    main()
