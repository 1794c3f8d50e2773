"""Prints what PyTorch reaches on this machine's GPU, as one JSON object: bytes or operations a second by name."""

import json
import sys

import torch

quick = sys.argv[1] == "quick"
model = sys.argv[2] if len(sys.argv) > 2 else None
MATRICES = [(64, 128)] if quick else [(65536, 1024), (8192, 8192), (512, 131072)]
MIXES = [(4, 8)] if quick else [(32, 8), (256, 30), (256, 250)]
SIDES = [64] if quick else [1024, 2048, 4096, 8192]
REPETITIONS = 2 if quick else 50
F32_BYTES = 4


def seconds(run):
    """For one repetition, by the device's own clock, after a warm-up."""
    run()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(REPETITIONS):
        run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3 / REPETITIONS


def memory_bound(rows, columns):
    count = rows * columns
    x, y, out = (torch.randn(rows, columns, device="cuda") for _ in range(3))
    gain, bias = (torch.randn(columns, device="cuda") for _ in range(2))
    turned = torch.empty(columns, rows, device="cuda")
    return {
        "saxpy": (3 * count, lambda: torch.add(y, x, alpha=-1.75, out=out)),
        "reduce sum": (count + rows, lambda: torch.sum(x, dim=1)),
        "softmax": (2 * count, lambda: torch.softmax(x, dim=1)),
        "layer_norm": (2 * count + 2 * columns, lambda: torch.nn.functional.layer_norm(x, (columns,), gain, bias, 1e-5)),
        "transpose": (2 * count, lambda: turned.copy_(x.t())),
    }


# As the executor's: binary32 products are taken in binary32, not in TF32.
torch.backends.cuda.matmul.allow_tf32 = False
figures = {"version": torch.__version__}
for rows, columns in MATRICES:
    for name, (elements, run) in memory_bound(rows, columns).items():
        figures[f"{name} {rows}x{columns}"] = elements * F32_BYTES / seconds(run)
for name, kind in [("gemm", torch.float32), ("gemm_bf16", torch.bfloat16)]:
    for side in SIDES:
        a, b = (torch.randn(side, side, device="cuda", dtype=kind) for _ in range(2))
        figures[f"{name} {side}"] = 2 * side**3 / seconds(lambda: torch.matmul(a, b))
try:
    from sentence_transformers import SentenceTransformer
except ImportError:
    model = None
if model:
    encoder = SentenceTransformer(model, device="cuda")
    for count, words in MIXES:
        texts = [" ".join(["word"] * words) for _ in range(count)]
        taken = seconds(lambda: encoder.encode(texts, batch_size=count, convert_to_tensor=True, normalize_embeddings=True))
        figures[f"embed {count}x{words}"] = count / taken
json.dump(figures, sys.stdout)
