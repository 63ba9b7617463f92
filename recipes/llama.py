"""A small Llama in PyTorch, with standard and decoupled attention: what the recipes here train.

Tensors carry the names of a Hugging Face Llama, so that `state_dict` is the file. Shapes in comments: B sequences, T tokens,
D = hidden_size, H query heads on K key/value heads.

Decoupled bottleneck attention (DBA) splits a head's score in two: a *semantic* path without rotation (width s per head) and a
*geometric* path with RoPE (width g per head). Both scores are summed before one softmax:

    score = Qs Ks^T / sqrt(s) + Qg Kg^T / sqrt(g),   gated:  Qs * 2 gate,  Qg * (2 - 2 gate),  gate = sigmoid(gate_logit[h])

Only Ks, Kg and V are cached: K * (s + g + v) elements per token and layer, against 2 * K * head_dim for a standard layer. A calibrated
student's key heads turn at frequencies of their own (`rope_frequencies`).
"""

import json
import pathlib

import numpy
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


class Rotation(nn.Module):
    """RoPE at given frequencies, in radians a position: [heads, width / 2], or [1, width / 2] for all heads."""

    def __init__(self, frequencies: Tensor, length: int):
        super().__init__()
        angle = torch.arange(length, dtype=torch.float32)[:, None] * frequencies[:, None, :]  # [heads, length, width / 2]
        self.register_buffer("cosine", angle.cos(), persistent=False)
        self.register_buffer("sine", angle.sin(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, heads, T, width]; element i is paired with i + width / 2, as in Hugging Face checkpoints."""
        cosine, sine = self.cosine[:, : x.shape[2]], self.sine[:, : x.shape[2]]
        first, second = x.chunk(2, dim=-1)
        return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


def frequencies_of(base: float, width: int) -> Tensor:
    """[1, width / 2]"""
    return base ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)[None]


def heads(x: Tensor, count: int) -> Tensor:
    """[B, T, count * width] -> [B, count, T, width]"""
    return x.unflatten(-1, (count, -1)).transpose(1, 2)


def attend(q: Tensor, k: Tensor, v: Tensor, scale: float | None = None) -> Tensor:
    """Causal attention: q [B, H, T, width], k [B, K, T, width], v [B, K, T, value] -> [B, T, H * value]"""
    group, key, value = q.shape[1] // k.shape[1], q.shape[-1], v.shape[-1]
    if group > 1:
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    # PyTorch's fused attention wants values as wide as keys, and on a GPU half floats: without it, T^2 scores are kept for each layer.
    width, kind = max(key, value), torch.bfloat16 if q.is_cuda else q.dtype
    q, k, v = (F.pad(x, (0, width - x.shape[-1])).to(kind) for x in (q, k, v))
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale or key**-0.5)[..., :value]
    return y.transpose(1, 2).flatten(2).float()


class StandardAttention(nn.Module):
    def __init__(self, config: dict, layer: int):
        super().__init__()
        d, self.h, self.k = config["hidden_size"], config["num_attention_heads"], config["num_key_value_heads"]
        width = config["head_dim"]
        self.rotate = Rotation(frequencies_of(config["rope_theta"], width), config["max_position_embeddings"])
        self.q_proj = nn.Linear(d, self.h * width, bias=False)
        self.k_proj = nn.Linear(d, self.k * width, bias=False)
        self.v_proj = nn.Linear(d, self.k * width, bias=False)
        self.o_proj = nn.Linear(self.h * width, d, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        q, k = self.rotate(heads(self.q_proj(x), self.h)), self.rotate(heads(self.k_proj(x), self.k))
        return self.o_proj(attend(q, k, heads(self.v_proj(x), self.k)))


class DecoupledAttention(nn.Module):
    """DBA with a static gate; grouped key/value heads."""

    def __init__(self, config: dict, layer: int):
        super().__init__()
        attention, d, self.h = attention_of(config, layer), config["hidden_size"], config["num_attention_heads"]
        self.k = attention.get("n_kv_heads", self.h)
        self.s, self.g = attention["sem_dim"] // self.h, attention["geo_dim"] // self.h  # widths per head
        value = attention.get("attn_dim", d) // self.h
        own = attention.get("rope_frequencies")
        frequencies = torch.tensor(own) if own else frequencies_of(config["rope_theta"], self.g)
        length = config["max_position_embeddings"]
        self.rotate_keys = Rotation(frequencies, length)
        self.rotate_queries = Rotation(frequencies.repeat_interleave(self.h // self.k, 0) if own else frequencies, length)
        self.q_sem = nn.Linear(d, self.h * self.s, bias=False)
        self.k_sem = nn.Linear(d, self.k * self.s, bias=False)
        self.q_geo = nn.Linear(d, self.h * self.g, bias=False)
        self.k_geo = nn.Linear(d, self.k * self.g, bias=False)
        self.v_proj = nn.Linear(d, self.k * value, bias=False)
        self.out_proj = nn.Linear(self.h * value, d, bias=False)
        self.decoupled_gate_logit = nn.Parameter(torch.zeros(self.h)) if attention.get("decoupled_gate") else None

    def forward(self, x: Tensor) -> Tensor:
        q_sem, k_sem = heads(self.q_sem(x), self.h) * self.s**-0.5, heads(self.k_sem(x), self.k)
        q_geo, k_geo = self.rotate_queries(heads(self.q_geo(x), self.h)) * self.g**-0.5, self.rotate_keys(heads(self.k_geo(x), self.k))
        if self.decoupled_gate_logit is not None:
            gate = torch.sigmoid(self.decoupled_gate_logit)[:, None, None]
            q_sem, q_geo = q_sem * (2 * gate), q_geo * (2 - 2 * gate)
        # The sum of two scores is the score of the concatenations.
        q, k = torch.cat([q_sem, q_geo], -1), torch.cat([k_sem, k_geo], -1)
        return self.out_proj(attend(q, k, heads(self.v_proj(x), self.k), scale=1.0))


def attention_of(config: dict, layer: int) -> dict:
    """The attention section of a layer: the model's, or its own below `layers`."""
    section = config.get("attention", {})
    return section.get("layers", {}).get(str(layer), section)


class SwiGlu(nn.Module):
    def __init__(self, config: dict):
        super().__init__()
        d, d_ff = config["hidden_size"], config["intermediate_size"]
        self.gate_proj = nn.Linear(d, d_ff, bias=False)
        self.up_proj = nn.Linear(d, d_ff, bias=False)
        self.down_proj = nn.Linear(d_ff, d, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self, config: dict, layer: int, dropout: float):
        super().__init__()
        d, eps = config["hidden_size"], config["rms_norm_eps"]
        decoupled = attention_of(config, layer).get("mode") == "decoupled"
        self.input_layernorm = nn.RMSNorm(d, eps)
        self.self_attn = (DecoupledAttention if decoupled else StandardAttention)(config, layer)
        self.post_attention_layernorm = nn.RMSNorm(d, eps)
        self.mlp = SwiGlu(config)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.self_attn(self.input_layernorm(x)))
        return x + self.dropout(self.mlp(self.post_attention_layernorm(x)))


