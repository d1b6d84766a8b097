// Every row of the op table: values, gradients, second derivatives; and that no op lacks a row.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>

#include "catch.h"
#include "core/base/error.h"
#include "gradient_check.h"
#include "op_inputs.h"

namespace lamina::tests {
namespace {

// "none" if equal up to `tolerance` relative to the largest element of the reference; NaN must meet NaN.
std::string value_mismatch(const Array& value, const Array& reference, double tolerance) {
  if (value.shape != reference.shape)
    return fmt::format("shape {} against {}", to_shape(value.shape).str(), to_shape(reference.shape).str());
  double largest = 0;
  for (const double v : reference.values) largest = std::max(largest, std::abs(v));
  for (std::size_t i = 0; i < value.values.size(); ++i)
    if (!(std::abs(value.values[i] - reference.values[i]) <= tolerance * largest))
      return fmt::format("element {}: {} against {}", i, value.values[i], reference.values[i]);
  return "none";
}

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The first group of every match in the files of a folder of the source tree.
void collect(const char* folder, const char* extension, const std::regex& pattern,
             std::set<std::string>& names) {
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(LAMINA_SOURCE_DIR) / folder)) {
    if (entry.path().extension() != extension) continue;
    const std::string text = read_text(entry.path());
    for (std::sregex_iterator match(text.begin(), text.end(), pattern), end; match != end; ++match)
      names.insert((*match)[1]);
  }
}

std::set<std::string> names_of(const Rows& rows) {
  std::set<std::string> names;
  for (const OpCase& row : rows) names.insert(row.op);
  return names;
}

// Small inputs on many threads are slow, and the result is the same.
struct OneThread {
  int before = threads();
  OneThread() { set_threads(1); }
  ~OneThread() { set_threads(before); }
};

}  // namespace

TEST_CASE("every op has a row in the table, and every row an op", "[ops]") {
  std::set<std::string> ops;
  // Recorded names, the elementwise functions' names, and the public functions. A no_gradient() label with
  // spaces describes an error, not an op.
  const std::regex recorded(R"re(\b(?:record|no_gradient)\(\s*"([a-z0-9_]+)")re");
  for (const char* folder : {"core", "core/ops"}) collect(folder, ".cpp", recorded, ops);
  collect("core/math", ".h", std::regex(R"re(\bname = "([a-z0-9_]+)")re"), ops);
  collect("core/ops", ".h", std::regex(R"re(\nTensor ([a-z0-9_]+)\()re"), ops);
  REQUIRE(ops.size() > 30);
  CHECK(ops.contains("conv2d_grad_weight"));
  ops.erase("cross_entropy");  // recorded by cross_entropy_per_sample, which has its own row
  std::set<std::string> rows = names_of(op_cases());
  rows.erase("cross_entropy");

  std::set<std::string> without_row, without_op;
  std::set_difference(ops.begin(), ops.end(), rows.begin(), rows.end(),
                      std::inserter(without_row, without_row.end()));
  std::set_difference(rows.begin(), rows.end(), ops.begin(), ops.end(),
                      std::inserter(without_op, without_op.end()));
  const std::set<std::string> none;
  CHECK(without_row == none);
  CHECK(without_op == none);
}

TEST_CASE("names of recorded ops are literals that the scan of this suite can see", "[ops]") {
  std::set<std::string> hidden;
  collect("core/ops", ".cpp", std::regex(R"re(\b(?:record|no_gradient)\(\s*([^"\s][^,]*),)re"), hidden);
  // `unary` records under the name of its functor.
  CHECK(hidden == std::set<std::string>{"name"});
}

TEST_CASE("ops agree with naive f64 references", "[ops]") {
  const OneThread one_thread;
  for (const OpCase& row : op_cases()) {
    INFO(row.name());
    const Arrays arrays = draw_inputs(row, 0);
    const Array reference = row.reference(arrays);
    // 600 products of f64 sum to about 600 * 1e-16; Winograd's transforms cost another factor of ten.
    CHECK(value_mismatch(array_of(row.apply(tensors_of(row, arrays, DType::f64))), reference, 1e-12) ==
          "none");
    // f32 rounds 5e8 times coarser.
    CHECK(value_mismatch(array_of(row.apply(tensors_of(row, arrays, DType::f32))), reference, 2e-5) ==
          "none");
  }
}

