"""Times the standard augmentation of a batch (pad 4, random crop, flip, normalise) on one GPU: Lamina's kernel and
PyTorch by indexing, as train_cifar10.py does it, of 32 x 32 images that are on the card as bytes.

    python3 tests/peers/bench_gpu_augmentation.py --lamina build/release/lamina --batches 128 1024
"""
import argparse

import bench_common as bench
import bench_gpu as gpu

IMAGES = 10_000


def worker(spec: dict) -> dict:
    import torch
    from torch.nn import functional as F

    device = spec["device"]
    padding, span = 4, torch.arange(32, device=device)
    images = torch.randint(0, 256, (IMAGES, 32, 32, 3), dtype=torch.uint8, device=device)
    padded = F.pad(images, (0, 0, padding, padding, padding, padding))
    mean, std = (torch.full((3,), value, device=device) for value in (0.5, 0.25))

    def augment():
        n = spec["batch"]
        index = torch.randint(0, IMAGES, (n,), device=device)
        top, left = (torch.randint(0, 2 * padding + 1, (n, 1), device=device) for _ in range(2))
        flip = torch.rand(n, 1, device=device) < 0.5
        rows, columns = top + span, left + torch.where(flip, span.flip(0), span)
        pixels = padded[index[:, None, None], rows[:, :, None], columns[:, None, :]]
        return ((pixels.float() / 255 - mean) / std).permute(0, 3, 1, 2)

    run = torch.compile(augment) if spec["compile"] else augment
    for _ in range(5):
        run()
    return gpu.step_ms(run, device, steps=5 if device == "cpu" else 200)


def main():
    bench.serve(worker)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    gpu.add_arguments(parser)
    parser.add_argument("--batches", nargs="+", type=int, default=[128, 1024])
    options = parser.parse_args()
    report = gpu.Report(options)
    for batch in options.batches:
        what = f"augmentation, batch {batch}"
        settings = {"model": "resnet18", "batch": batch, "filter": "crop_images", "repeat": 50}
        ours = gpu.lamina(options, "ops", settings)
        theirs = {}
        for name in ("eager",) if options.quick or options.device == "cpu" else ("eager", "compiled"):
            spec = {"batch": batch, "device": options.device, "compile": name == "compiled"}
            theirs[name] = gpu.worker(spec, min(report.left(), 60))
        report.keep({"batch": batch, "lamina": ours, "pytorch": theirs})
        if "error" in ours:
            report.row(what, "FAILED", ours["error"])
            continue
        op = ours["ops"][0]
        times = ", ".join(f"{name} {1e3 * r['median_step_ms']:.0f}" if "error" not in r else f"{name} {r['error']}"
                          for name, r in theirs.items())
        report.row(what, "measured", f"{1e3 * op['median_ms']:.0f} us, {op['gb_per_s']:.0f} GB/s; PyTorch, us: {times}")


if __name__ == "__main__":
    main()
