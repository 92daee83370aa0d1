/*
 * signals.h: the supervisor's signals become bytes in a pipe.
 */
#ifndef MW_SIGNALS_H
#define MW_SIGNALS_H

/* Undo all that httpd has set up: from now on SIGCHLD, SIGTERM and SIGINT are written to fd (non-blocking,
 * borrowed), one byte each; what could end the supervisor by mistake is ignored, the rest is default, and
 * none is blocked. Once per process. */
void mw_signals_take(int fd);

/* Before fd is closed: SIGTERM and SIGINT are ignored, the process is ending anyway. */
void mw_signals_leave(void);

#endif
