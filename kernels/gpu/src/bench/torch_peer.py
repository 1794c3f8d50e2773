"""Prints what PyTorch reaches on this machine's GPU, as one JSON object: bytes or operations a second by name."""

import json
import sys

import torch

quick = sys.argv[1] == "quick"
model = sys.argv[2] if len(sys.argv) > 2 else None
MATRICES = [(64, 128)] if quick else [(65536, 1024), (8192, 8192), (512, 131072)]
# As in embeddings.rs and works.rs.
MIXES = {"8 words": lambda _: 8, "1 to 250 words": lambda number: 1 + number * 37 % 250, "250 words": lambda _: 250}
WORDS = ["river", "stone", "market", "winter", "paper", "engine", "garden", "letter", "window", "music"]
TEXTS = 8 if quick else 4096
BATCHES = [8] if quick else [32, 128, 512]
SIDES = [64] if quick else [1024, 2048, 4096, 8192]
REPETITIONS = 2 if quick else 50
ENCODINGS = 1 if quick else 3
F32_BYTES = 4


def seconds(run, repetitions=REPETITIONS):
    """For one repetition, by the device's own clock, after a warm-up."""
    run()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(repetitions):
        run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3 / repetitions


def text_of(number, words):
    return " ".join(WORDS[(number * 7 + word * 3) % len(WORDS)] for word in range(words))


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
for precision in ["binary32", "binary16"] if model else []:
    encoder = SentenceTransformer(model, device="cuda")
    if precision == "binary16":
        encoder.half()
    for mix, words_of in MIXES.items():
        texts = [text_of(number, words_of(number)) for number in range(TEXTS)]

        def encode(batch):
            encoder.encode(texts, batch_size=batch, convert_to_tensor=True, normalize_embeddings=True)

        best = min(seconds(lambda: encode(batch), ENCODINGS) for batch in BATCHES)
        figures[f"embed {mix} {precision}"] = TEXTS / best
json.dump(figures, sys.stdout)
