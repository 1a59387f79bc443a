// Prints the measured differences to the recorded diffusers outputs as Markdown tables.
#include <ATen/Parallel.h>

#include <cstdio>
#include <map>

#include "tests/stages.h"

namespace {

using qwen::golden::Measurement;

void print_stages(const std::map<std::string, Measurement>& measured) {
  std::map<std::string, std::map<std::string, double>> rows;
  for (const auto& [checkpoint, measurement] : measured) {
    for (const auto& stage : measurement.stages) rows[stage.stage][checkpoint] = stage.error;
  }
  std::printf("| stage |");
  for (const auto& [checkpoint, measurement] : measured) std::printf(" %s |", checkpoint.c_str());
  std::printf("\n|---|");
  for (size_t i = 0; i < measured.size(); ++i) std::printf("---|");
  std::printf("\n");
  for (const auto& [stage, errors] : rows) {
    std::printf("| %s |", stage.c_str());
    for (const auto& [checkpoint, measurement] : measured) {
      const auto found = errors.find(checkpoint);
      found == errors.end() ? std::printf(" – |") : std::printf(" %.1e |", found->second);
    }
    std::printf("\n");
  }
}

void print_pictures(const std::map<std::string, Measurement>& measured) {
  std::printf(
      "\n| checkpoint | run | values | differing | largest | not near x.5 | mean levels | equal in "
      "8 bits |\n");
  std::printf("|---|---|---|---|---|---|---|---|\n");
  for (const auto& [checkpoint, measurement] : measured) {
    for (const auto& [run, p] : measurement.pictures) {
      std::printf("| %s | %s | %ld | %ld | %ld | %ld | %.4f | %s |\n", checkpoint.c_str(),
                  run.c_str(), static_cast<long>(p.values), static_cast<long>(p.differing),
                  static_cast<long>(p.largest), static_cast<long>(p.unexplained), p.mean,
                  p.equal_in_8_bits() ? "yes" : "no");
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) qwen::golden::set_root(argv[1]);
  at::set_num_threads(2);  // as the recordings were made
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    std::map<std::string, Measurement> measured;
    for (const std::string& name : qwen::golden::checkpoint_names()) {
      measured[name] = qwen::golden::measure(name, at::kCPU, dtype);
    }
    std::printf("\n### %s: max|a - b| / max|b| by stage\n\n",
                dtype == at::kFloat ? "float32" : "bfloat16");
    print_stages(measured);
    print_pictures(measured);
  }
  return 0;
}
