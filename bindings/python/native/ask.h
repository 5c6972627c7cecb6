/* The hot calls and the log, for CPython: functions of a module of its own in the same file (see _native.py).
 *
 * cffi lets go of the GIL around every call, which costs a fifth of a memory hit and, with several threads, waiting for
 * it afterwards. ask() lets go of it only when memory cannot answer. And what a call brings becomes Python's in that call:
 * between two calls an exception of a signal handler would leave it to nobody.
 *
 * Kept to what the first limited API has, which is cffi's. */
#ifndef PYPY_VERSION

enum { DBCPY_REPORT = 512, DBCPY_KEY_CHARACTERS = 256 };

/* A key's UTF-8, or None for what is no key: encode_key() in _keys.py says why. */
static PyObject *encode(PyObject *module, PyObject *key) {
  (void)module;
  if (!PyUnicode_Check(key)) Py_RETURN_NONE;
  PyObject *encoded = PyUnicode_AsUTF8String(key);
  if (!encoded) {
    if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) return NULL;
    PyErr_Clear();
    Py_RETURN_NONE;
  }
  const char *bytes = PyBytes_AsString(encoded);
  size_t size = (size_t)PyBytes_Size(encoded);
  if (size > 0 && size <= 4 * DBCPY_KEY_CHARACTERS && !memchr(bytes, '\0', size)) {
    size_t characters = size;
    if (size > DBCPY_KEY_CHARACTERS) {
      characters = 0;
      for (size_t i = 0; i < size; ++i) characters += ((unsigned char)bytes[i] & 0xC0) != 0x80;
    }
    if (characters <= DBCPY_KEY_CHARACTERS) return encoded;
  }
  Py_DECREF(encoded);
  Py_RETURN_NONE;
}

/* The dbcpy_question for ask(). */
static PyObject *make_question(dbc_cache *cache, const char *key, size_t key_size, uint64_t version) {
  struct dbcpy_question question = {cache, key_size, version};
  PyObject *made = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(sizeof question + key_size));
  if (!made) return NULL;
  char *bytes = PyBytes_AsString(made);
  memcpy(bytes, &question, sizeof question);
  memcpy(bytes + sizeof question, key, key_size);
  return made;
}

/* Appends what dbc_dropped reports to the list `unheard`; 0 stands for "everything held must go". The first part of it
 * was fetched without the GIL. -1: an exception is set. */
static int hear(dbc_cache *cache, PyObject *unheard, uint64_t *versions, int count) {
  for (;;) {
    int stored = count < 0 ? -1 - count : count;
    for (int i = count < 0 ? -1 : 0; i < stored; ++i) {
      PyObject *version = PyLong_FromUnsignedLongLong(i < 0 ? 0 : versions[i]);
      int failed = !version || PyList_Append(unheard, version) != 0;
      Py_XDECREF(version);
      if (failed) return -1;
    }
    if (stored < DBCPY_REPORT) return 0;
    Py_BEGIN_ALLOW_THREADS
    count = dbcpy_dropped(cache, versions, DBCPY_REPORT);
    Py_END_ALLOW_THREADS
  }
}

/* (version, bytes, question) of the value, which is released. */
static PyObject *answer(dbc_cache *cache, const char *key, size_t key_size, dbc_value *value) {
  uint64_t number = dbc_value_version(value);
  PyObject *version = PyLong_FromUnsignedLongLong(number);
  PyObject *data = PyBytes_FromStringAndSize(dbcpy_bytes(value), (Py_ssize_t)dbc_value_size(value));
  dbc_value_release(value);
  PyObject *question = make_question(cache, key, key_size, number);
  PyObject *all = version && data && question ? PyTuple_Pack(3, version, data, question) : NULL;
  Py_XDECREF(version);
  Py_XDECREF(data);
  Py_XDECREF(question);
  return all;
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
    /* The caller is to go the long way then, at the end of which lines are delivered. */
    if (status == DBC_UNCHANGED && dbcpy_has_lines()) status = -DBC_UNCHANGED;
  }
  return status == DBC_OK ? answer(question.cache, key, question.key_size, value) : PyLong_FromLong(status);
}

/* The arguments that get and put have in common: the cache's address, the key as bytes, the list for what is dropped or
 * None, and the timestamp. */
