// links: models
// A model directory's config.json.
#include "tests/fuzz/fuzz.h"

#include "models/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_file("config.json", data, size);
  arena *a = arena_create();
  model m;
  lmn_error error = {0};
  bool ok = model_read(a, fuzz_folder(), &m, &error);
  fuzz_expect(ok, &error);
  for (tensor_role role = 0; ok && role < TENSOR_ROLES; ++role) {
    if (!model_has(&m, role)) continue;
    model_tensor t = model_tensor_of(&m, role);
    for (int i = 0; i < t.rank; ++i)
      if (t.shape[i] < 1) abort();
  }
  if (ok && (m.heads < 1 || m.heads % m.key_value_heads || m.eos_count > (int)LENGTH(m.eos))) abort();
  arena_destroy(a);
  return 0;
}
