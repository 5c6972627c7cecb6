// Sequences of operations, chosen by the input, against the oracle of tests/model: both tiers, several handles,
// reopening, timestamps out of order.
#include "../model/random_run.h"
#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 3) return 0;
  fuzz::Folder folder;
  dbc::model::RandomRun::Plan plan;
  plan.operations = 300;
  plan.handles = data[0] % 4 == 3 ? 2 : 1;
  if (data[0] % 4 >= 2) plan.path = folder.file("cache.db");
  plan.choices = {reinterpret_cast<const char *>(data) + 1, size - 1};
  try {
    dbc::model::RandomRun run(plan);
    try {
      run.run();
    } catch (const dbc::model::Mismatch &) {
      std::fprintf(stderr, "%s\n", run.report().c_str());
      throw;
    }
  } catch (const dbc::model::Mismatch &mismatch) {
    fuzz::require(false, mismatch.what());
  }
  return 0;
}
