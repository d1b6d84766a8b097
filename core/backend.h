// The whole hardware contract. A device is a subclass; a missing kernel is a compile error.
//
// Every tensor is contiguous and already checked: shapes, dtypes and devices are validated in core/ops and
// nowhere else. Outputs are allocated by the caller, may hold anything (also NaN) on entry, and are written
// completely, unless the comment says "adds". N images, H×W pixels, C channels; "rows" are all leading axes
// flattened. Kernels are deterministic: the same bits for any number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/math/binary.h"
#include "core/math/resample.h"
#include "core/math/unary.h"
#include "core/math/view_step.h"
#include "core/tensor.h"

namespace lamina {

class Allocator;

struct Conv2dOptions {
  int stride = 1;   // both directions
  int padding = 0;  // zeros on all four sides
  // By conv2d() alone (core/ops/conv.h), which composes them; kernels see 1.
  int groups = 1;    // each sees its share of the input channels and makes its share of the output's
  int dilation = 1;  // between the kernel's taps
};

struct Pool2dOptions {
  int size = 2;
  int stride = 2;
  int padding = 0;  // never wins the maximum
};

struct MatmulOptions {
  bool transpose_a = false;  // a is [k, m] instead of [m, k]
  bool transpose_b = false;  // b is [n, k] instead of [k, n]
};

// Along one axis: elements start, start + step, … (count of them).
struct Slice {
  int axis = 0;
  std::int64_t start = 0;
  std::int64_t count = 0;
  std::int64_t step = 1;
};

struct BatchNormOptions {
  bool training = true;   // batch statistics, and the running ones move; else the running statistics are used
  bool relu = false;      // y = max(0, ·) at the end
  double momentum = 0.1;  // running = (1 - momentum) * running + momentum * batch (unbiased variance)
  double eps = 1e-5;      // added to the variance
  // Other ops keep the residual for their gradients anyway: on the CPU y need not be kept, but is made again
  // from x and the residual. (Unless that would be made again itself.)
  bool residual_is_kept = false;
  // Adds numbers up over all processes that share the batch: statistics in training are then those of all of
  // it (CPU). Empty: the batch is this process's.
  std::function<void(std::span<double>)> sum_over_ranks = {};
};

// What a batch normalisation learns and keeps of C channels: [C] in the dtype of x, f32 where x is bf16.
struct BatchNormParams {
  Tensor weight, bias;
  Tensor running_mean, running_var;  // moved in place by batches in training
  Tensor batches_tracked = {};       // i32 []: how many have moved them; undefined: not counted
};

// What the second derivative of batch_norm starts from. Those of `to`: gradients with respect to what
// batch_norm_grad gave; `residual` undefined: it was not wanted.
struct BatchNormSecond {
  Tensor grad, x, y;  // as batch_norm_grad took them
  BatchNormParams params;
  Tensor mean, inv_std;
  Tensor grad_weight, grad_bias;  // what it gave
  struct {
    Tensor x, weight, bias, residual;
  } to;
};

// Augmentation of one image: where its crop starts in the zero-padded source, whether it is mirrored, and
// what is then cut out of it.
struct Crop {
  std::int32_t source = 0;  // row of `images`
  std::int16_t top = 0;     // of the crop, in source pixels; negative: in the padding above
  std::int16_t left = 0;
  bool flip = false;  // mirror left to right, after cropping
  // Rows [cut_top, cut_bottom) × columns [cut_left, cut_right) of what has come out are 0, after
  // normalisation; they may lie outside.
  std::int32_t cut_top = 0, cut_bottom = 0, cut_left = 0, cut_right = 0;
};

// A random view of one image: a rectangle of it, resized, mirrored or not, and then up to seven steps in
// turn.
struct View {
  static constexpr int most_steps = 7;
  std::int32_t source = 0;                                // row of `images`
  std::int32_t top = 0, left = 0, height = 1, width = 1;  // inside the image
  math::Filter filter = math::Filter::bicubic;
  bool flip = false;
  math::ViewStep steps[most_steps] = {};
};

// Captured work, which a device does again as a whole.
class Graph {
 public:
  Graph() = default;
  virtual ~Graph() = default;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  virtual void replay() = 0;  // hands it to the device
};

class Backend {
 public:
  virtual ~Backend() = default;

