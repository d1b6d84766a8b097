"""Times products with a network's Hessian by Lamina and by PyTorch's double backward on the same work, in turn.

    python tests/peers/bench_hessian.py --lamina build/release/lamina --configs resnet20:128 resnet18:32

One batch of random 32 x 32 images, f32, cross-entropy. "product": loss, gradient and product from nothing, as a product
over parts of a data set takes it. "of a kept graph": the gradient's graph stays, and only the second backward pass is
timed; Lamina's figure beside it is a product of four that share the first pass, that pass included. PyTorch runs in NCHW
and in channels_last; the faster counts. Peak memory is that of the whole process.
"""
import argparse
import json
import statistics

import bench_common as bench
from bench_train import make_net


def worker(spec: dict) -> dict:
    import torch
    import torchvision  # noqa: F401: part of what is imported before the baseline
    from torch.nn import functional as F

    torch.set_num_threads(spec["threads"])
    torch.manual_seed(1)
    imports_mb = bench.peak_rss_mb()
    layout = torch.channels_last if spec["channels_last"] else torch.contiguous_format
    net = make_net(spec["model"]).to(memory_format=layout).train(spec["bn"] == "train")
    images = torch.randn(spec["batch"], 3, 32, 32).contiguous(memory_format=layout)
    labels = torch.randint(0, 10, (spec["batch"],))
    params = list(net.parameters())
    vector = [torch.randn_like(p) for p in params]

    def gradient(create_graph=False):
        return torch.autograd.grad(F.cross_entropy(net(images), labels), params, create_graph=create_graph)

    def second(gradients, retain):
        inner = sum((g * v).sum() for g, v in zip(gradients, vector))
        return torch.autograd.grad(inner, params, retain_graph=retain)

    gradient_ms = statistics.median(bench.times_ms(gradient, spec["repeat"]))
    product_ms = statistics.median(bench.times_ms(lambda: second(gradient(True), False), spec["repeat"]))
    kept = gradient(True)
    kept_ms = statistics.median(bench.times_ms(lambda: second(kept, True), spec["repeat"]))
    return {"gradient_ms": gradient_ms, "product_ms": product_ms, "product_at_once_ms": kept_ms,
            "peak_mb": bench.peak_rss_mb(), "imports_mb": imports_mb}


def compare(config: str, options) -> dict:
    model, batch = config.split(":")
    common = {"model": model, "batch": int(batch), "threads": options.threads, "repeat": options.repeat, "bn": options.bn}
    layouts = {"PyTorch NCHW": False, "PyTorch channels_last": True}
    results = {name: [] for name in ("Lamina", *layouts)}
    keys = ("gradient_ms", "product_ms", "product_at_once_ms", "peak_mb")
    for i in range(options.rounds):
        bench.note(f"{config}: round {i + 1} of {options.rounds}")
        ours = bench.bench_lamina(options.lamina, "hessian", common)
        results["Lamina"].append({key: ours[key] for key in keys})
        for name, channels_last in layouts.items():
            results[name].append(bench.run_worker(common | {"channels_last": channels_last}))
    middle = {name: bench.medians(rounds) for name, rounds in results.items()}
    best = min(layouts, key=lambda name: middle[name]["product_ms"])
    return {"config": config, "best": best, "medians": middle,
            "time_ratio": middle["Lamina"]["product_ms"] / middle[best]["product_ms"],
            "memory_ratio": middle["Lamina"]["peak_mb"] / middle[best]["peak_mb"]}


def print_table(results: list[dict]) -> None:
    rows = []
    for result in results:
        for name, m in result["medians"].items():
            rows.append([f"{result['config']} {name}", f"{m['gradient_ms']:.1f}", f"{m['product_ms']:.1f}",
                         f"{m['product_ms'] / m['gradient_ms']:.2f}", f"{m['product_at_once_ms']:.1f}", f"{m['peak_mb']:.0f}"])
    print(bench.table(["", "gradient ms", "product ms", "gradients", "of a kept graph ms", "peak MB"], rows))
    for result in results:
        print("{config}: a product takes {time_ratio:.2f} x the time of {best}, {memory_ratio:.2f} x the memory".format(**result))


def main():
    bench.serve(worker)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    bench.add_arguments(parser)
    parser.add_argument("--configs", nargs="+", default=["resnet20:128", "resnet18:32"], metavar="MODEL:BATCH")
    parser.add_argument("--bn", default="eval", choices=["eval", "train"])
    parser.add_argument("--repeat", type=int, default=5, help="measured products of each contender and round")
    options = parser.parse_args()
    results = [compare(config, options) for config in options.configs]
    if options.json:
        print(json.dumps(results))
    else:
        print_table(results)


if __name__ == "__main__":
    main()
