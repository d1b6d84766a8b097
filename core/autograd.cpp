#include "core/autograd.h"

#include <algorithm>
#include <queue>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "core/backend.h"
#include "core/memory/outlives_capture.h"
#include "core/ops/elementwise.h"

namespace lamina {
namespace {

thread_local const std::function<void(const Node&)>* watch = nullptr;

// Whether nobody would notice if it were overwritten.
bool is_ours(const Tensor& sum) {
  return sum.defined() && sum.owns_storage_alone() && !sum.requires_grad() && !grad_enabled();
}

Tensor sum_of(const Tensor& a, const Tensor& b) {
  if (!a.defined()) return b;
  if (!is_ours(a)) return add(a, b);
  Tensor sum = a.detach();
  backend_for(a.device()).accumulate(b, sum);
  return sum;
}

// Gradients on their way from an output to the nodes below it.
class Walk {
 public:
  void push(const std::shared_ptr<Node>& node, const Tensor& grad) {
    const auto [entry, is_new] = pending_.try_emplace(node.get());
    if (is_new) queue_.push(node);
    entry->second = sum_of(entry->second, grad);
  }
  bool empty() const { return queue_.empty(); }
  // What it has been given for a node, if that is nobody else's; the node then waits for the whole sum.
  Tensor take_sum(const Node* node) {
    const auto entry = pending_.find(node);
    return entry != pending_.end() && is_ours(entry->second) ? std::exchange(entry->second, {}) : Tensor();
  }
  std::pair<std::shared_ptr<Node>, Tensor> pop() {
    std::shared_ptr<Node> node = queue_.top();
    queue_.pop();
    auto entry = pending_.extract(node.get());
    return {std::move(node), std::move(entry.mapped())};
  }

 private:
  struct ByNumber {
    bool operator()(const std::shared_ptr<Node>& a, const std::shared_ptr<Node>& b) const {
      return a->number < b->number;
    }
  };
  std::priority_queue<std::shared_ptr<Node>, std::vector<std::shared_ptr<Node>>, ByNumber> queue_;
  std::unordered_map<const Node*, Tensor> pending_;
};

// How many gradients each leaf below `root` gets.
std::unordered_map<const Node*, std::int64_t> gradients_of_leaves(const Node& root) {
  std::unordered_map<const Node*, std::int64_t> gradients;
  std::vector<const Node*> reachable{&root};
  std::unordered_set<const Node*> seen{&root};
  for (std::size_t i = 0; i < reachable.size(); ++i) {
    for (const auto& input : reachable[i]->inputs) {
      if (!input) continue;
      if (input->is_leaf()) ++gradients[input.get()];
      if (seen.insert(input.get()).second) reachable.push_back(input.get());
    }
  }
  return gradients;
}

// Accumulates gradients into leaves. What it is given may be shared with other nodes, so a leaf adds to
// memory of its own. A GPU is handed many at once: most are so small that starting a kernel takes longer than
// adding.
class LeafGradients {
 public:
  explicit LeafGradients(const Node& root) {
    if (watch != nullptr) expected_ = gradients_of_leaves(root);
  }
  void add(Node& leaf, const Tensor& grad) {
    if (!leaf.grad.defined()) {
      const OutlivesCapture kept;
      leaf.grad = grad.clone();
    } else if (grad.device().type == DeviceType::cpu) {
      leaf.grad.bump_version();
      backend_for(grad.device()).accumulate(grad, leaf.grad);
    } else {
      if (!sums_.empty() && sums_.back().x.device() != grad.device()) flush();
      leaf.grad.bump_version();
      sums_.push_back({grad, leaf.grad});
    }
  }
  // An op has given a leaf what it had to give.
  void is_through(const Node& leaf) {
    if (watch == nullptr || --expected_[&leaf] > 0) return;
    flush();
    (*watch)(leaf);
  }
  void flush() {
    if (!sums_.empty()) backend_for(sums_.front().x.device()).accumulate_all(sums_);
    sums_.clear();
  }

