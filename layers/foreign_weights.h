// What weight files of other programs bring along: a prefix before every name, counts as floats, values that
// are none.
#pragma once

#include <string>
#include <vector>

#include "core/files/safetensors.h"
#include "core/param.h"

namespace lamina {

// The file with its names as those of a model, without what all of them begin with up to a dot: "module." of
// DataParallel, "_orig_mod." of torch.compile, "backbone." and the like, also one within another. Adds a note
// if there was such a prefix.
TensorFile without_shared_prefix(const TensorFile& file, std::vector<std::string>& notes);

// The same, but as much of the prefix goes as makes names those of `state`; none if none does.
TensorFile named_like(const ParamList& state, const TensorFile& file, std::vector<std::string>& notes);

// A count, of whatever type: converting a whole state dict to f16 converts the counts too. Throws Error, with
// `what` it is, if it is not a whole number of at least 0 that an i32 holds.
double stored_count(const Tensor& stored, const std::string& what);

// Throws Error, naming the first tensor, if a value is not finite: such weights compute nothing.
void check_finite(const TensorFile& file, const std::string& source);

}  // namespace lamina
