#include "verdict.h"

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "core/base/error.h"
#include "core/files/safetensors.h"

namespace lamina::faults {
namespace {

namespace fs = std::filesystem;

bool is_temporary(const std::string& path) { return path.find(".tmp") != std::string::npos; }

Tree without_temporary(Tree tree) {
  std::erase_if(tree, [](const auto& file) { return is_temporary(file.first); });
  return tree;
}

// Where a case's folder stands beside what it may and must be.
class Judgement {
 public:
  Judgement(const Case& c, const Reference& reference, const Laboratory& laboratory)
      : case_(c), reference_(reference), laboratory_(laboratory) {
    before_ = comparable(c.before, "");
  }

  // After a run that says it is done.
  std::string of_success(const Outcome& outcome) const {
    if (outcome.status != 0) return "exit status " + std::to_string(outcome.status);
    const Chosen is_result = [&](const std::string& path) { return starts_with_any(path, case_.results); };
    const std::string differs =
        difference(subtree(reference_.tree, is_result), without_temporary(subtree(seen(), is_result)));
    if (!differs.empty()) return "exit status 0, but " + differs;
    if (case_.compares_output && comparable("", outcome.out, laboratory_.folder()) != reference_.out)
      return "exit status 0, but another output";
    return of_kept_files();
  }

  // Nothing that was there is lost, nothing that is new is half a file.
  std::string of_files() const {
    if (const std::string lost = of_kept_files(); !lost.empty()) return lost;
    const Tree now = seen();
    for (const auto& [path, bytes] : before_)
      if (!now.contains(path)) return path + " is lost";
    for (const auto& [path, bytes] : now) {
      if (is_temporary(path) || path.ends_with('/') || is_old_or_new(path, bytes)) continue;
      if (!is_whole(path)) return path + " is neither the old file nor the new one, nor a whole one";
    }
    return "";
  }

  std::string of_leftovers(const std::vector<std::string>& where = {""}) const {
    for (const auto& [path, bytes] : seen())
      if (is_temporary(path) && starts_with_any(path, where)) return path + " is left behind";
    return "";
  }

  // Files that belong together are all the old ones or all the new ones.
  std::string of_mixture() const {
    const Chosen belongs = [&](const std::string& path) {
      return starts_with_any(path, case_.together) && !path.ends_with('/');
    };
    const Tree now = without_temporary(subtree(seen(), belongs)), old = subtree(before_, belongs);
    const std::string differs = difference(old, now);
    if (differs.empty() || difference(subtree(reference_.tree, belongs), now).empty()) return "";
    return "a mixture of old and new: " + differs;
  }

  bool is_done() const { return difference(reference_.tree, seen()).empty(); }
  bool is_untouched() const { return difference(before_, seen()).empty(); }
  Tree seen() const { return comparable(read_tree(laboratory_.folder()), laboratory_.folder()); }

 private:
  std::string of_kept_files() const {
    const Chosen kept = [&](const std::string& path) {
      return starts_with_any(path, case_.own) || !starts_with_any(path, case_.changes);
    };
    return difference(subtree(before_, kept), without_temporary(subtree(seen(), kept)));
  }

  bool is_old_or_new(const std::string& path, const std::string& bytes) const {
    for (const Tree* tree : {&before_, &reference_.tree}) {
      const auto found = tree->find(path);
      if (found != tree->end() && found->second == bytes) return true;
    }
    return false;
  }

  // Logs and journals may end in the middle of a line or record: what goes on with them is compared.
  bool is_whole(const std::string& path) const {
    const fs::path file = laboratory_.folder() / path;
    for (const char* log :
         {"/steps.csv", "/epochs.csv", "/curvature.csv", "-points/own.csv", "-points/points.csv", ".journal"})
      if (path.ends_with(log)) return true;
    if (path.ends_with(".json")) return nlohmann::json::accept(read_file(file));
    if (!path.ends_with(".safetensors")) return false;
    try {
      read_tensors(file);
      return true;
    } catch (const Error&) {
      return false;
    }
  }

