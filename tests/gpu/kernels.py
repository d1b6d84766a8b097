"""Writes the kernels of a training step, by their time, to TABLE, and prints a line about them.

    python3 tests/gpu/kernels.py STEPS KERNELS-OF-2-EPOCHS KERNELS-OF-4-EPOCHS TABLE

The files have a line "start end name" in ns for each; what four epochs of STEPS steps have beyond two is of 2 x STEPS steps.
"""
import collections
import pathlib
import re
import sys

ROOMS = ("lamina", "cuda", "kernel", "engine", "CudaBackend", "cooperate")  # before the name of the loop or function


def identifiers(mangled: str) -> list[str]:
    """The names in a mangled name, each after its length. NVIDIA's lambdas have a form that c++filt does not know."""
    found, place, mangled = [], 0, re.sub(r"L[a-z]\d+E", "", mangled)  # Li8E is a number
    while match := re.compile(r"\d+").search(mangled, place):
        length = int(match.group())
        name = mangled[match.end():match.end() + length]
        if len(name) == length and re.fullmatch(r"[A-Za-z_]\w*", name):
            found.append(name)
            place = match.end() + length
        else:
            place = match.end()
    return found


def short(name: str) -> str:
    """Of ours: the function that starts the kernel, its lambda's number if it has several, the loop, and bf16."""
    if "lamina" not in name:
        return name[:100]
    loop, *inside = [part for part in identifiers(name) if part not in ROOMS and not part.startswith("_GLOBAL")] or [name]
    number = re.findall(r"E(\d+)_", name)
    return (f"{inside[0] if inside else loop}{' ' + number[-1] if number else ''} ({loop}"
            f"{', bf16' if 'Bf16' in inside else ''})")


def times(path: str) -> dict:
    """Count and ns by name."""
    found = collections.defaultdict(lambda: [0, 0])
    for line in pathlib.Path(path).read_text().splitlines():
        start, end, name = line.split(" ", 2)
        entry = found[name]
        entry[0] += 1
        entry[1] += int(end) - int(start)
    return found


def main():
    steps, two, four, table = sys.argv[1:]
    before, steps = times(two), 2 * int(steps)
    by_name = collections.defaultdict(lambda: [0.0, 0.0])
    theirs, own = 0.0, set()
    for name, (count, ns) in times(four).items():
        count, ns = (now - then for now, then in zip((count, ns), before.get(name, (0, 0))))
        entry = by_name[short(name)]
        entry[0] += count / steps
        entry[1] += 1e-3 * ns / steps
        if "lamina" in name:
            own.add(short(name))
        elif name not in ("copy", "fill"):
            theirs += 1e-3 * ns / steps
    rows = sorted(by_name.items(), key=lambda row: -row[1][1])
    total = sum(us for _, (_, us) in rows) or 1
    lines = [f"{us:10.1f} us {100 * us / total:5.1f} % {count:7.2f} x {us / count if count else 0:8.2f} us  {name}"
             for name, (count, us) in rows]
    pathlib.Path(table).write_text("\n".join(lines) + "\n")
    ours = [(name, us) for name, (_, us) in rows if name in own][:3]
    print(f"{sum(count for _, (count, _) in rows):.0f} launches, {1e-3 * total:.3f} ms a step; NVIDIA's kernels "
          f"{100 * theirs / total:.0f} %; of ours most: " + "; ".join(f"{name} {100 * us / total:.0f} %" for name, us in ours))


if __name__ == "__main__":
    main()
