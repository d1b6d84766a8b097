"""Times convolutions and batch norms of Lamina and of PyTorch one by one, at the shapes of a model.

    python tests/peers/bench_ops.py --lamina build/release/lamina --model resnet20 --batch 128

`lamina bench ops` names the shapes. PyTorch runs each in NCHW and in channels_last, with the C library's malloc and
with jemalloc or tcmalloc where they are installed (its results are new tensors, ours lie there), and the fastest
counts. The sides take turns, each in a process of its own; medians over the rounds are compared. A batch norm is fused with what the
model has around it (residual, ReLU) in Lamina and the same sequence of ops in PyTorch.
"""
import argparse
import json
import statistics

import bench_common as bench

KERNELS = ("conv2d", "conv2d_grad_input", "conv2d_add_grad_input", "conv2d_grad_weight", "batch_norm",
           "batch_norm_grad")


def conv_body(op: dict, layout):
    """A call of one direction of a convolution; `op` has NHWC and [out, kh, kw, in] shapes."""
    import torch

    n, h, w, c = op["x"]
    out, kh, kw, _ = op["weight"]
    stride, padding = [op["stride"]] * 2, [op["padding"]] * 2
    x = torch.randn(n, c, h, w).contiguous(memory_format=layout)
    weight = torch.randn(out, c, kh, kw).contiguous(memory_format=layout)
    if op["name"] == "conv2d":
        return lambda: torch.ops.aten.convolution(x, weight, None, stride, padding, [1, 1], False, [0, 0], 1)
    grad = torch.randn_like(torch.ops.aten.convolution(x, weight, None, stride, padding, [1, 1], False, [0, 0], 1))
    mask = [op["name"] != "conv2d_grad_weight", op["name"] == "conv2d_grad_weight", False]

    def backward():
        return torch.ops.aten.convolution_backward(grad, x, weight, None, stride, padding, [1, 1], False, [0, 0], 1,
                                                   mask)

    if op["name"] != "conv2d_add_grad_input":
        return backward
    joined = torch.randn_like(x)
    return lambda: joined.add_(backward()[0])


def norm_body(op: dict, layout):
    """A batch norm with the residual and ReLU that follow it, or the backward pass of all three."""
    import torch
    from torch.nn import functional as F

    n, h, w, c = op["x"]
    x, residual = (torch.randn(n, c, h, w).contiguous(memory_format=layout) for _ in range(2))
    norm = torch.nn.BatchNorm2d(c)

    def forward():
        y = norm(x)
        if op["residual"]:
            y += residual
        return F.relu(y, inplace=True) if op["relu"] else y

    if op["name"] == "batch_norm":
        return torch.no_grad()(forward)
    inputs = [x.requires_grad_(), norm.weight, norm.bias]
    if op["residual"]:
        inputs.append(residual.requires_grad_())
    y = forward()
    grad = torch.randn_like(y)
    return lambda: torch.autograd.grad(y, inputs, grad, retain_graph=True)


def worker(spec: dict) -> dict:
    """Median milliseconds of every op."""
    import torch

    torch.set_num_threads(spec["threads"])
    layout = torch.channels_last if spec["channels_last"] else torch.contiguous_format
    times = []
    for op in spec["ops"]:
        body = (conv_body if op["name"].startswith("conv2d") else norm_body)(op, layout)
        times.append(statistics.median(bench.times_ms(body, spec["repeat"], warmup=2)))
    return {"ms": times}


def compare(options) -> list[dict]:
    settings = {"model": options.model, "batch": options.batch, "image-size": options.image_size, "stem": options.stem,
                "threads": options.threads, "repeat": options.repeat, "filter": options.filter}
    ways = {" ".join(filter(None, [layout, allocator])): (layout == "channels_last", environment)
            for allocator, environment in bench.allocators().items() for layout in ("NCHW", "channels_last")}
    ops, times = [], {name: [] for name in ("lamina", *ways)}
    for i in range(options.rounds):
        bench.note(f"round {i + 1} of {options.rounds}")
        measured = bench.bench_lamina(options.lamina, "ops", settings)["ops"]
        ops = [op for op in measured if op["name"] in KERNELS]
        times["lamina"].append([op["median_ms"] for op in ops])
        for name, (channels_last, environment) in ways.items():
            spec = {"ops": ops, "threads": options.threads, "repeat": options.repeat, "channels_last": channels_last}
            times[name].append(bench.run_worker(spec, environment)["ms"])
    rows = []
    for i, op in enumerate(ops):
        ms = {name: statistics.median(round[i] for round in rounds) for name, rounds in times.items()}
        best = min(ways, key=ms.get)
        rows.append({"name": op["name"], "shape": op["shape"], "count": op["count"], "ms": ms, "best": best,
                     "speedup": ms[best] / ms["lamina"]})
    return rows


def print_table(rows: list[dict]) -> None:
    lines = [[f"{row['name']} {row['shape']}", str(row["count"]), f"{row['ms']['lamina']:.3f}",
              f"{row['ms'][row['best']]:.3f}", row["best"], f"{row['speedup']:.2f}"] for row in rows]
    ours = sum(row["count"] * row["ms"]["lamina"] for row in rows)
    theirs = sum(row["count"] * row["ms"][row["best"]] for row in rows)
    print(bench.table(["", "calls", "Lamina ms", "PyTorch ms", "its fastest way", "speed-up"], lines))
    print(f"\nall, times their calls: Lamina {ours:.1f} ms, the best of PyTorch's {theirs:.1f} ms: "
          f"{theirs / ours:.2f} x")


def main():
    bench.serve(worker)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    bench.add_arguments(parser)
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--stem", default="cifar")
    parser.add_argument("--filter", default="", help='only kernels with this text in name or shape: "conv2d"')
    parser.add_argument("--repeat", type=int, default=5, help="measured calls of each kernel and round")
    options = parser.parse_args()

    rows = compare(options)
    if not rows:
        parser.error(f'--filter "{options.filter}" leaves neither a convolution nor a batch norm')
    if options.json:
        print(json.dumps({"torch": bench.torch_version(), "model": options.model, "batch": options.batch,
                          "threads": options.threads, "ops": rows}))
    else:
        print(f"{options.model}, batch {options.batch}; PyTorch {bench.torch_version()}, {options.threads} threads\n")
        print_table(rows)


if __name__ == "__main__":
    main()
