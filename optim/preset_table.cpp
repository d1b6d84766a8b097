// The presets: one row each, the first of an optimizer being its default. docs/optimizers.md explains them.
#include <array>

#include "core/base/error.h"
#include "optim/presets.h"
#include "optim/run_defaults.h"

namespace lamina {

namespace {

constexpr std::array preset_rows{
    Preset{"sgd", "pytorch", "momentum=0.9 decay=all", "heavy-ball momentum, L2 decay of every parameter",
           "PyTorch 2.15 torch/optim/sgd.py"},
    Preset{"sgd", "paper", "momentum=0.9 nesterov=true momentum_lr=inside decay=all",
           "Nesterov momentum, learning rate inside the velocity", "Sutskever et al. 2013, eq. 3-4"},
    Preset{"sgd", "goyal", "momentum=0.9 nesterov=true weight_decay=1e-4 decay=weights",
           "Nesterov momentum, no decay of biases and normalisation", "Goyal et al. 2017, sec. 5.1"},

    Preset{"adamw", "pytorch", "decay_scale=lr decay=all", "decay multiplied by the learning rate",
           "PyTorch 2.15 torch/optim/adamw.py"},
    Preset{"adamw", "paper", "decay_scale=schedule decay=all", "decay multiplied by the schedule only",
           "Loshchilov & Hutter 2019, Alg. 2"},

    Preset{"lars", "paper", "denominator=split momentum_lr=inside",
           "learning rate inside the momentum; also MLPerf's TensorFlow 1 code",
           "You, Gitman & Ginsburg 2017, Alg. 1; mlcommons/training mlperf_lars_optimizer.py @80adb5f"},
    Preset{"lars", "mlperf", "denominator=split ratio_eps=1e-7 momentum_lr=inside",
           "as paper, but an eps of 0 is silently replaced by 1e-7",
           "mlcommons/training image_classification/tensorflow2/lars_optimizer.py @e821074"},
    Preset{"lars", "barlowtwins", "denominator=joint momentum_lr=outside",
           "norm of gradient and decay together, learning rate outside; also VICReg, MoCo v3, MAE and the "
           "TVLARS authors' LARS",
           "facebookresearch/barlowtwins main.py @a655214, vicreg main_vicreg.py @cc1ef4f, KhoiDOO/tvlars "
           "opt/lars.py @7e28a07"},
    Preset{
        "lars", "simclr", "denominator=joint momentum_lr=inside",
        "norm of gradient and decay together, learning rate inside; also TF models (classic_momentum=True)",
        "google-research/simclr lars_optimizer.py @036ea7b, tensorflow/models "
        "official/modeling/optimization/lars.py @0ca414d"},
    Preset{"lars", "simclr-popular", "denominator=after_momentum momentum_lr=outside",
           "the ratio is formed with the momentum and multiplies the step (classic_momentum=False)",
           "google-research/simclr lars_optimizer.py @036ea7b, tensorflow/models "
           "official/modeling/optimization/lars.py @0ca414d"},
    Preset{"lars", "apex-larc",
           "trust_coefficient=0.02 denominator=split ratio_eps=1e-8 momentum_lr=outside larc_clip=true "
           "decay=all adapt=all zero_norm=one_without_decay",
           "every tensor adapts, never above the plain learning rate",
           "NVIDIA/apex apex/parallel/LARC.py @2ec84eb"},
    Preset{"lars", "apex-larc-unclipped",
           "trust_coefficient=0.02 denominator=split ratio_eps=1e-8 momentum_lr=outside decay=all adapt=all "
           "zero_norm=one_without_decay",
           "every tensor adapts (LARC with clip=False)", "NVIDIA/apex apex/parallel/LARC.py @2ec84eb"},
    Preset{"lars", "timm", "denominator=split ratio_eps=1e-8 momentum_lr=outside adapt=decayed",
           "only decaying tensors adapt, learning rate outside", "timm 1.0.31 timm/optim/lars.py"},
    Preset{"lars", "timm-larc",
           "denominator=split ratio_eps=1e-8 momentum_lr=outside larc_clip=true adapt=decayed",
           "as timm, never above the plain learning rate (trust_clip=True)",
           "timm 1.0.31 timm/optim/lars.py"},
    Preset{"lars", "timm-always-adapt", "denominator=split ratio_eps=1e-8 momentum_lr=outside adapt=all",
           "as timm, tensors without decay adapt too (always_adapt=True)", "timm 1.0.31 timm/optim/lars.py"},
    Preset{"lars", "lightly",
           "denominator=split ratio_eps=1e-8 momentum_lr=outside adapt=decayed zero_norm=one_without_decay",
           "as timm, but a tensor with a zero norm does not decay either; also Lightning Bolts and Flash",
           "lightly 1.6.0 lightly/utils/lars.py @d673713, Lightning-Universe/lightning-bolts "
           "src/pl_bolts/optimizers/lars.py @34958a8, lightning-flash src/flash/core/optimizers/lars.py "
           "@445fcd2"},
    Preset{"lars", "solo-learn",
           "denominator=split ratio_eps=1e-8 momentum_lr=outside zero_norm=one_without_decay",
           "as lightly, but weights adapt whether they decay or not (exclude_bias_n_norm=True)",
           "vturrisi/solo-learn solo/utils/lars.py @e384184; solo-learn 1.0.2"},
    Preset{"lars", "optax", "denominator=joint momentum_lr=inside decay=all adapt=all",
           "as simclr, but every tensor decays and adapts, for its masks are off by default",
           "optax 0.2.8 optax/_src/alias.py"},
    Preset{"lars", "mxnet", "denominator=split ratio_eps=1e-8 momentum_lr=inside decay=all adapt=weights",
           "biases and normalisation decay but do not adapt",
           "apache/mxnet python/mxnet/optimizer/lars.py @5ed72b1, step()"},

    Preset{"lamb", "paper", "bias_correction=moments eps=1e-6",
           "bias correction in the moments, weights decay and adapt; also TensorFlow Addons and TF models",
           "You et al. 2020, Alg. 2; tensorflow/addons tensorflow_addons/optimizers/lamb.py @00beec0; "
           "tf-models-official 2.20.0 official/modeling/optimization/lamb.py"},
    Preset{"lamb", "albert", "bias_correction=none eps=1e-6",
           "as paper without bias correction (version 3 of the paper)",
           "google-research/albert lamb_optimizer.py @a36e095"},
    Preset{"lamb", "official",
           "bias_correction=none eps=1e-6 weight_norm_max=10 weight_decay=5e-4 decay=all adapt=all",
           "no bias correction, weight norm at most 10, every tensor decays and adapts; also torch_optimizer "
           "and cybertronai's repository today",
           "KhoiDOO/tvlars opt/lamb.py @eff8f22, torch_optimizer 0.3.0, cybertronai/pytorch-lamb "
           "pytorch_lamb/lamb.py @56bda77"},
    Preset{"lamb", "official-ssl",
           "bias_correction=none eps=1e-6 weight_decay=5e-4 decay=all adapt=all use_trust_ratio=false",
           "as official with the ratio forced to 1, which the self-supervised script does: no LAMB at all",
           "KhoiDOO/tvlars self_sl.py @64f68ff (adam=True)"},
    Preset{"lamb", "cybertronai",
           "bias_correction=none eps=1e-6 weight_norm_max=10 decay=all adapt=all zero_norm=raw",
           "as official without its guard: a tensor of zeros never moves; the package that pip installs",
           "pytorch-lamb 1.0.0; cybertronai/pytorch-lamb pytorch_lamb/lamb.py @207f672"},
    Preset{
        "lamb", "apex", "bias_correction=moments eps=1e-6 max_grad_norm=1 adapt=decayed",
        "global gradient norm at most 1, only decaying tensors adapt; also timm",
        "NVIDIA/apex apex/optimizers/fused_lamb.py @16fadfe, csrc/multi_tensor_lamb.cu @1f20398; timm 1.0.31 "
        "timm/optim/lamb.py"},
    Preset{
        "lamb", "apex-nvlamb", "bias_correction=moments eps=1e-6 max_grad_norm=1 adapt=all",
        "as apex, tensors without decay adapt too (use_nvlamb=True; timm: always_adapt=True)",
        "NVIDIA/apex apex/optimizers/fused_lamb.py @16fadfe, csrc/multi_tensor_lamb.cu @1f20398; timm 1.0.31 "
        "timm/optim/lamb.py"},
    Preset{"lamb", "timm-lambc", "bias_correction=moments eps=1e-6 max_grad_norm=1 adapt=decayed ratio_max=1",
           "as apex, the ratio never above 1 (trust_clip=True)", "timm 1.0.31 timm/optim/lamb.py"},
    Preset{"lamb", "timm-decoupled",
           "bias_correction=moments eps=1e-6 max_grad_norm=1 adapt=decayed decay_mode=decoupled",
           "as apex, decay outside the ratio (decoupled_decay=True)", "timm 1.0.31 timm/optim/lamb.py"},
    Preset{"lamb", "optax", "bias_correction=moments eps=1e-6 decay=all adapt=all",
           "as paper, but every tensor decays and adapts; also MXNet, and Flash without groups",
           "optax 0.2.8 optax/_src/alias.py; apache/mxnet python/mxnet/optimizer/lamb.py @f70c7b7; "
           "lightning-flash src/flash/core/optimizers/lamb.py @433474a"},
    Preset{"lamb", "deepspeed",
           "bias_correction=step_size eps=1e-8 decay=all adapt=all ratio_min=0.01 ratio_max=10",
           "bias correction in the step size, where the ratio cannot cancel it; ratio from 0.01 to 10",
           "deepspeedai/DeepSpeed csrc/lamb/fused_lamb_cuda_kernel.cu @c7724c6 (0.19.6)"},
    Preset{"lamb", "keras", "bias_correction=moments eps=1e-7 decay=all adapt=all decay_mode=decoupled",
           "decay outside the ratio, every tensor decays and adapts",
           "keras 3.15.1 keras/src/optimizers/lamb.py and base_optimizer.py"},

    Preset{
        "tvlars", "paper",
        "alpha=1 lambda=1e-3 delay_epochs=10 gamma_min=0.001*B/B_base denominator=joint momentum_lr=inside "
        "nesterov=true",
        "phi with delay and floor; alpha and the delay are ours, the paper's are not published with its code",
        "Do et al. 2024, eq. 5 and Alg. 1"},
    Preset{"tvlars", "official",
           "alpha=0.1 delay_epochs=0 gamma_min=0 first_time=1 denominator=joint momentum_lr=outside "
           "nesterov=false weight_norm_max=10 update_norm_max=10",
           "no delay, no floor, norms at most 10", "KhoiDOO/tvlars opt/tvlars.py @89c3291"},
    Preset{"tvlars", "official-aug17",
           "alpha=0.1 delay_epochs=0 gamma_min=0 first_time=1 hard_delay_epochs=10 denominator=joint "
           "momentum_lr=outside nesterov=false weight_norm_max=10 update_norm_max=10",
           "as official, but phi is 1 for ten epochs", "KhoiDOO/tvlars opt/tvlars.py @10bcfd2"},
    Preset{
        "tvlars", "official-exp",
        "phi_form=exponential delay_epochs=0 gamma_min=0 first_time=1 denominator=joint momentum_lr=outside "
        "nesterov=false weight_norm_max=10 update_norm_max=10",
        "phi = exp(-lambda t), norms at most 10", "KhoiDOO/tvlars opt/tvlars.py @f0d0428"},
};

// Lines of words, indented, at most 110 columns wide where the words allow.
std::string wrapped(std::string_view text, std::size_t indent) {
  constexpr std::size_t width = 110;
  std::string lines;
  std::size_t column = 0;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    if (column == 0 || column + 1 + word.size() > width) {
      if (column > 0) lines += '\n';
      lines.append(indent, ' ');
      column = indent;
    } else {
      lines += ' ';
      ++column;
    }
    lines += word;
    column += word.size();
  }
  return lines + "\n";
}

}  // namespace

std::span<const Preset> presets() { return preset_rows; }

std::string preset_table() {
  std::string table;
  std::string_view optimizer;
  for (const Preset& preset : preset_rows) {
    if (optimizer != preset.optimizer) {
      optimizer = preset.optimizer;
      table += fmt::format("{}{}, where neither a preset nor a learning rate is given: as {}:{}, with\n{}",
                           table.empty() ? "" : "\n", optimizer, optimizer, preset.name,
                           wrapped(run_defaults(optimizer), 8));
    }
    table += full_name(preset) + "\n" + wrapped(preset.description, 4) + wrapped(preset.settings, 8) +
             wrapped(preset.source, 8);
  }
  return table;
}

}  // namespace lamina
