"""Times an optimizer's step in Lamina and in PyTorch on the parameters of the same model, in turn.

    python tests/peers/bench_optimizer.py --lamina build/release/lamina --model resnet18 --optimizers sgd lars lamb

PyTorch: torch.optim.SGD and AdamW as a loop over tensors, foreach and fused; LARS and LAMB from timm and
torch_optimizer, where they can be imported. The fastest counts. Lamina also checks every gradient for NaN, which PyTorch does not.
"""
import argparse
import json
import statistics

import bench_common as bench

LR = 1e-4


def variants(optimizer: str) -> dict:
    """Constructors by name; those whose package is missing are left out."""
    import torch

    if optimizer in ("sgd", "adamw"):
        settings = {"momentum": 0.9} if optimizer == "sgd" else {}
        make = torch.optim.SGD if optimizer == "sgd" else torch.optim.AdamW
        modes = {"loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}
        return {name: lambda p, mode=mode: make(p, lr=LR, **settings, **mode) for name, mode in modes.items()}
    found = {}
    try:
        from timm.optim import Lamb, Lars
        make = {"lars": lambda p, f: Lars(p, lr=LR, momentum=0.9, weight_decay=5e-4, foreach=f),
                "lamb": lambda p, f: Lamb(p, lr=LR, weight_decay=0.01, max_grad_norm=None, foreach=f)}[optimizer]
        found |= {"timm loop": lambda p: make(p, False), "timm foreach": lambda p: make(p, True)}
    except ImportError:
        bench.note("timm cannot be imported: left out")
    try:
        import torch_optimizer
        make_other = {"lars": lambda p: torch_optimizer.LARS(p, lr=LR, momentum=0.9, weight_decay=5e-4),
                      "lamb": lambda p: torch_optimizer.Lamb(p, lr=LR, weight_decay=0.01)}[optimizer]
        found["torch_optimizer"] = make_other
    except ImportError:
        bench.note("torch_optimizer cannot be imported: left out")
    return found


def worker(spec: dict) -> dict:
    """Median milliseconds of every variant."""
    import torch

    from bench_train import make_net

    torch.set_num_threads(spec["threads"])
    torch.manual_seed(1)
    times = {}
    for name, make in variants(spec["optimizer"]).items():
        net = make_net(spec["model"])
        for p in net.parameters():
            p.grad = torch.randn_like(p)
        times[name] = statistics.median(bench.times_ms(make(net.parameters()).step, spec["repeat"], warmup=2))
    return times


def compare(optimizer: str, options) -> dict:
    settings = {"model": options.model, "optimizer": optimizer, "threads": options.threads, "repeat": options.repeat}
    ours, theirs = [], []
    for i in range(options.rounds):
        bench.note(f"{optimizer}: round {i + 1} of {options.rounds}")
        ours.append({key: value for key, value in bench.bench_lamina(options.lamina, "optimizer", settings).items()
                     if key in ("median_ms", "gb_per_s", "gb_per_s_with_norms", "ratio", "ratio_with_norms")})
        theirs.append(bench.run_worker(settings))
    lamina, pytorch = bench.medians(ours), bench.medians(theirs)
    best = min(pytorch, key=pytorch.get) if pytorch else None
    return {"optimizer": optimizer, "lamina": lamina, "pytorch_ms": pytorch, "best": best,
            "speedup": pytorch[best] / lamina["median_ms"] if best else None}


def print_table(results: list[dict]) -> None:
    rows = []
    for result in results:
        ours = result["lamina"]
        rows.append([f"{result['optimizer']} Lamina, {ours['gb_per_s_with_norms']:.1f} GB/s, "
                     f"{100 * ours['ratio_with_norms']:.0f} % of the machine's", f"{ours['median_ms']:.3f}", "1.00"])
        rows += [[f"{result['optimizer']} PyTorch {name}", f"{ms:.3f}", f"{ms / ours['median_ms']:.2f}"]
                 for name, ms in result["pytorch_ms"].items()]
    print(bench.table(["", "ms a step", "time, Lamina = 1"], rows))


def main():
    bench.serve(worker)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    bench.add_arguments(parser)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--optimizers", nargs="+", default=["sgd", "adamw", "lars", "lamb"],
                        choices=["sgd", "adamw", "lars", "lamb"])
    parser.add_argument("--repeat", type=int, default=20, help="measured steps of each contender and round")
    options = parser.parse_args()

    results = [compare(optimizer, options) for optimizer in options.optimizers]
    if options.json:
        print(json.dumps({"torch": bench.torch_version(), "model": options.model, "threads": options.threads,
                          "results": results}))
    else:
        print(f"{options.model}; PyTorch {bench.torch_version()}, {options.threads} threads\n")
        print_table(results)


if __name__ == "__main__":
    main()
