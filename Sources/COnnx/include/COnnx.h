#pragma once

#include "onnx.pb-c.h"
#include "onnx-data.pb-c.h"
#include "onnx_guard.h"
#include "onnx_arena.h"
#include "onnx_reader.h"
#include "onnx_writer.h"
