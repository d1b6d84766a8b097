"""Writes tests/data_reference_images.h: small JPEG files and the CRC-32 of the pixels that Pillow makes of them.

Usage: python tests/peers/make_reference_images.py > tests/data_reference_images.h
"""

import io
import zlib

import numpy as np
from PIL import Image

y, x = np.mgrid[0:13, 0:19]
pixels = np.stack([x * 13, y * 19, (x * y) % 97 + 80], -1).astype(np.uint8)
color = Image.fromarray(pixels)
images = [
    ("colour, 4:2:0", color, {"subsampling": 2}),
    ("colour, 4:4:4", color, {"subsampling": 0}),
    ("progressive", color, {"progressive": True}),
    ("grey", color.convert("L"), {}),
    ("CMYK", color.convert("CMYK"), {}),
]

print("// JPEG files of 19×13 pixels, in hexadecimal, with the CRC-32 of Pillow's pixels as RGB, as luminance, and")
print("// resized to 7×7. Made by tests/peers/make_reference_images.py.")
print("#pragma once\n\n#include <cstdint>\n\nnamespace lamina::tests {\n")
print("struct ReferenceImage {\n  const char* name;\n  std::uint32_t rgb, luminance, resized;\n  const char* hex;\n};\n")
print("inline constexpr ReferenceImage reference_images[] = {")
for name, image, options in images:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=60, optimize=True, **options)
    decoded = Image.open(io.BytesIO(stream.getvalue()))
    rgb = decoded.convert("RGB")
    # Shorter side to 7 (the longer one rounds down to 10), then the middle 7 columns (1.5 rounds to 2).
    small = rgb.resize((10, 7), Image.BILINEAR).crop((2, 0, 9, 7))
    sums = ", ".join(f"0x{zlib.crc32(i.tobytes()):08x}" for i in (rgb, decoded.convert("L"), small))
    digits = stream.getvalue().hex()
    print(f'    {{"{name}", {sums},')
    lines = [digits[i : i + 100] for i in range(0, len(digits), 100)]
    print("\n".join(f'     "{line}"' for line in lines) + "},")
print("};\n\n}  // namespace lamina::tests")