TEST_CASE("gradients agree with finite differences, and a planted error of 1 % does not", "[ops][gradient]") {
  const OneThread one_thread;
  for (const OpCase& row : op_cases()) {
    if (row.large || !row.differentiable()) continue;
    INFO(row.name());
    const Evaluation e(row, draw_inputs(row, kink_margin), DType::f64);
    const Tensor y = row.apply(e.inputs);
    const Tensor weights = projection(y, DType::f64, 7);
    const Tensors gradients = grad(project(y, weights), e.leaves);
    const auto f = [&] {
      const NoGrad no_grad;
      return project(row.apply(e.inputs), weights).item();
    };
    for (std::size_t i = 0; i < e.leaves.size(); ++i) {
      INFO("differentiable input " << i);
      const std::vector<double> numeric = numeric_gradient(f, e.leaves[i]);
      const std::vector<double> analytic = gradients[i].to_vector<double>();
      CHECK(gradient_mismatch(analytic, numeric) == "none");
      if (!all_zero(analytic)) CHECK(gradient_mismatch(with_planted_error(analytic), numeric) != "none");
    }
  }
}

// F(x, w) = sum over inputs of <v, d<w, y(x)>/dx>, as a function of the inputs and of w.
TEST_CASE("gradients of gradients agree with finite differences", "[ops][gradient]") {
  const OneThread one_thread;
  std::size_t checked = 0;
  for (const OpCase& row : op_cases()) {
    if (row.large || !row.second_derivative || !row.differentiable()) continue;
    INFO(row.name());
    const Evaluation e(row, draw_inputs(row, kink_margin), DType::f64);
    Tensors v;
    for (const Tensor& x : e.leaves) v.push_back(projection(x, DType::f64, 8 + v.size()));
    Tensors leaves = e.leaves;
    leaves.push_back(projection(row.apply(e.inputs), DType::f64, 7).requires_grad_());
    const auto gradient_projection = [&] {
      const Tensor y = project(row.apply(e.inputs), leaves.back());
      const Tensors g = grad(y, e.leaves, {}, {.create_graph = true});
      Tensor total = project(g[0], v[0]);
      for (std::size_t i = 1; i < g.size(); ++i) total = total + project(g[i], v[i]);
      return total;
    };
    const Tensors gradients = grad(gradient_projection(), leaves);
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      INFO("differentiable input " << i);
      const std::vector<double> numeric =
          numeric_gradient([&] { return gradient_projection().item(); }, leaves[i], 24);
      const std::vector<double> analytic = spread(gradients[i].to_vector<double>(), 24);
      CHECK(gradient_mismatch(analytic, numeric) == "none");
      if (!all_zero(analytic)) CHECK(gradient_mismatch(with_planted_error(analytic), numeric) != "none");
    }
    ++checked;
  }
  CHECK(checked > 100);
}

TEST_CASE("f32 gradients agree with f64 gradients", "[ops][gradient]") {
  const OneThread one_thread;
  for (const OpCase& row : op_cases()) {
    if (!row.differentiable()) continue;
    INFO(row.name());
    const Arrays arrays = draw_inputs(row, row.large ? 0 : kink_margin);
    const Tensors f32 = all_results(row, arrays, DType::f32), f64 = all_results(row, arrays, DType::f64);
    REQUIRE(f32.size() == f64.size());
    // Sums of up to 10^4 rounded products, relative to the largest: about 100 roundings of 6e-8.
    for (std::size_t i = 0; i < f32.size(); ++i) {
      INFO("result " << i);
      CHECK(value_mismatch(array_of(f32[i]), array_of(f64[i]), 1e-4) == "none");
    }
  }
}

}  // namespace lamina::tests
