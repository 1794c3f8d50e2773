#!/usr/bin/env python3
"""Writes the known answers of every operation: `python3 generate.py`, with numpy. Deterministic.

An implementation independent of the Rust definitions: numpy in binary64 (hashlib for digests), rounded to binary32
once. Each case holds parameters, inputs and output as hexadecimal bytes, and for sums of products the `scale` of the
catalogue's tolerance: the sum of the magnitudes that were added, for each element of the output.
"""

import hashlib
import json
import pathlib

import numpy as np

F4, F8 = np.dtype("<f4"), np.dtype("<f8")
HERE = pathlib.Path(__file__).parent
INF, NAN = np.inf, np.nan


def hexed(array):
    with np.errstate(over="ignore"):
        return np.asarray(array).astype(F4).tobytes().hex()


def case(name, parameters, inputs, output, scale=None):
    made = {"name": name, "parameters": parameters, "inputs": [hexed(x) for x in inputs], "output": hexed(output)}
    return made if scale is None else made | {"scale": hexed(np.minimum(scale, np.finfo(F4).max))}


def normal(seed, *shape, magnitude=1.0):
    return (np.random.default_rng(seed).standard_normal(shape) * magnitude).astype(F4)


def gemm(name, a, b):
    wide_a, wide_b = a.astype(F8), b.astype(F8)
    parameters = {"m": a.shape[0], "n": b.shape[1], "k": a.shape[1]}
    return case(name, parameters, [a, b], wide_a @ wide_b, np.abs(wide_a) @ np.abs(wide_b))


def gemm_cases():
    yield gemm("one by one", np.array([[3.5]], F4), np.array([[-2.0]], F4))
    yield gemm("odd sizes", normal(1, 17, 29), normal(2, 29, 13))
    yield gemm("a row and a column", normal(3, 1, 301), normal(4, 301, 1))
    yield gemm("a column and a row", normal(5, 33, 1), normal(6, 1, 35))
    yield gemm("wider than one block", normal(7, 2, 5), normal(8, 5, 517))
    yield gemm("large magnitudes", normal(9, 5, 7, magnitude=1e18), normal(10, 7, 3, magnitude=1e18))
    yield gemm("small magnitudes", normal(11, 5, 7, magnitude=1e-22), normal(12, 7, 3, magnitude=1e-22))
    cancelling = np.repeat(normal(13, 3, 65), 2, axis=1) * np.tile(np.array([1, -1], F4), 65)
    yield gemm("sums that cancel", cancelling, np.repeat(normal(14, 65, 4), 2, axis=0))
    yield gemm("negative zeros", np.array([[-0.0, 0.0]], F4), np.array([[1.0, -1.0], [-0.0, 0.0]], F4))


def bfloat16(array):
    """Rounded once to the nearest, the even one of two: an integer with eight bits left of the point, at its exponent."""
    wide = np.asarray(array, F8)
    exponent = np.maximum(np.frexp(wide)[1], -125)
    with np.errstate(invalid="ignore"):
        rounded = np.where(np.isfinite(wide), np.ldexp(np.rint(np.ldexp(wide, 8 - exponent)), exponent - 8), wide)
    with np.errstate(over="ignore"):
        narrow = np.where(np.abs(rounded) >= 2.0**128, np.copysign(INF, rounded), rounded).astype(F4)
    return (narrow.view("<u4") >> 16).astype("<u2")


def gemm_bf16(name, a, b):
    # The inputs are bfloat16 by then, and every bfloat16 is a binary32.
    short_a, short_b = bfloat16(a), bfloat16(b)
    wide_a, wide_b = ((x.astype("<u4") << 16).view(F4).astype(F8) for x in (short_a, short_b))
    made = gemm(name, wide_a.astype(F4), wide_b.astype(F4))
    with np.errstate(invalid="ignore"):
        product = wide_a @ wide_b
    return made | {
        "inputs": [short_a.tobytes().hex(), short_b.tobytes().hex()],
        "output": bfloat16(product).tobytes().hex(),
    }


def gemm_bf16_cases():
    yield gemm_bf16("one by one", np.array([[3.5]], F4), np.array([[-2.0]], F4))
    yield gemm_bf16("odd sizes", normal(91, 17, 29), normal(92, 29, 13))
    yield gemm_bf16("a row and a column", normal(93, 1, 301), normal(94, 301, 1))
    yield gemm_bf16("a column and a row", normal(95, 33, 1), normal(96, 1, 35))
    yield gemm_bf16("wider than one block", normal(97, 2, 5), normal(98, 5, 517))
    yield gemm_bf16("large magnitudes", normal(99, 5, 7, magnitude=1e18), normal(100, 7, 3, magnitude=1e18))
    yield gemm_bf16("beyond the range", np.full((1, 2), 3e38, F4), np.array([[2.0, -2.0], [0.0, 0.0]], F4))


def layer_norm(name, x, gain, bias, epsilon):
    wide = x.astype(F8)
    deviation = wide - wide.mean(axis=1, keepdims=True)
    variance = (deviation**2).mean(axis=1, keepdims=True)
    # The parameter is a binary32.
    normalised = deviation / np.sqrt(variance + F8.type(F4.type(epsilon)))
    parameters = {"rows": x.shape[0], "columns": x.shape[1], "epsilon": epsilon}
    return case(name, parameters, [x, gain, bias], normalised * gain.astype(F8) + bias.astype(F8))