class Body(nn.Module):
    def __init__(self, config: dict, dropout: float):
        super().__init__()
        self.embed_tokens = nn.Embedding(config["vocab_size"], config["hidden_size"])
        self.layers = nn.ModuleList(Block(config, layer, dropout) for layer in range(config["num_hidden_layers"]))
        self.norm = nn.RMSNorm(config["hidden_size"], config["rms_norm_eps"])


class Llama(nn.Module):
    """Decoder with tied embeddings. What a layer adds is dropped with probability `dropout` while it is trained."""

    def __init__(self, config: dict, dropout: float = 0.0):
        super().__init__()
        self.config = config
        self.model = Body(config, dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [B, T] -> logits [B, T, vocab]"""
        x = self.model.embed_tokens(tokens)
        for layer in self.model.layers:
            x = layer(x)
        return F.linear(self.model.norm(x), self.model.embed_tokens.weight)


def save(model: Llama, directory: pathlib.Path):
    """model.safetensors in f16 and config.json."""
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().to("cpu", torch.float16).contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    (directory / "config.json").write_text(json.dumps(model.config, indent=2) + "\n")


def load(directory: pathlib.Path, dropout: float = 0.0) -> Llama:
    """The model of a directory, its weights widened to f32."""
    model = Llama(json.loads((directory / "config.json").read_text()), dropout)
    tensors = load_file(directory / "model.safetensors")
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return model.eval()


@torch.no_grad()
def block_losses(model, tokens: numpy.ndarray, block: int = 512, batch: int = 8) -> Tensor:
    """Cross-entropy in nats of each predicted token of every whole block, as `transformers` counts it: [blocks, block - 1]."""
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    blocks = torch.from_numpy(tokens[: len(tokens) // block * block].astype(numpy.int64)).view(-1, block)
    losses = []
    for part in blocks.split(max(1, batch * 512 // block)):
        part = part.to(device)
        logits = model(part)
        logits = getattr(logits, "logits", logits)  # a `transformers` model returns a record
        losses.append(F.cross_entropy(logits[:, :-1].transpose(1, 2), part[:, 1:], reduction="none").cpu())
    model.train(was_training)
    return torch.cat(losses)
