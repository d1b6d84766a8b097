#include "compare/comparison.h"
#include "target.h"

namespace lamina::fuzz {

// A run directory as reports read it: config.json, epochs.csv, failure.txt and knn.json, between bytes of 0.
FUZZ_TARGET(run) {
  const std::filesystem::path folder = empty_folder();
  const std::vector<std::string> pieces = pieces_of(input, 4);
  put(folder / "config.json", pieces[0]);
  if (!pieces[1].empty()) put(folder / "epochs.csv", pieces[1]);
  if (!pieces[2].empty()) put(folder / "failure.txt", pieces[2]);
  if (!pieces[3].empty()) put(folder / "knn.json", pieces[3]);
  compare::RunResult run;
  if (!accepts([&] { run = compare::read_run_result(folder, "run"); })) return;
  accepts([&] {
    const std::vector<compare::Group> groups = compare::group_runs({run, run});
    expect(groups.size() == 1 && groups[0].runs.size() == 2, "a run and itself are one contender");
    expect(!groups[0].label.empty() && !compare::describe_runs(groups[0]).empty(), "which has a name");
    for (const compare::DescribedOption& option : compare::describe_options(run))
      expect(!option.name.empty(), "and options");
  });
}

}  // namespace lamina::fuzz