  const Case& case_;
  const Reference& reference_;
  const Laboratory& laboratory_;
  Tree before_;
};

// Whether a message names a path or a folder above it; a temporary file by the one that it becomes.
bool names(const std::string& text, const std::string& path) {
  for (fs::path part = path.substr(0, path.find(".tmp")); !part.empty(); part = part.parent_path())
    if (text.find(part.filename().string()) != std::string::npos) return true;
  return path == ".";
}

std::string message_is_wrong(const std::string& text, const Injection& injection) {
  if (!text.starts_with("lamina: ") && text.find("\nlamina: ") == std::string::npos)
    return "no message beginning with \"lamina: \"";
  if (text.find(injection.fault.reason) == std::string::npos)
    return std::string("the message does not say \"") + injection.fault.reason + "\"";
  return names(text, injection.site.path) ? "" : "the message does not name the file";
}

std::string go_on(const Case& c, const Judgement& judgement, const Laboratory& laboratory) {
  const Outcome outcome = laboratory.run(command_to_go_on(c, judgement.seen()));
  std::string wrong = judgement.of_success(outcome);
  if (wrong.empty()) wrong = judgement.of_leftovers(c.cleans);
  return wrong.empty() ? "" : "going on after it: " + wrong + "\n" + outcome.err;
}

std::string judge_outcome(const Outcome& outcome, const Judgement& judgement, const Injection& injection) {
  const Fault& fault = injection.fault;
  if (outcome.hung) return "it hung";
  if (fault.kills()) return outcome.status == 137 ? judgement.of_files() : "not killed";
  std::string wrong;
  if (outcome.status == 0) {
    wrong = judgement.of_success(outcome);
  } else if (outcome.status != 1 || fault.harmless()) {
    return "exit status " + std::to_string(outcome.status);
  } else {
    wrong = message_is_wrong(outcome.err, injection);
    if (wrong.empty()) wrong = judgement.of_files();
    if (wrong.empty()) wrong = judgement.of_mixture();
  }
  // What cannot be removed stays: a file, or a temporary folder that cannot be listed.
  const std::string& kind = injection.site.kind;
  const bool removes = kind == "unlink" || ((kind == "opendir" || kind == "readdir" || kind == "stat") &&
                                            injection.site.path.find(".tmp") != std::string::npos);
  return wrong.empty() && !removes ? judgement.of_leftovers() : wrong;
}

}  // namespace

Laboratory::Laboratory(fs::path program, fs::path shim, fs::path folder)
    : program_(std::move(program)),
      shim_(std::move(shim)),
      folder_(std::move(folder)),
      log_(fs::path(folder_) += ".log") {}

Outcome Laboratory::run(const Arguments& arguments, Environment fault) const {
  Environment environment = environment_in(folder_);
  environment.merge(fault);
  environment.insert({{"LD_PRELOAD", shim_.string()},
                      {"FAULT_PROGRAM", program_.string()},
                      {"FAULT_FOLDER", folder_.string()}});
  return faults::run(program_, arguments, folder_, environment);
}

std::string Laboratory::take_log() const {
  const std::string log = read_file(log_);
  fs::remove(log_);
  return log;
}

Reference make_reference(const Case& c, const Laboratory& laboratory, std::vector<Site>& sites) {
  const auto once = [&] {
    write_tree(laboratory.folder(), c.before);
    const Outcome outcome =
        laboratory.run(c.arguments, {{"FAULT_LOG", laboratory.folder().string() + ".log"}});
    sites = read_sites(laboratory.take_log());
    if (outcome.status != 0) throw std::runtime_error(c.name + " fails without a fault: " + outcome.err);
    return Reference{.tree = comparable(read_tree(laboratory.folder()), laboratory.folder()),
                     .out = comparable("", outcome.out, laboratory.folder())};
  };
  const Reference reference = once(), again = once();
  const Chosen is_result = [&](const std::string& path) { return starts_with_any(path, c.results); };
  const std::string differs = difference(subtree(reference.tree, is_result), subtree(again.tree, is_result));
  if (!differs.empty()) throw std::runtime_error(c.name + " without a fault, in two runs: " + differs);
  return reference;
}

Verdict judge(const Case& c, const Reference& reference, const Injection& injection,
              const Laboratory& laboratory) {
  write_tree(laboratory.folder(), c.before);
  const Outcome outcome =
      laboratory.run(c.arguments, {{"FAULT_LOG", laboratory.folder().string() + ".log"},
                                   {"FAULT_KIND", injection.site.kind},
                                   {"FAULT_PATH", injection.site.path},
                                   {"FAULT_NUMBER", std::to_string(injection.site.number)},
                                   {"FAULT_ERROR", injection.fault.value}});
  if (laboratory.take_log().empty()) return {};
  const Judgement judgement(c, reference, laboratory);
  Verdict verdict{.reached = true, .wrong = judge_outcome(outcome, judgement, injection)};
  if (verdict.wrong.empty() && !judgement.is_done() && !judgement.is_untouched())
    verdict.wrong = go_on(c, judgement, laboratory);
  if (!verdict.wrong.empty()) verdict.wrong += "\n" + outcome.err;
  return verdict;
}

}  // namespace lamina::faults