 private:
  std::vector<Backend::Accumulation> sums_;                 // on one device
  std::unordered_map<const Node*, std::int64_t> expected_;  // of a LeafWatch: gradients that are to come
};

void check_not_released(const Node& node) {
  check(
      !node.released,
      "backward: the data saved by \"{}\" is gone: backward has already run through it; the first time, call "
      "backward({{.retain_graph = true}}), or grad() with retain_graph or create_graph",
      node.name);
}

// Runs one node's backward function and hands its inputs' gradients to `walk`, or those of leaves to
// `leaves` if these accumulate. Inputs that `wanted` refuses get none.
template <typename Wanted>
void step(const std::shared_ptr<Node>& node, const Tensor& grad, bool retain, Walk& walk,
          LeafGradients* leaves, const Wanted& wanted) {
  check_not_released(*node);
  std::vector<bool> wants(node->inputs.size());
  for (std::size_t i = 0; i < wants.size(); ++i) wants[i] = node->inputs[i] && wanted(*node->inputs[i]);
  std::vector<Tensor> slots(node->inputs.size());
  Grads grads(*node, slots, wants, leaves != nullptr,
              [&](int input) { return walk.take_sum(node->inputs[static_cast<std::size_t>(input)].get()); });
  if (retain) {
    node->backward(grad, grads);
  } else {
    const BackwardFunction backward = std::exchange(node->backward, nullptr);
    node->released = true;
    backward(grad, grads);
  }
  node->made = {};
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (!wants[i]) continue;
    const bool accumulates = leaves != nullptr && node->inputs[i]->is_leaf();
    if (slots[i].defined() && accumulates) leaves->add(*node->inputs[i], slots[i]);
    if (slots[i].defined() && !accumulates) walk.push(node->inputs[i], slots[i]);
    if (accumulates) leaves->is_through(*node->inputs[i]);
  }
  if (!retain) node->inputs.clear();
}

Tensor seed_gradient(const Tensor& output, const Tensor& grad_output) {
  check(
      output.defined() && output.requires_grad(),
      "backward: {} has no gradient history; no input of it required a gradient, or it was made under NoGrad",
      output);
  if (!grad_output.defined()) {
    check(
        output.elements() == 1,
        "backward: {} is not a scalar; reduce it with sum() or mean() first, or pass its gradient to grad()",
        output);
    return Tensor::full(output.shape(), 1, output.options());
  }
  check(grad_output.shape() == output.shape() && grad_output.dtype() == output.dtype(),
        "backward: gradient {} does not fit output {}", grad_output, output);
  return grad_output;
}

Tensor made_again(const std::shared_ptr<const Node>& maker) {
  Tensor output = maker->made;
  if (!output.defined()) {
    const NoGrad no_grad;
    std::vector<Tensor> no_slots;
    output = maker->again(Grads(*maker, no_slots, {}, false));
    if (maker->reads_output && maker->backward) maker->made = output;
  }
  return output.with_node(std::const_pointer_cast<Node>(maker));
}

// The nodes from which one of `targets` can be reached; nodes older than all targets are not visited.
std::unordered_set<const Node*> leading_to(
    const std::shared_ptr<Node>& root,
    const std::unordered_map<const Node*, std::vector<std::size_t>>& targets) {
  std::uint64_t oldest = root->number;
  for (const auto& [target, _] : targets) oldest = std::min(oldest, target->number);

  std::vector<const Node*> reachable{root.get()};
  std::unordered_set<const Node*> seen{root.get()};
  for (std::size_t i = 0; i < reachable.size(); ++i) {
    // A used-up node no longer knows its inputs; taking it for a dead end would give zeros.
    if (reachable[i]->number > oldest) check_not_released(*reachable[i]);
    for (const auto& input : reachable[i]->inputs) {
      if (input && input->number >= oldest && seen.insert(input.get()).second)
        reachable.push_back(input.get());
    }
  }
  std::sort(reachable.begin(), reachable.end(),
            [](const Node* a, const Node* b) { return a->number < b->number; });
  std::unordered_set<const Node*> leading;
  for (const Node* node : reachable) {
    const bool leads = targets.contains(node) ||
                       std::any_of(node->inputs.begin(), node->inputs.end(),
                                   [&](const auto& input) { return input && leading.contains(input.get()); });
    if (leads) leading.insert(node);
  }
  return leading;
}

}  // namespace

LeafWatch::LeafWatch(std::function<void(const Node&)> complete)
    : complete_(std::move(complete)), previous_(std::exchange(watch, &complete_)) {}
LeafWatch::~LeafWatch() { watch = previous_; }

Saved::Saved(Tensor tensor) : tensor_(std::move(tensor)), version_(tensor_.version()) {
  const std::shared_ptr<Node>& node = tensor_.node();
  if (node != nullptr && node->again) {
    maker_ = node;
    tensor_ = {};
  }
}

const Tensor& Grads::get(const Saved& saved) const {
  if (saved.maker_ != nullptr) {
    if (!saved.tensor_.defined()) saved.tensor_ = made_again(saved.maker_);
    return saved.tensor_;
  }
  check(saved.tensor_.version() == saved.version_,
        "backward: {}, which \"{}\" had saved, has been overwritten since (by copy_from(), fill(), an "
        "optimizer's step, or a backward pass if it is a gradient): its gradient would be that of other "
        "numbers; overwrite it after backward(), or give the op a clone()",
        saved.tensor_, node_.name);
  return saved.tensor_;
}

