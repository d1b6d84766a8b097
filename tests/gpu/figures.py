"""Writes DIR/figures.json: all that scripts/test-gpu measured, with date, machine, versions and commit.

    python3 tests/gpu/figures.py DIR COMMIT
"""
import csv
import datetime
import importlib.metadata
import json
import pathlib
import subprocess
import sys

COLUMNS = ("part", "what", "result", "figure", "target")
PACKAGES = ("torch", "torchvision", "timm", "nvidia-cudnn-cu13", "nvidia-cublas", "nvidia-cuda-runtime")


def driver() -> str:
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit", "--format=csv"]
    try:
        return subprocess.run(query, capture_output=True, text=True, timeout=20).stdout.strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)


def version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def main():
    folder, commit = pathlib.Path(sys.argv[1]), sys.argv[2]
    with open(folder / "rows.tsv", newline="") as file:
        rows = [dict(zip(COLUMNS, row)) for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    figures = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
               "commit": commit,
               "nvidia_smi": driver(),
               "python": sys.version.split()[0],
               "packages": {name: version(name) for name in PACKAGES},
               "lamina": json.loads((folder / "info.json").read_text()),
               "rows": rows,
               "parts": {path.name.removesuffix(".figures.json"): json.loads(path.read_text())
                         for path in sorted(folder.glob("*.figures.json"))}}
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
