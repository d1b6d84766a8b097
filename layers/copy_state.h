// The values of one model for another: for a second copy that goes its own way.
#pragma once

#include "layers/module.h"

namespace lamina {

// Every parameter and buffer of `to` takes the value of its namesake in `from`, in place: an optimizer of
// `to` goes on. Names count from the two modules, which may be parts of larger models; precisions and devices
// may differ. Throws Error, and changes nothing, unless both have the same names and shapes.
//   Mlp teacher;
//   copy_state(student, teacher);
void copy_state(const Module& from, Module& to);

}  // namespace lamina
