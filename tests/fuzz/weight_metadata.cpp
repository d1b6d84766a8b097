#include <bit>

#include "layers/weights.h"
#include "target.h"

namespace lamina::fuzz {
namespace {

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](float x, float y) {
    return std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y);
  });
}

}  // namespace

// What a weight file says of itself: what is read and written reads the same.
FUZZ_TARGET(weight_metadata) {
  const std::vector<std::string> pieces = pieces_of(input, 5);
  const std::map<std::string, std::string> metadata{{"model", pieces[0]},
                                                    {"stem", pieces[1]},
                                                    {"classes", pieces[2]},
                                                    {"mean", pieces[3]},
                                                    {"std", pieces[4]}};
  WeightInfo info;
  if (!accepts([&] { info = info_from_metadata(metadata); })) return;
  const WeightInfo again = info_from_metadata(metadata_from_info(info));
  expect(again.model == info.model && again.stem == info.stem && again.classes == info.classes, "names");
  expect(same(again.mean, info.mean) && same(again.std, info.std), "the statistics, to the bit");
}

}  // namespace lamina::fuzz
