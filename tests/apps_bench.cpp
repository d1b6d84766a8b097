// `lamina bench`: its JSON holds what scripts rely on, with values that make sense.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "catch.h"
#include "program.h"

namespace lamina::tests {
namespace {

const Arguments tiny_model{"--model", "resnet8", "--image-size", "8", "--threads", "2"};

nlohmann::json run_json(const Arguments& arguments) {
  const Outcome outcome = run(arguments + tiny_model + Arguments{"--json"});
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);
  return nlohmann::json::parse(outcome.out);
}

double number(const nlohmann::json& json, const char* key) {
  INFO("key " << key);
  REQUIRE(json.contains(key));
  return json[key].get<double>();
}

bool close(double a, double b, double relative = 1e-6) { return std::abs(a - b) <= relative * std::abs(b); }

void check_positive(const nlohmann::json& json, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    INFO(key);
    CHECK(number(json, key) > 0);
  }
}

// The row of a kernel, which must be there.
nlohmann::json find_op(const nlohmann::json& ops, const std::string& name, const std::string& shape) {
  for (const nlohmann::json& op : ops) {
    if (op["name"] == name && op["shape"] == shape) return op;
  }
  FAIL("no " << name << " at " << shape << " in " << ops.dump(1));
  return {};
}

void check_refused(const Arguments& arguments, const std::vector<std::string>& parts) {
  const Outcome outcome = run(arguments);
  INFO(outcome.err);
  CHECK(outcome.status == 2);
  CHECK(outcome.out.empty());
  for (const std::string& part : parts) {
    INFO("missing: " << part);
    CHECK(outcome.err.find(part) != std::string::npos);
  }
}

}  // namespace

TEST_CASE("bench train measures steps whose parts add up") {
  const nlohmann::json json =
      run_json({"bench", "train", "--batch", "4", "--micro-batch", "3", "--steps", "2", "--warmup", "1"});
  CHECK(json["model"] == "resnet8");
  CHECK(json["device"] == "cpu");
  CHECK(json["precision"] == "f32");
  CHECK(json["batch"] == 4);
  CHECK(json["threads"] == 2);
  CHECK(json["steps"] == 2);
  check_positive(json, {"median_step_ms", "images_per_s", "peak_rss_mb", "peak_tensor_mb", "gflops",
                        "forward_ms", "backward_ms", "optimizer_ms", "min_step_ms"});
  const double step = number(json, "median_step_ms");
  const double parts =
      number(json, "forward_ms") + number(json, "backward_ms") + number(json, "optimizer_ms");
  CHECK(close(parts, step));
  CHECK(number(json, "min_step_ms") <= step);
  CHECK(close(number(json, "images_per_s"), 4000 / step));
  CHECK(number(json, "peak_tensor_mb") < number(json, "peak_rss_mb"));
}

TEST_CASE("bench train measures what a trace costs") {
  const nlohmann::json json = run_json({"bench", "train", "--model", "resnet8", "--batch", "2", "--optimizer",
                                        "lars", "--trace", "--steps", "2", "--warmup", "1"});
  const double plain = json.at("optimizer_ms"), traced = json.at("traced_optimizer_ms");
  CHECK(json.at("traced_step_ms") > traced);
  CHECK(json.at("trace_overhead").get<double>() ==
        Approx((traced - plain) / json.at("median_step_ms").get<double>()));
  CHECK_FALSE(run_json({"bench", "train", "--model", "resnet8", "--batch", "2", "--steps", "1"})
                  .contains("trace_overhead"));
}

