// From pixels to what a network reads, for host and device.
#pragma once

#include <cstdint>

#include "core/base/host_device.h"

namespace lamina::math {

LAMINA_HD float normalised_pixel(std::uint8_t pixel, float mean, float std) {
  return (static_cast<float>(pixel) / 255.0f - mean) / std;
}

}  // namespace lamina::math
