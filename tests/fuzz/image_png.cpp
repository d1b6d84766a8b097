#include "image.h"

namespace lamina::fuzz {

FUZZ_TARGET(image_png) { decode_any(input, "a.png"); }

}  // namespace lamina::fuzz