TEST_CASE("bench ops lists the kernels of the model, each shape once") {
  const nlohmann::json json = run_json({"bench", "ops", "--batch", "4", "--repeat", "1"});
  const nlohmann::json& ops = json["ops"];
  double total = 0;
  for (const nlohmann::json& op : ops) {
    check_positive(op, {"count", "median_ms", "min_ms", "total_ms"});
    CHECK((op.contains("gflops") || op.contains("gb_per_s")));
    total += number(op, "total_ms");
  }
  CHECK(close(number(json, "total_ms"), total));
  check_positive(json, {"peak_gflops"});

  // Three blocks; two convolutions of one shape in the first, one in each other.
  const nlohmann::json conv = find_op(ops, "conv2d", "4x8x8x16 -> 16, 3x3");
  CHECK(conv["count"] == 2);
  CHECK(conv["x"] == nlohmann::json({4, 8, 8, 16}));
  CHECK(conv["weight"] == nlohmann::json({16, 3, 3, 16}));
  CHECK(conv["stride"] == 1);
  CHECK(conv["padding"] == 1);
  CHECK(close(number(conv, "gflops"), 2e-6 * 4 * 8 * 8 * 16 * 9 * 16 / number(conv, "median_ms")));
  // Blocks begin with a convolution that adds the gradient of its input to the shortcut's.
  CHECK(find_op(ops, "conv2d_grad_input", "4x8x8x16 -> 16, 3x3")["count"] == 1);
  CHECK(find_op(ops, "conv2d_add_grad_input", "4x8x8x16 -> 16, 3x3")["count"] == 1);
  CHECK(find_op(ops, "conv2d_add_grad_input", "4x8x8x16 -> 32, 3x3 / 2")["stride"] == 2);
  CHECK(find_op(ops, "conv2d_grad_weight", "4x8x8x3 -> 16, 3x3")["count"] == 1);
  CHECK(find_op(ops, "crop_images", "4x8x8x3")["count"] == 1);
  CHECK(find_op(ops, "batch_norm", "4x8x8x16, relu")["count"] == 2);
  CHECK(find_op(ops, "batch_norm_grad", "4x8x8x16 + residual, relu")["count"] == 1);
  CHECK(find_op(ops, "matmul", "4x64 * 10x64 transposed")["count"] == 1);
  find_op(ops, "cross_entropy_grad", "4x10");
  const bool grad_of_images = std::any_of(ops.begin(), ops.end(), [](const nlohmann::json& op) {
    return op["name"] == "conv2d_grad_input" && op["x"].back() == 3;
  });
  CHECK_FALSE(grad_of_images);
}

TEST_CASE("bench ops knows bottlenecks, shortcuts with convolutions, and the ImageNet stem") {
  const Arguments common{"bench",    "ops", "--model",      "resnet50", "--batch", "1",
                         "--repeat", "1",   "--image-size", "32",       "--json"};
  const auto ops_with = [&](const Arguments& more) {
    const Outcome outcome = run(common + more);
    INFO(outcome.err);
    REQUIRE(outcome.status == 0);
    return nlohmann::json::parse(outcome.out)["ops"];
  };
  const nlohmann::json imagenet = ops_with({"--stem", "imagenet", "--filter", "x64, 3x3 / 2"});
  CHECK(imagenet.size() == 2);  // the pool, forward and backward
  find_op(imagenet, "max_pool2d", "1x16x16x64, 3x3 / 2");
  const nlohmann::json norms = ops_with({"--stem", "imagenet", "--filter", "1x8x8x256"});
  CHECK(find_op(norms, "batch_norm", "1x8x8x256")["count"] == 1);  // of the shortcut
  CHECK(find_op(norms, "batch_norm", "1x8x8x256 + residual, relu")["count"] == 3);
  CHECK(find_op(norms, "conv2d", "1x8x8x256 -> 64, 1x1")["count"] == 2);
}

TEST_CASE("bench optimizer counts what a step must read and write") {
  // resnet8 at 10 classes; all but norms and the bias of the last layer adapt.
  struct Case {
    const char* optimizer;
    double update_floats;  // per parameter: gradient, and weight and state twice
    double norm_floats;    // per adapting parameter
  };
  for (const Case& c : {Case{"sgd", 5, 1}, Case{"adamw", 7, 1}, Case{"lars", 5, 2}, Case{"lamb", 7, 4}}) {
    const nlohmann::json json = run_json({"bench", "optimizer", "--optimizer", c.optimizer, "--repeat", "2"});
    INFO(json.dump(1));
    check_positive(
        json, {"median_ms", "min_ms", "gb_per_s", "machine_add_gb_per_s", "machine_add_in_place_gb_per_s",
               "ratio", "gb_per_s_with_norms", "ratio_with_norms"});
    CHECK(json["trace"] == false);
    const double parameters = number(json, "parameters");  // with the padding of the memory they lie in
    CHECK(close(number(json, "update_bytes"), 4 * c.update_floats * parameters, 0.01));
    CHECK(close(number(json, "norm_bytes"), 4 * c.norm_floats * parameters, 0.03));
    CHECK(close(number(json, "gb_per_s"), number(json, "update_bytes") / number(json, "median_ms") * 1e-6));
  }
  const nlohmann::json traced =
      run_json({"bench", "optimizer", "--optimizer", "sgd", "--trace", "--repeat", "1"});
  CHECK(traced["trace"] == true);
  CHECK(close(number(traced, "norm_bytes"), 8 * number(traced, "parameters"), 0.01));
}

