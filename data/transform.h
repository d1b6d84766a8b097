// A function of one's own that a loader calls for every image:
//
//   data::Loader train(data.train, {.batch = 128, .transform = [](Tensor image) { return image; }});
//   data::Loader train(data.train, {.batch = 128, .transform = [](Tensor image, const Random& random) { …
//   }});
#pragma once

#include <concepts>
#include <functional>
#include <type_traits>
#include <utility>

#include "core/random.h"
#include "core/tensor.h"

namespace lamina::data {

// Of a u8 image [H, W, C] on the CPU, a copy that may be written into; to one of as many channels. `random`
// holds the numbers of this sample's view in this epoch, which neither workers nor resumptions change: the
// result must depend on nothing else. Workers call it at the same time.
class ImageTransform {
 public:
  ImageTransform() = default;  // none

  template <typename Function>
  requires(!std::same_as<std::remove_cvref_t<Function>, ImageTransform> &&
           std::is_invocable_r_v<Tensor, Function&, Tensor, const Random&>)
      ImageTransform(Function function)  // NOLINT(google-explicit-constructor)
      : function_(std::move(function)) {}

  template <typename Function>
  requires(!std::is_invocable_v<Function&, Tensor, const Random&> &&
           std::is_invocable_r_v<Tensor, Function&, Tensor>)
      ImageTransform(Function function) {  // NOLINT(google-explicit-constructor)
    std::function<Tensor(Tensor)> of_image(std::move(function));
    if (!of_image) return;
    function_ = [of_image = std::move(of_image)](Tensor image, const Random&) {
      return of_image(std::move(image));
    };
  }

  explicit operator bool() const { return static_cast<bool>(function_); }
  Tensor operator()(Tensor image, const Random& random) const { return function_(std::move(image), random); }

 private:
  std::function<Tensor(Tensor, const Random&)> function_;
};

}  // namespace lamina::data
