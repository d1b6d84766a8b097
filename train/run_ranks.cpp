#include "train/run_ranks.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <span>

#include "core/base/digest.h"
#include "core/base/error.h"
#include "core/base/rounding.h"
#include "core/base/version.h"
#include "data/identity.h"

namespace lamina::train {
namespace {

std::span<std::byte> bytes_of(const Tensor& tensor) {
  return {tensor.raw(), static_cast<std::size_t>(tensor.bytes())};
}

// What a rank needs to know of a file that it is to receive.
nlohmann::json outline(const TensorFile& file) {
  nlohmann::json tensors = nlohmann::json::array();
  for (const auto& [name, tensor] : file.tensors)
    tensors.push_back({{"name", name},
                       {"dtype", static_cast<int>(tensor.dtype())},
                       {"shape", std::vector<std::int64_t>(tensor.shape().begin(), tensor.shape().end())}});
  return {{"metadata", file.metadata}, {"tensors", tensors}};
}

TensorFile empty_file(const nlohmann::json& outline) {
  TensorFile file{{}, outline.at("metadata").get<decltype(TensorFile::metadata)>()};
  for (const nlohmann::json& tensor : outline.at("tensors")) {
    const auto extents = tensor.at("shape").get<std::vector<std::int64_t>>();
    const auto dtype = static_cast<DType>(tensor.at("dtype").get<int>());
    file.tensors.emplace_back(tensor.at("name"),
                              Tensor::empty(Shape(extents.begin(), extents.end()), {.dtype = dtype}));
  }
  return file;
}

// Not where the data lie, but what they are; nor how a rank's own machine is used.
nlohmann::json what_must_agree(const nlohmann::json& config) {
  nlohmann::json options = config.at("options");
  for (const char* own : {"data", "threads", "workers", "memory_limit"}) options.erase(own);
  nlohmann::json resolved = config.value("resolved", nlohmann::json::object());
  const nlohmann::json data = resolved.value("data", nlohmann::json::object());
  for (nlohmann::json* where : {&options, &resolved})  // each rank has a GPU of its own
    for (const char* name : {"device", "kernels"})
      if (where->contains(name) && (*where)[name].is_string() &&
          where->at(name).get<std::string>().starts_with("cuda"))
        (*where)[name] = "cuda";
  for (const char* of_data :
       {"data", "classes", "mean", "std", "train_images", "test_images", "valid_images"})
    resolved.erase(of_data);
  return {{"options", options},
          {"resolved", resolved},
          {"data", data},
          {"version", version()},
          {"build", build_description()}};
}

// In words; empty: they are the same.
std::string differences_of_data(const nlohmann::json& there, const nlohmann::json& first) {
  const std::vector<std::string> found = data::data_differences(
      data::identity_from_json(there, "another rank"), data::identity_from_json(first, "rank 0"));
  return found.empty()
             ? ""
             : fmt::format("\n  data, there on that rank, here on rank 0: {}", fmt::join(found, "; "));
}

// In lines of their own, by their paths: "options/lr: 0.2, on rank 0 0.1".
std::string differences(nlohmann::json there, nlohmann::json first) {
  std::string text;
  if (there.contains("data") && first.contains("data"))
    text = differences_of_data(there["data"], first["data"]);
  there.erase("data"), first.erase("data");
  const nlohmann::json values = there.flatten(), expected = first.flatten();
  nlohmann::json names = values;
  names.update(expected);
  const auto value = [](const nlohmann::json& of, const std::string& name) {
    return of.contains(name) ? of[name].dump() : "nothing";
  };
  for (const auto& [name, unused] : names.items())
    if (value(values, name) != value(expected, name))
      text +=
          fmt::format("\n  {}: {}, on rank 0 {}", name.substr(1), value(values, name), value(expected, name));
  return text;
}

}  // namespace

data::Loader RunRanks::share_of(data::Loader loader) const {
  if (ranks_ == nullptr) return loader;
  data::LoaderOptions options = loader.options();
  options.share = {.index = ranks_->rank(), .of = ranks_->size()};
  return data::Loader(loader.split(), options);
}

data::Loader RunRanks::whole(data::Loader loader, bool sync_batch_norm) const {
  if (ranks_ == nullptr) return loader;
  data::LoaderOptions options = loader.options();
  options.share = {};
  if (options.micro_batch == 0 && !sync_batch_norm)
    options.micro_batch = ceil_div<std::int64_t>(options.batch, ranks_->size());
  return data::Loader(loader.split(), options);
}

data::Split RunRanks::share_of(const data::Split& split) const {
  if (ranks_ == nullptr) return split;
  const data::Share share{.index = ranks_->rank(), .of = ranks_->size()};
  const std::int64_t first = share.begin(split.size()), count = share.end(split.size()) - first;
  if (count == 0) return {};
  data::Split part = split;
  part.images = split.images.rows(first, count), part.labels = split.labels.rows(first, count);
  return part;
}

void RunRanks::add_up(Metrics& metrics) const {
  if (ranks_ == nullptr) return;
  std::vector<double> sums{static_cast<double>(metrics.samples), metrics.loss_sum};
  sums.insert(sums.end(), metrics.sums.begin(), metrics.sums.end());
  ranks_->sum(sums);
  metrics.samples = static_cast<std::int64_t>(sums[0]), metrics.loss_sum = sums[1];
  std::copy(sums.begin() + 2, sums.end(), metrics.sums.begin());
}

std::vector<double> RunRanks::of_each(double own) const {
  if (ranks_ == nullptr) return {own};
  std::vector<double> numbers(static_cast<std::size_t>(ranks_->size()));
  numbers[static_cast<std::size_t>(ranks_->rank())] = own;
  ranks_->sum(numbers);
  return numbers;
}

int RunRanks::first_of(int number) const {
  const std::vector<double> numbers = of_each(number);
  const auto found = std::find_if(numbers.begin(), numbers.end(), [](double n) { return n != 0; });
  return found == numbers.end() ? 0 : static_cast<int>(*found);
}

TensorFile RunRanks::hand_out(const TensorFile& file) const {
  if (ranks_ == nullptr) return file;
  const nlohmann::json outlined = hand_out(leads() ? outline(file) : nlohmann::json());
  TensorFile received = leads() ? file : empty_file(outlined);
  for (const auto& [name, tensor] : received.tensors) ranks_->broadcast(bytes_of(tensor), 0);
  return received;
}

nlohmann::json RunRanks::hand_out(const nlohmann::json& json) const {
  return ranks_ == nullptr ? json : nlohmann::json::parse(ranks_->gather(leads() ? json.dump() : "").front());
}

void RunRanks::check_same_run(const nlohmann::json& config) const {
  if (ranks_ != nullptr) check_alike(what_must_agree(config));
}

void RunRanks::check_alike(const nlohmann::json& told) const {
  if (ranks_ == nullptr) return;
  const std::vector<std::string> all = ranks_->gather(told.dump());
  const nlohmann::json first = nlohmann::json::parse(all.front());
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    const std::string found = differences(nlohmann::json::parse(all[rank]), first);
    check(found.empty(), "rank {} is to train something else than rank 0:{}\nStart all ranks alike", rank,
          found);
  }
}

void RunRanks::check_same_weights(const Arena& arena, std::int64_t epoch) const {
  if (ranks_ == nullptr) return;
  const Tensor values = arena.values().to(Device::cpu());
  const std::span<std::byte> bytes = bytes_of(values);
  const std::vector<std::string> digests =
      ranks_->gather(std::to_string(digest_of_bytes(bytes.data(), bytes.size())));
  for (std::size_t rank = 1; rank < digests.size(); ++rank)
    check(digests[rank] == digests.front(),
          "after epoch {} rank {} has other weights than rank 0, which must not be: their machines compute "
          "differently, or "
          "memory is damaged. Go on from a checkpoint before this, without that machine",
          epoch, rank);
}

}  // namespace lamina::train
