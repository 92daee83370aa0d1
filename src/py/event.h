/*
 * event.h: what applications may watch: mod_wsgi.subscribe_events, subscribe_shutdown,
 * subscribe_signals. With the GIL held of the interpreter whose state is given. While nobody has
 * subscribed, a request pays for one comparison.
 *
 * A callback is called as callback(name, **payload). A dict that it returns is merged into the payload
 * for those after it; what it raises is logged and changes nothing.
 */
#ifndef MW_PY_EVENT_H
#define MW_PY_EVENT_H

#include <Python.h>

struct mw_py_call;
struct mw_py_request;
struct mw_py_state;

enum mw_py_topic {
    MW_PY_EVENTS,   /* all events */
    MW_PY_SHUTDOWN, /* process_stopping */
    MW_PY_SIGNALS,  /* process_signal */
    MW_PY_TOPICS
};

/* Are there callbacks for the events of requests? */
int mw_py_events_wanted(const struct mw_py_state *st);

/* Before the application is called. *app, a strong reference, may be replaced. */
void mw_py_event_request_started(struct mw_py_request *r, PyObject *dict, PyObject **app);

/* exc_info may be NULL. No reference to r's call is used after a callback was called. */
void mw_py_event_response_started(struct mw_py_request *r, PyObject *status, PyObject *headers,
                                  PyObject *exc_info);

/* An exception is set, and is so afterwards. */
void mw_py_event_request_exception(struct mw_py_request *r);

/* What is known when nothing is sent any more. */
struct mw_py_outcome {
    unsigned status;                      /* as the application gave it; 0: it did not */
    uint64_t input_length, output_length; /* bytes of the bodies */
};
void mw_py_event_request_finished(struct mw_py_request *r, const struct mw_py_outcome *outcome);

void mw_py_event_process_stopping(struct mw_py_state *st, const char *reason);
void mw_py_event_process_signal(struct mw_py_state *st, int signum);

#endif
