#include "image.h"

namespace lamina::fuzz {

FUZZ_TARGET(image_tga) { decode_any(input, "a.tga"); }

}  // namespace lamina::fuzz
