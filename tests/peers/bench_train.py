"""Times training steps of Lamina and of PyTorch on the same work, in turn.

    python tests/peers/bench_train.py --lamina build/release/lamina --configs resnet18:128 resnet20:128 resnet50:32

Full steps (forward, cross-entropy, backward, SGD with momentum) on one batch of random 32 x 32 images, f32. ResNet-18,
34 and 50 have the CIFAR stem: a 3 x 3 convolution with stride 1, no pooling.

PyTorch runs in NCHW and in channels_last, as it is and through torch.compile, each with the C library's malloc and with
jemalloc and tcmalloc where these are installed (Debian: libjemalloc2, libtcmalloc-minimal4). In the first round all of
them run, in the others those within a tenth of the fastest, which counts. Each run is a process of its own; one during
which another process took more than a twentieth of a core is repeated, and if that does not help there is no verdict.
After --rounds rounds, further ones follow until the medians of every other round agree to 2 %, or --most-rounds is
reached, which is said.

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


def contenders(options) -> dict[str, tuple[dict, dict]]:
    """PyTorch's variants by name: what the worker does, and its environment."""
    found = {}
    for allocator, environment in bench.allocators().items():
        for compile in (False, True) if options.compile else (False,):
            for channels_last in (False, True):
                words = ["channels_last" if channels_last else "NCHW", "compiled" if compile else "", allocator]
                found[" ".join(filter(None, words))] = {"channels_last": channels_last, "compile": compile}, environment
    return found


def settled(results: dict, names: list[str]) -> bool:
    return all(bench.agree([r["median_step_ms"] for r in results[name]]) for name in names)


def compare(config: str, options) -> dict:
    model, batch = config.split(":")
    common = {"model": model, "batch": int(batch), "threads": options.threads, "steps": options.steps}
    results = {"lamina": []}
    skipped = {}
    left = contenders(options)
    rounds = 0
    while rounds < options.rounds or not settled(results, ["lamina", fastest(results)]):
        if rounds == max(options.rounds, options.most_rounds):
            bench.note(f"{config}: the medians of {rounds} rounds still differ by more than 2 %")
            break
        rounds += 1
        bench.note(f"{config}: round {rounds}")
        ours = bench.undisturbed(lambda: bench.bench_lamina(
            options.lamina, "train", common | {"optimizer": "sgd", "warmup": options.warmup}), f"{config}, Lamina")
        keys = ("median_step_ms", "peak_rss_mb", "forward_ms", "backward_ms", "optimizer_ms", "gflops")
        results["lamina"].append({key: ours[key] for key in keys})
        for name, (variant, environment) in list(left.items()):
            theirs = bench.undisturbed(lambda: bench.run_worker(
                common | variant | {"warmup": options.warmup}, environment), f"{config}, PyTorch {name}")
            if "skipped" in theirs:
                skipped[name] = theirs["skipped"]
                bench.note(f"{config}, {name}: skipped: {skipped[name]}")
                del left[name]
            else:
                results.setdefault(name, []).append(theirs)
        least = bench.medians(results[fastest(results)])["median_step_ms"]
        left = {name: way for name, way in left.items()
                if bench.medians(results[name])["median_step_ms"] <= 1.1 * least}
    middle = {name: bench.medians(rounds) for name, rounds in results.items()}
    agreed = settled(results, ["lamina", fastest(results)])
    return ({"config": config, "skipped": skipped, "agreed": agreed} | judge(middle, int(batch))
            | {"medians": middle, "rounds": results})


def fastest(results: dict) -> str:
    """Of PyTorch's variants."""
    return min((name for name in results if name != "lamina"),
               key=lambda name: bench.medians(results[name])["median_step_ms"])


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
    parser.add_argument("--most-rounds", type=int, default=9)
    parser.add_argument("--no-compile", dest="compile", action="store_false",
                        help="leave torch.compile out, which takes minutes")
    options = parser.parse_args()

    results = [compare(config, options) for config in options.configs]
    facts = bench.machine() | {"torch": bench.torch_version(), "lamina": bench.lamina_version(options.lamina),
                               "threads": options.threads}
    if options.json:
        print(json.dumps(facts | {"results": results}))
    else:
        print("{cpu} ({}), {threads} threads, {date}; {lamina}; PyTorch {torch}\n".format(
            ", ".join(facts["instruction_sets"]), **facts))
        print_table(results)


if __name__ == "__main__":
    main()
