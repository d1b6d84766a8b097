// lamina replay: files that do not fit, values that are not finite, commands that make no sense.
#include "catch.h"
#include "core/files/safetensors.h"
#include "replay_example.h"

namespace lamina::tests {
namespace {

struct Files {
  TensorFile params, grads;
};

Files good() {
  Files files;
  files.params.tensors = {{"a.weight", Tensor::full({2, 3}, 0.5)}, {"a.bias", Tensor::zeros({2})}};
  files.grads.tensors = {{"a.weight", Tensor::full({4, 2, 3}, 0.1)}, {"a.bias", Tensor::full({4, 2}, 0.1)}};
  return files;
}

Tensor with(Tensor tensor, std::int64_t index, float value) {
  tensor.data<float>()[index] = value;
  return tensor;
}

// Runs replay on the files in a folder of their own, in which nothing may be left behind.
void check_refused(const Files& files, const Arguments& more, int status,
                   const std::vector<std::string>& message) {
  const TemporaryFolder folder;
  const std::string params = folder / "p", grads = folder / "g", out = folder / "out";
  write_tensors(params, files.params);
  write_tensors(grads, files.grads);
  const Outcome outcome = run(
      Arguments{"replay", "--optimizer", "lars", "--params", params, "--grads", grads, "--out", out} + more);
  INFO(outcome.err);
  CHECK(outcome.status == status);
  CHECK(outcome.out.empty());
  for (const std::string& part : message) {
    INFO("missing: " << part);
    CHECK(outcome.err.find(part) != std::string::npos);
  }
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 2);
}

}  // namespace

TEST_CASE("replay refuses files that do not fit each other") {
  const Tensor three_by_two = Tensor::full({4, 3, 2}, 0.1), one_more = Tensor::full({5, 2}, 0.1);
  Files files = good();
  SECTION("shapes") {
    files.grads.tensors[0].second = three_by_two;
    check_refused(files, {}, 1, {"a.weight", "[2, 3]", "[4, 3, 2]"});
  }
  SECTION("no step axis") {
    files.grads.tensors[0].second = Tensor::full({2, 3}, 0.1);
    check_refused(files, {}, 1, {"a.weight", "[steps, *shape]"});
  }
  SECTION("numbers of steps") {
    files.grads.tensors[1].second = one_more;
    check_refused(files, {}, 1, {"a.bias has gradients of 5 steps", "a.weight of 4"});
  }
  SECTION("no steps") {
    files.grads.tensors = {{"a.weight", Tensor::zeros({0, 2, 3})}, {"a.bias", Tensor::zeros({0, 2})}};
    check_refused(files, {}, 1, {"no steps"});
  }
  SECTION("a gradient is missing") {
    files.grads.tensors.pop_back();
    check_refused(files, {}, 1, {"no gradients for a.bias"});
  }
  SECTION("a parameter is missing") {
    files.params.tensors.pop_back();
    check_refused(files, {}, 1, {"no parameter for a.bias"});
  }
  SECTION("no tensors") {
    files.params.tensors.clear();
    check_refused(files, {}, 1, {"file of parameters holds no tensors"});
  }
  SECTION("whole numbers") {
    files.grads.tensors[1].second = Tensor::zeros({4, 2}, {.dtype = DType::i32});
    check_refused(files, {}, 1, {"a.bias among the gradients is i32[4, 2]", "floating point"});
  }
  SECTION("two dtypes") {
    files.params.tensors[1].second = Tensor::zeros({2}, {.dtype = DType::f64});
    check_refused(files, {}, 2, {"a.weight is f32", "a.bias is f64", "--dtype"});
  }
}

