// What of a study is still to be done, and whether what is there belongs to it.
#pragma once

#include <filesystem>
#include <vector>

#include "compare/study_data.h"
#include "compare/study_run.h"

namespace lamina::compare {

inline constexpr const char* failure_file = "failure.txt";  // in the directory of a run that diverged

struct Task {
  const Cell* cell;
  std::filesystem::path path;
  bool resume;  // the run that is there goes on; else it starts over
};

// Those of cells whose runs have not ended. Throws UsageError for a run that was made with other options;
// Error for one that cannot be read.
std::vector<Task> make_tasks(const std::vector<Cell>& cells, const StudyDirectory& directory,
                             bool retry_failed);

// Throws UsageError naming the runs that equal options of another version made with other knobs, views or
// losses: their results are not those of the rest.
void check_same_settled(const std::vector<Cell>& cells, const StudyDirectory& directory,
                        const std::vector<Task>& tasks);

// Throws UsageError naming a run that is there and was made with other data than the study has now.
void check_same_data(const std::vector<Cell>& cells, const StudyDirectory& directory,
                     const std::vector<Task>& tasks, DataSets& data);

}  // namespace lamina::compare
