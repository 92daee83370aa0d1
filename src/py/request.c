/*
 * request.c: see request.h. Called by wsgi.c for each request, and by applications through the
 * module. What nobody has asked for costs a request two pointers.
 */
#include "request.h"

#include "errors.h"
#include "interp.h"
#include "state.h"

PyObject *mw_py_request_id(const struct mw_py_request *r)
{
    struct mw_str id = r->req->log_id;

    if (id.n)
        return PyUnicode_DecodeLatin1(id.p, (Py_ssize_t)id.n, NULL);
    PyErr_SetString(PyExc_KeyError, "this request has no id");
    return NULL;
}

PyObject *mw_py_request_data(struct mw_py_request *r)
{
    PyObject *data = r->data ? NULL : PyDict_New();

    /* A garbage collection may have come here first. */
    if (!r->data)
        r->data = data;
    else
        Py_XDECREF(data);
    return Py_XNewRef(r->data);
}

/* -- active_requests -- */

/* Failure costs the entry: a request is not refused for it. */
static void enter(struct mw_py_request *r, PyObject *active)
{
    PyObject *id = mw_py_request_id(r);
    PyObject *data = id ? mw_py_request_data(r) : NULL;

    if (!data || PyDict_SetItem(active, id, data))
        PyErr_Clear();
    Py_XDECREF(data);
    Py_XDECREF(id);
}

static void leave(const struct mw_py_request *r, PyObject *active)
{
    PyObject *id = mw_py_request_id(r);

    if (!id || PyDict_DelItem(active, id))
        PyErr_Clear();
    Py_XDECREF(id);
}

PyObject *mw_py_request_active(struct mw_py_state *st)
{
    /* Nothing may run code of the application, and so give up the GIL, while the list is walked. */
    int collecting = PyGC_Disable();

    if (!st->active) {
        st->active = PyDict_New();
        for (struct mw_py_request *r = st->running; st->active && r; r = r->next)
            enter(r, st->active);
    }
    if (collecting)
        PyGC_Enable();
    return Py_XNewRef(st->active);
}

/* -- life -- */

struct mw_py_request *mw_py_request_current(void)
{
    struct mw_py_thread *me = mw_py_thread_peek();

    return me ? me->request : NULL;
}

void mw_py_request_begin(struct mw_py_request *r, struct mw_py_state *st, struct mw_py_thread *me,
                         const struct mw_req *req)
{
    *r = (struct mw_py_request){.st = st, .me = me, .req = req, .next = st->running};
    if (st->running)
        st->running->prev = r;
    st->running = r;
    me->request = r;
    if (st->active)
        enter(r, st->active);
}

static void unlist(struct mw_py_request *r)
{
    struct mw_py_state *st = r->st;

    if (r->prev)
        r->prev->next = r->next;
    else
        st->running = r->next;
    if (r->next)
        r->next->prev = r->prev;
}

/* Objects that the application left in its dict may run code when they go, and may print. */
void mw_py_request_end(struct mw_py_request *r)
{
    if (r->st->active)
        leave(r, r->st->active);
    unlist(r);
    Py_CLEAR(r->data);
    mw_py_errors_flush_request(r);
    r->me->request = NULL;
    Py_CLEAR(r->data);
}
