/* A get, for CPython: functions of a module of its own in the same file (see _native.py).
 *
 * cffi lets go of the GIL around every call, which costs a fifth of a memory hit and, with several threads, waiting for
 * it afterwards. ask() is dbcpy_ask, and lets go of it only when memory cannot answer. And a value becomes Python's in the
 * call that gets it: between two calls an exception of a signal handler would leave it to nobody. */
#ifndef PYPY_VERSION

/* The status of a get, or else (version, bytes) of the value, which is released. */
static PyObject *answer(int status, dbc_value *value) {
  if (status != DBC_OK) return PyLong_FromLong(status);
  PyObject *version = PyLong_FromUnsignedLongLong(dbc_value_version(value));
  PyObject *data = PyBytes_FromStringAndSize(dbcpy_bytes(value), (Py_ssize_t)dbc_value_size(value));
  dbc_value_release(value);
  PyObject *both = version && data ? PyTuple_Pack(2, version, data) : NULL;
  Py_XDECREF(version);
  Py_XDECREF(data);
  return both;
}

static PyObject *ask(PyObject *module, PyObject *argument) {
  (void)module;
  const char *bytes = PyBytes_AsString(argument);
  if (!bytes) return NULL;
  struct dbcpy_question question;
  memcpy(&question, bytes, sizeof question);
  const char *key = bytes + sizeof question;
  dbc_value *value = NULL;
  int status = dbc_get_from_memory(question.cache, key, question.key_size, question.held_version, NULL, &value);
  if (status == DBC_NOT_FOUND) {
    Py_BEGIN_ALLOW_THREADS
    status = dbc_get_changed(question.cache, key, question.key_size, question.held_version, NULL, &value);
    Py_END_ALLOW_THREADS
  }
  return answer(status, value);
}

/* dbcpy_get: the cache's address, the key as bytes, the version held, the timestamp. */
static PyObject *get(PyObject *module, PyObject *arguments) {
  (void)module;
  PyObject *address, *key;
  unsigned long long held_version;
  double timestamp;
  if (!PyArg_ParseTuple(arguments, "OSKd", &address, &key, &held_version, &timestamp)) return NULL;
  dbc_cache *cache = (dbc_cache *)PyLong_AsVoidPtr(address);
  if (PyErr_Occurred()) return NULL;
  const char *bytes = PyBytes_AsString(key);
  size_t size = (size_t)PyBytes_Size(key);
  dbc_value *value = NULL;
  int status;
  Py_BEGIN_ALLOW_THREADS
  status = dbc_get_changed(cache, bytes, size, held_version, DBCPY_TIME(timestamp), &value);
  Py_END_ALLOW_THREADS
  return answer(status, value);
}

PyMODINIT_FUNC PyInit__ask(void) {
  static PyMethodDef methods[] = {{"ask", ask, METH_O, NULL}, {"get", get, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
  static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_ask", NULL, -1, methods, NULL, NULL, NULL, NULL};
  return PyModule_Create(&module);
}

#endif
