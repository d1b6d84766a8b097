// Names, knobs, groups, the arena, and a rule from outside the library.
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string>

#include "catch.h"
#include "core/instruction_set.h"
#include "optim/run_defaults.h"
#include "optim_common.h"
#include "other_flags.h"
#include "own_rule.h"

namespace lamina {
namespace {

using namespace testing;
using Catch::Matchers::Contains;

TEST_CASE("presets set knobs, overrides win, batch and epochs are filled in") {
  const RunFacts facts{.batch = 1024, .base_batch = 256, .steps_per_epoch = 49};
  const auto paper = make_optimizer("tvlars", model<float>(), {{"lambda", "0.01"}, {"lr", "3"}}, facts);
  CHECK(paper->name() == "tvlars");
  CHECK(knob(*paper, "gamma_min") == "0.004");
  CHECK(knob(*paper, "lambda") == "0.01");
  CHECK(knob(*paper, "steps_per_epoch") == "49");
  CHECK(knob(*paper, "nesterov") == "true");
  CHECK(paper->lr() == 3);
  const auto official = make_optimizer("tvlars:official", model<float>());
  CHECK(knob(*official, "weight_norm_max") == "10");
  CHECK(knob(*official, "denominator") == "joint");
  CHECK(find_preset("sgd").name == std::string("pytorch"));
  for (const std::string& name : all_presets()) {
    INFO(name);
    const auto optimizer = make(name, model<float>());
    const bool unclipped = optimizer->name() != "lamb";  // then a max_grad_norm of 0 is not told
    CHECK(optimizer->knobs().size() + (unclipped ? 1 : 0) == knob_help(name).size());
    CHECK(preset_table().find(name) != std::string::npos);
  }
}

TEST_CASE("several facts of a run behind a number are multiplied") {
  const RunFacts facts{.batch = 1024, .base_batch = 256, .steps_per_epoch = 50, .epochs = 8};
  const auto lambda = [&](const std::string& text) {
    return std::get<TvLarsOptions>(resolve_optimizer("tvlars", {.set = {{"lambda", text}}}, facts).options)
        .lambda;
  };
  CHECK(lambda("0.5*B/B_base*E") == 16);
  CHECK(lambda("0.5*E*B/B_base") == 16);
  CHECK(lambda("100*E/T") == Approx(2).epsilon(1e-15));  // 1 / 400 is rounded
  CHECK(lambda("2*sqrt(B/B_base)*sqrt(B/B_base)") == 8);
  CHECK_THROWS_WITH(lambda("E*2"), Contains("expected a number"));
}

TEST_CASE("every optimizer has defaults for a run, which follow its batch and its length") {
  const auto resolved = [](const std::string& name, const RunFacts& facts) {
    return resolve_optimizer(name, {.set = parse_settings(run_defaults(name))}, facts);
  };
  for (const std::string& name : optimizer_names()) {
    INFO(name);
    const RunFacts small{.batch = 256, .steps_per_epoch = 200, .epochs = 5};
    const RunFacts large{.batch = 1024, .steps_per_epoch = 50, .epochs = 5};
    const double growth = name == "adamw" || name == "lamb" ? 2 : 4;
    CHECK(resolved(name, large).lr() == growth * resolved(name, small).lr());
    CHECK(preset_table().find(name + ", where neither a preset nor a learning rate is given") !=
          std::string::npos);
  }
  const auto tvlars = [&](double epochs) {
    return std::get<TvLarsOptions>(resolved("tvlars", {.steps_per_epoch = 50, .epochs = epochs}).options);
  };
  for (const double epochs : {5, 100}) {
    const TvLarsOptions options = tvlars(epochs);
    const auto steps = static_cast<std::int64_t>(50 * epochs);
    CHECK(phi(options, 1) > 0.8);
    CHECK(phi(options, steps) < 0.06);
  }
  CHECK_THROWS_WITH(resolved("tvlars", {.steps_per_epoch = 50}), Contains("how long the run is"));
  CHECK_THROWS_WITH(run_defaults("adagrad"), Contains("valid: "));
}

TEST_CASE("knobs written out and read back make the same optimizer") {
  for (const std::string& name : all_presets()) {
    INFO(name);
    const auto optimizer = make(name, model<float>());
    const std::string family = name.substr(0, name.find(':'));
    CHECK(make_optimizer(family, model<float>(), optimizer->knobs())->knobs() == optimizer->knobs());
  }
}

TEST_CASE("an optimizer is known before there are parameters for it") {
  const RunFacts facts{.batch = 1024, .steps_per_epoch = 4};
  for (const std::string& name : all_presets()) {
    INFO(name);
    const OptimizerChoice choice = resolve_optimizer(name, {.weight_decay = 0.01}, facts);
    const auto optimizer = make(name, model<float>());
    CHECK(choice.name() == optimizer->name());
    CHECK(choice.lr() == optimizer->lr());
    CHECK(choice.knobs() == optimizer->knobs());
    CHECK(make_optimizer(choice, model<float>())->knobs() == choice.knobs());
  }
}

TEST_CASE("numbers override a preset as they are, settings override numbers") {
  const double third = 1.0 / 3;
  const OptimizerChoice lars = resolve_optimizer(
      "lars:timm", {.lr = third, .momentum = 0.5, .weight_decay = 0.25, .set = {{"momentum", "0.75"}}});
  CHECK(lars.lr() == third);
  CHECK(std::get<LarsOptions>(lars.options).momentum == 0.75);
  CHECK(std::get<LarsOptions>(lars.options).weight_decay == 0.25);
  CHECK(make_optimizer(lars, model<float>())->lr() == third);
  for (const char* name : {"adamw", "lamb"})
    CHECK_THROWS_WITH(resolve_optimizer(name, {.momentum = 0.9}),
                      Contains(std::string(name) + " has no knob 'momentum'") && Contains("beta1"));
  CHECK_THROWS_WITH(resolve_optimizer("lars", {.lr = -1}), Contains("lr is -1"));
  CHECK_THROWS_AS(resolve_optimizer("lars:timm", {.weight_decay = 0}), UsageError);
}

TEST_CASE("every knob is in the table of its preset, with its value and meaning") {
  for (const std::string& name : all_presets()) {
    const std::string table = knob_table(name);
    INFO(name << "\n" << table);
    for (const KnobHelp& knob : knob_help(name)) {
      CHECK(!knob.meaning.empty());
      CHECK(table.find("\n" + knob.name + " ") != std::string::npos);
      CHECK(table.find(" " + knob.value + "  ") != std::string::npos);
      CHECK(table.find("  " + knob.meaning + "\n") != std::string::npos);
    }
  }
  CHECK_THROWS_AS(knob_table("lars:official"), UsageError);
}

TEST_CASE("unknown names list the valid ones") {
  const ParamList params = model<float>();
  CHECK_THROWS_AS(make_optimizer("adagrad", params), UsageError);
  CHECK_THROWS_WITH(make_optimizer("adagrad", params), Contains("sgd, adamw, lars, lamb, tvlars"));
  CHECK_THROWS_WITH(make_optimizer("lars:official", params),
                    Contains("there is lamb:official, tvlars:official") && Contains("barlowtwins, simclr"));
  CHECK_THROWS_WITH(make_optimizer("lamb:barlowtwins", params),
                    Contains("there is lars:barlowtwins") && Contains("valid: paper, albert, official"));
  CHECK_THROWS_WITH(make_optimizer("sgd", params, {{"trust_coefficient", "1"}}),
                    Contains("sgd has no knob 'trust_coefficient'") && Contains("momentum"));
  CHECK_THROWS_WITH(make_optimizer("sgd", params, {{"momentum", "high"}}),
                    Contains("knob momentum=high: expected a number"));
  CHECK_THROWS_WITH(make_optimizer("sgd", params, {{"nesterov", "1"}}), Contains("true or false"));
  CHECK_THROWS_WITH(make_optimizer("lars", params, {{"denominator", "both"}}),
                    Contains("split, joint, grad_only"));
  CHECK_THROWS_AS(parse_settings("momentum"), UsageError);
  CHECK_THROWS_WITH(parse_settings("lr=1 momentum"), Contains("knob setting momentum: expected NAME=VALUE"));
}

TEST_CASE("contradictory knobs are refused") {
  const ParamList params = model<float>();
  const auto refused = [&](const char* name, const char* settings, const char* reason) {
    INFO(name << " " << settings);
    CHECK_THROWS_AS(make_optimizer(name, params, parse_settings(settings)), UsageError);
    CHECK_THROWS_WITH(make_optimizer(name, params, parse_settings(settings)), Contains(reason));
  };
  refused("sgd", "nesterov=true momentum=0", "nesterov");
  refused("sgd", "nesterov=true dampening=0.1", "nesterov");
  refused("sgd", "momentum=1", "momentum is 1");
  refused("sgd", "lr=nan", "lr is nan");
  refused("lars", "denominator=after_momentum", "momentum_lr=outside");
  refused("lars", "ratio_min=2 ratio_max=1", "ratio_max");
  refused("lars:timm", "weight_decay=0", "no layer with a trust ratio");
  refused("lars", "decay=decayed", "circular");
  refused("tvlars", "delay_epochs=3", "steps_per_epoch");
  refused("tvlars:official", "time_unit=epochs", "steps_per_epoch");
  refused("lamb", "beta2=1.5", "beta2");
  refused("lamb", "zero_norm=one_without_decay", "LAMB's decay is part of the update");
  refused("lamb:deepspeed", "use_trust_ratio=false", "no ratio for ratio_min=0.01 and ratio_max=10");
  refused("lamb:apex", "weight_decay=0", "no layer with a trust ratio");
  refused("lars", "weight_norm_min=2 weight_norm_max=1",
          "weight_norm_max is 1; expected at least weight_norm_min");
  refused("lars:timm", "decay=none", "no layer with a trust ratio");
  refused("lars:timm-larc", "nesterov=true dampening=0.5", "nesterov");
  // Nothing was moved into an arena on the way.
  CHECK_FALSE(params[0]->value.requires_grad());
}

TEST_CASE("what decays and adapts is decided by kind, and shown") {
  const Lars lars(model<float>(), {.weight_decay = 0.5, .groups = {.excluded_lr_scale = 0.25}});
  CHECK(lars.settings()[0].adapts);
  CHECK(lars.settings()[0].weight_decay == 0.5);
  CHECK(lars.settings()[0].lr_scale == 1);
  for (const std::size_t excluded : {1u, 2u, 5u}) {
    CHECK_FALSE(lars.settings()[excluded].adapts);
    CHECK(lars.settings()[excluded].weight_decay == 0);
    CHECK(lars.settings()[excluded].lr_scale == 0.25);
  }
  const std::string table = group_table(lars.segments(), lars.settings());
  CHECK_THAT(table, Contains("weight         3        23307          0.5         yes        1"));
  CHECK_THAT(table, Contains("norm           2           14            0          no     0.25"));
  const Sgd sgd(model<float>(), {.weight_decay = 0.5});
  for (const LayerSettings& layer : sgd.settings()) CHECK((layer.weight_decay == 0.5 && !layer.adapts));
}

TEST_CASE("the arena holds every tensor aligned, keeps values, and receives gradients") {
  ParamList params = model<double>();
  params.push_back(std::make_shared<Param>(Param{"bn.running_mean", ParamKind::buffer, Tensor::zeros({7})}));
  const Tensor before = params[3]->value.clone();
  Sgd optimizer(params, {.lr = 1, .momentum = 0});
  REQUIRE(optimizer.segments().size() == 6);
  std::int64_t used = 0;
  for (const Segment& segment : optimizer.segments()) {
    CHECK(segment.offset * 8 % 64 == 0);
    CHECK(segment.offset >= used);
    used = segment.offset + segment.elements;
  }
  CHECK(same_bits(before, params[3]->value));
  CHECK(params[3]->value.requires_grad());
  CHECK_FALSE(params[6]->value.requires_grad());
  optimizer.zero_grad();
  Tensor(params[3]->grad()).fill(1);
  optimizer.step();
  CHECK(params[3]->value.data<double>()[0] == before.data<double>()[0] - 1);
  CHECK(params[0]->value.data<double>()[0] == model<double>()[0]->value.data<double>()[0]);

  double padding = 0;  // stays zero
  const std::vector<double> values = optimizer.arena().values().to_vector<double>();
  for (std::size_t i = 0; i + 1 < optimizer.segments().size(); ++i)
    for (auto at = optimizer.segments()[i].offset + optimizer.segments()[i].elements;
         at < optimizer.segments()[i + 1].offset; ++at)
      padding += std::abs(values[static_cast<std::size_t>(at)]);
  CHECK(padding == 0);
}

TEST_CASE("parameter lists that make no sense") {
  ParamList params = model<float>();
  CHECK_THROWS_WITH(Sgd({}, {}), Contains("no trainable parameter"));
  params.push_back(params[0]);
  CHECK_THROWS_WITH(Sgd(params, {}), Contains("conv1.weight is in the list twice"));
  params.back() = std::make_shared<Param>(Param{"fc.bias", ParamKind::bias, Tensor::zeros({4})});
  CHECK_THROWS_WITH(Sgd(params, {}), Contains("two parameters are named fc.bias"));
  params.back() = std::make_shared<Param>(Param{"d", ParamKind::bias, Tensor::zeros({4}, {DType::f64, {}})});
  CHECK_THROWS_WITH(Sgd(params, {}), Contains("one dtype"));
}

TEST_CASE("an optimizer whose parameters were taken over says so") {
  const ParamList params = model<float>();
  Sgd first(params, {});
  Sgd second(params, {});
  CHECK_THROWS_WITH(first.step(), Contains("conv1.weight no longer lies in this optimizer's memory"));
  CHECK_NOTHROW(second.step());
}

TEST_CASE("a schedule sets the learning rate of each step") {
  const ParamList params = model<float>();
  Sgd optimizer(params, {.lr = 7});
  CHECK(optimizer.lr() == 7);
  optimizer.set_schedule(Schedule({.lr = 1, .epochs = 4, .warmup_epochs = 2}));
  for (const double lr : {0.0, 0.5, 1.0, 1.0}) {
    CHECK(optimizer.lr() == lr);
    optimizer.step();
    CHECK(optimizer.report().lr == lr);
  }
  optimizer.set_lr(0.125);
  CHECK(optimizer.lr() == 0.125);
}

TEST_CASE("phi: its ends, its middle, and no overflow") {
  const TvLarsOptions o{
      .lambda = 0.1, .delay_epochs = 3, .steps_per_epoch = 10, .alpha = 1, .gamma_min = 0.25};
  CHECK(phi(o, 31) == 0.75);  // t = d_e: 1 / (alpha + 1) + gamma_min
  CHECK(std::abs(phi(o, 1) - (1 / (1 + std::exp(-3.0)) + 0.25)) < 1e-15);
  CHECK(phi(o, 1'000'000) == 0.25);
  for (std::int64_t step = 1; step < 200; ++step) CHECK(phi(o, step) > phi(o, step + 1));
  const TvLarsOptions official{.lambda = 1e-3, .alpha = 0.1, .first_time = 1};
  CHECK(std::abs(phi(official, 980) - 0.3617) < 5e-5);  // four digits of a known table
  const TvLarsOptions epochs{
      .lambda = 1, .delay_epochs = 3, .steps_per_epoch = 10, .time_unit = TimeUnit::epochs};
  CHECK(phi(epochs, 31) == 0.5);
  const ParamList params = model<float>();
  TvLars optimizer(
      params, {.lr = 2.0f, .weight_decay = 5e-4f, .lambda = 1e-3f, .delay_epochs = 5, .steps_per_epoch = 49});
  optimizer.step();
  CHECK(std::abs(optimizer.report().phi - 1 / (1 + std::exp(-0.245))) < 1e-6);  // lambda came as a float
}

TEST_CASE("trust ratios print as a range") {
  const ParamList params = model<float>();
  Lars optimizer(params, {});
  set_grads<float>(params, 1);
  optimizer.step();
  const TrustRatios ratios = optimizer.trust_ratios();
  REQUIRE(ratios.layers.size() == 3);
  CHECK(ratios.layers[1].first == "conv2.weight");
  CHECK_THAT(fmt::format("{}", ratios), Contains("trust ") && Contains(".weight) to "));
}

}  // namespace

using tests::SignLars;

TEMPLATE_TEST_CASE("a rule of one's own is an optimizer", "", float, double) {
  const ParamList params = model<TestType>();
  const TestType before = params[4]->value.template data<TestType>()[0];
  OptimizerOf<SignLars> optimizer(params, {.lr = 0.5, .weight_decay = 1e-4});
  set_grads<TestType>(params, 1);
  optimizer.step();
  const TestType gradient = params[4]->grad().template data<TestType>()[0] + TestType(1e-4) * before;
  const auto trust = static_cast<TestType>(optimizer.report().layers[4].trust);
  CHECK(params[4]->value.template data<TestType>()[0] ==
        before - TestType(0.5) * trust * (gradient > 0 ? 1 : -1));
  CHECK(optimizer.name() == "sign-lars");
  CHECK(optimizer.trust_ratios().layers.size() == 3);
}

// The sum of squares in `width` registers' lanes, four registers of them, as the engine adds it up.
double sum_squares_in(std::size_t width, const float* x, std::size_t n) {
  std::vector<double> sums(4 * width);
  std::size_t i = 0;
  for (; i + sums.size() <= n; i += sums.size())
    for (std::size_t k = 0; k < sums.size(); ++k) sums[k] += double(x[i + k]) * double(x[i + k]);
  double total = 0;
  for (; i < n; ++i) total += double(x[i]) * double(x[i]);
  for (std::size_t l = 0; l < width; ++l)
    total += (sums[l] + sums[width + l]) + (sums[2 * width + l] + sums[3 * width + l]);
  return total;
}

// Norms are added up in as many sums as the CPU's registers hold.
TEST_CASE("a file compiled with other flags has its own engine, and the library keeps its bits") {
  constexpr std::int64_t n = 1021;  // within a block of the engine
  ParamList params;
  add_param(params, "fc.weight", numbers<float>({1, n}, 1));
  Sgd optimizer(params);
  set_grad<float>(*params[0], 3);
  const float* g = params[0]->grad().data<float>();
  const std::string set = instruction_set();
  const std::map<std::string, std::size_t> widths = {{"generic", 2}, {"v3", 4}, {"v4", 8}};
  const std::size_t width = widths.contains(set) ? widths.at(set) : std::size_t{cpu::lanes<double>};
  const double here = sum_squares_in(width, g, n), there = tests::sum_squares_with_other_flags(g, n);
  CHECK(there == sum_squares_in(2, g, n));
  if (width != 2) CHECK(here != there);  // else this tells nothing
  CHECK(std::abs(there / here - 1) < 1e-14);
  optimizer.step();
  CHECK(optimizer.report().grad_norm == std::sqrt(here));

  ParamList others;
  add_param(others, "fc.weight", numbers<float>({1, n}, 1));
  const float before = others[0]->value.data<float>()[7];
  const auto descent = tests::plain_descent_with_other_flags(others, 0.5);
  set_grad<float>(*others[0], 3);
  descent->step();
  CHECK(others[0]->value.data<float>()[7] == before - 0.5f * others[0]->grad().data<float>()[7]);
  CHECK(descent->report().grad_norm == std::sqrt(there));
}

}  // namespace lamina