TEST_CASE("bench prints tables for people") {
  for (const Arguments& command :
       {Arguments{"bench", "train", "--batch", "4", "--steps", "1"},
        Arguments{"bench", "ops", "--repeat", "1"}, Arguments{"bench", "optimizer", "--repeat", "1"}}) {
    const Outcome outcome = run(command + tiny_model);
    INFO(outcome.err);
    CHECK(outcome.status == 0);
    CHECK(outcome.out.find("resnet8") != std::string::npos);
    CHECK(outcome.out.find("----") != std::string::npos);
    CHECK(outcome.out.ends_with('\n'));
  }
}

TEST_CASE("bench parallel predicts from what it measured and from its formula") {
  const nlohmann::json result =
      run_json({"bench", "parallel", "--batch", "32", "--steps", "2", "--latency-us", "20", "--gbit", "10"});
  CHECK(result["ranks"] == 1);
  CHECK(result["ways_to_sum"].empty());
  check_positive(result, {"step_ms", "compute_ms", "images_per_s", "parameters"});
  const double image_ms = number(result, "compute_ms") / 32, bytes = 4 * number(result, "parameters");
  REQUIRE(result["predictions"].size() == 6);  // up to an image a rank
  for (const nlohmann::json& row : result["predictions"]) {
    const double n = number(row, "ranks");
    // A bucket of n MiB holds all of a ResNet-8's gradient; two messages to each other rank, at 1.25 GB/s.
    const double sum = 2 * (n - 1) * 0.02 + 2 * (1 - 1 / n) * bytes / 1.25e6, compute = image_ms * 32 / n;
    CHECK(close(number(row["networks"][0], "images_per_s"), 32e3 / (compute + sum)));
    CHECK(close(number(row["networks"][0], "efficiency"), compute / (compute + sum)));
  }
  check_refused({"bench", "parallel", "--gbit", "0"}, {"--gbit 0", "above 0"});
  check_refused({"bench", "parallel", "--device", "cuda"}, {"--device cuda", "on the CPU"});
}

TEST_CASE("bench refuses what makes no sense") {
  check_refused({"bench"}, {"say which: train, ops, optimizer"});
  check_refused({"bench", "trian"}, {"trian", "train, ops, optimizer"});
  check_refused({"bench", "train", "--setps", "3"}, {"--setps", "did you mean --steps?"});
  for (const char* part : {"train", "ops", "optimizer"}) {
    check_refused({"bench", part, "--model", "resnet21"}, {"resnet21", "resnet20", "resnet50"});
    check_refused({"bench", part, "--stem", "big"}, {"big", "cifar", "imagenet"});
    check_refused({"bench", part, "--image-size", "0"}, {"--image-size 0", "at least 1"});
    check_refused({"bench", part, "--classes", "0"}, {"--classes 0", "at least 1"});
    check_refused({"bench", part, "--threads", "-1"}, {"--threads -1", "at least 0"});
    check_refused({"bench", part, "--device", "gpu"}, {"gpu", "cuda"});
    check_refused({"bench", part, "--tf32"}, {"--tf32 concerns --device cuda"});
  }
  check_refused({"bench", "train", "--precision", "bf16"}, {"--precision bf16 concerns --device cuda"});
  check_refused({"bench", "ops", "--precision", "bf16"}, {"--precision"});
  check_refused({"bench", "train", "--optimizer", "adam"}, {"adam", "adamw", "tvlars"});
  check_refused({"bench", "train", "--batch", "0"}, {"--batch 0", "at least 1"});
  check_refused({"bench", "train", "--steps", "0"}, {"--steps 0", "at least 1"});
  check_refused({"bench", "train", "--warmup", "-1"}, {"--warmup -1", "at least 0"});
  check_refused({"bench", "train", "--batch", "4", "--micro-batch", "8"}, {"--micro-batch 8", "--batch 4"});
  check_refused({"bench", "ops", "--batch", "0"}, {"--batch 0", "at least 1"});
  check_refused({"bench", "ops", "--repeat", "0"}, {"--repeat 0", "at least 1"});
  check_refused({"bench", "ops", "--model", "resnet8", "--filter", "conv3d"},
                {"conv3d", "conv2d", "batch_norm"});
  check_refused({"bench", "optimizer", "--optimizer", "lars:papers"}, {"papers", "paper"});
  check_refused({"bench", "optimizer", "--repeat", "0"}, {"--repeat 0", "at least 1"});
}

}  // namespace lamina::tests