TEST_CASE("replay refuses values that are not finite, and names the tensor and the step") {
  Files files = good();
  SECTION("NaN in a gradient") {
    with(files.grads.tensors[0].second, 2 * 6 + 4, std::nanf(""));
    check_refused(files, {}, 1, {"gradient of a.weight at step 3", "element 4", "nan"});
  }
  SECTION("infinite gradient") {
    with(files.grads.tensors[1].second, 7, -INFINITY);
    check_refused(files, {}, 1, {"gradient of a.bias at step 4", "-inf"});
  }
  SECTION("finite in f64 only") {
    files.grads.tensors[1].second = Tensor::full({4, 2}, 1e300, {.dtype = DType::f64});
    check_refused(files, {}, 1, {"gradient of a.bias at step 1", "f32"});
  }
  SECTION("NaN in a parameter") {
    with(files.params.tensors[1].second, 1, std::nanf(""));
    check_refused(files, {}, 1, {"parameter a.bias before the first step", "element 1"});
  }
  SECTION("a step that overflows") {
    check_refused(files, {"--optimizer", "sgd", "--lr", "1e39"}, 1, {"a.weight", "step"});
    check_refused(files, {"--optimizer", "sgd", "--lrs", "0,0,0,1e39"}, 1, {"after step 4"});
  }
}

TEST_CASE("replay refuses a command line that makes no sense") {
  const Files files = good();
  check_refused(files, {"--lrs", "1,2,3"}, 2, {"3 learning rates for 4 recorded steps"});
  check_refused(files, {"--lrs", "1,2,3,-4"}, 2, {"--lrs -4"});
  check_refused(files, {"--lrs", "1,2,3,nan"}, 2, {"--lrs nan"});
  check_refused(files, {"--lrs", "1,2,3,4", "--lr", "1"}, 2, {"--lr and --lrs"});
  check_refused(files, {"--lr", "-1"}, 2, {"--lr -1: expected a finite number of at least 0"});
  check_refused(files, {"--dtype", "bf16"}, 2, {"--dtype bf16", "f32 or f64"});
  check_refused(files, {"--optimizer", "larz"}, 2, {"larz", "tvlars"});
  check_refused(files, {"--optimizer", "lars:papers"}, 2, {"papers", "barlowtwins"});
  check_refused(files, {"--set", "eta=1"}, 2, {"eta", "trust_coefficient"});
  check_refused(files, {"--batch", "0"}, 2, {"--batch 0"});
  for (const char* flag : {"--optimizer", "--params", "--grads", "--out"})
    check_refused(files, {std::string(flag) + "="}, 2, {flag});
}

TEST_CASE("replay names the file that it cannot read or write, and leaves nothing half-written") {
  const TemporaryFolder folder;
  const fs::path out = folder / "out";
  const auto check_failed = [&](const Arguments& more, std::initializer_list<std::string> message,
                                ProgramOptions options = {}) {
    const Outcome outcome = run(example(out) + more, options);
    INFO(outcome.err);
    CHECK(outcome.status == 1);
    CHECK(outcome.out.empty());
    for (const std::string& part : message) CHECK(outcome.err.find(part) != std::string::npos);
  };
  std::ofstream(folder / "text") << "hello, this is not a safetensors file";
  std::ofstream(folder / "empty") << "";
  check_failed({"--params", folder / "text"}, {"text", "not a safetensors file"});
  check_failed({"--grads", folder / "empty"}, {"empty", "the file is empty"});
  check_failed({"--grads", folder / "none"}, {"none", "No such file"});
  check_failed({"--out", folder.path()}, {folder.path()});
  check_failed({"--out", folder / "no/such/folder"}, {"no/such/folder"});
  check_failed({}, {out}, {.largest_file = 1000});  // as if the disk were full; more than the message
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 2);

  const std::string params = folder / "params";
  fs::copy_file(source_dir + "/docs/replay/params.safetensors", params);
  const Outcome same = run(example(out) + Arguments{"--params", params, "--out", params});
  CHECK(same.status == 2);
  CHECK(same.err.find("would replace an input") != std::string::npos);
}

}  // namespace lamina::tests
