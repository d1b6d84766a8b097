#include "image.h"

namespace lamina::fuzz {

FUZZ_TARGET(image_pnm) { decode_any(input, "a.ppm"); }

}  // namespace lamina::fuzz