def layer_norm_cases():
    yield layer_norm("odd sizes", normal(21, 5, 37), normal(22, 37), normal(23, 37), 1e-5)
    yield layer_norm("one column", normal(24, 3, 1), normal(25, 1), normal(26, 1), 1e-12)
    yield layer_norm("constant rows", np.full((2, 33), -7.25, F4), normal(27, 33), normal(28, 33), 1e-6)
    far = normal(29, 3, 129) + F4.type(10_000.0)
    yield layer_norm("a mean far from zero", far, normal(30, 129), normal(31, 129), 1e-5)
    large = normal(32, 2, 65, magnitude=1e30)
    yield layer_norm("large magnitudes", large, normal(33, 65), normal(34, 65), 1.0)
    undefined = np.array([[1.0, INF, 2.0], [NAN, 1.0, 2.0], [1.0, 2.0, 3.0]], F4)
    with np.errstate(invalid="ignore"):
        yield layer_norm("rows with infinity or NaN", undefined, np.ones(3, F4), np.zeros(3, F4), 1e-5)


def reduce(name, x, kind):
    wide = x.astype(F8)
    with np.errstate(invalid="ignore"):
        output = getattr(wide, kind)(axis=1)
    scale = np.abs(wide).sum(axis=1) if kind == "sum" else None
    return case(name, {"rows": x.shape[0], "columns": x.shape[1], "kind": kind}, [x], output, scale)


def reduce_cases():
    special = np.array(
        [[1.0, -2.0, 3.0], [-0.0, -0.0, -0.0], [INF, 1.0, 2.0], [-INF, 1.0, INF], [NAN, INF, 0.0]], F4
    )
    large = normal(41, 3, 77, magnitude=1e36)
    for kind in ["sum", "max", "min"]:
        yield reduce(f"{kind} of odd sizes", normal(42, 7, 131), kind)
        yield reduce(f"{kind} of one column", normal(43, 9, 1), kind)
        yield reduce(f"{kind} of a long row", normal(44, 1, 1031), kind)
        yield reduce(f"{kind} of large magnitudes", large, kind)
        yield reduce(f"{kind} of special values", special, kind)
    cancelling = np.concatenate([large, -large, np.full((3, 1), 1.5, F4)], axis=1)
    yield reduce("sum that cancels", cancelling, "sum")


def saxpy(name, alpha, x, y):
    # A long double holds the product and, at these magnitudes, the sum exactly enough to be rounded once.
    product = np.longdouble(F4.type(alpha)) * x.astype(np.longdouble)
    with np.errstate(invalid="ignore"):
        output = product + y.astype(np.longdouble)
    scale = np.abs(product) + np.abs(y.astype(np.longdouble))
    return case(name, {"alpha": alpha}, [x, y], output, scale.astype(F8))


def saxpy_cases():
    yield saxpy("one element", -2.5, normal(51, 1), normal(52, 1))
    yield saxpy("an odd number", 0.1, normal(53, 1023), normal(54, 1023))
    yield saxpy("large magnitudes", 1e19, normal(55, 65, magnitude=1e17), normal(56, 65, magnitude=1e36))
    yield saxpy("a factor of zero", 0.0, normal(57, 33), normal(58, 33))
    x = np.array([INF, -INF, NAN, 0.0, -0.0, 1.0, 3e38], F4)
    yield saxpy("special values", 2.0, x, np.array([1.0, INF, 0.0, -0.0, -0.0, -INF, -3e38], F4))


def softmax(name, x):
    wide = x.astype(F8)
    with np.errstate(invalid="ignore"):
        powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    return case(name, {"rows": x.shape[0], "columns": x.shape[1]}, [x], powers / powers.sum(axis=1, keepdims=True))


def softmax_cases():
    yield softmax("odd sizes", normal(61, 5, 131))
    yield softmax("one column", normal(62, 4, 1))
    yield softmax("wide spread", normal(63, 3, 67, magnitude=50.0))
    yield softmax("large magnitudes", normal(64, 3, 33, magnitude=1e37))
    yield softmax("a long row", normal(65, 1, 2049))
    special = np.array([[0.0, -0.0, -INF], [INF, 0.0, 1.0], [-INF, -INF, -INF], [NAN, 0.0, 1.0]], F4)
    yield softmax("special values", special)


def transpose(name, x):
    # The bytes are moved as integers, so that no NaN changes.
    made = case(name, {"rows": x.shape[0], "columns": x.shape[1]}, [], np.zeros(0))
    return made | {"inputs": [x.tobytes().hex()], "output": np.ascontiguousarray(x.T).tobytes().hex()}


def transpose_cases():
    bits = np.random.default_rng(71).integers(0, 2**32, (67, 35), dtype=np.uint32).astype("<u4")
    yield transpose("any bits, odd sizes", bits)
    yield transpose("one row", bits[:1])
    yield transpose("one column", np.ascontiguousarray(bits[:, :1]))
    yield transpose("signalling NaN and negative zero", np.array([[0x7F800001, 0x80000000, 0xFFFFFFFF]], "<u4"))


def sha256_batch(name, messages):
    digests = b"".join(hashlib.sha256(message).digest() for message in messages)
    return {"name": name, "parameters": {}, "inputs": [m.hex() for m in messages], "output": digests.hex()}


def sha256_batch_cases():
    noise = np.random.default_rng(81).bytes(1024)
    edges = [0, 1, 3, 54, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 129, 1000]
    yield sha256_batch("lengths around a block's edge", [noise[:length] for length in edges])
    yield sha256_batch("one message", [b"abc"])


def main():
    for operation in ["gemm", "gemm_bf16", "layer_norm", "reduce", "saxpy", "sha256_batch", "softmax", "transpose"]:
        cases = list(globals()[f"{operation}_cases"]())
        document = {"operation": operation, "version": 1, "cases": cases}
        (HERE / f"{operation}.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
