#include "data/sets/synthetic.h"

#include <cmath>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/random.h"
#include "data/file.h"

namespace lamina::data {

namespace {

// What is drawn; takes the place of the epoch in the random numbers.
enum Drawn : std::uint32_t { patterns = 0, train = 1, test = 2 };

constexpr std::int64_t grid = 4;  // a pattern is grid×grid random values per channel, spread over the image

// Values in [-1, 1), [H, W, C] flattened.
std::vector<float> pattern(const SyntheticOptions& o, std::int64_t label) {
  const Random random{o.seed, Stream::synthetic, patterns, static_cast<std::uint32_t>(label)};
  std::vector<float> values;
  for (std::int64_t y = 0; y < o.height; ++y) {
    for (std::int64_t x = 0; x < o.width; ++x) {
      const std::int64_t cell = y * grid / o.height * grid + x * grid / o.width;
      for (std::int64_t c = 0; c < o.channels; ++c) {
        values.push_back(2.0f * random.uniform(static_cast<std::uint32_t>(cell * o.channels + c)) - 1.0f);
      }
    }
  }
  return values;
}

// pixel = 128 + 40 * pattern + noise, noise uniform in [-64, 64): below the noise pixel by pixel, plain to
// see over a cell.
void draw_image(const std::vector<float>& values, const Random& random, std::uint8_t* out) {
  std::uint32_t word = 0;  // four bytes of noise
  for (std::size_t i = 0; i < values.size(); ++i) {
    word = i % 4 == 0 ? random.bits(static_cast<std::uint32_t>(i / 4)) : word >> 8;
    const float noise = static_cast<float>(word & 0x7f) - 64.0f;
    out[i] = static_cast<std::uint8_t>(std::lround(128.0f + 40.0f * values[i] + noise));
  }
}

Split make_split(const SyntheticOptions& o, std::int64_t count, Drawn drawn,
                 const std::vector<std::vector<float>>& values, int threads) {
  Split split;
  split.images = Tensor::empty({count, o.height, o.width, o.channels}, {.dtype = DType::u8});
  split.labels = Tensor::empty({count}, {.dtype = DType::i32});
  auto* images = split.images.data<std::uint8_t>();
  auto* labels = split.labels.data<std::int32_t>();
  for_each_index(count, threads, [&](std::int64_t i) {
    const std::int64_t label = i % o.classes;
    const std::vector<float>& value = values[static_cast<std::size_t>(label)];
    labels[i] = static_cast<std::int32_t>(label);
    draw_image(value, {o.seed, Stream::synthetic, drawn, static_cast<std::uint32_t>(i)},
               images + i * static_cast<std::int64_t>(value.size()));
  });
  return split;
}

}  // namespace

Dataset synthetic(const SyntheticOptions& o, const OpenOptions& options) {
  check(o.classes > 0 && o.height > 0 && o.width > 0 && o.channels > 0 && o.train > 0 && o.test > 0,
        "synthetic: {} classes, {}×{}×{}, {} training and {} test images; all must be positive", o.classes,
        o.height, o.width, o.channels, o.train, o.test);
  std::vector<std::vector<float>> values;
  Dataset dataset;
  dataset.name = "synthetic";
  for (int label = 0; label < o.classes; ++label) {
    values.push_back(pattern(o, label));
    dataset.classes.push_back("pattern" + std::to_string(label));
  }
  dataset.train = make_split(o, o.train, Drawn::train, values, options.threads);
  dataset.test = make_split(o, o.test, Drawn::test, values, options.threads);
  return finish(std::move(dataset), options, "synthetic training images", "synthetic test images");
}

}  // namespace lamina::data
