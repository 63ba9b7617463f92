"""What both recipes train with: windows of text, Muon and Adam, and the loop.

A run has a number of steps, and may have a time besides: the learning rates follow whichever is further, so a slow machine gets a
finished model too, only a less trained one. On a GPU a step is recorded once as a CUDA graph and then replayed: a model as small as these
would otherwise wait for its launches.
"""

import math
import pathlib
import time
from collections.abc import Callable

import numpy
import torch
from torch import Tensor

from llama import Llama, block_losses

TOKENS_PER_STEP = 2048
SEED = 1813


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal by a Newton-Schulz iteration (Jordan et al., 2024). For matrices of a network's inside."""

    def __init__(self, parameters, lr: Tensor, momentum: float = 0.95, weight_decay: float = 0.0):
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
                    if "momentum" not in self.state[p]:
                        self.state[p]["momentum"] = torch.zeros_like(p)
                    buffer = self.state[p]["momentum"]
                    buffer.lerp_(p.grad, 1 - group["momentum"])
                    updates.append(p.grad.lerp(buffer, group["momentum"]))
                # The scale keeps the size of an update independent of the matrix's form.
                update = orthogonal(torch.stack(updates)) * (group["lr"] * max(1.0, rows / columns) ** 0.5)
                keep = 1 - group["lr"] * group["weight_decay"]
                for p, own in zip(parameters, update):
                    p.mul_(keep).sub_(own)


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


def optimizers(model: Llama, matrix_rate: float, vector_rate: float, weight_decay: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, Adam for the embedding and the vectors. The rates are tensors, which a recorded step reads."""
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    inside = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in inside]
    device = others[0].device
    on_gpu = device.type == "cuda"
    return [
        Muon(matrices, torch.tensor(matrix_rate, device=device), weight_decay=weight_decay),
        torch.optim.AdamW(
            others, torch.tensor(vector_rate, device=device), betas=(0.9, 0.95), eps=1e-10, weight_decay=0.0,
            foreach=on_gpu, capturable=on_gpu,
        ),
    ]  # fmt: skip


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


class Step:
    """A step on windows of one length: its loss (a tensor that the next step overwrites), gradients, update."""

    def __init__(self, loss_of: Callable[[Tensor], Tensor], trained_by: list[torch.optim.Optimizer], windows: Tensor, recorded: bool):
        self.loss_of, self.trained_by, self.graph = loss_of, trained_by, None
        if recorded:
            self.windows = windows.clone()
            # Not with the rates that are there: what is done before recording should leave the model as it is.
            rates = [group["lr"].clone() for o in trained_by for group in o.param_groups]
            set_rates(trained_by, [0.0] * len(rates))
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(3):
                    self.once(self.windows)
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self.loss = self.once(self.windows)
            self.graph = graph
            set_rates(trained_by, [rate.item() for rate in rates])

    def once(self, windows: Tensor) -> Tensor:
        for o in self.trained_by:
            o.zero_grad(set_to_none=True)
        loss = self.loss_of(windows)
        loss.backward()
        for o in self.trained_by:
            o.step()
        return loss.detach()

    def __call__(self, windows: Tensor) -> Tensor:
        if self.graph is None:
            return self.once(windows)
        self.windows.copy_(windows)
        self.graph.replay()
        return self.loss


def set_rates(trained_by: list[torch.optim.Optimizer], rates: list[float]):
    groups = [group for o in trained_by for group in o.param_groups]
    for group, rate in zip(groups, rates, strict=True):
        group["lr"].fill_(rate)


def train(
    model: Llama,
    loss_of: Callable[[Tensor], Tensor],
    tokens: numpy.ndarray,
    validation: numpy.ndarray,
    rates: tuple[float, float],
    lengths: list[tuple[float, int]],
    warm_up: float,
    weight_decay: float,
    steps: int,
    minutes: float | None = None,
    every: int = 500,
    checkpoint: pathlib.Path | None = None,
    recorded: bool = True,
) -> list[dict]:
    """Trains `model` by `loss_of` (of windows [B, T + 1]) and returns its validation loss by the step, measured after every `every` steps.

    `rates` are those of matrices and vectors; they rise for the first `warm_up` of the run, then fall along a cosine to zero. `lengths`: until which part
    of the run windows have which length. Every minute `checkpoint` is written; a run that finds it goes on from there.
    """
    device = next(model.parameters()).device
    block = lengths[-1][1]
    trained_by = optimizers(model, *rates, weight_decay)
    batches, spent, step, curve = Batches(tokens), 0.0, 0, []
    if checkpoint and checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        for o, s in zip(trained_by, state["optimizers"]):
            o.load_state_dict(s)
        batches.random.set_state(state["random"])
        spent, step, curve = state["spent"], state["step"], state["curve"]
        print(f"going on from step {step}, {spent / 60:.1f} minutes")
    model.train()
    by_length = {}
    for length in {length for _, length in lengths}:
        windows = batches.tokens[: TOKENS_PER_STEP // length * length + 1].unfold(0, length + 1, length).to(device)
        by_length[length] = Step(loss_of, trained_by, windows, recorded and device.type == "cuda")

    def look(loss: float | None):
        found = block_losses(model, validation, block).mean().item()
        curve.append({"step": step, "seconds": round(spent, 2), "loss": loss and round(loss, 5), "validation": round(found, 5)})
        print(f"{spent / 60:5.1f} min  step {step:5d}  epoch {step * TOKENS_PER_STEP / len(tokens):5.2f}  loss {loss or math.nan:.4f}  ", end="")
        print(f"validation perplexity {math.exp(found):.3f}", flush=True)

    if not curve:
        look(None)
    started, saved, total = time.monotonic() - spent, spent, torch.zeros((), device=device)
    while (done := max(step / steps, spent / (60 * minutes) if minutes else 0.0)) < 1:
        factor = min(1.0, done / warm_up + 0.01) * 0.5 * (1 + math.cos(math.pi * done))
        set_rates(trained_by, [rate * factor for rate in rates])
        length = next(length for until, length in lengths if done < until)
        total += by_length[length](batches.next(length).to(device))
        step += 1
        spent = time.monotonic() - started
        if step % every == 0:
            look(total.item() / every)
            total.zero_()
        if checkpoint and spent - saved > 60:
            saved = spent
            state = {"model": model.state_dict(), "optimizers": [o.state_dict() for o in trained_by]}
            state |= {"random": batches.random.get_state(), "spent": spent, "step": step, "curve": curve}
            torch.save(state, checkpoint.with_suffix(".new"))
            checkpoint.with_suffix(".new").replace(checkpoint)
    if curve[-1]["step"] != step:
        look(None)
    model.eval()
    return curve
