"""What the bench_gpu_*.py scripts share: the rows and figures of scripts/test-gpu, its time limit, and measurements that
may fail without ending the others.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

import bench_common as bench


def add_arguments(parser) -> None:
    parser.add_argument("--lamina", default="build/release/lamina", type=bench.existing, help="the program")
    parser.add_argument("--device", default="cuda", help="cpu: only to see whether this script works")
    parser.add_argument("--quick", action="store_true", help="few steps, few contenders")
    parser.add_argument("--seconds", type=float, default=600, help="what would start later is left out")
    parser.add_argument("--part", default="benchmark", help="first column of the rows")
    parser.add_argument("--rows", type=pathlib.Path, help="append the rows, separated by tabs, to this file")
    parser.add_argument("--figures", type=pathlib.Path, help="write all that was measured to this JSON file")


class Report:
    """Rows of a table, and everything behind them, written as they come: the process may be ended at any time."""

    def __init__(self, options):
        self.options = options
        self.figures = []
        self.end = time.monotonic() + options.seconds

    def left(self) -> float:
        return self.end - time.monotonic()

    def row(self, what: str, result: str, figure: str = "", target: str = "") -> None:
        cells = (self.options.part, what, result, figure, target)
        line = "\t".join(text.replace("\t", " ").replace("\n", " ") for text in cells)
        print(line, flush=True)
        if self.options.rows:
            with open(self.options.rows, "a") as file:
                print(line, file=file)

    def judged(self, what: str, value: float, target: float | None, figure: str, target_text: str) -> None:
        """Without a target the value is only measured."""
        if target is None:
            self.row(what, "measured", figure)
        else:
            self.row(what, "met" if value >= target else "missed", figure, target_text)

    def keep(self, figures: dict) -> None:
        self.figures.append(figures)
        if self.options.figures:
            self.options.figures.write_text(json.dumps(self.figures, indent=1) + "\n")


def run_json(command: list, seconds: float) -> dict:
    """What the command prints, or {"error": …}."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=max(seconds, 1))
    except subprocess.TimeoutExpired:
        return {"error": f"not done after {seconds:.0f} s"}
    except OSError as error:
        return {"error": str(error)}
    sys.stderr.write(done.stderr)
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines() or [""]
    if done.returncode != 0:
        return {"error": f"exit status {done.returncode}: {lines[-1][:200]}"}
    for text in (done.stdout, done.stdout.strip().split("\n")[-1]):  # a library may have printed before
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            pass
    return {"error": f"printed no JSON: {lines[-1][:200]}"}


def lamina(options, part: str, settings: dict, seconds: float = 120) -> dict:
    """`lamina bench PART --json`; of the settings, True is a flag and False no word."""
    flags = []
    for name, value in settings.items():
        if value is not False:
            flags += [f"--{name}"] if value is True else [f"--{name}", value]
    return run_json([options.lamina, "bench", part, "--device", options.device, *flags, "--json"], seconds)


def lamina_knows(options, part: str, flag: str) -> bool:
    done = subprocess.run([str(options.lamina), "bench", part, "--help"], capture_output=True, text=True)
    return flag in done.stdout


def worker(specification: dict, seconds: float) -> dict:
    """The calling script's worker() in a process of its own (bench_common.serve)."""
    return run_json([sys.executable, sys.argv[0], "--worker", json.dumps(specification)], seconds)


def synchronize(device: str) -> None:
    import torch

    if device != "cpu":
        torch.cuda.synchronize()


def step_ms(body, device: str, steps: int, blocks: int = 5) -> dict:
    """The device is waited for after every block of steps alone, so that the host may run ahead; median over blocks."""
    times = []
    for _ in range(blocks):
        synchronize(device)
        start = time.perf_counter()
        for _ in range(steps):
            body()
        synchronize(device)
        times.append(1e3 * (time.perf_counter() - start) / steps)
    return {"median_step_ms": statistics.median(times), "min_step_ms": min(times), "max_step_ms": max(times)}


def captured(body, warmup: int):
    """A CUDA graph of body(), after calls of it on another stream, as PyTorch's notes on graphs have it."""
    import torch

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(warmup):
            body()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        body()
    return graph.replay
