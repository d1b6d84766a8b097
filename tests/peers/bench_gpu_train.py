"""Times training steps of Lamina and of PyTorch on one GPU, in turn: full steps (forward, cross-entropy, backward, SGD
with momentum) on one batch of random 32 x 32 images that is on the card already.

    python3 tests/peers/bench_gpu_train.py --lamina build/release/lamina --configs resnet18:128:bf16 resnet18:1024:f32

Precisions: bf16 (PyTorch: autocast), f32 without TF32, and tf32. ResNet-18 and 50 have the CIFAR stem. PyTorch runs in
channels_last, in f32 also in NCHW, eagerly, compiled in two modes, and each with the whole step as one CUDA graph;
cudnn.benchmark is on. Its fastest variant counts. Lamina runs between any two of them, and its median counts.
"""
import argparse
import json
import statistics

import bench_common as bench
import bench_gpu as gpu
from bench_train import make_net

TARGETS = {("resnet18", "bf16"): 1.3}  # times PyTorch's best
WARMUP = 12  # cudnn.benchmark, compilation, the caching allocator

EAGER = {"eager": {}, "eager, graph": {"graph": True}}
COMPILED = {"compiled": {"compile": "default"}, "compiled, graph": {"compile": "default", "graph": True}}
TUNED = {"max-autotune": {"compile": "max-autotune"},
         "max-autotune, graph": {"compile": "max-autotune-no-cudagraphs", "graph": True}}
NCHW = {"eager NCHW, graph": {"channels_last": False, "graph": True}}


def variants(precision: str, options) -> dict[str, dict]:
    if options.device == "cpu":
        return {"eager": {}}
    every = EAGER | COMPILED | (TUNED if precision == "bf16" else NCHW)
    if options.variants:
        return {name: every[name] for name in options.variants if name in every}
    return EAGER if options.quick else every


def make_step(spec: dict):
    """One training step, for calling or capturing."""
    import torch
    from torch.nn import functional as F

    device = torch.device(spec["device"])
    layout = torch.channels_last if spec.get("channels_last", True) else torch.contiguous_format
    net = make_net(spec["model"]).to(device).to(memory_format=layout)
    images = torch.randn(spec["batch"], 3, 32, 32, device=device).contiguous(memory_format=layout)
    labels = torch.randint(0, 10, (spec["batch"],), device=device)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9, fused=True)

    def loss_of(x, y):
        return F.cross_entropy(net(x), y)

    compiled = torch.compile(loss_of, mode=spec["compile"]) if spec.get("compile") else loss_of
    # A graph must not hold on to the casts of one step in the next.
    keep_casts = not spec.get("graph", False)

    replays = spec.get("compile") == "max-autotune"  # graphs of its own, which must be told where a step begins

    def step():
        if replays:
            torch.compiler.cudagraph_mark_step_begin()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=spec["precision"] == "bf16", cache_enabled=keep_casts):
            loss = compiled(images, labels)
        loss.backward()
        optimizer.step()
        return loss

    return step


def worker(spec: dict) -> dict:
    import torch

    torch.manual_seed(1)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.benchmark_limit = 16  # engines, as many as Lamina tries
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = spec["precision"] == "tf32"
    step = make_step(spec)
    if spec.get("graph"):
        run = gpu.captured(step, WARMUP)
    else:
        run = step
        for _ in range(WARMUP if spec["device"] != "cpu" else 1):
            step()
    result = gpu.step_ms(run, spec["device"], spec["steps"])
    if spec["device"] != "cpu":
        result["peak_mb"] = torch.cuda.max_memory_reserved() / 1e6
    return result


