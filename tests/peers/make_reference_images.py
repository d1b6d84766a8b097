"""Writes tests/data_reference_images.h: small image files and the CRC-32 of the pixels that Pillow makes of them.

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
print("};\n")

small = Image.fromarray(pixels[:3, :5])
grey = small.convert("L")
few = small.quantize(3)
alpha = small.convert("RGBA")
alpha.putalpha(grey)
plain = Image.new("RGBA", (5, 3), (9, 8, 7, 6))  # packs well
deep = pixels[:3, :5].astype(">u2") * 257 + 100


def pnm(header, samples):
    return header + samples.tobytes()


files = [
    ("24.bmp", small, {}),
    ("8.bmp", small.quantize(256), {}),
    ("few.bmp", few, {}),
    ("1.bmp", small.convert("1"), {}),
    ("32.bmp", alpha, {}),
    ("24.tga", small, {}),
    ("24rle.tga", small, {"compression": "tga_rle"}),
    ("32.tga", alpha, {}),
    ("32rle.tga", plain, {"compression": "tga_rle"}),
    ("grey.tga", grey, {}),
    ("palette.tga", few, {}),
    ("p5.pgm", grey, {}),
    ("p6.ppm", small, {}),
    ("p5of15.pgm", pnm(b"P5 # maximum 15\n5 3\n15\n", pixels[:3, :5, 0] % 16), None),
    ("p6of65535.ppm", pnm(b"P6\n5 3\n65535\n", np.minimum(deep, 65535).astype(">u2")), None),
    ("p6of1000.ppm", pnm(b"P6\n5 3\n1000\n", (deep % 1001).astype(">u2")), None),
]
print("// The same of other formats, of 5×3 pixels; the ending says which.")
print("struct ReferenceFile {\n  const char* name;\n  std::uint32_t rgb, luminance;\n  const char* hex;\n};\n")
print("inline constexpr ReferenceFile reference_files[] = {")
for name, image, options in files:
    content = image
    if options is not None:
        stream = io.BytesIO()
        image.save(stream, {"bmp": "BMP", "tga": "TGA", "pgm": "PPM", "ppm": "PPM"}[name[-3:]], **options)
        content = stream.getvalue()
    decoded = Image.open(io.BytesIO(content))
    sums = ", ".join(f"0x{zlib.crc32(decoded.convert(mode).tobytes()):08x}" for mode in ("RGB", "L"))
    digits = content.hex()
    print(f'    {{"{name}", {sums},')
    lines = [digits[i : i + 100] for i in range(0, len(digits), 100)]
    print("\n".join(f'     "{line}"' for line in lines) + "},")
print("};\n\n}  // namespace lamina::tests")
