// What a study came to.
#pragma once

#include <string>
#include <vector>

#include "compare/comparison.h"
#include "compare/study_baseline.h"
#include "compare/study_plan.h"
#include "compare/study_run.h"

namespace lamina::compare {

struct StudyRow {
  std::string contender;
  std::vector<std::string> values;  // of StudyTable::columns; "-" for an option that it leaves to its default
  Group group;                      // its seeds
};

struct StudyTable {
  std::vector<std::string> columns;      // the options varied: "batch", "set.lambda"
  std::vector<StudyRow> rows;            // one for each contender and point of the grid, whatever the seed
  std::string note;                      // what was chosen, and how; empty if nothing was
  std::vector<StudyRow> baselines = {};  // of random weights, below the others
};

// What a study that measures baselines has of them, in the order of plan_baselines(); without epochs.
std::vector<RunResult> read_baselines(const std::vector<Baseline>& baselines,
                                      const StudyDirectory& directory);
// Without what the study does not evaluate, or not any more.
RunResult evaluated_as(const Study& study, RunResult result);

// `results`: of the cells, in their order; `baselines`: of plan_baselines(). Where the study tunes options,
// only the best row of those that differ in nothing else is left: rows without failed runs before others,
// then by Study::tuned_by.
StudyTable make_study_table(const Study& study, const std::vector<Cell>& cells,
                            const std::vector<RunResult>& results,
                            const std::vector<RunResult>& baselines = {});

// Means ± standard deviations over the seeds, in percent, and the number of runs in them.
std::string as_text(const StudyTable& table);
std::string as_markdown(const StudyTable& table);
std::string as_latex(const StudyTable& table);  // a tabular for the package booktabs

// {"columns", "rows": [{"contender", "options", "runs", "failed", and by name what was measured, "mean",
// "std" and "count" over the seeds, in 0 … 1}, …], "baselines": the same, "note"}.
nlohmann::json as_json(const StudyTable& table);

// A row for each run; what the clock measured is in the last column.
std::string runs_as_csv(const std::vector<Cell>& cells, const std::vector<RunResult>& results);

}  // namespace lamina::compare
