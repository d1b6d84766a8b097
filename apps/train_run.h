// One run of training, from its options to its last checkpoint: what `lamina train` and `lamina study` share.
#pragma once

#include <string>

#include "apps/checkpoint.h"
#include "apps/progress.h"
#include "apps/run_directory.h"
#include "apps/train_options.h"
#include "apps/training_setup.h"

namespace lamina {

// Makes the directory in "NAME:DIR" absolute: the run may be resumed from elsewhere.
void make_data_absolute(std::string& data);

struct RunOutcome {
  int signal = 0;  // that stopped it; 0: it is finished
  Position position;
};

// Writes config.json and trains, `resume`: from the newest checkpoint, if there is one. The directory must be
// locked. Throws as Training::run() does; OutOfMemory in the first step says what would fit, and a new run
// then leaves nothing behind, so that the next one may have its directory.
RunOutcome train_run(const TrainOptions& options, TrainingSetup& setup, const RunDirectory& run, bool resume,
                     Progress& progress);

}  // namespace lamina
