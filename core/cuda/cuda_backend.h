// The CUDA twin of the Backend: one object per GPU, its kernels defined by family in the files of this
// folder. Everything is handed to one stream, in order, and nothing waits for it but copy_to_host,
// all_finite and synchronize.
#pragma once

#include <memory>

#include "core/backend.h"
#include "core/cuda/launch.h"
#include "core/memory/allocator.h"

namespace lamina {

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(int index);  // throws Error if the GPU or a library cannot be used
  ~CudaBackend() override;

  Device device() const { return Device::cuda(index_); }
  cuda::Stream stream() const;
  std::string plan_report() const;  // cuda_plan_report() of this GPU

  Allocator& allocator() override;
  void copy_from_host(const void* source, Tensor& to) override;
  void copy_to_host(const Tensor& from, void* destination) override;
  void copy(const Tensor& from, Tensor& to) override;
  void synchronize() override;
  std::unique_ptr<Graph> capture(const std::function<void()>& work) override;
  void warm_up(const std::function<void()>& work) override;
  double peak_gflops() override;
  void fill(Tensor& out, double value) override;
  void cast(const Tensor& x, Tensor& out) override;
  void cast_all(std::span<const Cast> casts) override;
  void unary(const math::Unary& function, const Tensor& x, Tensor& y) override;
  void unary_grad(const math::Unary& function, const Tensor& saved, const Tensor& grad, Tensor& out) override;
  void unary_grad_grad(const math::Unary& function, const Tensor& saved, const Tensor& grad,
                       Tensor& out) override;
  void binary(const math::Binary& function, const Tensor& a, const Tensor& b, Tensor& out) override;
  void where(const Tensor& condition, const Tensor& a, const Tensor& b, Tensor& out) override;
  void accumulate(const Tensor& x, Tensor& total) override;
  void accumulate_all(std::span<const Accumulation> sums) override;
  void sum_to(const Tensor& x, Tensor& out) override;
  void broadcast_to(const Tensor& x, Tensor& out) override;
  void read_slice(const Tensor& x, const Slice& slice, Tensor& out) override;
  void write_slice(const Tensor& x, const Slice& slice, Tensor& out) override;
  void embed(const Tensor& x, const Slice& slice, Tensor& out) override;
  void argmax(const Tensor& x, Tensor& index) override;
  void is_argmax(const Tensor& x, const Tensor& labels, Tensor& out) override;
  bool all_finite(const Tensor& x) override;
  void permute(const Tensor& x, const std::vector<int>& order, Tensor& out) override;
  void gather(const Tensor& x, int axis, const Tensor& index, Tensor& out) override;
  void scatter_add(const Tensor& x, int axis, const Tensor& index, Tensor& out) override;
  void top_k(const Tensor& x, Tensor& indices) override;
  void matmul(const Tensor& a, const Tensor& b, const MatmulOptions& options, Tensor& out) override;
  void conv2d(const Tensor& x, const Tensor& weight, const Conv2dOptions& options, Tensor& y) override;
  void conv2d_grad_input(const Tensor& grad, const Tensor& weight, const Conv2dOptions& options,
                         Tensor& grad_x) override;
  void conv2d_add_grad_input(const Tensor& grad, const Tensor& weight, const Conv2dOptions& options,
                             Tensor& sum) override;
  void conv2d_grad_weight(const Tensor& grad, const Tensor& x, const Conv2dOptions& options,
                          Tensor& grad_weight) override;
  void batch_norm(const Tensor& x, const BatchNormParams& params, const Tensor& residual,
                  const BatchNormOptions& options, Tensor& y, Tensor& mean, Tensor& inv_std) override;
  void batch_norm_inference(const Tensor& x, const BatchNormParams& params, const Tensor& residual,
                            const BatchNormOptions& options, Tensor& y, Tensor& mean,
                            Tensor& inv_std) override;
  void batch_norm_again(const Tensor& x, const BatchNormParams& params, const Tensor& residual,
                        const BatchNormOptions& options, const Tensor& mean, const Tensor& inv_std,
                        Tensor& y) override;
  void batch_norm_grad(const Tensor& grad, const Tensor& x, const Tensor& y, const BatchNormParams& params,
                       const Tensor& mean, const Tensor& inv_std, const BatchNormOptions& options,
                       Tensor& grad_x, Tensor& grad_weight, Tensor& grad_bias,
                       Tensor& grad_residual) override;
  void batch_norm_second_grad(const BatchNormSecond& in, const BatchNormOptions& options, Tensor& grad_grad,
                              Tensor& grad_x, Tensor& grad_weight) override;
  void max_pool2d(const Tensor& x, const Pool2dOptions& options, Tensor& y, Tensor& index) override;
  void max_pool2d_scatter(const Tensor& grad, const Tensor& index, const Pool2dOptions& options,
                          Tensor& grad_x) override;
  void max_pool2d_gather(const Tensor& x, const Tensor& index, Tensor& y) override;
  void avg_pool2d(const Tensor& x, const Pool2dOptions& options, Tensor& y) override;
  void avg_pool2d_grad(const Tensor& grad, const Pool2dOptions& options, Tensor& grad_x) override;
  void softmax(const Tensor& logits, Tensor& probabilities) override;
  void cross_entropy(const Tensor& logits, const Tensor& labels, double smoothing, Tensor& losses,
                     Tensor& probabilities) override;
  void cross_entropy_grad(const Tensor& grad, const Tensor& probabilities, const Tensor& labels,
                          double smoothing, Tensor& grad_logits) override;
  void one_hot(const Tensor& labels, double smoothing, Tensor& target) override;
  void dropout_mask(const Tensor& draw, std::uint64_t seed, double keep, Tensor& mask) override;
  void crop_images(const Tensor& images, std::span<const Crop> crops, std::span<const float> mean,
                   std::span<const float> std, Tensor& out) override;
  void crop_host_images(const Tensor& images, std::span<const Crop> crops, std::span<const float> mean,
                        std::span<const float> std, Tensor& out) override;
  void make_views(const Tensor& images, std::span<const View> views, Tensor& out) override;

 private:
  struct Gpu;  // its stream, memory and libraries: core/cuda/gpu.h
  int index_;
  std::unique_ptr<Gpu> gpu_;
};

}  // namespace lamina
