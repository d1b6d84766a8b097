// Tells an optimizer that gradients are not whole: a loader has handed out a part of a batch that is not its
// last. Who hands out parts keeps a mark of the thread that takes them, until it hands out the last one.
#pragma once

#include <memory>

namespace lamina {

using IncompleteBatch = std::shared_ptr<const void>;
IncompleteBatch mark_incomplete_batch();  // of this thread, for as long as it is kept
bool batch_is_incomplete();               // somebody keeps a mark of this thread

}  // namespace lamina
