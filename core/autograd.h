// The tape. Each recorded op makes one Node, numbered at creation, so walking by falling number visits every
// node after all of its consumers: no topological sort, no recursion (a chain of 100,000 ops is fine).
//
// The backward pass of an op is written with ops. Run with gradients enabled (create_graph) it is itself
// recorded, which gives exact second derivatives.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <vector>

#include "core/tensor.h"

namespace lamina {

// A tensor that a backward function will read, as it was when the op ran: Grads::get() gives it back, and
// throws Error if it has been overwritten since. A backward function captures no tensor in any other way
// unless nobody else can reach it.
//
// What the op that made it can make again (Node::again) is not kept, but made when it is first asked for.
class Saved {
 public:
  Saved() = default;
  Saved(Tensor tensor);  // NOLINT(google-explicit-constructor)

 private:
  friend class Grads;
  mutable Tensor tensor_;
  std::uint64_t version_ = 0;
  std::shared_ptr<const Node> maker_;
};

// Handed to an op's backward function: which inputs want a gradient, and where to put it.
class Grads {
 public:
  // `accumulates`: gradients of leaves are added to what these have. `take_sum`: see below.
  Grads(const Node& node, std::vector<Tensor>& slots, std::vector<bool> wanted, bool accumulates,
        std::function<Tensor(int input)> take_sum = {})
      : node_(node),
        slots_(slots),
        wanted_(std::move(wanted)),
        accumulates_(accumulates),
        take_sum_(std::move(take_sum)) {}

  bool wanted(int input) const { return wanted_[static_cast<std::size_t>(input)]; }
  // Whether an input's gradient in bf16 is as good as one in f32: it is widened when it is added up.
  bool widens(int input) const;
  const Tensor& get(const Saved& saved) const;
  // The input's gradient from the ops that came before, if there is one and nobody else can see it: the op
  // adds to it in place, and sets it. Else undefined. (Where no graph is recorded.)
  Tensor take_sum(int input) const { return take_sum_ ? take_sum_(input) : Tensor(); }
  // Whether nobody else can see the gradient that the op was handed: then it may write over it. (On the CPU,
  // where no graph is recorded.)
  static bool owns(const Tensor& grad_output);
  void set(int input, Tensor grad) { slots_[static_cast<std::size_t>(input)] = std::move(grad); }

  // The op's own output, made again.
  Tensor output() const;
  // An op that saved its own output re-attaches it to the tape here; capturing it attached would be a cycle.
  Tensor attach_output(const Saved& detached_output) const;

 private:
  const Node& node_;
  std::vector<Tensor>& slots_;
  std::vector<bool> wanted_;
  bool accumulates_;
  std::function<Tensor(int input)> take_sum_;
};

using BackwardFunction = std::function<void(const Tensor& grad_output, Grads& grads)>;

struct Node : std::enable_shared_from_this<Node> {
  Node(const char* name, std::vector<std::shared_ptr<Node>> inputs, BackwardFunction backward);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  bool is_leaf() const { return inputs.empty() && !backward && !released; }

  const char* name;                           // the op's, or "leaf"
  std::uint64_t number;                       // increasing in order of creation
  std::vector<std::shared_ptr<Node>> inputs;  // null where an input is a constant
  BackwardFunction backward;                  // dropped, with all it saved, as soon as it has run
  // Makes the op's output again, to the bit, from what it has saved for itself; empty: not cheaply. To be set
  // before the output is saved. Outlives `backward`, for others may still ask.
  std::function<Tensor(const Grads&)> again;
  bool reads_output = false;  // `backward` wants what `again` makes, too: it is then kept until that has run
  mutable Tensor made;        // so kept
  Tensor grad;                // leaves only
  bool released = false;      // backward has run and its saved data is gone
};

// Whether ops are recorded on this thread. Default: they are.
bool grad_enabled();
// While alive, ops are recorded or not, whatever was set before.
class GradMode {
 public:
  explicit GradMode(bool enabled);
  ~GradMode();
  GradMode(const GradMode&) = delete;
  GradMode& operator=(const GradMode&) = delete;

 private:
  bool previous_;
};
// While alive, ops record nothing.
class NoGrad {
 public:
  NoGrad() : mode_(false) {}

 private:
  GradMode mode_;
};

// Whether an op of x is recorded.
inline bool records(const Tensor& x) { return x.requires_grad() && grad_enabled(); }

// What the gradient of `input` needs `tensor` for; empty, so that its memory is free, if none will be asked
// for.
inline Saved saved_for(const Tensor& input, const Tensor& tensor) {
  return records(input) ? Saved(tensor) : Saved();
}

// Ends every op: attaches `output` to the tape if gradients are enabled and an input has a history.
// `name` is what messages call it.
Tensor record(const char* name, const Tensor& output, std::initializer_list<Tensor> inputs,
              BackwardFunction backward);
Tensor record(const char* name, const Tensor& output, std::span<const Tensor> inputs,
              BackwardFunction backward);
// Ends an op whose derivative is not known here: throws Error, when called, if its gradient would be asked
// for.
Tensor no_gradient(const char* name, const Tensor& output, std::initializer_list<Tensor> inputs);

struct GradOptions {
  bool create_graph = false;  // record the backward pass, so that the result can be differentiated again
  bool retain_graph = false;  // keep saved data for another pass (implied by create_graph)
};
// d(sum of grad_output * output)/d(input) for each input; leaves' grad is not touched. An input that does not
// influence the output gets zeros. grad_output undefined means 1 for a scalar output.
std::vector<Tensor> grad(const Tensor& output, std::span<const Tensor> inputs, const Tensor& grad_output = {},
                         GradOptions options = {});
std::vector<Tensor> grad(const Tensor& output, std::initializer_list<Tensor> inputs,
                         const Tensor& grad_output = {}, GradOptions options = {});

// The gradient of an op through its composed form: records `composition` on aliases of the inputs and
// differentiates that. Used where a fused backward kernel cannot itself be recorded.
void differentiate_composition(std::span<const Tensor> inputs, const Tensor& grad_output, Grads& grads,
                               const std::function<Tensor(std::span<const Tensor>)>& composition);

// While alive, backward() on this thread calls `complete` with every leaf that it reached as soon as it has
// added the last of the leaf's gradients, while it goes on with others. Of leaves that the pass would have
// reached, but whose gradient no op gave, nothing is heard.
class LeafWatch {
 public:
  explicit LeafWatch(std::function<void(const Node& leaf)> complete);
  ~LeafWatch();
  LeafWatch(const LeafWatch&) = delete;
  LeafWatch& operator=(const LeafWatch&) = delete;

 private:
  std::function<void(const Node&)> complete_;
  const std::function<void(const Node&)>* previous_;
};

// While alive (on this thread), every op checks its output and throws Error naming the first op, and the
// module it ran in, that turned finite inputs into a NaN or Inf. Slow: for finding where a run diverged.
class FiniteCheck {
 public:
  FiniteCheck();
  ~FiniteCheck();
  FiniteCheck(const FiniteCheck&) = delete;
  FiniteCheck& operator=(const FiniteCheck&) = delete;
};

// While alive, ops belong to this part of the model ("layer1.0.conv1" from nested scopes); used in messages.
class Scope {
 public:
  explicit Scope(std::string name);
  ~Scope();
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  static std::string path();  // of the innermost scope; empty outside any
};

}  // namespace lamina
