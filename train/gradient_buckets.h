// The gradients of an arena on the CPU, summed over ranks in buckets of neighbours, each as soon as a
// backward pass has completed it.
#pragma once

#include <cstdint>
#include <functional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/autograd.h"
#include "core/parallel/collective.h"
#include "optim/arena.h"

namespace lamina::train {

class GradientBuckets {
 public:
  GradientBuckets(Collective& ranks, const Arena& arena);  // which must outlive it
  ~GradientBuckets();                                      // waits for the sums that were started
  GradientBuckets(const GradientBuckets&) = delete;
  GradientBuckets& operator=(const GradientBuckets&) = delete;

  void begin();  // of a batch: no gradient is complete
  // For a LeafWatch during the batch's last backward pass: starts the sums of buckets that are complete.
  std::function<void(const Node&)> sum_when_complete();
  // Sums the buckets that have not been, and waits for all.
  void sum_rest();

 private:
  struct Bucket {
    std::int64_t begin, end;   // elements of the arena
    std::int64_t segments;     // in it
    std::int64_t missing = 0;  // of those in this batch; 0: its sum was started
  };
  void start_sum(Bucket& bucket);

  Collective& ranks_;
  const Arena& arena_;
  std::vector<Bucket> buckets_;
  std::unordered_map<const Node*, std::size_t> bucket_of_;  // of each parameter
  std::unordered_set<const Node*> complete_;                // of those, in this batch
};

}  // namespace lamina::train