  // Memory.
  virtual Allocator& allocator() = 0;
  virtual void copy_from_host(const void* source, Tensor& to) = 0;
  virtual void copy_to_host(const Tensor& from, void* destination) = 0;
  virtual void copy(const Tensor& from, Tensor& to) = 0;  // same device, dtype and number of elements
  virtual void synchronize() = 0;                         // waits until all work handed out is done
  // What `work` hands to the device, without doing it. To be used through core/captured.h.
  virtual std::unique_ptr<Graph> capture(const std::function<void()>& work) = 0;
  // Does `work` once, in the memory that graphs share: beside theirs it would need as much again.
  virtual void warm_up(const std::function<void()>& work) = 0;
  virtual void fill(Tensor& out, double value) = 0;     // any dtype
  virtual void cast(const Tensor& x, Tensor& out) = 0;  // between any two dtypes; to u8/i32 truncates
  struct Cast {
    Tensor x, out;
  };
  virtual void cast_all(std::span<const Cast> casts);  // many; a GPU needs few kernels

  // Measured: the most 10^9 f32 operations a second, a multiply-add being two, that any kernel could reach on
  // threads() threads without saving operations. Takes a few hundredths of a second.
  virtual double peak_gflops() = 0;

  // Elementwise (core/math). `saved` is y where the function's derivative is from_output, else x.
  virtual void unary(const math::Unary& function, const Tensor& x, Tensor& y) = 0;
  virtual void unary_grad(const math::Unary& function, const Tensor& saved, const Tensor& grad,
                          Tensor& out) = 0;  // grad * df(saved)
  virtual void unary_grad_grad(const math::Unary& function, const Tensor& saved, const Tensor& grad,
                               Tensor& out) = 0;  // grad * ddf(saved)
  virtual void binary(const math::Binary& function, const Tensor& a, const Tensor& b,
                      Tensor& out) = 0;  // NumPy broadcasting to out's shape
  virtual void where(const Tensor& condition, const Tensor& a, const Tensor& b,
                     Tensor& out) = 0;  // a where the condition is not 0, else b, all broadcast
  virtual void accumulate(const Tensor& x, Tensor& total) = 0;  // adds x to total, same shape
  // Adds each x to its total, in turn; totals are the same or do not overlap. A GPU needs few kernels for
  // many tensors, and takes x in bf16 where its total is f32.
  struct Accumulation {
    Tensor x, total;
  };
  virtual void accumulate_all(std::span<const Accumulation> sums);

  // Reductions and shapes. `out` broadcasts to x's shape (NumPy's rule): the axes where it is 1 or missing
  // are summed.
  virtual void sum_to(const Tensor& x, Tensor& out) = 0;
  virtual void broadcast_to(const Tensor& x, Tensor& out) = 0;
  virtual void read_slice(const Tensor& x, const Slice& slice, Tensor& out) = 0;  // out = x[slice]
  virtual void write_slice(const Tensor& x, const Slice& slice,
                           Tensor& out) = 0;  // out[slice] = x; the rest of out stays
  virtual void embed(const Tensor& x, const Slice& slice, Tensor& out);  // out = 0 and out[slice] = x
  virtual void argmax(const Tensor& x,
                      Tensor& index) = 0;  // [rows, C] -> i32 [rows]; first of equals; a NaN wins
  // [rows, C], i32 [rows] -> [rows] of x's dtype: 1 where the argmax is the label, else 0
  virtual void is_argmax(const Tensor& x, const Tensor& labels, Tensor& out) = 0;
  virtual bool all_finite(const Tensor& x) = 0;  // waits for the device
  // Axis a of out is axis order[a] of x; any dtype.
  virtual void permute(const Tensor& x, const std::vector<int>& order, Tensor& out) = 0;
  // out[o, k, i] = x[o, index, i] along an axis, any dtype; i32 index [K], or shaped like out. An index
  // outside the axis: Error on the CPU, all bits set on a GPU.
  virtual void gather(const Tensor& x, int axis, const Tensor& index, Tensor& out) = 0;
  // out = 0, and adds x[o, k, i] to out[o, index, i] in the order of k; index [K], or shaped like x. Outside
  // the axis: Error on the CPU, left out on a GPU.
  virtual void scatter_add(const Tensor& x, int axis, const Tensor& index, Tensor& out) = 0;
  // [rows, C] -> i32 [rows, k]: where the k largest are, in the order of math::comes_before
  virtual void top_k(const Tensor& x, Tensor& indices) = 0;

