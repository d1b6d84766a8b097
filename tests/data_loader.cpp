// The loader: order, resumption, workers, errors in workers, leaving early.
#include "data/loader.h"

#include <numeric>
#include <set>

#include "data/sets/synthetic.h"
#include "data_files.h"

using namespace lamina;
using namespace lamina::tests;

namespace {

data::Split split_of(std::int64_t size) {
  return data::synthetic({.classes = 5, .height = 6, .width = 6, .train = size, .test = 1}, quiet()).train;
}

// All that an epoch hands out.
struct Record {
  std::vector<float> pixels;
  std::vector<std::int32_t> labels;
  std::vector<std::int64_t> samples, sizes;
  bool operator==(const Record&) const = default;
};

Record record(const data::Loader& loader, std::int64_t epoch, std::int64_t first_batch = 0) {
  Record all;
  for (const data::Part& part : loader.epoch(epoch, Device::cpu(), first_batch)) {
    for (const Tensor& view : part.views) {
      const auto pixels = view.to_vector<float>();
      all.pixels.insert(all.pixels.end(), pixels.begin(), pixels.end());
    }
    const auto labels = part.labels.to_vector<std::int32_t>();
    all.labels.insert(all.labels.end(), labels.begin(), labels.end());
    all.samples.insert(all.samples.end(), part.samples.begin(), part.samples.end());
    all.sizes.push_back(static_cast<std::int64_t>(part.samples.size()));
  }
  return all;
}

template <typename T>
std::vector<T> tail(const std::vector<T>& values, std::size_t count) {
  return {values.end() - static_cast<std::ptrdiff_t>(count), values.end()};
}

}  // namespace

TEST_CASE("an epoch hands out every sample once, in a new order", "[data][loader]") {
  const data::Loader loader(split_of(103), {.batch = 25, .seed = 3});
  CHECK(loader.batches() == 5);
  const Record first = record(loader, 0);
  CHECK(first.sizes == std::vector<std::int64_t>{25, 25, 25, 25, 3});
  CHECK(std::set<std::int64_t>(first.samples.begin(), first.samples.end()).size() == 103);
  for (std::size_t i = 0; i < 103; ++i) CHECK(first.labels[i] == first.samples[i] % 5);
  CHECK(record(loader, 1).samples != first.samples);
  CHECK(record(data::Loader(split_of(103), {.batch = 25, .seed = 4}), 0).samples != first.samples);
  CHECK(record(loader, 0) == first);
}

TEST_CASE("drop_last leaves the smaller batch out", "[data][loader]") {
  const data::Loader loader(split_of(103), {.batch = 25, .drop_last = true});
  CHECK(loader.batches() == 4);
  CHECK(loader.samples() == 100);
  CHECK(record(loader, 0).sizes == std::vector<std::int64_t>(4, 25));
  // Exactly full batches: nothing to drop.
  CHECK(data::Loader(split_of(100), {.batch = 25, .drop_last = true}).batches() == 4);
  CHECK(record(data::Loader(split_of(100), {.batch = 25}), 0).sizes == std::vector<std::int64_t>(4, 25));
}

TEST_CASE("the number of workers changes nothing", "[data][loader]") {
  const data::Split split = split_of(203);
  const auto with = [&](int workers, std::int64_t prefetch) {
    return record(data::Loader(split, {.batch = 16,
                                       .augment = data::standard(),
                                       .views = 2,
                                       .workers = workers,
                                       .prefetch = prefetch,
                                       .seed = 5}),
                  2);
  };
  const Record expected = with(0, 1);
  CHECK(expected.samples.size() == 203);
  for (const int workers : {1, 2, 4, 9}) {
    for (const std::int64_t prefetch : {1, 2, 5, 100}) {
      INFO(workers << " workers, prefetch " << prefetch);
      CHECK(with(workers, prefetch) == expected);
    }
  }
}

TEST_CASE("an epoch resumes at any batch", "[data][loader]") {
  const data::Split split = split_of(90);
  for (const std::int64_t micro_batch : {0, 7}) {
    const data::Loader loader(
        split, {.batch = 20, .micro_batch = micro_batch, .augment = data::standard(), .seed = 5});
    const Record whole = record(loader, 4);
    for (std::int64_t first = 0; first <= loader.batches(); ++first) {
      const Record rest = record(loader, 4, first);
      CHECK(rest.samples.size() == static_cast<std::size_t>(std::max<std::int64_t>(0, 90 - 20 * first)));
      CHECK(rest.samples == tail(whole.samples, rest.samples.size()));
      CHECK(rest.pixels == tail(whole.pixels, rest.pixels.size()));
    }
  }
  const data::Loader loader(split, {.batch = 20});
  check_error([&] { loader.epoch(0, Device::cpu(), 6); }, {"batch 6 of an epoch of 5"});
  check_error([&] { loader.epoch(-1); }, {"epoch -1"});
}

