"""Times one view of the Barlow Twins recipe in Lamina and in torchvision, in turn, each on one thread.

    python tests/peers/bench_views.py --lamina build/release/lamina

Random 32 x 32 images. torchvision composes the recipe of the official code (facebookresearch/barlowtwins) from its
transforms v2, on Pillow's images, as that code does, and on uint8 tensors; with the first view's probabilities, like
`lamina bench views`' recipe "barlow-twins", of which half of the views are the second.
"""
import argparse
import json
import random
import statistics
import subprocess

import bench_common as bench


class PillowBlur:
    def __init__(self, probability: float):
        self.probability = probability

    def __call__(self, image):
        from PIL import ImageFilter

        if random.random() >= self.probability:
            return image
        return image.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2)))


class PillowSolarize:
    def __init__(self, probability: float):
        self.probability = probability

    def __call__(self, image):
        from PIL import ImageOps

        return ImageOps.solarize(image) if random.random() < self.probability else image


def composed(size: int, on_tensors: bool, blur: float, solarize: float):
    import torch
    from torchvision.transforms import v2

    if on_tensors:
        blurring = v2.RandomApply([v2.GaussianBlur(9, (0.1, 2.0))], p=blur)
        solarizing = v2.RandomSolarize(128, p=solarize)
        to_float = [v2.ToDtype(torch.float32, scale=True)]
    else:
        blurring, solarizing = PillowBlur(blur), PillowSolarize(solarize)
        to_float = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    return v2.Compose([
        v2.RandomResizedCrop(size, interpolation=v2.InterpolationMode.BICUBIC, antialias=True),
        v2.RandomHorizontalFlip(),
        v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.2, 0.1)], p=0.8),
        v2.RandomGrayscale(0.2),
        blurring,
        solarizing,
        *to_float,
        v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])


def torchvision_ms(size: int, images: int, repeat: int, on_tensors: bool) -> float:
    import numpy
    import torch
    from PIL import Image

    torch.set_num_threads(1)
    pixels = numpy.random.default_rng(1).integers(0, 256, (images, size, size, 3), dtype=numpy.uint8)
    samples = [torch.from_numpy(p).permute(2, 0, 1).contiguous() if on_tensors else Image.fromarray(p) for p in pixels]
    views = composed(size, on_tensors, 1.0, 0.0), composed(size, on_tensors, 0.1, 0.2)

    def both():
        for sample in samples:
            for view in views:
                view(sample)

    return statistics.median(bench.times_ms(both, repeat)) / (2 * images)


def lamina_ms(program: str, size: int, images: int, repeat: int) -> float:
    command = [program, "bench", "views", "--json", "--image-size", str(size), "--batch", str(images),
               "--repeat", str(repeat)]
    views = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["views"]
    return next(view["view_ms"] for view in views if view["recipe"] == "barlow-twins")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lamina", default="build/release/lamina", help="the program")
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3, help="all take turns this often; medians count")
    options = parser.parse_args()
    ways = {
        "Lamina": lambda: lamina_ms(options.lamina, options.image_size, options.images, options.repeat),
        "torchvision, Pillow": lambda: torchvision_ms(options.image_size, options.images, options.repeat, False),
        "torchvision, tensors": lambda: torchvision_ms(options.image_size, options.images, options.repeat, True)}
    times = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, measure in ways.items():
            times[name].append(measure())
    least = statistics.median(times["Lamina"])
    rows = [[name, f"{statistics.median(of):.4f}", f"{statistics.median(of) / least:.1f}"] for name, of in times.items()]
    print(bench.table(["barlow-twins, one thread", "ms a view", "time, Lamina = 1"], rows))


if __name__ == "__main__":
    main()