  // Products.
  virtual void matmul(const Tensor& a, const Tensor& b, const MatmulOptions& options,
                      Tensor& out) = 0;  // [m, n]
  virtual void conv2d(const Tensor& x, const Tensor& weight, const Conv2dOptions& options, Tensor& y) = 0;
  virtual void conv2d_grad_input(const Tensor& grad, const Tensor& weight, const Conv2dOptions& options,
                                 Tensor& grad_x) = 0;
  // sum += what conv2d_grad_input gives; in bf16 the sum alone is rounded.
  virtual void conv2d_add_grad_input(const Tensor& grad, const Tensor& weight, const Conv2dOptions& options,
                                     Tensor& sum) = 0;
  virtual void conv2d_grad_weight(const Tensor& grad, const Tensor& x, const Conv2dOptions& options,
                                  Tensor& grad_weight) = 0;

  // Batch normalisation over rows, per channel (Ioffe & Szegedy 2015), fused with an optional residual and
  // ReLU:
  //   y = relu?((x - mean) * inv_std * weight + bias + residual?)
  // batch_norm uses batch statistics, writes mean and inv_std = 1/sqrt(var + eps) [C], and moves the running
  // ones.
  // `residual` may be undefined.
  virtual void batch_norm(const Tensor& x, const BatchNormParams& params, const Tensor& residual,
                          const BatchNormOptions& options, Tensor& y, Tensor& mean, Tensor& inv_std) = 0;
  virtual void batch_norm_inference(const Tensor& x, const BatchNormParams& params, const Tensor& residual,
                                    const BatchNormOptions& options, Tensor& y, Tensor& mean,
                                    Tensor& inv_std) = 0;
  // y alone, to the bit as one of the two gave it with this mean and inv_std.
  virtual void batch_norm_again(const Tensor& x, const BatchNormParams& params, const Tensor& residual,
                                const BatchNormOptions& options, const Tensor& mean, const Tensor& inv_std,
                                Tensor& y) = 0;
  // With options.relu the sign of y is the mask. An undefined `y` means that there was no residual: the sign
  // then follows from x, which is read anyway. options.training tells whether mean and inv_std depend on x.
  // grad_residual may be undefined: not wanted. It, or else grad_x, may be in the memory of grad.
  virtual void batch_norm_grad(const Tensor& grad, const Tensor& x, const Tensor& y,
                               const BatchNormParams& params, const Tensor& mean, const Tensor& inv_std,
                               const BatchNormOptions& options, Tensor& grad_x, Tensor& grad_weight,
                               Tensor& grad_bias, Tensor& grad_residual) = 0;
  // The gradient of batch_norm_grad with respect to its grad, x and weight (math::BatchNormSecondGradient).
  virtual void batch_norm_second_grad(const BatchNormSecond& in, const BatchNormOptions& options,
                                      Tensor& grad_grad, Tensor& grad_x, Tensor& grad_weight) = 0;

  // Pooling over NHWC. `index` is i32, shaped like y: the position h * W + w of the maximum (first of equals;
  // a NaN wins).
  virtual void max_pool2d(const Tensor& x, const Pool2dOptions& options, Tensor& y, Tensor& index) = 0;
  virtual void max_pool2d_scatter(const Tensor& grad, const Tensor& index, const Pool2dOptions& options,
                                  Tensor& grad_x) = 0;  // windows may overlap: sums
  virtual void max_pool2d_gather(const Tensor& x, const Tensor& index, Tensor& y) = 0;

