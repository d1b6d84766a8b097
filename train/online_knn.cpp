#include "train/online_knn.h"

#include <utility>

#include "core/base/error.h"
#include "core/base/interrupt.h"
#include "core/base/option_name.h"

namespace lamina {

OnlineKnn::OnlineKnn(ResNet& net, data::Split bank, data::Split queries, const OnlineKnnOptions& options)
    : net_(net), bank_(std::move(bank)), queries_(std::move(queries)), options_(options) {
  if (options.every < 1) fail_usage("{} {}: expected at least 1", option_name("knn_every"), options.every);
  check(bank_.size() > 0 && queries_.size() > 0,
        "observer {}: {} images to learn from and {} to classify; expected some of both", name(),
        bank_.size(), queries_.size());
}

bool OnlineKnn::measure(EpochResult& result) {
  if (result.epoch % options_.every != 0 && result.epoch != epochs_) {
    result.measured.push_back(no_measurement);
    return true;
  }
  const Features bank = features_of(net_, bank_, options_.features);
  if (InterruptHandler::signal() != 0) return false;
  const Features queries = features_of(net_, queries_, options_.features);
  if (InterruptHandler::signal() != 0) return false;
  result.measured.push_back(knn(bank, queries, options_.knn).accuracy);
  return true;
}

}  // namespace lamina
