/* The two steps of a get that cost too much through cffi, for CPython: functions of a module of its own in the same
 * file (see _native.py).
 *
 * cffi lets go of the GIL around every call, which costs a fifth of a memory hit and, with several threads, waiting for
 * it afterwards. ask() is dbcpy_ask, and lets go of it only when memory cannot answer. */
#ifndef PYPY_VERSION

static PyObject *ask(PyObject *module, PyObject *argument) {
  (void)module;
  const char *bytes = PyBytes_AsString(argument);
  if (!bytes) return NULL;
  struct dbcpy_question question;
  memcpy(&question, bytes, sizeof question);
  dbc_value *value = NULL;
  int status = dbc_get_from_memory(question.cache, bytes + sizeof question, question.key_size, question.held_version,
                                   NULL, &value);
  uintptr_t answer = status == DBC_OK ? (uintptr_t)value : (uintptr_t)status;
  if (status == DBC_NOT_FOUND) {
    Py_BEGIN_ALLOW_THREADS
    answer = dbcpy_ask(bytes);
    Py_END_ALLOW_THREADS
  }
  return PyLong_FromSize_t(answer);
}

/* What is in the dbc_value at an address, which is released: (version, bytes). */
static PyObject *take(PyObject *module, PyObject *address) {
  (void)module;
  dbc_value *value = (dbc_value *)PyLong_AsVoidPtr(address);
  if (!value) return NULL;
  PyObject *version = PyLong_FromUnsignedLongLong(dbc_value_version(value));
  PyObject *data = PyBytes_FromStringAndSize(dbcpy_bytes(value), (Py_ssize_t)dbc_value_size(value));
  dbc_value_release(value);
  PyObject *both = version && data ? PyTuple_Pack(2, version, data) : NULL;
  Py_XDECREF(version);
  Py_XDECREF(data);
  return both;
}

PyMODINIT_FUNC PyInit__ask(void) {
  static PyMethodDef methods[] = {{"ask", ask, METH_O, NULL}, {"take", take, METH_O, NULL}, {NULL, NULL, 0, NULL}};
  static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_ask", NULL, -1, methods, NULL, NULL, NULL, NULL};
  return PyModule_Create(&module);
}

#endif
