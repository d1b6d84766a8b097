// Flat memory for everything an optimizer touches: all values, all gradients and each optimizer slot lie in
// one tensor each, with the same segments. One pass per step, one fill to zero the gradients, and later one
// all-reduce.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/param.h"

namespace lamina {

// One parameter's part of every flat tensor.
struct Segment {
  std::string name;  // of the parameter
  ParamKind kind = ParamKind::weight;
  std::int64_t offset = 0;    // first element; a multiple of 64 bytes
  std::int64_t elements = 0;  // the padding up to the next segment stays zero
  Shape shape;
};

class Arena {
 public:
  // Copies the trainable parameters in and makes every Param::value a leaf that views its segment of
  // values(), with its gradient bound to grads(). Buffers and frozen parameters in the list are passed over.
  // Throws UsageError if nothing is left to train; Error for a parameter or name that occurs twice, and for
  // parameters of different dtypes or devices; f32 or f64 only.
  Arena(const ParamList& params, const std::vector<std::string>& slot_names);

  const ParamList& params() const { return params_; }  // one for each segment
  const std::vector<Segment>& segments() const { return segments_; }
  const std::vector<std::string>& slot_names() const { return slot_names_; }
  std::int64_t elements() const { return values_.elements(); }  // padding included
  DType dtype() const { return values_.dtype(); }
  Device device() const { return values_.device(); }

  const Tensor& values() const { return values_; }
  const Tensor& grads() const { return grads_; }
  const Tensor& slot(std::size_t index) const { return slots_[index]; }
  Tensor segment_of(const Tensor& flat, const Segment& segment) const;  // a view, shaped like the parameter

  void zero_grad() { grads_.fill(0); }

  // Throws Error naming the first parameter whose value or gradient no longer lies here, as after a second
  // optimizer was made for it, or that was frozen or unfrozen since: stepping would change memory that the
  // model does not read.
  void check_bound() const;

 private:
  ParamList params_;
  ParamList frozen_;  // that were passed over
  std::vector<Segment> segments_;
  std::vector<std::string> slot_names_;
  Tensor values_, grads_;
  std::vector<Tensor> slots_;
};

}  // namespace lamina
