#include "analysis/curvature.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "analysis/vectors.h"
#include "core/base/csv.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/interrupt.h"
#include "core/base/note.h"
#include "core/base/option_name.h"

namespace lamina::analysis {
namespace {

constexpr const char* csv_header =
    "epoch,step,loss,grad_norm,lambda_1,residual,lambda_min,trace,trace_stderr,frobenius,lr,products";

struct Interrupted {};  // by a signal, between products

std::string number(double x) { return std::isnan(x) ? "" : fmt::format("{:.9g}", x); }

// Both ends of the spectrum at once: what the next measurement starts from.
Tensor warm_start(const EigenResult& found) {
  const Tensor both[]{found.vectors.front(), found.smallest_vector};
  return combine(both, std::vector<double>{1, 1});
}

}  // namespace

Curvature::Curvature(std::vector<data::Part> samples, const CurvatureOptions& options)
    : samples_(std::move(samples)), options_(options) {
  if (options.every < 1)
    fail_usage("{} {}: expected at least 1", option_name("sharpness_every"), options.every);
}

struct Curvature::Log : CsvFile {
  using CsvFile::CsvFile;
};

// With the checkpoints alone: a run that cannot start leaves nothing, and one that cannot write goes on from
// the last.
void Curvature::write_rows() {
  if (directory_.empty()) return;
  if (log_ == nullptr) log_ = std::make_unique<Log>(directory_ / "curvature.csv", csv_header, known_through_);
  for (const std::string& row : rows_) log_->add(row);
  rows_.clear();
}

Curvature::~Curvature() = default;

void Curvature::start(const TrainingRun& run) {
  run_ = &run;
  epochs_ = run.epochs;
  surface_.emplace(run.objective, samples_, options_.batch_norm);
  layers_ = layers_of(*surface_);
  directory_ = run.directory;
  const bool goes_on = run.position.step > 0;
  if (goes_on && !directory_.empty()) resume(run.position);
  known_through_ = goes_on ? run.position.epoch : -1;
  if (!goes_on) measure_at(0);
}

bool Curvature::measure(EpochResult& result) {
  if (result.epoch % options_.every != 0 && result.epoch != epochs_) {
    result.measured.push_back(no_measurement);
    return true;
  }
  if (!measure_at(result.epoch)) return false;
  result.measured.push_back(lambda_1_);
  return true;
}

bool Curvature::measure_at(std::int64_t epoch) {
  SharpnessOptions options{
      .eigenvalues = options_.eigenvalues, .trace = options_.trace, .layers = options_.layers};
  options.eigenvalues.start = warm_start_;
  options.progress = [](const std::string&) {
    if (InterruptHandler::signal() != 0) throw Interrupted();
  };
  Sharpness found;
  try {
    found = measure_sharpness(*surface_, options);
  } catch (const Interrupted&) {
    return false;
  }
  take_rates();
  const EigenResult& eigen = found.eigenvalues;
  warm_start_ = warm_start(eigen);
  lambda_1_ = eigen.values.front();
  add_layers(epoch, found);
  rows_.push_back(fmt::format("{},{},{},{},{},{},{},{},{},{},{},{}", epoch, run_->position.step,
                              number(found.loss), number(found.gradient_norm), number(lambda_1_),
                              number(eigen.residuals.front()), number(eigen.smallest),
                              number(found.trace->trace.mean), number(found.trace->trace.standard_error),
                              number(found.trace->frobenius), number(rate(0)), found.products));
  return true;
}

// lr · trust of each layer's weights in the last step: TVLARS' φ is within the trust ratio.
void Curvature::take_rates() {
  if (last_step_.layers.empty()) return;
  std::vector<double> rates{last_step_.lr};
  const std::vector<Segment>& segments = run_->optimizer.segments();
  for (const Layer& layer : layers_) {
    rates.push_back(no_measurement);
    for (std::size_t k = 0; k < segments.size(); ++k)
      if (segments[k].name == surface_->parameters()[layer.parameters.front()].name)
        rates.back() = last_step_.lr * last_step_.layers[k].trust;
  }
  rates_ = Tensor::from(rates, {std::ssize(rates)});
}

double Curvature::rate(std::size_t index) const {
  return rates_.defined() ? rates_.data<double>()[index] : no_measurement;
}

void Curvature::add_layers(std::int64_t epoch, const Sharpness& found) {
  measured_epochs_.push_back(static_cast<std::int32_t>(epoch));
  for (std::size_t k = 0; k < found.layers.size(); ++k) {
    columns_.weight_norm.push_back(static_cast<float>(found.layers[k].weight_norm));
    columns_.trace.push_back(static_cast<float>(found.layers[k].trace->mean));
    columns_.trace_stderr.push_back(static_cast<float>(found.layers[k].trace->standard_error));
    columns_.lr.push_back(static_cast<float>(rate(k + 1)));
    if (options_.layers) columns_.eigenvalue.push_back(static_cast<float>(*found.layers[k].eigenvalue));
  }
}

// A checkpoint may fail after this, and the run go on from the one before: so what was saved for that stays.
void Curvature::save() {
  if (directory_.empty()) return;
  const auto rows = std::ssize(measured_epochs_), layers = std::ssize(layers_);
  TensorFile file;
  file.tensors.emplace_back("epoch", Tensor::from(measured_epochs_, {rows}));
  const auto add = [&](const char* name, const std::vector<float>& values) {
    file.tensors.emplace_back(name, Tensor::from(values, {rows, layers}));
  };
  add("weight_norm", columns_.weight_norm);
  add("trace", columns_.trace);
  add("trace_stderr", columns_.trace_stderr);
  add("lr", columns_.lr);
  if (options_.layers) add("eigenvalue", columns_.eigenvalue);
  nlohmann::json names = nlohmann::json::array();
  for (const Layer& layer : layers_) names.push_back(layer.range.name);
  file.metadata = {{"layers", names.dump()},
                   {"bn", name_of(options_.batch_norm)},
                   {"samples", std::to_string(surface_->samples())}};
  take_rates();
  const std::int64_t step = run_->position.step;
  const auto add_state = [&file](std::int64_t at, const Tensor& start, const Tensor& rates) {
    file.tensors.emplace_back(fmt::format("start.{}", at), start);
    if (rates.defined()) file.tensors.emplace_back(fmt::format("rates.{}", at), rates);
  };
  if (saved_start_.defined() && saved_step_ != step) add_state(saved_step_, saved_start_, saved_rates_);
  if (warm_start_.defined()) add_state(step, warm_start_, rates_);
  write_tensors(directory_ / "curvature.safetensors", file);
  saved_step_ = step;
  saved_start_ = warm_start_, saved_rates_ = rates_;
  write_rows();
  log_->sync();
}

void Curvature::resume(const TrainingPosition& position) {
  const std::filesystem::path path = directory_ / "curvature.safetensors";
  if (!is_there(path)) return;
  const TensorFile file = read_tensors(path);
  const std::vector<std::int32_t> epochs = file.at("epoch").to_vector<std::int32_t>();
  std::size_t rows = 0;
  while (rows < epochs.size() && epochs[rows] <= position.epoch) ++rows;
  measured_epochs_.assign(epochs.begin(), epochs.begin() + static_cast<std::ptrdiff_t>(rows));
  const auto take = [&](const char* name, std::vector<float>& values) {
    const Tensor& column = file.at(name);
    check(column.rank() == 2 && column.size(0) == std::ssize(epochs) && column.size(1) == std::ssize(layers_),
          "{}: {} is {}; expected [{}, {}]: of another run?", path.string(), name, column, epochs.size(),
          layers_.size());
    values = column.rows(0, static_cast<std::int64_t>(rows)).to_vector<float>();
  };
  take("weight_norm", columns_.weight_norm);
  take("trace", columns_.trace);
  take("trace_stderr", columns_.trace_stderr);
  take("lr", columns_.lr);
  if (options_.layers) take("eigenvalue", columns_.eigenvalue);
  const Tensor* start = file.find(fmt::format("start.{}", position.step));
  if (start == nullptr) {
    note("{}: nothing for step {}; the next measurement starts from a random vector", path.string(),
         position.step);
    return;
  }
  warm_start_ = saved_start_ = *start;
  if (const Tensor* rates = file.find(fmt::format("rates.{}", position.step))) rates_ = saved_rates_ = *rates;
  saved_step_ = position.step;
}

}  // namespace lamina::analysis
