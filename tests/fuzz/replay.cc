// Gives a fuzzer the inputs of its corpus, one after the other: replay with any compiler, without libFuzzer.
//
//   operations_fuzz FOLDER|FILE ...    one line "ok NAME" for each, and the plan at the end; ends at the first that is
//   wrong
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int count, char **arguments) {
  std::vector<std::filesystem::path> files;
  for (int i = 1; i < count; ++i) {
    if (std::filesystem::is_directory(arguments[i])) {
      for (const auto &entry : std::filesystem::directory_iterator(arguments[i])) files.push_back(entry.path());
    } else {
      files.emplace_back(arguments[i]);
    }
  }
  std::sort(files.begin(), files.end());
  for (const auto &file : files) {
    std::ifstream stream(file, std::ios::binary);
    std::stringstream content;
    content << stream.rdbuf();
    std::string input = content.str();
    std::printf("# %s\n", file.c_str());
    std::fflush(stdout);
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t *>(input.data()), input.size());
    std::printf("ok %s\n", file.filename().c_str());
  }
  std::printf("1..%zu\n", files.size());
  return files.empty();
}
