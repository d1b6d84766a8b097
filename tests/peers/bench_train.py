"""Times training steps of Lamina and of PyTorch on the same work, in turn.

    python tests/peers/bench_train.py --lamina build/release/lamina --configs resnet18:128 resnet20:128 resnet50:32

Full steps (forward, cross-entropy, backward, SGD with momentum) on one batch of random 32 x 32 images, f32. ResNet-18,
34 and 50 have the CIFAR stem: a 3 x 3 convolution with stride 1, no pooling. PyTorch runs in NCHW and in channels_last,
with --compile also through torch.compile; the fastest counts. In each round every contender runs once, in a process of
its own; medians over the rounds are compared.

Peak memory is that of the whole process. "above imports" leaves out what PyTorch holds before the model exists; Lamina
is then still counted whole.
"""
import argparse
import json
import statistics

import bench_common as bench

COMPILE_WARMUP = 3  # the first steps compile


def make_net(model: str):
    import torch
    import torchvision

    depth = int(model.removeprefix("resnet"))
    if depth not in (18, 34, 50):
        from cifar_resnet import CifarResNet
        return CifarResNet(depth)
    net = getattr(torchvision.models, model)(num_classes=10)
    net.conv1 = torch.nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
    net.maxpool = torch.nn.Identity()
    return net


def worker(spec: dict) -> dict:
    import torch
    import torchvision  # noqa: F401: part of what is imported before the baseline
    from torch.nn import functional as F

    if spec["compile"]:
        import torch._dynamo  # noqa: F401
    torch.set_num_threads(spec["threads"])
    torch.manual_seed(1)
    imports_mb = bench.peak_rss_mb()
    layout = torch.channels_last if spec["channels_last"] else torch.contiguous_format
    net = make_net(spec["model"]).to(memory_format=layout)
    images = torch.randn(spec["batch"], 3, 32, 32).contiguous(memory_format=layout)
    labels = torch.randint(0, 10, (spec["batch"],))
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9, fused=True)
    run = torch.compile(net) if spec["compile"] else net

    def step():
        loss = F.cross_entropy(run(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    try:
        times = bench.times_ms(step, spec["steps"], COMPILE_WARMUP if spec["compile"] else spec["warmup"])
    except Exception as error:
        if not spec["compile"]:
            raise
        return {"skipped": f"{type(error).__name__}: {str(error).splitlines()[0]}"}
    return {"median_step_ms": statistics.median(times), "peak_rss_mb": bench.peak_rss_mb(), "imports_mb": imports_mb}


def contenders(options) -> dict[str, dict]:
    """PyTorch's variants by name."""
    layouts = {"NCHW": {"channels_last": False, "compile": False},
               "channels_last": {"channels_last": True, "compile": False}}
    if not options.compile:
        return layouts
    return layouts | {f"{name} compiled": variant | {"compile": True} for name, variant in layouts.items()}


def compare(config: str, options) -> dict:
    model, batch = config.split(":")
    common = {"model": model, "batch": int(batch), "threads": options.threads, "steps": options.steps}
    results = {"lamina": []}
    skipped = {}
    for i in range(options.rounds):
        bench.note(f"{config}: round {i + 1} of {options.rounds}")
        ours = bench.bench_lamina(options.lamina, "train", common | {"optimizer": "sgd", "warmup": options.warmup})
        keys = ("median_step_ms", "peak_rss_mb", "forward_ms", "backward_ms", "optimizer_ms", "gflops")
        results["lamina"].append({key: ours[key] for key in keys})
        for name, variant in contenders(options).items():
            if name in skipped:
                continue
            theirs = bench.run_worker(common | variant | {"warmup": options.warmup})
            if "skipped" in theirs:
                skipped[name] = theirs["skipped"]
                bench.note(f"{config}, {name}: skipped: {skipped[name]}")
            else:
                results.setdefault(name, []).append(theirs)
    middle = {name: bench.medians(rounds) for name, rounds in results.items()}
    return {"config": config, "skipped": skipped} | judge(middle, int(batch)) | {"medians": middle, "rounds": results}


def judge(middle: dict, batch: int) -> dict:
    """Lamina against the fastest of PyTorch's variants."""
    ours = middle["lamina"]
    best = min((name for name in middle if name != "lamina"), key=lambda name: middle[name]["median_step_ms"])
    theirs = middle[best]
    return {"best": best,
            "lamina_images_per_s": 1e3 * batch / ours["median_step_ms"],
            "pytorch_images_per_s": 1e3 * batch / theirs["median_step_ms"],
            "speedup": theirs["median_step_ms"] / ours["median_step_ms"],
            "memory_ratio": ours["peak_rss_mb"] / theirs["peak_rss_mb"],
            "memory_ratio_above_imports": ours["peak_rss_mb"] / (theirs["peak_rss_mb"] - theirs["imports_mb"])}


def print_table(results: list[dict]) -> None:
    rows = []
    for result in results:
        for name, middle in result["medians"].items():
            step = middle["median_step_ms"]
            ours = result["medians"]["lamina"]
            above = middle["peak_rss_mb"] - middle.get("imports_mb", 0)
            batch = int(result["config"].split(":")[1])
            rows.append([f"{result['config']} {'Lamina' if name == 'lamina' else 'PyTorch ' + name}",
                         f"{step:.1f}", f"{1e3 * batch / step:.1f}", f"{step / ours['median_step_ms']:.2f}",
                         f"{middle['peak_rss_mb']:.0f}", f"{above:.0f}"])
    print(bench.table(["", "ms a step", "images/s", "time, Lamina = 1", "peak MB", "above imports"], rows))
    print()
    for result in results:
        print("{config}: {speedup:.2f} x PyTorch's {best}; memory {memory_ratio:.2f} x, "
              "{memory_ratio_above_imports:.2f} x what PyTorch takes above its imports".format(**result))
        for name, reason in result["skipped"].items():
            print(f"  {name} skipped: {reason}")


def main():
    bench.serve(worker)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    bench.add_arguments(parser)
    parser.add_argument("--configs", nargs="+", default=["resnet18:128", "resnet20:128", "resnet50:32"],
                        metavar="MODEL:BATCH")
    parser.add_argument("--steps", type=int, default=5, help="measured steps of each contender and round")
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--compile", action="store_true", help="also torch.compile, which takes minutes")
    options = parser.parse_args()

    results = [compare(config, options) for config in options.configs]
    if options.json:
        print(json.dumps({"torch": bench.torch_version(), "threads": options.threads, "results": results}))
    else:
        print(f"PyTorch {bench.torch_version()}, {options.threads} threads\n")
        print_table(results)


if __name__ == "__main__":
    main()
