// Of every rank, as parallel_collective.cpp: the data of a run lie once in the memory of a machine.
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "catch.h"
#include "core/parallel/collective.h"
#include "data/identity.h"
#include "train/host_data.h"

namespace lamina {
namespace {

train::ResolvedRecipe recipe_of(const std::string& data, double valid) {
  train::Recipe recipe;
  recipe.data = data;
  recipe.valid = valid;
  recipe.normalise = "imagenet";
  return train::resolve(recipe);
}

train::TrainingData on_host(const train::ResolvedRecipe& recipe) {
  return train::open_on_host(recipe, &collective(), [&] { return train::open_data(recipe); });
}

// This process's memory, of what it shares its part.
double proportional_bytes() {
  std::ifstream file("/proc/self/smaps_rollup");
  std::string word;
  double kilobytes = 0;
  while (file >> word && word != "Pss:") {
  }
  REQUIRE(file >> kilobytes);
  return kilobytes * 1024;
}

void check_same(const data::Split& split, const data::Split& expected) {
  CHECK(data::identity_of(split).digest == data::identity_of(expected).digest);
  CHECK(split.size() == expected.size());
  CHECK(split.mean == expected.mean);
  CHECK(split.std == expected.std);
}

}  // namespace

TEST_CASE("the ranks of a machine hold the images of a run once", "[parallel]") {
  if (collective().size() == 1) return;
  const train::ResolvedRecipe recipe = recipe_of("synthetic:32x32x3x4", 0.25);
  const double before = proportional_bytes();
  const train::TrainingData data = on_host(recipe);
  double bytes = 0;
  std::string digests;  // which looks at every page
  for (const data::Split* split : {&data.set.train, &data.set.test, &data.valid}) {
    bytes += static_cast<double>(split->images.bytes());
    digests += data::identity_of(*split).digest;
  }
  for (const std::string& of_rank : collective().gather(digests)) CHECK(of_rank == digests);
  // A quarter is for what else grew; a copy of one's own would be a whole.
  CHECK(bytes > 3e7);
  CHECK(proportional_bytes() - before < bytes / collective().size() + bytes / 4);
  collective().barrier();  // with those that still measure, who share it
}

TEST_CASE("shared data are those that each would have opened, and what one writes is its own", "[parallel]") {
  const train::ResolvedRecipe recipe = recipe_of("synthetic:8x8x3x4", 0.25);
  const train::TrainingData data = on_host(recipe), expected = train::open_data(recipe);
  CHECK(data.set.name == "synthetic");
  CHECK(data.set.classes == expected.set.classes);
  CHECK(data.set.notes == expected.set.notes);
  CHECK(data::to_json(data.set.identity) == data::to_json(expected.set.identity));
  check_same(data.set.train, expected.set.train);
  check_same(data.set.test, expected.set.test);
  check_same(data.valid, expected.valid);
  CHECK(data.valid.size() > 0);

  auto* first = data.set.train.images.data<std::uint8_t>();
  const auto was = *first;
  collective().barrier();
  *first = static_cast<std::uint8_t>(was + 1 + collective().rank());
  collective().barrier();
  CHECK(*first == static_cast<std::uint8_t>(was + 1 + collective().rank()));
}

TEST_CASE("where no memory can be shared each rank opens its own data, and the first says why",
          "[parallel]") {
  if (collective().size() == 1) return;
  const train::ResolvedRecipe recipe = recipe_of("synthetic:8x8x3x4", 0);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const train::TrainingData data = train::open_on_host(recipe, &collective(), [&] {
    train::TrainingData opened = train::open_data(recipe);
    const int next = ::dup(STDIN_FILENO);
    REQUIRE(next >= 0);
    ::close(next);
    const rlimit no_more{.rlim_cur = static_cast<rlim_t>(next), .rlim_max = before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &no_more) == 0);
    return opened;
  });
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  check_same(data.set.train, train::open_data(recipe).set.train);
  if (collective().rank_on_host() == 0)
    CHECK_THAT(data.set.notes.back(), Catch::Matchers::Contains("each rank holds a copy: memory that "
                                                                "processes share cannot be made"));
}

TEST_CASE("ranks with other data have their own, and so has one that is alone with them", "[parallel]") {
  const bool differs = collective().rank() == collective().size() - 1;
  const train::ResolvedRecipe recipe = recipe_of(differs ? "synthetic:8x8x3x5" : "synthetic:8x8x3x4", 0);
  int opened = 0;
  const train::TrainingData data = train::open_on_host(recipe, &collective(), [&] {
    ++opened;
    return train::open_data(recipe);
  });
  CHECK(data.set.classes.size() == (differs ? 5 : 4));
  CHECK(opened == (differs || collective().rank_on_host() == 0 ? 1 : 0));
  check_same(data.set.train, train::open_data(recipe).set.train);
}

}  // namespace lamina
