"""Times training steps with one thread, with all, and in as many processes of one thread at once, in turn.

    python tests/peers/bench_threads.py --model resnet18 --batch 128

What the processes reach together is what the machine's cores reach without waiting for each other; what they share,
memory above all, slows them down just as it does threads. Each is bound to a core of its own.
"""
import argparse
import concurrent.futures
import json
import os
import statistics

import bench_common as bench

WAYS = ("one thread", "all threads", "processes")


def images_per_s(options, threads: int, cores: list) -> float:
    """Of one process for each of the sets of cores, together."""
    command = [options.lamina, "bench", "train", "--model", options.model, "--batch", options.batch, "--steps",
               options.steps, "--threads", threads, "--json"]
    bound = [["taskset", "-c", ",".join(str(core) for core in own), *command] for own in cores]
    with concurrent.futures.ThreadPoolExecutor(len(cores)) as pool:
        results = list(pool.map(bench.run_json, bound))
    return sum(1e3 * options.batch / result["median_step_ms"] for result in results)


def measure(options, cores: list[int]) -> dict[str, float]:
    return {"one thread": images_per_s(options, 1, [cores]),
            "all threads": images_per_s(options, len(cores), [cores]),
            "processes": images_per_s(options, 1, [[core] for core in cores])}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    bench.add_arguments(parser)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=8, help="measured steps of each run")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[:options.threads]

    rounds = []
    for number in range(options.rounds):
        rounds.append(bench.undisturbed(lambda: measure(options, cores), f"round {number + 1}"))
        bench.note(f"round {number + 1}: " + ", ".join(f"{way} {rounds[-1][way]:.1f}" for way in WAYS))
    middle = bench.medians(rounds)
    gains = {way: statistics.median(r[way] / r["one thread"] for r in rounds) for way in WAYS}
    result = {"machine": bench.machine(), "lamina": bench.lamina_version(options.lamina), "model": options.model,
              "batch": options.batch, "threads": len(cores), "images_per_s": middle, "gains": gains, "rounds": rounds}
    if options.json:
        print(json.dumps(result, indent=2))
        return
    machine = result["machine"]
    print(f"{machine['cpu']} ({', '.join(machine['instruction_sets'])}), {machine['date']}; {result['lamina']}; "
          f"{options.model}, batch {options.batch}\n")
    print(bench.table([f"{len(cores)} cores", "images/s", "of one thread's, median of the rounds"],
                      [[way, f"{middle[way]:.1f}", f"{gains[way]:.2f}"] for way in WAYS]))


if __name__ == "__main__":
    main()