  // The mean over each window of size * size pixels, those of the padding being 0; and the gradient of that.
  virtual void avg_pool2d(const Tensor& x, const Pool2dOptions& options, Tensor& y) = 0;
  virtual void avg_pool2d_grad(const Tensor& grad, const Pool2dOptions& options, Tensor& grad_x) = 0;

  // Rows of logits [N, C], labels i32 [N]. The target is (1 - smoothing) * one_hot + smoothing / C.
  virtual void softmax(const Tensor& logits, Tensor& probabilities) = 0;
  virtual void cross_entropy(const Tensor& logits, const Tensor& labels, double smoothing, Tensor& losses,
                             Tensor& probabilities) = 0;  // losses [N]: -sum target * log softmax
  virtual void cross_entropy_grad(const Tensor& grad, const Tensor& probabilities, const Tensor& labels,
                                  double smoothing,
                                  Tensor& grad_logits) = 0;                          // grad [N]
  virtual void one_hot(const Tensor& labels, double smoothing, Tensor& target) = 0;  // [N, C]

  // Dropout's mask number `draw` (i32 [], on the device) of a seed: 1 / keep with probability `keep`, else 0.
  // Adds one to `draw`.
  virtual void dropout_mask(const Tensor& draw, std::uint64_t seed, double keep, Tensor& mask) = 0;

  // u8 images [S, H, W, C] -> normalised [crops.size(), h, w, C]: (pixel / 255 - mean[c]) / std[c]; padding
  // is pixel 0 before normalisation, what is cut out 0 after it.
  virtual void crop_images(const Tensor& images, std::span<const Crop> crops, std::span<const float> mean,
                           std::span<const float> std, Tensor& out) = 0;
  // The same of images on the CPU, which may change when the call returns. To a GPU they go while it is at
  // work on what it was handed before.
  virtual void crop_host_images(const Tensor& images, std::span<const Crop> crops,
                                std::span<const float> mean, std::span<const float> std, Tensor& out) = 0;
  // u8 images [S, H, W, C] -> u8 [views.size(), h, w, C], C = 1 or 3: the pixels that Pillow makes.
  virtual void make_views(const Tensor& images, std::span<const View> views, Tensor& out) = 0;
};

// The only dispatch. Throws Error for a device this build or machine does not have.
Backend& backend_for(Device device);

// Linked once per build: the CPU twin, and the CUDA one or its stub.
Backend& cpu_backend();
Backend& cuda_backend(int index);
int cuda_device_count();  // 0 without a driver or in a build without CUDA; never throws
std::string cuda_obstacle(
    int index);  // why this GPU cannot be used: too old, libraries missing; "" if it can
std::string
cuda_build_description();  // "CUDA 13.0, cuDNN 9.19, built for sm_80, sm_90", or why there is none
std::vector<std::string> cuda_libraries();       // "cuDNN 9.19.0, /usr/lib/…", or why it cannot be opened
std::string cuda_device_description(int index);  // "NVIDIA H200, compute capability 9.0, …"
std::string cuda_plan_report();  // a line for each convolution met so far and how it is done; "" without any

// How products are computed on a GPU; both hold for the whole program and are meaningless on the CPU. TF32
// rounds the f32 inputs of products to 10 bits of fraction and is some eight times faster.
void set_tf32(bool allowed);  // default: not allowed
bool tf32();
// Deterministic: repeated runs give the same bits on the same GPU; what cannot promise that is not used.
void set_deterministic(bool deterministic);  // default: deterministic
bool deterministic();

// Threads of the CPU kernels. Results do not depend on it.
void set_threads(int threads);
int threads();       // 1 inside a SerialScope
class SerialScope {  // while alive, kernels called from this thread use this thread alone (data loader
                     // workers)
 public:
  SerialScope();
  ~SerialScope();
  SerialScope(const SerialScope&) = delete;
  SerialScope& operator=(const SerialScope&) = delete;
};

}  // namespace lamina
