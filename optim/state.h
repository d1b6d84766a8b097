// What an optimizer must keep to go on later: its slots and the number of steps taken.
#pragma once

#include <string>

#include "core/files/safetensors.h"
#include "optim/optimizer.h"

namespace lamina {

// Adds `state.step` (i32 [1]) and `state.<slot>.<parameter>`, shaped like the parameter, on the CPU, with
// `prefix` before each name: several optimizers in one file need one each, such as "generator.". Throws Error
// if the file has the state of an optimizer under that prefix. On a GPU steps whose reports were not read
// count as taken: read them first, as report() does.
void save_state(const Optimizer& optimizer, TensorFile& file, const std::string& prefix = "");

// Throws Error, and changes nothing, if one is missing or differs in shape or dtype.
void load_state(Optimizer& optimizer, const TensorFile& file, const std::string& prefix = "");

}  // namespace lamina