TEST_CASE("micro-batches are the pieces of the same batches", "[data][loader]") {
  const data::Split split = split_of(50);
  const data::Loader whole(split, {.batch = 20, .augment = data::standard(), .seed = 5});
  const data::Loader parts(split, {.batch = 20, .micro_batch = 8, .augment = data::standard(), .seed = 5});
  const Record pieces = record(parts, 1);
  CHECK(pieces.pixels == record(whole, 1).pixels);
  CHECK(pieces.sizes == std::vector<std::int64_t>{8, 8, 4, 8, 8, 4, 8, 2});
  std::vector<std::int64_t> index, size;
  std::vector<bool> last;
  for (const data::Part& part : parts.epoch(1)) {
    index.push_back(part.batch);
    size.push_back(part.batch_samples);
    last.push_back(part.completes_batch);
  }
  CHECK(index == std::vector<std::int64_t>{0, 0, 0, 1, 1, 1, 2, 2});
  CHECK(size == std::vector<std::int64_t>{20, 20, 20, 20, 20, 20, 10, 10});
  CHECK(last == std::vector<bool>{false, false, true, false, false, true, false, true});
}

TEST_CASE("shares are pieces of the same batches, one after another", "[data][loader]") {
  const data::Split split = split_of(50);
  const auto loader = [&](std::int64_t micro_batch, data::Share share) {
    return data::Loader(
        split,
        {.batch = 20, .micro_batch = micro_batch, .share = share, .augment = data::standard(), .seed = 5});
  };
  std::vector<std::vector<std::int64_t>> batches(3);
  for (const data::Part& part : loader(0, {}).epoch(1))
    batches[static_cast<std::size_t>(part.batch)] = part.samples;
  for (const std::int64_t micro_batch : {0, 4}) {
    std::vector<std::vector<std::int64_t>> joined(3);
    for (std::int64_t rank = 0; rank < 3; ++rank) {
      std::vector<int> completed(3);
      for (const data::Part& part : loader(micro_batch, {.index = rank, .of = 3}).epoch(1)) {
        auto& batch = joined[static_cast<std::size_t>(part.batch)];
        CHECK(part.offset == std::ssize(batch));
        CHECK(part.batch_samples == (part.batch < 2 ? 20 : 10));
        batch.insert(batch.end(), part.samples.begin(), part.samples.end());
        if (part.completes_batch) ++completed[static_cast<std::size_t>(part.batch)];
      }
      CHECK(completed == std::vector<int>{1, 1, 1});
    }
    CHECK(joined == batches);
  }
  for (const data::Part& part : loader(0, {.index = 1, .of = 3}).epoch(1, Device::cpu(), 2))
    CHECK(part.batch == 2);
}

TEST_CASE("views are augmented apart, and the first is that of a loader without others", "[data][loader]") {
  const data::Split split = split_of(40);
  const auto with = [&](int views, std::int64_t micro_batch, std::uint64_t seed = 5) {
    return data::Loader(
        split,
        {.batch = 40, .micro_batch = micro_batch, .augment = data::standard(), .views = views, .seed = seed});
  };
  const auto views_of = [](const data::Loader& loader, std::int64_t epoch) {
    std::vector<std::vector<float>> views;
    for (const data::Part& part : loader.epoch(epoch)) {
      for (const Tensor& view : part.views) views.push_back(view.to_vector<float>());
    }
    return views;
  };
  const auto three = views_of(with(3, 0), 1);
  REQUIRE(three.size() == 3);
  CHECK(three[0] != three[1]);
  CHECK(three[0] != three[2]);
  CHECK(three[1] != three[2]);
  CHECK(views_of(with(1, 0), 1).front() == three[0]);
  CHECK(views_of(with(2, 0), 1)[1] == three[1]);  // whatever the number of views
  CHECK(views_of(with(3, 0, 6), 1)[1] != three[1]);
  CHECK(views_of(with(3, 0), 2)[1] != three[1]);
  // Nor does a view depend on how the batch is split.
  const auto halves = views_of(with(3, 20), 1);
  REQUIRE(halves.size() == 6);
  std::vector<float> second = halves[1];
  second.insert(second.end(), halves[4].begin(), halves[4].end());
  CHECK(second == three[1]);
}

TEST_CASE("a part knows its place in its batch, and its share of the batch's mean", "[data][loader]") {
  const data::Loader loader(split_of(7), {.batch = 7, .micro_batch = 4, .shuffle = false});
  std::vector<double> shares;
  for (const data::Part& part : loader.epoch(0)) {
    CHECK(part.size() == (shares.empty() ? 4 : 3));
    CHECK(part.images().shares_storage(part.views.front()));
    CHECK_FALSE(part.is_whole_batch());
    // Sample i counts 2^i: 15 of the first part's four, 112 of the second's three.
    std::vector<float> values;
    for (const std::int64_t sample : part.samples) values.push_back(static_cast<float>(1 << sample));
    Tensor per_sample = Tensor::from(values, {part.size()});
    const Tensor share = part.mean(per_sample.requires_grad_());
    shares.push_back(share.item());
    share.backward();
    CHECK(per_sample.grad().to_vector<float>() ==
          std::vector<float>(values.size(), static_cast<float>(1.0 / 7)));
    check_error([&] { (void)part.mean(Tensor::zeros({7})); }, {"Part::mean", "f32[7]", "samples"});
    check_error([&] { (void)part.mean(Tensor::zeros({part.size(), 1})); }, {"Part::mean"});
    check_error([&] { (void)part.mean({}); }, {"Part::mean", "undefined"});
  }
  CHECK(shares == std::vector<double>{15 * static_cast<float>(1.0 / 7), 112 * static_cast<float>(1.0 / 7)});

  const data::Part whole = *data::Loader(split_of(7), {.batch = 7}).epoch(0).begin();
  CHECK(whole.is_whole_batch());
  check_error([] { (void)data::Part{}.images(); }, {"view 0 of a part that has 0"});
  check_error([] { (void)data::Part{.labels = Tensor::zeros({2})}.mean(Tensor::zeros({2})); },
              {"0 samples", "batch_samples"});
}

