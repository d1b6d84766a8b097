"""Times optimizer steps of Lamina and of PyTorch on one GPU, on the parameters of the same model, in turn.

    python3 tests/peers/bench_gpu_optimizer.py --lamina build/release/lamina --models resnet18 resnet50

Lamina's step is compared with the card's bandwidth as `lamina bench optimizer` measures both, and with a large copy.
PyTorch: the loop over tensors of public code (optimizer_transcriptions.py), timm's, ours in torch._foreach functions,
and that one as a CUDA graph. The fastest counts.
"""
import argparse
import statistics

import bench_common as bench
import bench_gpu as gpu
from bench_train import make_net

LR, MOMENTUM, DECAY, TRUST = 1e-4, 0.9, 5e-4, 1e-3
BETA1, BETA2, EPS = 0.9, 0.999, 1e-6
TARGET = 0.8  # of the bandwidth, with traces
TRACED_TARGETS = ("lars", "tvlars")


def ratios(weights, updates):
    """‖w‖ and ‖u‖ of every tensor as two vectors, on the device."""
    import torch

    return torch.stack(torch._foreach_norm(weights)), torch.stack(torch._foreach_norm(updates))


def foreach_lars(params):
    """You, Gitman & Ginsburg 2017, Alg. 1; biases and norms neither decay nor adapt. Nothing waits for the GPU."""
    import torch

    weights = [p for p in params if p.ndim > 1]
    others = [p for p in params if p.ndim <= 1]
    buffers = {id(p): torch.zeros_like(p) for p in params}

    def descend(group, updates):
        momenta = [buffers[id(p)] for p in group]
        torch._foreach_mul_(momenta, MOMENTUM)
        torch._foreach_add_(momenta, updates)
        torch._foreach_add_(group, momenta, alpha=-LR)

    @torch.no_grad()
    def step():
        grads = [p.grad for p in weights]
        w, g = ratios(weights, grads)
        rate = torch.where((w > 0) & (g > 0), TRUST * w / (g + DECAY * w), 1)
        updates = torch._foreach_add(grads, weights, alpha=DECAY)
        torch._foreach_mul_(updates, list(rate.unbind()))
        descend(weights, updates)
        descend(others, [p.grad for p in others])

    return step


def foreach_lamb(params):
    """You et al. 2020, Alg. 2, without bias correction; biases and norms neither decay nor adapt."""
    import torch

    weights = [p for p in params if p.ndim > 1]
    others = [p for p in params if p.ndim <= 1]
    first, second = ({id(p): torch.zeros_like(p) for p in params} for _ in range(2))

    def directions(group):
        grads = [p.grad for p in group]
        m, v = [first[id(p)] for p in group], [second[id(p)] for p in group]
        torch._foreach_lerp_(m, grads, 1 - BETA1)
        torch._foreach_mul_(v, BETA2)
        torch._foreach_addcmul_(v, grads, grads, 1 - BETA2)
        roots = torch._foreach_sqrt(v)
        torch._foreach_add_(roots, EPS)
        return torch._foreach_div(m, roots)

    @torch.no_grad()
    def step():
        updates = directions(weights)
        torch._foreach_add_(updates, weights, alpha=DECAY)
        w, u = ratios(weights, updates)
        rate = torch.where((w > 0) & (u > 0), w / u, 1)
        torch._foreach_mul_(updates, list(rate.unbind()))
        torch._foreach_add_(weights, updates, alpha=-LR)
        torch._foreach_add_(others, directions(others), alpha=-LR)

    return step


def public_loop(params, name: str):
    import torch

    import optimizer_transcriptions as public

    rule = {"lars": public.lars_barlowtwins, "lamb": public.lamb_albert}[name]()
    states = [{} for _ in params]

    @torch.no_grad()
    def step():
        for p, state in zip(params, states):
            rule(p, p.grad, state, LR, 1)

    return step


def timm_step(params, name: str):
    from timm.optim import Lamb, Lars

    make = {"lars": lambda: Lars(params, lr=LR, momentum=MOMENTUM, weight_decay=DECAY),
            "lamb": lambda: Lamb(params, lr=LR, weight_decay=DECAY, max_grad_norm=None)}[name]
    return make().step


def make_variant(spec: dict, params):
    import torch

    kind, name = spec["variant"], spec["optimizer"]
    if kind == "SGD, fused":
        return torch.optim.SGD(params, lr=LR, momentum=MOMENTUM, weight_decay=DECAY, fused=True).step
    if kind == "public loop":
        return public_loop(params, name)
    if kind == "timm":
        return timm_step(params, name)
    step = {"lars": foreach_lars, "lamb": foreach_lamb}[name](params)
    return gpu.captured(step, warmup=3) if kind == "foreach, graph" else step


