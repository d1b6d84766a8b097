"""What the bench_*.py scripts share: running both sides in turn, timing calls, printing tables.

A PyTorch measurement runs in a process of its own, so that its peak memory is its own: the script starts itself with
--worker and a specification, and the process prints its result as JSON.
"""
import argparse
import importlib.metadata
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

PADDING = 2  # between columns
BUSY = 0.05  # of a core: what another process may take while something is timed
TICKS = os.sysconf("SC_CLK_TCK")


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


def processor_seconds() -> dict[int, tuple[str, int, float]]:
    """Name, parent and processor time so far of every process."""
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            name, fields = re.fullmatch(r"\d+ \((.*)\) (.*)\n?", (folder / "stat").read_text(), re.DOTALL).groups()
        except OSError:
            continue  # it has ended
        fields = fields.split()
        found[int(folder.name)] = name, int(fields[1]), (int(fields[11]) + int(fields[12])) / TICKS
    return found


class Others:
    """What other processes than this one and those it starts take while the block runs: `busiest`, as a share of a core
    and a name."""

    def __enter__(self):
        self.before, self.started = processor_seconds(), time.monotonic()
        return self

    def __exit__(self, *_):
        after, seconds = processor_seconds(), time.monotonic() - self.started
        parents = {pid: parent for pid, (_, parent, _) in after.items()}

        def is_ours(pid: int) -> bool:
            while pid in parents and pid != os.getpid():
                pid = parents[pid]
            return pid == os.getpid()

        shares = [((used - self.before.get(pid, (name, 0, 0.0))[2]) / seconds, name)
                  for pid, (name, _, used) in after.items() if not is_ours(pid)]
        self.busiest = max(shares, default=(0.0, "nothing"))


def undisturbed(measure, what: str, tries: int = 3):
    """measure() while no other process takes more than BUSY of a core; ends the script where none of the tries was."""
    for _ in range(tries):
        with Others() as others:
            result = measure()
        share, name = others.busiest
        if share <= BUSY:
            return result
        note(f"{what}: {name} took {share:.0%} of a core meanwhile")
    sys.exit(f"{what}: not judged: another process takes more than {BUSY:.0%} of a core; stop it, or use a quiet machine")


def agree(values: list[float], tolerance: float = 0.02) -> bool:
    """Whether the medians of every other value, from the first and from the second on, are within the tolerance."""
    if len(values) < 2:
        return False
    odd, even = statistics.median(values[::2]), statistics.median(values[1::2])
    return abs(odd - even) <= tolerance * min(odd, even)


def machine() -> dict:
    """What figures depend on besides the code."""
    cpu = pathlib.Path("/proc/cpuinfo").read_text()
    flags = set(re.search(r"^flags\s*: (.*)$", cpu, re.MULTILINE).group(1).split())
    wide = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    return {"cpu": re.search(r"^model name\s*: (.*)$", cpu, re.MULTILINE).group(1), "instruction_sets": wide,
            "cores": len(os.sched_getaffinity(0)), "date": time.strftime("%Y-%m-%d")}


def run_json(command: list, environment: dict = {}) -> dict:
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True,
                          env=os.environ | environment)
    if done.returncode != 0:
        sys.exit(f"{' '.join(str(word) for word in command)}\nended with status {done.returncode}")
    return json.loads(done.stdout)


def bench_lamina(program, part: str, options: dict) -> dict:
    flags = [word for name, value in options.items() for word in (f"--{name}", value)]
    return run_json([program, "bench", part, *flags, "--json"])


def run_worker(specification: dict, environment: dict = {}) -> dict:
    """The calling script's worker() in a process of its own."""
    return run_json([sys.executable, sys.argv[0], "--worker", json.dumps(specification)], environment)


def allocators() -> dict[str, dict]:
    """Environments by the name of the allocator that PyTorch then has."""
    found = {"": {}}
    for name, pattern in (("jemalloc", "libjemalloc.so.2"), ("tcmalloc", "libtcmalloc_minimal.so.4")):
        listed = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=False).stdout
        path = re.search(rf"^\s*{re.escape(pattern)} .*=> (.*)$", listed, re.MULTILINE)
        if path:
            found[name] = {"LD_PRELOAD": path.group(1)}
    return found


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


def lamina_version(program) -> str:
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


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
