/*
 * filebucket.h: a part of a file in a brigade. Called by the thread that runs the request; the buckets may
 * be read later, by any thread that writes to the client.
 */
#ifndef MW_FRONT_FILEBUCKET_H
#define MW_FRONT_FILEBUCKET_H

#include <apr_buckets.h>

/* Append n > 0 bytes of the regular file fd, from offset on. Takes fd, also on failure. The file is never
 * mapped into memory. One that has become shorter by the time it is read makes reading fail.
 * with_sendfile: let httpd use sendfile where it writes to the client directly. */
apr_status_t mw_filebucket_append(apr_bucket_brigade *bb, int fd, apr_off_t offset, apr_off_t n,
                                  int with_sendfile);

#endif
