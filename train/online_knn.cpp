#include "train/online_knn.h"

#include <fmt/format.h>

#include <utility>

#include "core/base/error.h"
#include "core/base/interrupt.h"
#include "core/base/option_name.h"
#include "train/features.h"

namespace lamina {

OnlineKnn::OnlineKnn(ResNet& net, data::Split bank, data::Split queries, const OnlineKnnOptions& options)
    : net_(net), bank_(std::move(bank)), queries_(std::move(queries)), options_(options) {
  if (options.every < 1) fail_usage("{} {}: expected at least 1", option_name("knn_every"), options.every);
  if (queries_.size() == 0)
    fail_usage("{} {}: there are no test images to classify", option_name("knn_every"), options.every);
}

bool OnlineKnn::measure(EpochResult& result) {
  if (result.epoch % options_.every != 0 && result.epoch != epochs_) {
    result.measured.push_back(no_measurement);
    return true;
  }
  const train::FeatureOptions options{.batch = options_.batch, .workers = options_.workers};
  const train::Features bank = train::features_of(net_, bank_, options);
  if (InterruptHandler::signal() != 0) return false;
  const train::Features queries = train::features_of(net_, queries_, options);
  if (InterruptHandler::signal() != 0) return false;
  result.measured.push_back(train::knn(bank, queries, options_.knn).accuracy);
  return true;
}

}  // namespace lamina