bool Grads::owns(const Tensor& grad_output) {
  return is_ours(grad_output) && grad_output.device().type == DeviceType::cpu;
}

Tensor Grads::output() const { return made_again(node_.shared_from_this()).detach(); }

Tensor Grads::attach_output(const Saved& detached_output) const {
  const Tensor& output = get(detached_output);
  return grad_enabled() ? output.with_node(std::const_pointer_cast<Node>(node_.shared_from_this())) : output;
}

bool Grads::widens(int input) const {
  const Node& node = *node_.inputs[static_cast<std::size_t>(input)];
  return accumulates_ && node.is_leaf() && node.grad.defined() && node.grad.dtype() == DType::f32 &&
         node.grad.device().type == DeviceType::cuda;
}

void Tensor::backward(BackwardOptions options) const {
  Tensor grad = seed_gradient(*this, {});
  const NoGrad no_grad;
  Walk walk;
  LeafGradients leaves(*node_);
  if (node_->is_leaf()) {
    leaves.add(*node_, grad);
  } else {
    walk.push(node_, grad);
  }
  grad = {};
  while (!walk.empty()) {
    const auto [node, gradient] = walk.pop();
    step(node, gradient, options.retain_graph, walk, &leaves, [](const Node&) { return true; });
  }
  leaves.flush();
}

std::vector<Tensor> grad(const Tensor& output, std::span<const Tensor> inputs, const Tensor& grad_output,
                         GradOptions options) {
  std::unordered_map<const Node*, std::vector<std::size_t>> targets;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    check(inputs[i].requires_grad(),
          "grad: input {} ({}) has no gradient history; call requires_grad_() on it first", i, inputs[i]);
    targets[inputs[i].node().get()].push_back(i);
  }
  const Tensor seed = seed_gradient(output, grad_output);
  const auto leading = leading_to(output.node(), targets);
  const GradMode mode(options.create_graph);

  std::vector<Tensor> results(inputs.size());
  Walk walk;
  if (leading.contains(output.node().get())) walk.push(output.node(), seed);
  while (!walk.empty()) {
    auto [node, gradient] = walk.pop();
    if (const auto target = targets.find(node.get()); target != targets.end()) {
      for (const std::size_t i : target->second) results[i] = gradient;
    }
    const bool leads_on = std::any_of(node->inputs.begin(), node->inputs.end(), [&](const auto& input) {
      return input && leading.contains(input.get());
    });
    if (leads_on) {
      step(node, gradient, options.create_graph || options.retain_graph, walk, nullptr,
           [&](const Node& input) { return leading.contains(&input); });
    }
  }
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (!results[i].defined()) results[i] = Tensor::zeros_like(inputs[i]);
    // An op may hand one tensor to several inputs: to change one result would change the others.
    const auto shared = [&](const Tensor& other) { return results[i].shares_storage(other); };
    if (shared(seed) ||
        std::any_of(results.begin(), results.begin() + static_cast<std::ptrdiff_t>(i), shared))
      results[i] = results[i].clone();
  }
  return results;
}

std::vector<Tensor> grad(const Tensor& output, std::initializer_list<Tensor> inputs,
                         const Tensor& grad_output, GradOptions options) {
  return grad(output, std::span<const Tensor>(inputs.begin(), inputs.size()), grad_output, options);
}

void differentiate_composition(std::span<const Tensor> inputs, const Tensor& grad_output, Grads& grads,
                               const std::function<Tensor(std::span<const Tensor>)>& composition) {
  std::vector<Tensor> aliases(inputs.begin(), inputs.end());
  std::vector<Tensor> wanted;
  std::vector<int> positions;
  const GradMode mode(/*enabled=*/true);
  for (std::size_t i = 0; i < aliases.size(); ++i) {
    if (!grads.wanted(static_cast<int>(i))) continue;
    aliases[i] = affine(aliases[i], 1, 0);
    wanted.push_back(aliases[i]);
    positions.push_back(static_cast<int>(i));
  }
  const Tensor output = composition(aliases);
  if (!output.requires_grad()) return;  // nothing that is wanted is in it
  const std::vector<Tensor> results = grad(output, wanted, grad_output, {.create_graph = true});
  for (std::size_t i = 0; i < results.size(); ++i) grads.set(positions[i], results[i]);
}

}  // namespace lamina
