#include "image.h"

namespace lamina::fuzz {

FUZZ_TARGET(image_bmp) { decode_any(input, "a.bmp"); }

}  // namespace lamina::fuzz
