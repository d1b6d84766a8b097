#include "image.h"

namespace lamina::fuzz {

FUZZ_TARGET(image_jpeg) { decode_any(input, "a.jpg"); }

}  // namespace lamina::fuzz
