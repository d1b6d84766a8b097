#include "train/checkpoint.h"

#include "target.h"

namespace lamina::fuzz {

// The position and the configuration in the metadata of a checkpoint.
FUZZ_TARGET(checkpoint) {
  const std::vector<std::string> pieces = pieces_of(input, 2);
  const std::filesystem::path path = empty_folder() / "checkpoint-1.safetensors";
  const TensorFile file{.tensors = {}, .metadata = {{"position", pieces[0]}, {"config", pieces[1]}}};
  if (!accepts([&] { write_tensors(path, file); })) return;  // not UTF-8
  train::Checkpoint checkpoint;
  if (!accepts([&] { checkpoint = train::read_checkpoint(path); })) return;
  expect(checkpoint.path == path, "it knows where it was read");
  expect(nlohmann::json::parse(pieces[1]) == checkpoint.config, "its configuration is the one written");
}

}  // namespace lamina::fuzz
