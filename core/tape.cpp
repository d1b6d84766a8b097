// Recording: nodes, what is recorded, and what every op checks.
#include <algorithm>
#include <atomic>
#include <utility>

#include "core/autograd.h"
#include "core/backend.h"

namespace lamina {
namespace {

std::atomic<std::uint64_t> next_number{0};
thread_local bool enabled = true;
thread_local int finite_checks = 0;
thread_local std::vector<std::string> scopes;

// A node's death releases its inputs and what its closure saved, which kills further nodes. They queue up
// here instead of nesting, so that a long chain does not exhaust the stack.
struct Remains {
  std::vector<std::shared_ptr<Node>> inputs;
  BackwardFunction backward;
  std::function<Tensor(const Grads&)> again;
};

void bury(Remains remains) {
  thread_local std::vector<Remains>* open_queue = nullptr;
  if (open_queue != nullptr) {
    open_queue->push_back(std::move(remains));
    return;
  }
  std::vector<Remains> queue;
  open_queue = &queue;
  queue.push_back(std::move(remains));
  while (!queue.empty()) {
    const Remains next = std::move(queue.back());
    queue.pop_back();
  }
  open_queue = nullptr;
}

void check_finite(const char* name, const Tensor& output, std::span<const Tensor> inputs) {
  if (!is_floating(output.dtype()) || backend_for(output.device()).all_finite(output)) return;
  const std::string place = scopes.empty() ? std::string("outside any module") : "in " + Scope::path();
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Tensor& input = inputs[i];
    if (input.defined() && is_floating(input.dtype()) && !backend_for(input.device()).all_finite(input)) {
      fail("{} {}: its input {} ({}) already holds a NaN or Inf that no op made; look at parameters and data",
           name, place, i, input);
    }
  }
  fail("{} {}: finite inputs gave a NaN or Inf in its output {}", name, place, output);
}

}  // namespace

Node::Node(const char* op, std::vector<std::shared_ptr<Node>> input_nodes, BackwardFunction function)
    : name(op), number(next_number++), inputs(std::move(input_nodes)), backward(std::move(function)) {}

Node::~Node() {
  if (!inputs.empty() || backward) bury({std::move(inputs), std::move(backward), std::move(again)});
}

bool grad_enabled() { return enabled; }
GradMode::GradMode(bool on) : previous_(std::exchange(enabled, on)) {}
GradMode::~GradMode() { enabled = previous_; }

FiniteCheck::FiniteCheck() { ++finite_checks; }
FiniteCheck::~FiniteCheck() { --finite_checks; }

Scope::Scope(std::string name) { scopes.push_back(std::move(name)); }
Scope::~Scope() { scopes.pop_back(); }

std::string Scope::path() {
  std::string path;
  for (const std::string& scope : scopes) {
    if (scope.empty()) continue;
    if (!path.empty()) path += '.';
    path += scope;
  }
  return path;
}

Tensor record(const char* name, const Tensor& output, std::span<const Tensor> inputs,
              BackwardFunction backward) {
  if (finite_checks > 0) check_finite(name, output, inputs);
  if (!enabled) return output.detach();
  std::vector<std::shared_ptr<Node>> nodes;
  nodes.reserve(inputs.size());
  for (const Tensor& input : inputs) nodes.push_back(input.node());
  if (std::none_of(nodes.begin(), nodes.end(), [](const auto& node) { return node != nullptr; }))
    return output.detach();
  return output.with_node(std::make_shared<Node>(name, std::move(nodes), std::move(backward)));
}

Tensor record(const char* name, const Tensor& output, std::initializer_list<Tensor> inputs,
              BackwardFunction backward) {
  return record(name, output, std::span<const Tensor>(inputs.begin(), inputs.size()), std::move(backward));
}

Tensor no_gradient(const char* name, const Tensor& output, std::initializer_list<Tensor> inputs) {
  const bool asked = enabled && std::any_of(inputs.begin(), inputs.end(),
                                            [](const Tensor& input) { return input.requires_grad(); });
  check(!asked, "{}: has no derivative; call it under NoGrad or on a detach()ed tensor", name);
  return output.detach();
}

}  // namespace lamina
