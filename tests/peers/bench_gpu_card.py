"""What one GPU does at best, by PyTorch: a large copy, and a large product of bf16 matrices. Floors of other figures.

    python3 tests/peers/bench_gpu_card.py
"""
import argparse

import bench_common as bench
import bench_gpu as gpu
from bench_gpu_optimizer import copy_gb_per_s


def product_tflop_per_s(device: str, size: int) -> float:
    import torch

    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    a @ b
    times = gpu.step_ms(lambda: a @ b, device, steps=5)
    return 2 * size**3 / times["median_step_ms"] * 1e-9


def worker(spec: dict) -> dict:
    device = spec["device"]
    return {"copy_gb_per_s": copy_gb_per_s(device),
            "product_tflop_per_s": product_tflop_per_s(device, 256 if device == "cpu" else 8192)}


def main():
    bench.serve(worker)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    gpu.add_arguments(parser)
    options = parser.parse_args()
    report = gpu.Report(options)
    result = gpu.worker({"device": options.device}, min(report.left(), 60))
    report.keep(result)
    if "error" in result:
        report.row("the card", "not run", f"PyTorch: {result['error']}")
        return
    report.row("a large copy", "measured", f"{result['copy_gb_per_s']:.0f} GB/s")
    report.row("a product of 8192, bf16", "measured", f"{result['product_tflop_per_s']:.0f} TFLOP/s")


if __name__ == "__main__":
    main()
