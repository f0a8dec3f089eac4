/* libfcgi, without the call that aborts the process on a long format. */
#ifndef GENGATE_FCGI_FCGX_H
#define GENGATE_FCGI_FCGX_H

#include <fcgiapp.h>

#pragma GCC poison FCGX_FPrintF FCGX_VFPrintF

#endif
