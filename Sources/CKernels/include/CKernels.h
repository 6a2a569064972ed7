#pragma once

#include "ck_cpu.h"
#include "ck_threads.h"
#include "ck_float.h"
#include "ck_statistics.h"
#include "ck_blocks.h"
#include "ck_integer.h"
#include "ck_integer_float32.h"
#include "ck_integer_sixteen.h"
#include "ck_integer_transposed.h"
#include "ck_integer_wide.h"
