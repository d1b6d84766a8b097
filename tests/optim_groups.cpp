// Settings by name: factors of the learning rate, decay, ratios and frozen parameters.
#include <algorithm>

#include "catch.h"
#include "core/base/name_pattern.h"
#include "optim_common.h"

namespace lamina {
namespace {

using namespace testing;
using Catch::Matchers::Contains;

// After two steps of a preset with groups.
ParamList trained_in_groups(const std::string& name, const std::vector<GroupRule>& rules) {
  ParamList params = model<float>();
  const auto optimizer = make_optimizer(
      resolve_optimizer(name, {.lr = 0.5, .weight_decay = 0.01, .groups = rules}, {.steps_per_epoch = 4}),
      params);
  for (std::uint32_t t = 1; t <= 2; ++t) {
    for (const auto& param : params)
      if (param->trainable())
        set_grad<float>(*param, t * 100 + static_cast<std::uint32_t>(param->name.size()));
    optimizer->step();
  }
  return params;
}

void check_refused(const std::vector<GroupRule>& rules, const std::vector<std::string>& parts) {
  const ParamList params = model<float>();
  CHECK_THROWS_AS(Lars(params, {.groups = {.rules = rules}}), UsageError);
  for (const std::string& part : parts)
    CHECK_THROWS_WITH(Lars(params, {.groups = {.rules = rules}}), Contains(part));
  for (const auto& param : params) CHECK_FALSE(param->frozen);
}

}  // namespace

TEST_CASE("names match patterns") {
  CHECK(matches("layer4.0.conv1.weight", "layer4.*"));
  CHECK(matches("fc.bias", "*.bias"));
  CHECK(matches("fc.bias", "*"));
  CHECK(matches("fc.bias", "fc.bias"));
  CHECK(matches("fc.bias", "f*c.*bias*"));
  CHECK(matches("a*b", "a*b"));
  CHECK_FALSE(matches("layer40.weight", "layer4.*"));
  CHECK_FALSE(matches("fc.bias", "*.bia"));
  CHECK_FALSE(matches("fc.bias", "c.*"));
  CHECK_FALSE(matches("fc.bias", ""));
  CHECK_FALSE(matches("", "a"));
  CHECK(nearest_matches("layer1", {"conv1.weight", "layer1.bias"}, 2) ==
        std::vector<std::string>{"layer1.*"});
  CHECK(nearest_matches("laier1.*", {"conv1.weight", "layer2.bias", "layer1.bias"}, 2) ==
        std::vector<std::string>{"layer1.bias", "layer2.bias"});
}

TEST_CASE("a group changes the settings of the names it matches, and no others") {
  for (const std::string name : {"sgd", "adamw", "lars", "lamb:timm-lambc", "tvlars"}) {
    INFO(name);
    const ParamList plain = trained_in_groups(name, {});
    const ParamList neutral = trained_in_groups(name, {{.pattern = "conv*"}, {.pattern = "*.bias"}});
    const ParamList grouped = trained_in_groups(
        name, {{.pattern = "conv2.*", .lr_scale = 0.25}, {.pattern = "fc.*", .weight_decay = 0.5}});
    for (std::size_t i = 0; i < plain.size(); ++i) {
      INFO(plain[i]->name);
      CHECK(same_bits(plain[i]->value, neutral[i]->value));
      const bool changed = i >= 3;
      CHECK(same_bits(plain[i]->value, grouped[i]->value) == !changed);
    }
  }
}

TEST_CASE("a factor of the learning rate is a smaller learning rate") {
  for (const std::string name : {"sgd", "adamw", "lars", "tvlars"}) {  // a power of two: no rounding
    const ParamList scaled = trained_in_groups(name, {{.pattern = "*", .lr_scale = 0.5}});
    ParamList params = model<float>();
    const auto optimizer =
        make_optimizer(name, params, {{"lr", "0.25"}, {"weight_decay", "0.01"}}, {.steps_per_epoch = 4});
    for (std::uint32_t t = 1; t <= 2; ++t) {
      set_grads<float>(params, t);
      optimizer->step();
    }
    for (std::size_t i = 0; i < params.size(); ++i) {
      INFO(name << " " << params[i]->name);
      CHECK(same_bits(params[i]->value, scaled[i]->value));
    }
  }
}

TEST_CASE("settings of groups, in a table with a row for each") {
  const Lars lars(model<float>(),
                  {.weight_decay = 0.5,
                   .groups = {.excluded_lr_scale = 0.5,
                              .rules = {{.pattern = "conv1.*", .adapt = false},
                                        {.pattern = "bn.bias", .weight_decay = 2, .adapt = true},
                                        {.pattern = "fc.bias", .lr_scale = 0.5}}}});
  CHECK(!lars.settings()[0].adapts);
  CHECK(lars.settings()[0].lr_scale == 0.5);
  CHECK(lars.settings()[2].adapts);
  CHECK(lars.settings()[2].weight_decay == 2);
  CHECK(lars.settings()[5].lr_scale == 0.25);
  const std::string table = group_table(lars.segments(), lars.settings());
  CHECK_THAT(table, Contains("weight         1        23040          0.5          no      0.5"));
  CHECK_THAT(table, Contains("weight         2          267          0.5         yes        1"));
  CHECK_THAT(table, Contains("norm           1            7            2         yes        1"));
  CHECK(std::count(table.begin(), table.end(), '\n') == 6);
  CHECK(knob(lars, "groups") == "conv1.*:adapt=off bn.bias:decay=2,adapt=on fc.bias:lr=0.5");
  CHECK(knob(Lars(model<float>(), {}), "groups").empty());
}

TEST_CASE("groups read back as they are written") {
  for (const char* text :
       {"layer4.*:lr=0.1,decay=0,adapt=off", "*.bias:decay=0.0005", "a:b:frozen", "*:adapt=on"})
    CHECK(group_rule_text(parse_group_rule(text)) == text);
  for (const char* text :
       {"layer4.*", ":lr=1", "fc.*:", "fc.*:lr", "fc.*:lr=fast", "fc.*:lr=1,lr=2", "fc.*:lr=-1",
        "fc.*:lr=nan", "fc.*:decay=inf", "fc.*:momentum=0", "fc.*:frozen,lr=2", "fc.*:lr=0.1,"}) {
    INFO(text);
    CHECK_THROWS_AS(parse_group_rule(text), UsageError);
    CHECK_THROWS_WITH(parse_group_rule(text), Contains(text[0] == 'f' ? "fc.*" : text));
  }
}

TEST_CASE("groups that make no sense are refused, and freeze nothing") {
  check_refused({{.pattern = "fx.*"}}, {"fx.*", "near: fc.weight, fc.bias"});
  check_refused({{.pattern = "fc.*", .frozen = true}, {.pattern = "*.bias", .lr_scale = 0.1}},
                {"fc.*", "*.bias", "fc.bias"});
  check_refused({{.pattern = "bn.*", .frozen = true}, {.pattern = "fc.*", .lr_scale = -1}}, {"fc.*", "-1"});
  check_refused({{.pattern = "fc.*", .weight_decay = std::nan("")}}, {"fc.*", "nan"});
  CHECK_THROWS_WITH(Sgd(model<float>(), {.groups = {.rules = {{.pattern = "*", .adapt = true}}}}),
                    Contains("no trust ratio"));
  CHECK_THROWS_AS(Sgd(model<float>(), {.groups = {.rules = {{.pattern = "*", .frozen = true}}}}), UsageError);
  CHECK_THROWS_WITH(Sgd(model<float>(), {.groups = {.rules = {{.pattern = "*", .frozen = true}}}}),
                    Contains("of which 6 are frozen"));
}

TEST_CASE("a frozen group is no part of the optimizer") {
  for (const std::string name : {"sgd", "lamb"}) {
    const ParamList plain = trained_in_groups(name, {}), start = model<float>();
    const ParamList frozen = trained_in_groups(name, {{.pattern = "bn.*", .frozen = true}});
    for (std::size_t i = 0; i < plain.size(); ++i) {
      INFO(plain[i]->name);
      const bool is_frozen = i == 1 || i == 2;
      CHECK(frozen[i]->frozen == is_frozen);
      CHECK(frozen[i]->value.requires_grad() == !is_frozen);
      CHECK(same_bits(frozen[i]->value, is_frozen ? start[i]->value : plain[i]->value));
    }
  }
  const ParamList params = model<float>();
  Sgd optimizer(params, {.groups = {.rules = {{.pattern = "conv*", .frozen = true}}}});
  CHECK(optimizer.segments().size() == 4);
  params.back()->set_frozen(true);
  CHECK_THROWS_WITH(optimizer.step(), Contains("fc.bias was frozen after"));
  params.back()->set_frozen(false);  // its gradient no longer lies in the optimizer's memory
  CHECK_THROWS_WITH(optimizer.step(), Contains("fc.bias no longer lies"));
}

}  // namespace lamina
