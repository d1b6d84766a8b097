#include <algorithm>

#include "data/dataset.h"
#include "target.h"

namespace lamina::fuzz {

// NAME[:DIR] and synthetic:HxWxCxCLASSES. Sizes of two digits and more would only make large images.
FUZZ_TARGET(data_name) {
  const std::string text = text_of(input);
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (std::adjacent_find(text.begin(), text.end(), [&](char a, char b) { return digit(a) && digit(b); }) !=
      text.end())
    return;
  if (text.starts_with("folder") || text.find('/') != std::string::npos) return;  // no one else's files
  data::Dataset set;
  const data::OpenOptions options{.limit_train = 4, .limit_test = 2, .cache = false, .notify = {}};
  if (!accepts([&] { set = data::open(text, options); })) return;
  expect(set.train.size() == 4 && set.test.size() == 2 && !set.classes.empty(), "images of classes");
}

}  // namespace lamina::fuzz
