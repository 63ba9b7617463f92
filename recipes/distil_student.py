"""Distils the bundled DBA student from the bundled teacher.

    python distil_student.py START ../models/austen-dba [--teacher ../models/austen] [--text work]
                             [--steps 1400 | --minutes 21] [--threads 2]

START is the directory of an untrained student: `caramba script upcycle.rhai` makes it from the teacher. With --attn-dim its values are
first narrowed too (one truncated SVD per key/value head), which the cache feels most. Then two phases:

1. Each layer's attention is brought towards the teacher's by itself: both get the teacher's hidden state, and the student's attention
   output should be the teacher's. Only the attention is trained.
2. The whole student: next-token cross-entropy and, with the same weight, the divergence from the teacher's distribution.
"""

import argparse
import math
import pathlib
import shutil
import time

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor

import train_teacher
from llama import DecoupledAttention, Llama, block_losses, load, save
from train_teacher import SEED, Batches

FIRST_PHASE = 0.15  # part of the training
# Length of the sequences until which part of the training is done. A student's geometric heads turn through few frequencies: at
# distances that it was not trained on it fails outright (at 512, trained to 256: perplexity up by half), so most of the time is spent at
# the full context.
LENGTHS = [(0.4, 256), (1.0, 512)]
# Below the teacher's own rates: the student starts near a good place.
FIRST_RATES, SECOND_RATES = (0.006, 0.003), (0.005, 0.002)
WARM_UP = 0.03
KL_WEIGHT = 0.5


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


def heads_of(weight: Tensor, count: int) -> Tensor:
    """[count * width, D] -> [count, width, D]"""
    return weight.unflatten(0, (count, -1))


def attention_loss(teacher: Llama, student: Llama, tokens: Tensor) -> Tensor:
    """Mean over layers of the squared error of the attention output, relative to the teacher's."""
    x, total = teacher.model.embed_tokens(tokens), 0.0
    for ours, theirs in zip(student.model.layers, teacher.model.layers):
        with torch.no_grad():
            normed = theirs.input_layernorm(x)
            wanted = theirs.self_attn(normed)
            x = x + wanted
            x = x + theirs.mlp(theirs.post_attention_layernorm(x))
        total = total + F.mse_loss(ours.self_attn(normed), wanted) / wanted.square().mean()
    return total / len(student.model.layers)


def distillation_loss(teacher: Llama, student: Llama, windows: Tensor) -> Tensor:
    """(1 - KL_WEIGHT) cross-entropy + KL_WEIGHT KL(teacher || student), per token."""
    ours = F.log_softmax(student(windows[:, :-1]), -1).flatten(0, 1)
    with torch.no_grad():
        theirs = F.log_softmax(teacher(windows[:, :-1]), -1).flatten(0, 1)
    return (1 - KL_WEIGHT) * F.nll_loss(ours, windows[:, 1:].flatten()) + KL_WEIGHT * F.kl_div(
        ours, theirs, reduction="batchmean", log_target=True
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("start", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--teacher", type=pathlib.Path, default=pathlib.Path("../models/austen"))
    parser.add_argument("--text", type=pathlib.Path, default=pathlib.Path("work"))
    parser.add_argument("--attn-dim", type=int, help="narrow the values to this width over all heads")
    parser.add_argument("--steps", type=int, default=1400)
    parser.add_argument("--minutes", type=float, help="train for so long, instead of a number of steps")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(SEED)
    teacher, student = load(arguments.teacher).requires_grad_(False), load(arguments.start)
    validation = numpy.load(arguments.text / "validation.npy")

    def report(what: str):
        ours, theirs = (math.exp(block_losses(m, validation).mean()) for m in (student, teacher))
        print(f"{what}: validation perplexity {ours:.3f} (teacher {theirs:.3f})", flush=True)

    report("as given")
    if arguments.attn_dim:
        narrow_values(student, arguments.attn_dim)
        report("values narrowed")
    batches = Batches(numpy.load(arguments.text / "train.npy"))
    started, step, phase, mean = time.monotonic(), 0, 0, None
    while True:
        spent = time.monotonic() - started
        done = spent / (60 * arguments.minutes) if arguments.minutes else step / arguments.steps
        if done >= 1:
            break
        now = 1 if done < FIRST_PHASE else 2
        if now != phase:
            if phase:
                report("attention distilled")
            phase, mean = now, None
            for name, p in student.named_parameters():
                p.requires_grad_(phase == 2 or ".self_attn." in name)
            steps_by = train_teacher.optimizers(student, *(FIRST_RATES if phase == 1 else SECOND_RATES))
            rates = [group["lr"] for o in steps_by for group in o.param_groups]
        part = done / FIRST_PHASE if phase == 1 else (done - FIRST_PHASE) / (1 - FIRST_PHASE)
        factor = min(1.0, part / WARM_UP + 0.01) * 0.5 * (1 + math.cos(math.pi * part))
        for group, rate in zip((g for o in steps_by for g in o.param_groups), rates):
            group["lr"] = rate * factor
        windows = batches.next(next(length for until, length in LENGTHS if done < until))
        loss = attention_loss(teacher, student, windows[:, :-1]) if phase == 1 else distillation_loss(teacher, student, windows)
        loss.backward()
        for o in steps_by:
            o.step()
            o.zero_grad()
        step += 1
        mean = loss.item() if mean is None else 0.98 * mean + 0.02 * loss.item()
        if step % 100 == 0:
            print(f"{spent / 60:5.1f} min  step {step:5d}  phase {phase}  loss {mean:.4f}", flush=True)
            save(student, arguments.out)
    save(student, arguments.out)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(arguments.teacher / name, arguments.out / name)
    report(f"distilled in {step} steps")


if __name__ == "__main__":
    main()
