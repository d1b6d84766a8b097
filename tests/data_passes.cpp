// Batches that are handed out twice.
#include "data/loader.h"
#include "data/sets/synthetic.h"
#include "data_files.h"

using namespace lamina;
using namespace lamina::tests;

namespace {

struct Place {
  std::int64_t batch, offset, size;
  int pass;
  bool completes_batch;
  bool operator==(const Place&) const = default;
};

}  // namespace

TEST_CASE("a batch that comes twice has the same parts in both passes", "[data][loader]") {
  const data::Split split =
      data::synthetic({.classes = 5, .height = 6, .width = 6, .train = 26, .test = 1}, quiet()).train;
  const data::Augment augment = data::standard();
  const data::Loader once(split, {.batch = 10, .micro_batch = 4, .augment = augment, .views = 2, .seed = 5}),
      twice(split, {.batch = 10, .micro_batch = 4, .passes = 2, .augment = augment, .views = 2, .seed = 5});
  CHECK(twice.batches() == once.batches());
  CHECK(twice.samples() == once.samples());
  std::vector<data::Part> expected;
  for (const data::Part& part : once.epoch(1)) expected.push_back(part);
  std::vector<Place> places;
  std::size_t first_of_batch = 0, at = 0;
  for (const data::Part& part : twice.epoch(1)) {
    if (part.offset == 0) at = first_of_batch;
    const data::Part& same = expected.at(at++);
    CHECK(part.samples == same.samples);
    CHECK(part.labels.to_vector<std::int32_t>() == same.labels.to_vector<std::int32_t>());
    for (int view : {0, 1}) CHECK(part.view(view).to_vector<float>() == same.view(view).to_vector<float>());
    CHECK(part.passes == 2);
    CHECK(part.is_of_last_pass() == (part.pass == 1));
    CHECK(part.batch_samples == same.batch_samples);
    places.push_back({part.batch, part.offset, part.size(), part.pass, part.completes_batch});
    CHECK(batch_is_incomplete() == !part.completes_batch);
    if (part.completes_batch) first_of_batch = at;
  }
  CHECK(places == std::vector<Place>{{0, 0, 4, 0, false},
                                     {0, 4, 4, 0, false},
                                     {0, 8, 2, 0, false},
                                     {0, 0, 4, 1, false},
                                     {0, 4, 4, 1, false},
                                     {0, 8, 2, 1, true},
                                     {1, 0, 4, 0, false},
                                     {1, 4, 4, 0, false},
                                     {1, 8, 2, 0, false},
                                     {1, 0, 4, 1, false},
                                     {1, 4, 4, 1, false},
                                     {1, 8, 2, 1, true},
                                     {2, 0, 4, 0, false},
                                     {2, 4, 2, 0, false},
                                     {2, 0, 4, 1, false},
                                     {2, 4, 2, 1, true}});
  std::vector<std::int64_t> resumed;
  for (const data::Part& part : twice.epoch(1, Device::cpu(), 2)) resumed.push_back(part.samples.front());
  const std::vector<std::int64_t> last{expected[6].samples.front(), expected[7].samples.front()};
  CHECK(resumed == std::vector<std::int64_t>{last[0], last[1], last[0], last[1]});
  check_error([&] { data::Loader(split, {.batch = 5, .passes = 3}); }, {"3 passes", "1 or 2"});
}
