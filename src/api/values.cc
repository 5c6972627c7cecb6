// Values: items as callers hold them.
#include "api/handle.h"

extern "C" {

const void *dbc_value_data(const dbc_value *value) { return value ? dbc::to_item(value)->value().data() : nullptr; }

size_t dbc_value_size(const dbc_value *value) { return value ? dbc::to_item(value)->value().size() : 0; }

int dbc_value_is_text(const dbc_value *value) { return value && dbc::to_item(value)->text(); }

uint64_t dbc_value_version(const dbc_value *value) { return value ? dbc::to_item(value)->version() : 0; }

double dbc_value_timestamp(const dbc_value *value) { return value ? dbc::to_item(value)->timestamp.load() : 0; }

void dbc_value_retain(dbc_value *value) {
  if (value) dbc::to_item(value)->retain();
}

void dbc_value_release(dbc_value *value) {
  if (value) dbc::to_item(value)->release();
}

}  // extern "C"