struct shared_arguments {
  dbc_cache *cache;
  const char *key;
  size_t key_size;
  PyObject *unheard;
  double timestamp;
};

static int take_arguments(struct shared_arguments *taken, PyObject *address, PyObject *key, PyObject *unheard) {
  taken->cache = (dbc_cache *)PyLong_AsVoidPtr(address);
  if (PyErr_Occurred()) return -1;
  taken->key = PyBytes_AsString(key);
  if (!taken->key) return -1;
  taken->key_size = (size_t)PyBytes_Size(key);
  taken->unheard = unheard == Py_None ? NULL : unheard;
  if (taken->unheard && !PyList_Check(unheard)) {
    PyErr_SetString(PyExc_TypeError, "what is dropped goes to a list, or None");
    return -1;
  }
  return 0;
}

/* get(address, key, held version, timestamp, list): a status, or (version, bytes, question). */
static PyObject *get(PyObject *module, PyObject *arguments) {
  (void)module;
  PyObject *address, *key, *unheard;
  unsigned long long held_version;
  struct shared_arguments a;
  if (!PyArg_ParseTuple(arguments, "OOKdO", &address, &key, &held_version, &a.timestamp, &unheard)) return NULL;
  if (take_arguments(&a, address, key, unheard) != 0) return NULL;
  dbc_value *value = NULL;
  int status, count = 0;
  uint64_t versions[DBCPY_REPORT];
  Py_BEGIN_ALLOW_THREADS
  status = dbc_get_changed(a.cache, a.key, a.key_size, held_version, DBCPY_TIME(a.timestamp), &value);
  if (status == DBC_OK && a.unheard) count = dbcpy_dropped(a.cache, versions, DBCPY_REPORT);
  Py_END_ALLOW_THREADS
  if (count && hear(a.cache, a.unheard, versions, count) != 0) {
    dbc_value_release(value);
    return NULL;
  }
  return status == DBC_OK ? answer(a.cache, a.key, a.key_size, value) : PyLong_FromLong(status);
}

/* put(address, key, value, timestamp, list): the status of an error, or (version, question). */
static PyObject *put(PyObject *module, PyObject *arguments) {
  (void)module;
  PyObject *address, *key, *data, *unheard;
  struct shared_arguments a;
  if (!PyArg_ParseTuple(arguments, "OOOdO", &address, &key, &data, &a.timestamp, &unheard)) return NULL;
  if (take_arguments(&a, address, key, unheard) != 0) return NULL;
  const char *bytes = PyBytes_AsString(data);
  if (!bytes) return NULL;
  size_t size = (size_t)PyBytes_Size(data);
  int status, count = 0;
  uint64_t version = 0, versions[DBCPY_REPORT];
  Py_BEGIN_ALLOW_THREADS
  status = dbc_put(a.cache, a.key, a.key_size, bytes, size, DBC_TEXT, DBCPY_TIME(a.timestamp), &version);
  if (status == DBC_OK && a.unheard) count = dbcpy_dropped(a.cache, versions, DBCPY_REPORT);
  Py_END_ALLOW_THREADS
  if (status != DBC_OK) return PyLong_FromLong(status);
  if (count && hear(a.cache, a.unheard, versions, count) != 0) return NULL;
  PyObject *number = PyLong_FromUnsignedLongLong(version);
  PyObject *question = make_question(a.cache, a.key, a.key_size, version);
  PyObject *both = number && question ? PyTuple_Pack(2, number, question) : NULL;
  Py_XDECREF(number);
  Py_XDECREF(question);
  return both;
}

/* questions(address, keys, sizes, versions): what ask() takes, for each item of a batch; the last three packed. */
static PyObject *questions(PyObject *module, PyObject *arguments) {
  (void)module;
  PyObject *address, *keys, *sizes, *versions;
  if (!PyArg_ParseTuple(arguments, "OSSS", &address, &keys, &sizes, &versions)) return NULL;
  dbc_cache *cache = (dbc_cache *)PyLong_AsVoidPtr(address);
  if (PyErr_Occurred()) return NULL;
  const char *key = PyBytes_AsString(keys), *end = key + PyBytes_Size(keys);
  Py_ssize_t count = PyBytes_Size(sizes) / (Py_ssize_t)sizeof(size_t);
  if (PyBytes_Size(versions) / (Py_ssize_t)sizeof(uint64_t) < count) count = 0;
  PyObject *list = PyList_New(count);
  for (Py_ssize_t i = 0; list && i < count; ++i) {
    size_t size;
    uint64_t version;
    memcpy(&size, PyBytes_AsString(sizes) + i * (Py_ssize_t)sizeof size, sizeof size);
    memcpy(&version, PyBytes_AsString(versions) + i * (Py_ssize_t)sizeof version, sizeof version);
    if (size > (size_t)(end - key)) size = (size_t)(end - key);
    PyObject *question = make_question(cache, key, size, version);
    if (!question || PyList_SetItem(list, i, question) != 0) {
      Py_DECREF(list);
      list = NULL;
    }
    key += size;
  }
  return list;
}

