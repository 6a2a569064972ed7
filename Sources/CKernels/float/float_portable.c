#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tables.h"

#define LANES 4
#define TILE_ROWS 6
#define TILE_VECTORS 4
#define TABLE ck_float_kernels_portable
#define TABLE_ISA CK_ISA_PORTABLE

#include "kernels.h"