def steps_for(model: str, batch: int, options) -> int:
    """About a third of a second of steps."""
    if options.device == "cpu":
        return 1
    images = {"resnet18": 30_000, "resnet50": 8_000, "resnet20": 100_000}.get(model, 10_000) / 3
    return max(5, round(images / batch) // (5 if options.quick else 1))


class Lamina:
    """Its measurements of one configuration."""

    def __init__(self, config: tuple, options):
        self.model, self.batch, self.precision = config
        self.options = options
        self.results, self.error = [], ""

    def settings(self) -> dict:
        # On a GPU every measurement of `lamina bench train` is of several steps.
        settings = {"model": self.model, "batch": self.batch, "optimizer": "sgd", "warmup": 5,
                    "steps": max(5, steps_for(self.model, self.batch, self.options) // 5)}
        if gpu.lamina_knows(self.options, "train", "--precision"):
            settings["precision"] = "bf16" if self.precision == "bf16" else "f32"
        return settings | ({"tf32": True} if self.precision == "tf32" else {})

    def missing_option(self) -> str:
        needed = {"bf16": "--precision", "tf32": "--tf32"}.get(self.precision)
        known = needed is None or gpu.lamina_knows(self.options, "train", needed)
        return "" if known else f"this program's bench train has no {needed}"

    def without_determinism(self) -> dict:
        """What is given up for the same bits in every run."""
        if self.error or not gpu.lamina_knows(self.options, "train", "--no-deterministic"):
            return {"error": self.error or "no --no-deterministic"}
        return gpu.lamina(self.options, "train", self.settings() | {"no-deterministic": True})

    def measure(self) -> None:
        if self.error:
            return
        result = gpu.lamina(self.options, "train", self.settings())
        self.error = result.get("error", "")
        if not self.error:
            self.results.append(result)

    def step_ms(self) -> float:
        return statistics.median(result["median_step_ms"] for result in self.results)


def measure(config: tuple, options, report: gpu.Report) -> tuple[Lamina, dict]:
    """PyTorch's results by variant, and Lamina's from between them."""
    model, batch, precision = config
    ours, theirs = Lamina(config, options), {}
    ours.measure()
    for name, variant in variants(precision, options).items():
        if ours.error or report.left() < 20:
            theirs[name] = {"error": "left out: " + (ours.error and "Lamina failed" or "no time")}
            continue
        spec = {"model": model, "batch": batch, "precision": precision, "device": options.device,
                "steps": steps_for(model, batch, options)} | variant
        bench.note(f"{model}, batch {batch}, {precision}: PyTorch {name}; {report.left():.0f} s left")
        theirs[name] = gpu.worker(spec, min(report.left() - 10, 200))
        bench.note(f"  {theirs[name]}")
        ours.measure()
    return ours, theirs


def compare(config: tuple, options, report: gpu.Report) -> None:
    model, batch, precision = config
    what = f"{model}, batch {batch}, {precision}: images/s"
    if report.left() < 30:
        report.row(what, "not run", "no time was left")
        return
    missing = Lamina(config, options).missing_option()
    if missing:
        report.row(what, "not run", missing)
        return
    ours, theirs = measure(config, options, report)
    times = {name: result["median_step_ms"] for name, result in theirs.items() if "error" not in result}
    loose = ours.without_determinism()
    report.keep({"model": model, "batch": batch, "precision": precision, "lamina": ours.results,
                 "lamina_error": ours.error, "lamina_not_deterministic": loose, "pytorch": theirs})
    if ours.error:
        report.row(what, "FAILED", ours.error)
    elif not times:
        rate = 1e3 * batch / ours.step_ms()
        report.row(what, "measured", f"{rate:.0f}; nothing of PyTorch ran: {next(iter(theirs.values()))['error']}")
    else:
        best = min(times, key=times.get)
        ratio = times[best] / ours.step_ms()
        lacking = len(theirs) - len(times)
        figure = (f"{ratio:.2f} x PyTorch: {1e3 * batch / ours.step_ms():.0f} to {1e3 * batch / times[best]:.0f} ({best}"
                  + (f"; {lacking} of {len(theirs)} variants lack)" if lacking else ")"))
        if "error" not in loose:
            figure += f"; not deterministic {1e3 * batch / loose['median_step_ms']:.0f}"
        target = None if options.quick else TARGETS.get((model, precision))
        report.judged(what, ratio, target, figure, f"{target} x")


def configuration(text: str) -> tuple:
    model, batch, precision = text.split(":")
    if precision not in ("f32", "tf32", "bf16"):
        raise argparse.ArgumentTypeError(f"{text}: expected MODEL:BATCH:f32, tf32 or bf16")
    return model, int(batch), precision


def main():
    bench.serve(worker)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    gpu.add_arguments(parser)
    parser.add_argument("--configs", nargs="+", type=configuration, metavar="MODEL:BATCH:PRECISION",
                        default=[("resnet18", 128, "bf16")])
    parser.add_argument("--variants", nargs="+", metavar="NAME", help="of PyTorch, as the report calls them")
    options = parser.parse_args()
    report = gpu.Report(options)
    for config in options.configs[:1] if options.quick else options.configs:
        compare(config, options, report)


if __name__ == "__main__":
    main()