def copy_gb_per_s(device: str) -> float:
    """Of a large copy, counting what is read and what is written."""
    import torch

    source = torch.ones((1 << 30) if device != "cpu" else (1 << 24), device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    times = gpu.step_ms(lambda: target.copy_(source), device, steps=3)
    return 2 * source.numel() * 4 / times["median_step_ms"] * 1e-6


def worker(spec: dict) -> dict:
    import torch

    if spec["variant"] == "copy":
        return {"gb_per_s": copy_gb_per_s(spec["device"])}
    torch.manual_seed(1)
    params = list(make_net(spec["model"]).to(spec["device"]).parameters())
    for p in params:
        p.grad = torch.randn_like(p)
    step = make_variant(spec, params)
    for _ in range(3):
        step()
    return gpu.step_ms(step, spec["device"], spec["steps"])


def variants(optimizer: str, options) -> list[str]:
    if optimizer == "sgd":
        return ["SGD, fused"]
    if optimizer == "tvlars":
        return []
    return ["public loop", "timm", "foreach"] + (["foreach, graph"] if options.device != "cpu" else [])


def compare(model: str, optimizer: str, copy: float, options, report: gpu.Report) -> None:
    steps = 5 if options.quick or options.device == "cpu" else 50
    settings = {"model": model, "optimizer": optimizer, "repeat": 4 * steps}
    ours, theirs = {False: [], True: []}, {}

    def measure_lamina():
        for trace in ours:
            ours[trace].append(gpu.lamina(options, "optimizer", settings | {"trace": trace}))

    measure_lamina()
    for name in variants(optimizer, options):
        if report.left() < 10:
            break
        spec = {"model": model, "optimizer": optimizer, "variant": name, "device": options.device, "steps": steps}
        theirs[name] = gpu.worker(spec, min(report.left(), 60))
        bench.note(f"{model}, {optimizer}: PyTorch {name}: {theirs[name]}")
        measure_lamina()
    report.keep({"model": model, "optimizer": optimizer, "copy_gb_per_s": copy, "lamina": ours[False],
                 "lamina_traced": ours[True], "pytorch": theirs})
    for trace, results in ours.items():
        add_row(f"{optimizer}, {model}" + (", traced" if trace else ""), results, theirs, copy,
                TARGET if trace and optimizer in TRACED_TARGETS else None, report)


def add_row(what: str, results: list, theirs: dict, copy: float, target: float | None, report: gpu.Report) -> None:
    good = [result for result in results if "error" not in result]
    if not good:
        report.row(what, "FAILED", results[0]["error"])
        return
    middle = {key: statistics.median(result[key] for result in good)
              for key in ("median_ms", "ratio_with_norms", "gb_per_s_with_norms")}
    figure = (f"{1e3 * middle['median_ms']:.0f} us, {middle['gb_per_s_with_norms']:.0f} GB/s: "
              f"{100 * middle['ratio_with_norms']:.0f} % of b += a")
    if copy:
        figure += f", {100 * middle['gb_per_s_with_norms'] / copy:.0f} % of a large copy's {copy:.0f}"
    times = {name: result["median_step_ms"] for name, result in theirs.items() if "error" not in result}
    if times:
        best = min(times, key=times.get)
        figure += "; PyTorch " + ", ".join(f"{name} {1e3 * ms:.0f}" for name, ms in times.items())
        figure += f" us: {times[best] / middle['median_ms']:.2f} x"
    report.judged(what, middle["ratio_with_norms"], target, figure, f"{100 * (target or 0):.0f} % of b += a")


def main():
    bench.serve(worker)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    gpu.add_arguments(parser)
    parser.add_argument("--models", nargs="+", default=["resnet18"])
    parser.add_argument("--optimizers", nargs="+", default=["lars", "tvlars", "lamb", "sgd"],
                        choices=["lars", "tvlars", "lamb", "sgd"])
    options = parser.parse_args()
    report = gpu.Report(options)
    copy = gpu.worker({"variant": "copy", "device": options.device}, 60).get("gb_per_s", 0)
    bench.note(f"a large copy: {copy:.0f} GB/s")
    for model in options.models[:1] if options.quick else options.models:
        for optimizer in options.optimizers:
            if report.left() < 15:
                report.row(f"{optimizer}, {model}", "not run", "no time was left")
                continue
            compare(model, optimizer, copy, options, report)


if __name__ == "__main__":
    main()
