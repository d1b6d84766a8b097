"""Prints "RESULT<TAB>FIGURE<TAB>TARGET": how long the GPU does nothing in a step of a training run.

    python3 tests/gpu/idle_share.py RUN STEPS KERNELS-OF-2-EPOCHS KERNELS-OF-4-EPOCHS

RUN had four epochs of STEPS steps; its last two count. The files of kernels have a line "start end name" in ns each.
"""
import csv
import pathlib
import sys

TARGET = 0.03


def busy_ns(path: str) -> int:
    """The length of the union of the intervals."""
    intervals = sorted(tuple(map(int, line.split(" ", 2)[:2])) for line in pathlib.Path(path).read_text().splitlines())
    total, reached = 0, 0
    for start, end in intervals:
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total


def main():
    run, steps, two, four = sys.argv[1:]
    with open(pathlib.Path(run) / "epochs.csv", newline="") as file:
        seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    step_ms = 1e3 * sum(seconds[2:4]) / (2 * int(steps))
    busy_ms = 1e-6 * (busy_ns(four) - busy_ns(two)) / (2 * int(steps))
    idle = 1 - busy_ms / step_ms
    figure = f"{100 * idle:.1f} %: {busy_ms:.3f} ms of kernels in steps of {step_ms:.3f} ms"
    print("met" if idle <= TARGET else "missed", figure, f"{100 * TARGET:.0f} %", sep="\t")


if __name__ == "__main__":
    main()
