#include "data/sets/cifar.h"

#include "target.h"

namespace lamina::fuzz {

// Names of classes up to the first 0 byte, then records.
FUZZ_TARGET(cifar) {
  const std::filesystem::path folder = empty_folder();
  const std::vector<std::string> pieces = pieces_of(input, 2);
  put(folder / "batches.meta.txt", pieces[0]);
  for (const char* name : {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
                           "data_batch_5.bin", "test_batch.bin"})
    put(folder / name, pieces[1]);
  data::Dataset set;
  if (!accepts([&] { set = data::cifar10(folder, {.notify = {}}); })) return;
  expect(set.test.size() * 3073 == static_cast<std::int64_t>(pieces[1].size()), "every record is an image");
  expect(set.train.size() == 5 * set.test.size(), "from every file");
  expect(set.train.labels.elements() == set.train.size(), "with a label");
}

}  // namespace lamina::fuzz