TEST_CASE("an error in a worker reaches the loop, naming the batch", "[data][loader]") {
  data::Split split = split_of(60);
  split.labels = Tensor::zeros({60});  // f32: reading them as integers throws
  for (const int workers : {0, 1, 3}) {
    INFO(workers << " workers");
    int batches = 0;
    check_error(
        [&] {
          for (const data::Part& part : data::Loader(split, {.batch = 10, .workers = workers}).epoch(7)) {
            batches += static_cast<int>(part.samples.size()) > 0;
          }
        },
        {"loader: epoch 7, batch 0: "});
    CHECK(batches == 0);
  }
}

TEST_CASE("leaving the loop early stops the workers", "[data][loader]") {
  const data::Loader loader(split_of(400), {.batch = 4, .workers = 4, .prefetch = 8});
  for (int epoch = 0; epoch < 20; ++epoch) {
    int taken = 0;
    for (const data::Part& part : loader.epoch(epoch)) {
      if (++taken > epoch % 5 || part.batch == 99) break;
    }
  }
  { const data::Epoch never_begun = loader.epoch(0); }
  data::Epoch moved = loader.epoch(1);
  data::Epoch to = std::move(moved);
  CHECK(to.begin()->batch == 0);
}

TEST_CASE("a batch in a structured binding", "[data][loader]") {
  const data::Loader loader(split_of(12), {.batch = 5});
  std::int64_t seen = 0;
  for (auto [images, labels] : loader.epoch(0)) {
    CHECK(images.shape() == Shape{labels.size(0), 6, 6, 3});
    CHECK(images.dtype() == DType::f32);
    seen += labels.size(0);
  }
  CHECK(seen == 12);
}

TEST_CASE("loaders refuse options that make no sense", "[data][loader]") {
  const data::Split split = split_of(10);
  const auto with = [&](const data::LoaderOptions& options) {
    return [&split, options] { data::Loader(split, options); };
  };
  check_error(with({.batch = 11}), {"a batch of 11", "10 images", "at most 10"});
  check_error(with({.batch = 0}), {"batch 0"});
  check_error(with({.batch = 5, .micro_batch = -1}), {"micro_batch -1"});
  check_error(with({.batch = 5, .views = 0}), {"0 views", "1 to 16"});
  check_error(with({.batch = 5, .views = 17}), {"17 views"});
  check_error(with({.batch = 5, .workers = -1}), {"-1 workers"});
  check_error(with({.batch = 5, .prefetch = 0}), {"prefetch 0"});
  check_error(with({.batch = 5, .augment = {.padding = -2}}), {"pads by -2"});
  check_error(with({.batch = 5, .augment = {.cutout = -1}}), {"a cutout of -1"});
  check_error(with({.batch = 5, .share = {.index = 2, .of = 2}}), {"share 2 of 2", "0 to 1"});
  check_error(with({.batch = 3, .share = {.of = 4}}), {"a batch of 3 samples for 4 ranks"});
  check_error(with({.batch = 4, .share = {.of = 3}}), {"the last batch", "has 2, for 3 ranks", "drop_last"});
  check_error([] { data::Loader(data::Split{}, {}); }, {"empty"});
  data::Split wrong = split;
  wrong.std.push_back(1.0f);
  check_error([&] { data::Loader(wrong, {.batch = 5}); }, {"3 means and 4 standard deviations"});
  wrong.images = Tensor::zeros({10, 6, 6, 3});
  check_error([&] { data::Loader(wrong, {.batch = 5}); }, {"images are f32[10, 6, 6, 3]", "expected u8"});
}

TEST_CASE("evaluation takes everything in order", "[data][loader]") {
  const data::Split split = split_of(30);
  std::vector<std::int64_t> in_order(30);
  std::iota(in_order.begin(), in_order.end(), std::int64_t{0});
  const Record all = record(data::evaluation_loader(split, 8), 0);
  CHECK(all.samples == in_order);
  CHECK(all.sizes == std::vector<std::int64_t>{8, 8, 8, 6});
  CHECK(record(data::evaluation_loader(split, 500), 0).sizes == std::vector<std::int64_t>{30});
}
