// A file of Hessian products, so that an analysis that takes hours goes on where it was killed: it asks again
// for the same products in the same order, and has those that were computed before from the file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "analysis/loss_surface.h"
#include "core/base/regular_file.h"
#include "core/base/written_file.h"

namespace lamina::analysis {

class ProductJournal {
 public:
  // Takes up the file if it is there. `function`: what tells the surface apart from others
  // (function_digest()). Throws Error, naming the file, where it cannot be read or written, and for one of
  // another function or that is no journal, which stays as it is.
  ProductJournal(const std::filesystem::path& path, std::uint64_t function);

  // Products from the file as long as it has the next ones; from `compute` after that, which it then has. A
  // record that is damaged, or of another vector, is the first that is computed anew.
  void products(std::span<BlockProduct> blocks, const Products& compute);
  std::int64_t replayed() const { return replayed_; }

  void remove();  // the file, once the results are somewhere else

 private:
  bool replay(BlockProduct& block);
  void append(const BlockProduct& block);

  std::filesystem::path path_;
  std::optional<RegularFile> known_;  // while its records are replayed
  std::optional<WrittenFile> file_;
  std::uint64_t end_ = 0;  // of the records that were replayed or written
  std::int64_t replayed_ = 0;
};

// Of weights, buffers, samples and mode: of all that a surface's products depend on, beside the objective's
// options.
std::uint64_t function_digest(const LossSurface& surface);

}  // namespace lamina::analysis
