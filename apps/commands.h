// The commands; each adds itself and its options to the program.
#pragma once

#include "apps/command.h"

namespace lamina::app {

void add_train_command(const Command& program);
void add_pretrain_command(const Command& program);
void add_eval_command(const Command& program);
void add_predict_command(const Command& program);
void add_replay_command(const Command& program);
void add_report_command(const Command& program);
void add_study_command(const Command& program);
void add_sharpness_command(const Command& program);
void add_features_command(const Command& program);
void add_knn_command(const Command& program);
void add_linear_command(const Command& program);
void add_landscape_command(const Command& program);
void add_find_lr_command(const Command& program);
void add_augment_command(const Command& program);
void add_info_command(const Command& program);
void add_bench_command(const Command& program);

}  // namespace lamina::app
