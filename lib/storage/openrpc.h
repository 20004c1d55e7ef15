/* The OpenRPC document of the volume manager: its methods with params, results and errors. */
#ifndef STORAGE_OPENRPC_H
#define STORAGE_OPENRPC_H

#include "lib/core/op.h"

#define MOS_SOCKET "/run/mos_volmgrd/mos_volmgrd.sock"

/* JSON of one line, to be freed. From the table of methods alone. */
char *openrpc_text(void);

/* discover: gives no rows; its result is the document. */
extern const struct operation discover_op;

#endif
