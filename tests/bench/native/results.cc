#include "results.h"

#include <cstdio>
#include <vector>

namespace bench {
namespace {

struct Series {
  std::string name;
  std::string unit;
  std::vector<double> samples;
};
std::vector<Series> all;
std::vector<std::pair<std::string, double>> facts;
std::vector<std::pair<std::string, std::string>> reasons;

std::string quoted(const std::string &text) {
  std::string result = "\"";
  for (char character : text) {
    if (character == '"' || character == '\\') result += '\\';
    result += static_cast<unsigned char>(character) < ' ' ? ' ' : character;
  }
  return result + "\"";
}

}  // namespace

void record(const std::string &name, const char *unit, double sample) {
  for (Series &series : all) {
    if (series.name == name) {
      series.samples.push_back(sample);
      return;
    }
  }
  all.push_back({name, unit, {sample}});
}

void fact(const std::string &name, double value) { facts.emplace_back(name, value); }

void unavailable(const std::string &name, const std::string &reason) { reasons.emplace_back(name, reason); }

void print_results() {
  std::printf("{\"series\": {");
  const char *comma = "\n";
  for (const Series &series : all) {
    std::printf("%s%s: {\"unit\": %s, \"samples\": [", comma, quoted(series.name).c_str(), quoted(series.unit).c_str());
    for (size_t i = 0; i < series.samples.size(); ++i) std::printf("%s%.6g", i ? ", " : "", series.samples[i]);
    std::printf("]}");
    comma = ",\n";
  }
  std::printf("},\n\"facts\": {");
  comma = "\n";
  for (const auto &[name, value] : facts) {
    std::printf("%s%s: %.9g", comma, quoted(name).c_str(), value);
    comma = ",\n";
  }
  std::printf("},\n\"unavailable\": {");
  comma = "\n";
  for (const auto &[name, reason] : reasons) {
    std::printf("%s%s: %s", comma, quoted(name).c_str(), quoted(reason).c_str());
    comma = ",\n";
  }
  std::printf("}}\n");
}

}  // namespace bench
