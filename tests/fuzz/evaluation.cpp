#include "target.h"
#include "train/evaluation_file.h"

namespace lamina::fuzz {

// evaluation.json of a run: as many classes as rows, and shares that are shares.
FUZZ_TARGET(evaluation) {
  const std::filesystem::path path = put(empty_folder() / "evaluation.json", text_of(input));
  train::ClassResults results;
  if (!accepts([&] { results = train::read_evaluation(path); })) return;
  const auto classes = static_cast<std::int64_t>(results.classes.size());
  for (std::int64_t c = 0; c < classes; ++c) expect(results.confusion.count(c, c) >= 0, "counts are counts");
}

}  // namespace lamina::fuzz
