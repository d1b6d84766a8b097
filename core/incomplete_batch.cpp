#include "core/incomplete_batch.h"

namespace lamina {
namespace {
thread_local const IncompleteBatch mark = std::make_shared<char>();
}  // namespace

IncompleteBatch mark_incomplete_batch() { return mark; }
bool batch_is_incomplete() { return mark.use_count() > 1; }

}  // namespace lamina
