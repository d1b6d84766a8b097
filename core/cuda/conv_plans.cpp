#include "core/cuda/conv_plans.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <mutex>

#include "core/cuda/capture.h"
#include "core/cuda/cudnn_graph.h"
#include "core/cuda/fastest.h"
#include "core/cuda/plan_file.h"
#include "core/memory/scratch.h"

namespace lamina::cuda {
namespace {

constexpr int most_tried = 16;       // of cuDNN's proposals: engines come with several tile sizes each
constexpr int timings = 3;           // of each, the shortest counts
constexpr double most_runs = 20;     // in one timing
constexpr double long_enough = 0.2;  // of a timing, in milliseconds
// Spent on engines that compile at run time, whose choice is noted like any other: for one problem, and in
// all.
constexpr double compiling_one = 2, compiling_all = 20;  // seconds
constexpr std::size_t workspace_limit = std::size_t{1} << 30;

// What a choice depends on: cuDNN proposes the same engines in the same order while this stays the same.
std::string key_of(const ConvProblem& problem, std::size_t engines) {
  int device = 0;
  cudaDeviceProp properties{};
  check_cuda(cudaGetDevice(&device), "asking about the GPU");
  check_cuda(cudaGetDeviceProperties(&properties, device), "asking about the GPU");
  return fmt::format("{}, cuDNN {}, {} aligned to {}, tf32 {}, deterministic {}, {} engines", properties.name,
                     cudnn().cudnnGetVersion(), problem.str(), problem.alignment, problem.tf32,
                     problem.deterministic, engines);
}

struct CudnnDestroy {
  void operator()(cudnnContext* handle) const noexcept { cudnn().cudnnDestroy(handle); }
};
using CudnnHandle = std::unique_ptr<cudnnContext, CudnnDestroy>;

}  // namespace

class ConvPlans::Choices {
 public:
  void run(const ConvProblem& problem, const ConvPointers& pointers, const Resources& resources);
  std::string report() const;

 private:
  struct Trial {
    std::size_t engine;
    ConvPlan plan;
    std::string description;
  };
  struct Choice {
    ConvGraph graph;
    Engine engine;
    Trial trial;
  };
  Target target() const { return {.handle = handle_.get()}; }
  const Choice& choice_for(const ConvProblem& problem, const ConvPointers& pointers,
                           const Resources& resources);
  Choice choose(const ConvProblem& problem, const ConvPointers& pointers, const Resources& resources);
  Trial try_engines(const ConvProblem& problem, const std::vector<Engine>& engines, int most,
                    const ConvPointers& pointers, const Resources& resources);
  std::optional<Trial> make_known(const std::vector<Engine>& engines, int engine) const;
  void execute(const ConvPlan& plan, const ConvPointers& pointers, const Resources& resources) const;
  double milliseconds(const ConvPlan& plan, const ConvPointers& pointers, const Resources& resources,
                      double shortest) const;

