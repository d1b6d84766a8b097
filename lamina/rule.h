// What a rule of one's own needs: its parts (optim/rules/rule.h), and the engine that makes an optimizer of
// it.
//   #include <lamina/rule.h>
//   template class lamina::OptimizerOf<MyRule>;
#pragma once

#include "optim/engine/engine.h"
