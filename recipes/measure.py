"""Measures a model directory on the held-out tokens, and writes the reference numbers that the tests compare the runtime with.

    python measure.py ../models/austen [--text work] [--reference ../tests/fixtures/bundled_reference.json]

Perplexity is exp of the mean cross-entropy over whole blocks of 512, the first token of a block being context only, and the same for
blocks as long as the context. The unigram model beside it knows nothing but how often each token stands in the training text (add-one smoothing), on the same tokens.
A standard model is computed a second time by `transformers`, and must agree; the reference numbers are then `transformers`' own.
"""

import argparse
import json
import math
import pathlib

import numpy
import torch

from llama import block_losses, load

BLOCK, CONTEXT = 512, 2048
REFERENCE_BLOCKS, PROMPT, GREEDY = 8, 64, 32


def unigram_loss(train: numpy.ndarray, heldout: numpy.ndarray, vocabulary: int) -> float:
    counts = numpy.bincount(train, minlength=vocabulary) + 1.0
    predicted = heldout[: len(heldout) // BLOCK * BLOCK].reshape(-1, BLOCK)[:, 1:]
    return float(-numpy.log(counts / counts.sum())[predicted].mean())


@torch.no_grad()
def greedy(model, prompt: numpy.ndarray, count: int) -> list[dict]:
    """The `count` likeliest next tokens in turn, each with the distance of its logit from the second best."""
    tokens, chosen = prompt.astype(numpy.int64).tolist(), []
    for _ in range(count):
        logits = model(torch.tensor([tokens]))
        best = getattr(logits, "logits", logits)[0, -1].topk(2)
        chosen.append({"token": best.indices[0].item(), "gap": round((best.values[0] - best.values[1]).item(), 5)})
        tokens.append(chosen[-1]["token"])
    return chosen


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--heldout", type=pathlib.Path, default=pathlib.Path("../models/austen/heldout.npy"))
    parser.add_argument("--text", type=pathlib.Path, default=pathlib.Path("work"))
    parser.add_argument("--reference", type=pathlib.Path, help="write the reference numbers here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    heldout = numpy.load(arguments.heldout)
    model = load(arguments.model)
    losses = block_losses(model, heldout)
    print(f"parameters       {sum(p.numel() for p in model.parameters()):,}")
    print(f"held-out tokens  {len(heldout):,}, {len(losses)} blocks of {BLOCK}")
    print(f"perplexity       {math.exp(losses.mean()):.3f}  (mean nll {losses.mean():.5f})")
    whole = block_losses(model, heldout, CONTEXT)
    print(f"of blocks of {CONTEXT} {math.exp(whole.mean()):.3f}  (mean nll {whole.mean():.5f})")
    unigram = None
    if (arguments.text / "train.npy").exists():
        unigram = unigram_loss(numpy.load(arguments.text / "train.npy"), heldout, model.config["vocab_size"])
        print(f"unigram          {math.exp(unigram):.1f}  (mean nll {unigram:.5f})")

    judge = model
    if "attention" not in model.config:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        judge = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32).eval()
        theirs, all_of_theirs = block_losses(judge, heldout), block_losses(judge, heldout, CONTEXT)
        worst = max((theirs - losses).abs().max(), (all_of_theirs - whole).abs().max())
        print(f"transformers     {math.exp(theirs.mean()):.3f}; largest difference of a token's nll {worst:.1e}")
        assert worst < 1e-3
        tokenizer = AutoTokenizer.from_pretrained(arguments.model)
        text = tokenizer.decode(heldout)
        assert tokenizer(text)["input_ids"] == heldout.tolist(), "text and tokens must convert both ways"
        losses, whole = theirs, all_of_theirs
    chosen = greedy(judge, heldout[:PROMPT], GREEDY)
    if (arguments.model / "tokenizer.json").exists():
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(arguments.model / "tokenizer.json"))
        print(repr(tokenizer.decode(heldout[:PROMPT].tolist())), "->", repr(tokenizer.decode([c["token"] for c in chosen])))
    if arguments.reference:
        first = losses[:REFERENCE_BLOCKS]
        reference = {
            "model": arguments.model.name,
            "made_by": "recipes/measure.py: f16 weights widened to f32, PyTorch on the CPU",
            "block": BLOCK,
            "block_mean_nll": [round(b.mean().item(), 6) for b in first],
            "mean_nll": round(first.mean().item(), 6),
            "heldout_mean_nll": round(losses.mean().item(), 6),
            "context": CONTEXT,
            "context_block_quarters": [round(part.mean().item(), 6) for part in whole[0].split(BLOCK)],
            "heldout_context_mean_nll": round(whole.mean().item(), 6),
            "unigram_mean_nll": unigram and round(unigram, 6),
            "prompt_tokens": PROMPT,
            "greedy": chosen,
        }
        arguments.reference.write_text(json.dumps(reference, indent=1) + "\n")


if __name__ == "__main__":
    main()
