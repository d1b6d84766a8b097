// Running what a study consists of, so that it may be stopped at any moment and gone on with.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "compare/study_plan.h"
#include "core/base/directory_lock.h"
#include "core/base/made_folders.h"
#include "core/parallel/collective.h"
#include "train/observer.h"
#include "train/setup.h"

namespace lamina::compare {

// A study's folder: study.toml (a copy of its file), runs/NAME (what `lamina train` writes, and failure.txt
// in a run that diverged), baselines/NAME (what was measured of random weights), and what comes of them:
// results.csv, table.md, table.tex, report.html.
class StudyDirectory {
 public:
  // Makes it if need be and locks it. Throws Error if it holds anything that is not a study, or if another
  // process runs one in it.
  explicit StudyDirectory(std::filesystem::path path);
  ~StudyDirectory() = default;  // removes what it has made and nobody has used
  StudyDirectory(const StudyDirectory&) = delete;
  StudyDirectory& operator=(const StudyDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path file(const std::string& name) const { return path_ / name; }
  std::filesystem::path run(const Cell& cell) const;
  std::filesystem::path baseline(const std::string& name) const { return path_ / "baselines" / name; }

 private:
  MadeFolders made_;
  std::filesystem::path path_;
  DirectoryLock lock_;
};

// Told of a study's runs, one after the other.
class StudyObserver {
 public:
  StudyObserver() = default;
  StudyObserver(const StudyObserver&) = delete;
  StudyObserver& operator=(const StudyObserver&) = delete;
  virtual ~StudyObserver() = default;

  // images: what each of the runs still to be done will train on, epochs counted; done: runs that are.
  virtual void start(const std::vector<double>& /*images*/, std::size_t /*done*/) {}
  virtual Observer* start_run(const Cell&) { return nullptr; }  // to look on; it must outlive the run
  virtual void evaluating(const std::string& /*what*/) {}  // the run that has just ended, or an earlier one
  virtual void end_run(const Cell&, const std::string& /*result*/) {}
  // Of a run that ended earlier, or of random weights.
  virtual void evaluated(const std::string& /*label*/, const Cell&, const std::string& /*result*/) {}
};

struct StudyRunOptions {
  bool retry_failed = false;  // diverged runs start over; otherwise they stay as they are
  StudyObserver* observer = nullptr;
  std::function<std::string(const train::Recipe&)> command = {};  // what repeats a run, for its config.json
  // What else looks on where a recipe asks for it, from beyond train/; null: nothing.
  std::function<std::unique_ptr<Observer>(const train::Setup&)> curvature = {};
  // That train every run together; null: this process alone. The others call run_cells_along().
  Collective* ranks = nullptr;
};

// Runs what is not finished of a study, whose file is kept beside the runs, one after the other: a run that
// was stopped goes on from its newest checkpoint, one without a readable config.json starts over. A run that
// diverges is noted in its failure.txt, and the next one follows. After each run what the study evaluates is
// measured, of finished ones what is missing. Returns 0, or the signal that stopped it;
// everything is saved then. Throws UsageError, before anything runs, if a run directory is of other options,
// knobs or data, as far as that is known; Error for what would hit every run (no data, a full disk).
int run_cells(const Study& study, const std::vector<Cell>& cells, const StudyDirectory& directory,
              const StudyRunOptions& options);

// Of every rank but the first: trains what run_cells() hands out there, and writes nothing. `directory`: the
// study's, where runs that go on are read. Returns the same. Throws Error where the cells are others than
// rank 0's.
int run_cells_along(const std::vector<Cell>& cells, const std::filesystem::path& directory,
                    Collective& ranks);

}  // namespace lamina::compare
