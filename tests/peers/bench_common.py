"""What the bench_*.py scripts share: running both sides in turn, timing calls, printing tables.

A PyTorch measurement runs in a process of its own, so that its peak memory is its own: the script starts itself with
--worker and a specification, and the process prints its result as JSON.
"""
import argparse
import importlib.metadata
import json
import pathlib
import re
import statistics
import subprocess
import sys
import time

PADDING = 2  # between columns


def peak_rss_mb() -> float:
    """Of this process so far; MB are 10^6 bytes, as in `lamina bench`. Not getrusage's, whose maximum starts at that of
    the process that started this one."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+) kB", status).group(1)) * 1024 / 1e6


def times_ms(body, count: int, warmup: int = 1) -> list[float]:
    for _ in range(warmup):
        body()
    times = []
    for _ in range(count):
        start = time.perf_counter()
        body()
        times.append(1e3 * (time.perf_counter() - start))
    return times


def run_json(command: list) -> dict:
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(str(word) for word in command)}\nended with status {done.returncode}")
    return json.loads(done.stdout)


def bench_lamina(program, part: str, options: dict) -> dict:
    flags = [word for name, value in options.items() for word in (f"--{name}", value)]
    return run_json([program, "bench", part, *flags, "--json"])


def run_worker(specification: dict) -> dict:
    """The calling script's worker() in a process of its own."""
    return run_json([sys.executable, sys.argv[0], "--worker", json.dumps(specification)])


def serve(worker) -> None:
    """Call first in main(): ends the process if it was started by run_worker()."""
    if len(sys.argv) == 3 and sys.argv[1] == "--worker":
        print(json.dumps(worker(json.loads(sys.argv[2]))))
        sys.exit(0)


def existing(path: str) -> pathlib.Path:
    if not pathlib.Path(path).is_file():
        raise argparse.ArgumentTypeError(f"{path} is not a file; build Lamina, or name the program with --lamina")
    return pathlib.Path(path).resolve()


def add_arguments(parser) -> None:
    parser.add_argument("--lamina", default="build/release/lamina", type=existing, help="the program")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3, help="both sides take turns this often; medians count")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")


def medians(rounds: list[dict]) -> dict:
    """Key by key, over dictionaries of numbers."""
    return {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}


def torch_version() -> str:
    return importlib.metadata.version("torch")


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def table(header: list[str], rows: list[list[str]]) -> str:
    """The first column to the left, the others to the right."""
    lines = [header, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    def text(line):
        cells = [cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths))]
        return (" " * PADDING).join(cells).rstrip()
    return "\n".join([text(header), text(["-" * w for w in widths]), *map(text, rows)])
