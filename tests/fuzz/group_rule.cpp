#include "optim/groups.h"

#include "target.h"

namespace lamina::fuzz {

// "PATTERN:SETTING,…": what is read and written reads the same.
FUZZ_TARGET(group_rule) {
  GroupRule rule;
  if (!accepts([&] { rule = parse_group_rule(text_of(input)); })) return;
  const GroupRule again = parse_group_rule(group_rule_text(rule));
  expect(again.pattern == rule.pattern && again.lr_scale == rule.lr_scale && again.adapt == rule.adapt &&
             again.weight_decay == rule.weight_decay && again.frozen == rule.frozen,
         "a rule written reads the same");
}

}  // namespace lamina::fuzz
