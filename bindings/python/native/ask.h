/* dbcpy_ask for CPython, as a function of a module of its own in the same file (see _native.py). cffi lets go of the
 * GIL around every call, which costs a fifth of a memory hit and, with several threads, waiting for it afterwards; this one
 * lets go of it only when memory cannot answer. */
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

PyMODINIT_FUNC PyInit__ask(void) {
  static PyMethodDef methods[] = {{"ask", ask, METH_O, NULL}, {NULL, NULL, 0, NULL}};
  static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_ask", NULL, -1, methods, NULL, NULL, NULL, NULL};
  return PyModule_Create(&module);
}

#endif