/* rows(address of a dbc_result): for each key the bytes of its value, True for "unchanged", or None. None when all are
 * unchanged. */
static PyObject *rows(PyObject *module, PyObject *address) {
  (void)module;
  const dbc_result *result = (const dbc_result *)PyLong_AsVoidPtr(address);
  if (PyErr_Occurred()) return NULL;
  Py_ssize_t count = (Py_ssize_t)dbc_result_count(result);
  const int32_t *statuses = dbc_result_statuses(result);
  const void *const *data = dbc_result_data(result);
  const size_t *sizes = dbc_result_sizes(result);
  Py_ssize_t unchanged = 0;
  while (unchanged < count && statuses[unchanged] == DBC_UNCHANGED) ++unchanged;
  if (unchanged == count) Py_RETURN_NONE;
  PyObject *list = PyList_New(count);
  for (Py_ssize_t i = 0; list && i < count; ++i) {
    PyObject *row;
    if (statuses[i] == DBC_OK) {
      row = PyBytes_FromStringAndSize((const char *)data[i], (Py_ssize_t)sizes[i]);
    } else {
      row = statuses[i] == DBC_UNCHANGED ? Py_True : Py_None;
      Py_INCREF(row);
    }
    if (!row || PyList_SetItem(list, i, row) != 0) {
      Py_DECREF(list);
      list = NULL;
    }
  }
  return list;
}

/* deliver(logger): gives what this thread's calls have said to logger.log(), line by line.
 *
 * What a handler raises, or a signal handler meanwhile, is raised here when the lines are through, or at once when it is
 * no Exception: an interrupt shall not wait. The lines left then come with those of the next call. */
static PyObject *deliver(PyObject *module, PyObject *logger) {
  (void)module;
  if (!dbcpy_has_lines()) Py_RETURN_NONE;
  PyObject *type = NULL, *error = NULL, *trace = NULL;
  struct dbcpy_line *line;
  int interrupted = 0;
  dbcpy_begin_delivery();
  while (!interrupted && (line = dbcpy_take_line())) {
    PyObject *text = PyUnicode_DecodeUTF8(line->text, (Py_ssize_t)line->size, "replace");
    int level = line->level;
    dbcpy_free_line(line);
    PyObject *done = text ? PyObject_CallMethod(logger, "log", "iO", level, text) : NULL;
    Py_XDECREF(text);
    Py_XDECREF(done);
    if (!done) {
      interrupted = !PyErr_ExceptionMatches(PyExc_Exception);
      if (type && !interrupted) {
        PyErr_Clear(); /* the first tells the most */
        continue;
      }
      Py_XDECREF(type);
      Py_XDECREF(error);
      Py_XDECREF(trace);
      PyErr_Fetch(&type, &error, &trace);
    }
  }
  dbcpy_end_delivery();
  if (type) {
    PyErr_Restore(type, error, trace);
    return NULL;
  }
  Py_RETURN_NONE;
}

PyMODINIT_FUNC PyInit__ask(void) {
  static PyMethodDef methods[] = {{"ask", ask, METH_O, NULL},         {"deliver", deliver, METH_O, NULL},
                                  {"encode", encode, METH_O, NULL},   {"get", get, METH_VARARGS, NULL},
                                  {"put", put, METH_VARARGS, NULL},   {"questions", questions, METH_VARARGS, NULL},
                                  {"rows", rows, METH_O, NULL},       {NULL, NULL, 0, NULL}};
  static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_ask", NULL, -1, methods, NULL, NULL, NULL, NULL};
  return PyModule_Create(&module);
}

#endif