  mutable std::mutex mutex_;
  CudnnHandle handle_;  // made when first used
  std::map<ConvProblem, Choice> choices_;
  double compiling_seconds_ = compiling_all;  // that are left
};

void ConvPlans::Choices::run(const ConvProblem& problem, const ConvPointers& pointers,
                             const Resources& resources) {
  const std::lock_guard lock(mutex_);
  execute(choice_for(problem, pointers, resources).trial.plan, pointers, resources);
}

void ConvPlans::Choices::execute(const ConvPlan& plan, const ConvPointers& pointers,
                                 const Resources& resources) const {
  const Scratch<std::byte> workspace(resources.allocator, static_cast<std::int64_t>(plan.workspace_bytes));
  cuda::execute(handle_.get(), plan, pointers, workspace.data());
}

// Of one run among several in a CUDA graph: the shorter kernels take less time than handing them out. A plan
// that will not come near the shortest time is run once.
double ConvPlans::Choices::milliseconds(const ConvPlan& plan, const ConvPointers& pointers,
                                        const Resources& resources, double shortest) const {
  const Scratch<std::byte> workspace(resources.allocator, static_cast<std::int64_t>(plan.workspace_bytes));
  const auto run = [&] { cuda::execute(handle_.get(), plan, pointers, workspace.data()); };
  run();  // loads the kernel
  const Stopwatch stopwatch(resources.stream);
  const double once = stopwatch.milliseconds(run);
  if (once > long_enough && once > 2 * shortest) return once;
  const auto runs = static_cast<int>(std::clamp(long_enough / once, 1.0, most_runs));
  const OwnedExecutableGraph graph = capture(resources.stream, [&] {
    for (int i = 0; i < runs; ++i) run();
  });
  double least = std::numeric_limits<double>::infinity();
  for (int i = 0; i < timings; ++i)
    least = std::min(least, stopwatch.milliseconds([&] {
      check_cuda(cudaGraphLaunch(graph.get(), resources.stream), "timing");
    }));
  return least / runs;
}

const ConvPlans::Choices::Choice& ConvPlans::Choices::choice_for(const ConvProblem& problem,
                                                                 const ConvPointers& pointers,
                                                                 const Resources& resources) {
  const auto known = choices_.find(problem);
  if (known != choices_.end()) return known->second;
  check_not_capturing(resources.stream, "choosing how to compute " + problem.str());
  if (handle_ == nullptr) {
    cudnnHandle_t made = nullptr;
    check_cudnn(cudnn().cudnnCreate(&made), "starting");
    CudnnHandle handle(made);
    check_cudnn(cudnn().cudnnSetStream(made, resources.stream), "choosing a stream");
    handle_ = std::move(handle);
  }
  return choices_.emplace(problem, choose(problem, pointers, resources)).first->second;
}

// The engine that the file of plans names, or the fastest one. Where no file can be kept and runs must be
// repeatable: the first that cuDNN proposes.
ConvPlans::Choices::Choice ConvPlans::Choices::choose(const ConvProblem& problem,
                                                      const ConvPointers& pointers,
                                                      const Resources& resources) {
  const auto start = std::chrono::steady_clock::now();
  ConvGraph graph = make_graph(target(), problem);
  std::vector<Engine> engines = engines_for(target(), graph, problem);
  std::optional<Trial> trial;
  const auto fastest = [&] {
    trial = try_engines(problem, engines, most_tried, pointers, resources);
    return static_cast<int>(trial->engine);
  };
  const std::optional<int> noted = PlanFile::of_user().choose(key_of(problem, engines.size()), fastest);
  if (noted.has_value() && !trial.has_value()) trial = make_known(engines, *noted);
  if (!noted.has_value() || !trial.has_value()) {
    const int most = problem.deterministic ? 1 : most_tried;
    trial = try_engines(problem, engines, most, pointers, resources);
  }
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
  trial->description +=
      fmt::format("; {} proposed, {} of them compiled at run time; {:.2f} s", engines.size(),
                  std::ranges::count_if(engines, &Engine::compiles), spent.count());
  return {std::move(graph), std::move(engines[trial->engine]), std::move(*trial)};
}

std::optional<ConvPlans::Choices::Trial> ConvPlans::Choices::make_known(const std::vector<Engine>& engines,
                                                                        int engine) const {
  const auto index = static_cast<std::size_t>(engine);
  if (index >= engines.size()) return std::nullopt;
  std::optional<ConvPlan> plan = make_plan(target(), engines[index]);
  if (!plan.has_value()) return std::nullopt;
  std::string description =
      fmt::format("engine {}, {} bytes of workspace, as found before", plan->engine, plan->workspace_bytes);
  return Trial{index, std::move(*plan), std::move(description)};
}

// The fastest of the first `most` engines that work, and of those compiled at run time, by their time on the
// problem itself: its output is written by each in turn, or a copy of one that they add to.
ConvPlans::Choices::Trial ConvPlans::Choices::try_engines(const ConvProblem& problem,
                                                          const std::vector<Engine>& engines, int most,
                                                          const ConvPointers& pointers,
                                                          const Resources& resources) {
  const Scratch<std::byte> copy(resources.allocator,
                                static_cast<std::int64_t>(problem.adds ? problem.x.bytes() : 0));
  ConvPointers timed = pointers;
  if (problem.adds) {
    timed.x = copy.data();
    check_cuda(
        cudaMemcpyAsync(timed.x, pointers.x, problem.x.bytes(), cudaMemcpyDeviceToDevice, resources.stream),
        "copying on the GPU");
  }
  std::vector<std::optional<ConvPlan>> plans(engines.size());
  const auto admitted = [&](std::size_t i) { return engines[i].deterministic || !problem.deterministic; };
  const auto time = [&](std::size_t i, double shortest) -> std::optional<double> {
    cudaGetLastError();  // what an engine that failed has left behind
    plans[i] = make_plan(target(), engines[i]);
    if (!plans[i].has_value() || plans[i]->workspace_bytes > workspace_limit) return std::nullopt;
    return milliseconds(*plans[i], timed, resources, shortest);
  };
  const auto compiled = std::ranges::find_if(engines, &Engine::compiles) - engines.begin();
  const Ways ways{.count = engines.size(),
                  .most = most,
                  .first_slow = static_cast<std::size_t>(compiled),
                  .slow_seconds = most == 1 ? 0 : std::min(compiling_one, compiling_seconds_)};
  const Fastest fastest = find_fastest(ways, admitted, time);
  compiling_seconds_ -= fastest.slow_seconds;
  cudaGetLastError();
  check(fastest.way.has_value(), "{}: cuDNN has no {}engine for it on this GPU: {}; {}", problem.str(),
        problem.deterministic ? "deterministic " : "",
        fastest.error.empty() ? fmt::format("none of the {} that it proposes can be used", engines.size())
                              : fastest.error,
        problem.deterministic ? "allow others with set_deterministic(false)"
                              : "use another dtype or Device::cpu()");
  ConvPlan& plan = *plans[*fastest.way];
  std::string description =
      fmt::format("engine {}, {:.4f} ms, {} bytes of workspace, fastest of {}", plan.engine,
                  fastest.milliseconds, plan.workspace_bytes, fastest.tried);
  if (fastest.forgone_milliseconds < fastest.milliseconds)
    description +=
        fmt::format("; one that is not deterministic takes {:.4f} ms", fastest.forgone_milliseconds);
  return {*fastest.way, std::move(plan), std::move(description)};
}

std::string ConvPlans::Choices::report() const {
  const std::lock_guard lock(mutex_);
  std::string lines;
  for (const auto& [problem, choice] : choices_)
    lines += fmt::format("{}: {}\n", problem.str(), choice.trial.description);
  return lines;
}

ConvPlans::ConvPlans() : choices_(std::make_unique<Choices>()) {}
ConvPlans::~ConvPlans() = default;
void ConvPlans::run(const ConvProblem& problem, const ConvPointers& pointers, const Resources& resources) {
  choices_->run(problem, pointers, resources);
}
std::string ConvPlans::report() const { return choices_->report(); }

}  // namespace lamina::cuda
