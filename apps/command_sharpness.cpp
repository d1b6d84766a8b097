// `lamina sharpness`: the curvature of the loss where a network stands.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "analysis/open_surface.h"
#include "analysis/sharpness.h"
#include "apps/commands.h"
#include "apps/options.h"
#include "apps/output.h"
#include "apps/progress.h"
#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/note.h"
#include "core/base/table.h"
#include "data/loader.h"

namespace lamina::app {
namespace {

namespace fs = std::filesystem;

struct SharpnessCommand {
  analysis::SurfaceOptions surface;
  analysis::SharpnessOptions sharpness;
  analysis::TraceOptions trace;
  analysis::DensityOptions density;
  analysis::LayerOptions layers;
  analysis::PerturbationOptions perturbation;
  std::string bn = "eval", out, journal, progress = "auto";
  std::uint64_t seed = 0;
  bool with_trace = false, with_density = false, with_layers = false, with_perturbation = false, json = false;
};

// What was chosen, with the seed for all of it.
void complete(SharpnessCommand& command) {
  command.surface.batch_norm = analysis::parse_batch_norm_mode(command.bn);
  analysis::SharpnessOptions& options = command.sharpness;
  options.eigenvalues.seed = command.trace.seed = command.density.seed = command.layers.seed =
      command.perturbation.seed = command.seed;
  command.trace.least_probes = std::min(command.trace.least_probes, command.trace.most_probes);
  if (command.with_trace) options.trace = command.trace;
  if (command.with_density) options.density = command.density;
  if (command.with_layers) options.layers = command.layers;
  if (command.with_perturbation) options.perturbation = command.perturbation;
  options.journal = command.journal;
}

std::string eigenvalue_table(const analysis::Sharpness& found) {
  Table table({"eigenvalue", "value", "residual"});
  const analysis::EigenResult& eigen = found.eigenvalues;
  for (std::size_t i = 0; i < eigen.values.size(); ++i)
    table.add({fmt::format("{}", i + 1), fmt::format("{:.6g}", eigen.values[i]),
               fmt::format("{:.1e}", eigen.residuals[i])});
  table.add(
      {"smallest", fmt::format("{:.6g}", eigen.smallest), fmt::format("{:.1e}", eigen.smallest_residual)});
  return table.str();
}

std::string layer_table(const analysis::Sharpness& found) {
  const bool traces = found.trace.has_value(), values = found.layers.front().eigenvalue.has_value();
  std::vector<std::string> header{"layer", "|w|"};
  if (values) header.insert(header.end(), {"eigenvalue", "|w|^2 eigenvalue"});
  if (traces) header.insert(header.end(), {"trace", "std. error", "|w|^2 trace"});
  Table table(header);
  for (const analysis::LayerCurvature& layer : found.layers) {
    const double square = layer.weight_norm * layer.weight_norm;
    std::vector<std::string> row{layer.name, fmt::format("{:.4g}", layer.weight_norm)};
    if (values)
      row.insert(row.end(), {fmt::format("{:.4g}", *layer.eigenvalue),
                             fmt::format("{:.4g}", square * *layer.eigenvalue)});
    if (traces)
      row.insert(row.end(), {fmt::format("{:.4g}", layer.trace->mean),
                             fmt::format("{:.2g}", layer.trace->standard_error),
                             fmt::format("{:.4g}", square * layer.trace->mean)});
    table.add(row);
  }
  return table.str();
}

void print_text(const analysis::OpenedSurface& opened, const analysis::Sharpness& found) {
  print_result("{}:\nloss {:.6g}, gradient {:.4g}\n\n{}", opened.title(), found.loss, found.gradient_norm,
               eigenvalue_table(found));
  if (found.trace)
    print_result("\ntrace {:.4g} +- {:.2g} ({} probes), Frobenius norm {:.4g}\n", found.trace->trace.mean,
                 found.trace->trace.standard_error, found.trace->probes, found.trace->frobenius);
  if (found.rises)
    print_result("\nloss rises within {} (rho{}): one step {:.4g}, average {:.4g} +- {:.1g}, worst {:.4g}\n",
                 found.rises->rho, found.rises->adaptive ? ", adaptive" : "", found.rises->one_step,
                 found.rises->average.mean, found.rises->average.standard_error, found.rises->worst);
  if (!found.layers.empty()) print_result("\n{}", layer_table(found));
  if (!found.density.empty())
    print_result("\ndensity: {} nodes from {:.4g} to {:.4g}; --json and --out have them\n",
                 found.density.size(), found.density.front().value, found.density.back().value);
  print_result("\n{} products with the Hessian\n", found.products);
}

nlohmann::json describe(const analysis::OpenedSurface& opened, const analysis::Sharpness& found,
                        const SharpnessCommand& command) {
  nlohmann::json json = opened.describe();
  json.update(analysis::to_json(found));
  json["seed"] = command.seed;
  json["tolerance"] = command.sharpness.eigenvalues.tolerance;
  return json;
}

// Before minutes of products, not after them.
void check_out(const SharpnessCommand& command) {
  if (command.out.empty()) return;
  const fs::path out = command.out;
  if (is_there(out) && kind_at(out) != fs::file_type::regular)
    fail_usage("sharpness: --out {}: it is {}; expected the name of a file", command.out,
               kind_at(out) == fs::file_type::directory ? "a folder" : "no regular file");
  const fs::path folder = out.has_parent_path() ? out.parent_path() : ".";
  if (!is_there(folder) || kind_at(folder) != fs::file_type::directory)
    fail_usage("sharpness: --out {}: there is no folder {}; make it, or choose another name", command.out,
               folder.string());
}

int run_sharpness(SharpnessCommand command) {
  check_out(command);
  complete(command);
  analysis::OpenedSurface opened(command.surface);
  std::error_code none;
  if (fs::equivalent(command.out, opened.describe()["file"].get<std::string>(), none))
    fail_usage("sharpness: --out {} would replace what is measured", command.out);
  Progress progress(parse_progress(command.progress));
  command.sharpness.progress = [&progress](const std::string& line) { progress.status(line); };
  const analysis::Sharpness found = analysis::measure_sharpness(opened.surface(), command.sharpness);
  progress.clear();
  if (!found.eigenvalues.converged)
    note("the residuals are above {} of the largest eigenvalue after {} steps; --max-steps allows more",
         command.sharpness.eigenvalues.tolerance, command.sharpness.eigenvalues.max_steps);
  const nlohmann::json json = describe(opened, found, command);
  if (!command.out.empty())
    write_file_atomically(command.out,
                          json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  if (command.json) {
    print_result_json(json);
    return 0;
  }
  print_text(opened, found);
  if (!command.out.empty()) print_result("wrote {}\n", command.out);
  return 0;
}

// Throws UsageError for an option of a measure that was not asked for.
void check_effects(const Command& parser) {
  constexpr std::pair<const char*, const char*> needs[]{
      {"--probes", "--trace"},           {"--relative-error", "--trace"}, {"--density-steps", "--density"},
      {"--density-starts", "--density"}, {"--rho", "--perturbation"},     {"--adaptive", "--perturbation"}};
  for (const auto& [option, measure] : needs)
    if (parser.given(option) && !parser.given(measure))
      fail_usage("sharpness: {} does nothing without {}", option, measure);
}

void add_measures(const Command& parser, SharpnessCommand& command) {
  analysis::EigenOptions& eigenvalues = command.sharpness.eigenvalues;
  parser.option("--top", eigenvalues.top, "the largest so many eigenvalues", between(1, 1000));
  parser.option("--tolerance", eigenvalues.tolerance, "of residuals, as a part of the largest eigenvalue",
                NumberRange{.least = 0, .most = 1, .least_excluded = true, .most_excluded = true});
  parser.option("--max-steps", eigenvalues.max_steps, "products for the eigenvalues, at most",
                between(2, 1e6));
  parser.option("--power", eigenvalues.power,
                "shifted power iteration instead of Lanczos: slow, with little memory");
  parser.option("--trace", command.with_trace, "the trace, of each layer too");
  parser.option("--probes", command.trace.most_probes, "random vectors for the trace, at most",
                between(2, 1e6));
  parser.option("--relative-error", command.trace.relative_error, "of the trace, at which it is good enough",
                NumberRange{.least = 0, .most = 10, .least_excluded = true});
  parser.option("--density", command.with_density, "the density of all eigenvalues");
  parser.option("--density-steps", command.density.steps, "Lanczos steps from each start", between(1, 1e4));
  parser.option("--density-starts", command.density.starts, "random vectors to start from", between(1, 1e4));
  parser.option("--layers", command.with_layers, "the largest eigenvalue of each layer's block");
  parser.option("--perturbation", command.with_perturbation,
                "rises of the loss within rho: after SAM's step, on average, at worst");
  parser.option("--rho", command.perturbation.rho, "radius of --perturbation",
                NumberRange{.least = 0, .most = 1e9, .least_excluded = true});
  parser.option("--adaptive", command.perturbation.adaptive, "--perturbation in units of the weights");
}

}  // namespace

void add_sharpness_command(const Command& program) {
  const Command parser = program.add(
      "sharpness", "Eigenvalues, trace and density of the loss's Hessian, with residuals and errors");
  auto command = std::make_shared<SharpnessCommand>();
  analysis::SurfaceOptions& surface = command->surface;
  parser.argument("file", surface.file, "RUN|FILE");
  parser.option("--data", surface.data, "NAME[:DIR]; default: what the run was trained on");
  parser.option("--split", surface.split, "train or test");
  parser.option("--limit", surface.samples.samples,
                "use so many images, the same ones each time; 0: all; default: 1024, or all", at_least(0));
  parser.option("--bn", command->bn, "batch norm: eval (running statistics) or train (of each micro-batch)");
  parser.option("--micro-batch", surface.samples.micro_batch, "images at once", between(1, 1e9));
  add_measures(parser, *command);
  parser.option("--seed", command->seed, "of the random vectors");
  parser.option("--journal", command->journal,
                "FILE that keeps products until all is done, to go on after an interruption", "FILE");
  parser.option("--progress", command->progress, "auto, plain or none");
  parser.option("--workers", surface.samples.workers, "threads that prepare batches",
                between(0, data::most_workers));
  add_image_options(parser, surface.image_size, surface.skip_damaged, surface.max_pixels);
  add_options(parser, surface.model);
  parser.option("--out", command->out,
                "FILE.json for what --json prints; RUN/sharpness.json is drawn by reports of the run",
                "FILE.json");
  parser.option("--json", command->json, "one JSON object on standard output, nothing else");
  parser.runs([command, parser] {
    check_effects(parser);
    return run_sharpness(*command);
  });
}

}  // namespace lamina::app
